//! The release of a kernel, in every form that kernels give it.

use std::{fmt, str::FromStr};

/// The numbers at the start of a kernel release (`uname -r`). What follows them is kept, and of no meaning.
///
/// ```
/// use sysbox_core::host::KernelRelease;
///
/// let release: KernelRelease = "6.1.0-18-amd64".parse()?;
/// assert!(release.at_least(5, 5));
/// # Ok::<(), sysbox_core::host::UnreadableRelease>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelRelease {
    major: u32,
    minor: u32,
    text: String,
}

impl KernelRelease {
    /// The first number.
    pub const fn major(&self) -> u32 {
        self.major
    }

    /// The second number.
    pub const fn minor(&self) -> u32 {
        self.minor
    }

    /// Whether it is this version or a later one. A release candidate counts as its release.
    pub const fn at_least(&self, major: u32, minor: u32) -> bool {
        self.major > major || (self.major == major && self.minor >= minor)
    }

    /// The release as the kernel gives it.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for KernelRelease {
    type Err = UnreadableRelease;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unreadable = || UnreadableRelease { text: text.to_owned() };
        let (major, rest) = leading_number(text).ok_or_else(unreadable)?;
        let (minor, _) = rest.strip_prefix('.').and_then(leading_number).ok_or_else(unreadable)?;
        Ok(Self { major, minor, text: text.to_owned() })
    }
}

fn leading_number(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

impl fmt::Display for KernelRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A kernel release that does not start with two numbers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("kernel release {text:?} does not start with MAJOR.MINOR")]
pub struct UnreadableRelease {
    /// The text.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_real_form_of_a_release_is_read() {
        for (text, major, minor) in [
            ("5.5-rc1", 5, 5),
            ("6.1.0-18-amd64", 6, 1),
            ("5.15.0-1051-aws", 5, 15),
            ("6.18.44-fc-v657", 6, 18),
            ("5.15+", 5, 15),
            ("6.1-custom", 6, 1),
            ("4.4.302-l4t", 4, 4),
            ("5.15.167.4-microsoft-standard-WSL2", 5, 15),
            ("6.12.0_1", 6, 12),
            ("7.0", 7, 0),
        ] {
            let release: KernelRelease = text.parse().expect(text);
            assert_eq!((release.major(), release.minor(), release.as_str()), (major, minor, text));
        }
    }

    #[test]
    fn a_release_without_two_numbers_is_refused() {
        for text in ["", "6", "6.", ".1", "v6.1", "six.one", "99999999999.1"] {
            assert_eq!(text.parse::<KernelRelease>(), Err(UnreadableRelease { text: text.to_owned() }));
        }
    }

    #[test]
    fn a_later_release_is_at_least_an_earlier_one() {
        let release: KernelRelease = "5.10.1".parse().expect("valid");
        assert!(release.at_least(5, 5) && release.at_least(5, 10) && release.at_least(4, 19));
        assert!(!release.at_least(5, 11) && !release.at_least(6, 0));
    }

    proptest! {
        #[test]
        fn reading_a_release_never_panics(text in ".*") {
            let _ = text.parse::<KernelRelease>();
        }
    }
}
