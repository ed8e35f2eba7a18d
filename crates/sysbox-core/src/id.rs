//! The id of a container, with runc's rule for what is one.

use std::{fmt, str::FromStr};

/// The id of a container: 1 to 1024 of the characters `A-Z a-z 0-9 _ + - .`, and neither `.` nor `..`.
///
/// This is runc's rule. It makes an id a safe file name as far as its characters go; a file system may still refuse one
/// longer than 255 bytes.
///
/// ```
/// use sysbox_core::ContainerId;
///
/// assert!("web_1.blue".parse::<ContainerId>().is_ok());
/// assert!("../etc".parse::<ContainerId>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(String);

impl ContainerId {
    /// The most characters that an id can have.
    pub const MAX_LEN: usize = 1024;

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ContainerId {
    type Err = InvalidContainerId;

    fn from_str(id: &str) -> Result<Self, Self::Err> {
        if id.is_empty() {
            return Err(InvalidContainerId::Empty);
        }
        if id.len() > Self::MAX_LEN {
            return Err(InvalidContainerId::TooLong { len: id.len() });
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
        if let Some((at, found)) = id.char_indices().find(|&(_, c)| !allowed(c)) {
            return Err(InvalidContainerId::Character { id: id.to_owned(), found, at });
        }
        if id == "." || id == ".." {
            return Err(InvalidContainerId::DirectoryName { id: id.to_owned() });
        }
        Ok(Self(id.to_owned()))
    }
}

impl TryFrom<String> for ContainerId {
    type Error = InvalidContainerId;

    fn try_from(id: String) -> Result<Self, Self::Error> {
        id.parse()
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for ContainerId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Why a text is not a [`ContainerId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidContainerId {
    /// No character at all.
    #[error(
        "container id is empty; it takes 1 to {} of the characters A-Z a-z 0-9 _ + - .",
        ContainerId::MAX_LEN
    )]
    Empty,
    /// More than [`ContainerId::MAX_LEN`] bytes.
    #[error("container id has {len} characters; it takes at most {}", ContainerId::MAX_LEN)]
    TooLong {
        /// How many bytes it has.
        len: usize,
    },
    /// A character that an id cannot hold.
    #[error(
        "container id {id:?} has {found:?} at position {at}; it takes only the characters A-Z a-z 0-9 _ + - ."
    )]
    Character {
        /// The text.
        id: String,
        /// The first such character.
        found: char,
        /// The byte at which it stands.
        at: usize,
    },
    /// `.` or `..`, which name directories.
    #[error("container id {id:?} names a directory; choose another name")]
    DirectoryName {
        /// The text.
        id: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_id_takes_runcs_characters_up_to_1024_of_them() {
        for id in ["a", "A-b_c+d.e", "...", "-", &"x".repeat(1024)] {
            assert_eq!(id.parse::<ContainerId>().expect(id).as_str(), id);
        }
    }

    #[test]
    fn an_id_that_is_empty_too_long_or_leaves_its_directory_is_refused() {
        assert_eq!("".parse::<ContainerId>(), Err(InvalidContainerId::Empty));
        assert_eq!("x".repeat(1025).parse::<ContainerId>(), Err(InvalidContainerId::TooLong { len: 1025 }));
        for id in ["../x", "a/b", "a b", "a\n", "é", "a\0"] {
            assert!(matches!(id.parse::<ContainerId>(), Err(InvalidContainerId::Character { .. })), "{id:?}");
        }
        for id in [".", ".."] {
            assert!(matches!(id.parse::<ContainerId>(), Err(InvalidContainerId::DirectoryName { .. })));
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_keeps_the_text(text in ".*") {
            if let Ok(id) = text.parse::<ContainerId>() {
                prop_assert_eq!(id.as_str(), text);
            }
        }
    }
}
