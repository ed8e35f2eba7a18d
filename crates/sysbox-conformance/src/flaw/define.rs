//! Makes the type of the flaws from their table.

macro_rules! flaws {
    ($($name:ident: $rule:literal, $group:literal, [$($ability:ident),*], $breaks:expr;)*) => {
        /// One rule broken. What stands at each is the rule.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Flaw {
            $(#[doc = $rule] $name,)*
        }

        impl Flaw {
            /// Every flaw.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// The rule that it breaks, as a sentence.
            pub const fn rule(self) -> &'static str {
                match self {
                    $(Self::$name => $rule,)*
                }
            }

            /// The [group](crate::Case::group) of the cases that are there to see it.
            #[cfg(feature = "suite")]
            pub const fn group(self) -> &'static str {
                match self {
                    $(Self::$name => $group,)*
                }
            }

            /// What a backend must be able to do for the flaw to be seen.
            #[cfg(feature = "suite")]
            pub const fn needs(self) -> &'static [Ability] {
                match self {
                    $(Self::$name => &[$(Ability::$ability),*],)*
                }
            }

            pub(super) const fn breaks(self) -> Break {
                match self {
                    $(Self::$name => $breaks,)*
                }
            }
        }
    };
}
pub(super) use flaws;
