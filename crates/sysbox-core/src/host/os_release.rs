//! The distribution, as `os-release(5)` tells it.

use std::str::FromStr;

/// What os-release says of the distribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OsRelease {
    /// `ID`, in lower case; `linux` where it is not given, as the man page says.
    pub id: String,
    /// `ID_LIKE`: distributions that it is like, the nearest first.
    pub id_like: Vec<String>,
    /// `PRETTY_NAME`, to be shown to people; `Linux` where it is not given.
    pub pretty_name: String,
}

impl FromStr for OsRelease {
    type Err = UnreadableOsRelease;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut read = Self { id: "linux".to_owned(), id_like: Vec::new(), pretty_name: "Linux".to_owned() };
        for (line, number) in text.lines().map(str::trim).zip(1..) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let unreadable = || UnreadableOsRelease { number, line: line.to_owned() };
            let (name, value) = line.split_once('=').ok_or_else(unreadable)?;
            let value = unquote(value).ok_or_else(unreadable)?;
            match name {
                "ID" if !value.is_empty() => read.id = value.to_ascii_lowercase(),
                "ID_LIKE" => read.id_like = value.split_ascii_whitespace().map(str::to_owned).collect(),
                "PRETTY_NAME" if !value.is_empty() => read.pretty_name = value,
                _ => {}
            }
        }
        Ok(read)
    }
}

/// A value as a shell would take it: bare, or in quotes of which the double ones know backslashes.
fn unquote(value: &str) -> Option<String> {
    if let Some(inner) = value.strip_prefix('\'') {
        return inner.strip_suffix('\'').filter(|inner| !inner.contains('\'')).map(str::to_owned);
    }
    let (inner, quoted) = match value.strip_prefix('"') {
        Some(inner) => (inner, true),
        None => (value, false),
    };
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.push(chars.next()?),
            '"' if quoted => return chars.as_str().is_empty().then_some(text),
            '"' | '\'' => return None,
            c => text.push(c),
        }
    }
    (!quoted).then_some(text)
}

/// A line of os-release that is no assignment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {number} of os-release, {line:?}, is no NAME=value with the quotes that os-release(5) knows")]
pub struct UnreadableOsRelease {
    /// Which line, from 1 on.
    pub number: usize,
    /// The line.
    pub line: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(text: &str) -> String {
        text.parse::<OsRelease>().expect(text).id
    }

    #[test]
    fn an_id_is_read_bare_and_in_either_quotes() {
        assert_eq!(id("NAME=x\nID=debian\n"), "debian");
        assert_eq!(id("ID=\"ubuntu\""), "ubuntu");
        assert_eq!(id("ID='rocky'"), "rocky");
        assert_eq!(id("# ID=no\n\n  ID=fedora  \n"), "fedora");
        assert_eq!(id("ID=\"a\\\"b\""), "a\"b");
        assert_eq!(id("VERSION_ID=12"), "linux");
        assert_eq!(id(""), "linux");
        assert_eq!(id("ID="), "linux");
    }

    #[test]
    fn the_last_assignment_counts() {
        assert_eq!(id("ID=a\nID=b"), "b");
    }

    #[test]
    fn a_line_that_is_no_assignment_is_refused_with_its_number() {
        for text in ["ID=a\nnonsense", "ID=a\nX=\"open", "ID=a\nX='a'b'", "ID=a\nX=\"a\"b", "ID=a\nX=a\\"] {
            assert_eq!(text.parse::<OsRelease>().expect_err(text).number, 2);
        }
    }

    #[test]
    fn names_for_people_and_likenesses_are_read() {
        let read: OsRelease =
            "PRETTY_NAME=\"Pop!_OS 22.04\"\nID_LIKE=\"ubuntu debian\"".parse().expect("valid");
        assert_eq!(
            (read.pretty_name.as_str(), read.id_like),
            ("Pop!_OS 22.04", vec!["ubuntu".into(), "debian".into()])
        );
    }

    proptest! {
        #[test]
        fn reading_os_release_never_panics(text in "(.|\n|\"|'|\\\\|=)*") {
            let _ = text.parse::<OsRelease>();
        }
    }
}
