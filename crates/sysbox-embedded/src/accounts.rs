//! The host's account files: `passwd(5)`, `group(5)`, `subuid(5)`, `subgid(5)`. Text in, entries out; only [`read`] does I/O.
//!
//! A line of `subuid` that cannot be read is an error, for it may hide somebody's range. A line of `passwd` that cannot be
//! read is no account to the C library either, so it is passed over.

#[cfg(test)]
mod tests;

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
};

use sysbox_core::IdRange;

/// An account file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccountFileError {
    /// It is there, but cannot be read.
    #[error("account file {} cannot be read; check its permissions", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A line breaks the rule of the file.
    #[error("line {line} of {} is {text:?}: {rule}; mend or remove the line", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What it says, cut after 200 characters.
        text: String,
        /// What it must be.
        rule: String,
    },
}

impl AccountFileError {
    /// What lies under it: the text of the error itself stands in the message of the call that met it.
    pub(crate) fn into_cause(self) -> Option<Box<dyn Error + Send + Sync>> {
        match self {
            Self::Unreadable { source, .. } => Some(source.into()),
            Self::Malformed { .. } => None,
        }
    }
}

/// A range of subordinate ids and the user, by name or by number, whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SubidEntry<'a> {
    pub(crate) owner: &'a str,
    pub(crate) range: IdRange,
}

/// The text of an account file; of one that is not there, none.
pub(crate) fn read(path: &Path) -> Result<String, AccountFileError> {
    match fs::read(path) {
        // Names may be in any encoding; the numbers are ASCII in all of them.
        Ok(bytes) => Ok(String::from_utf8(bytes)
            .unwrap_or_else(|not_utf8| String::from_utf8_lossy(not_utf8.as_bytes()).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(AccountFileError::Unreadable { path: path.to_owned(), source }),
    }
}

/// The entries of `subuid(5)` or `subgid(5)`. Empty lines and those that begin with `#` say nothing.
pub(crate) fn subid_entries<'a>(path: &Path, text: &'a str) -> Result<Vec<SubidEntry<'a>>, AccountFileError> {
    let told = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| told(line));
    lines
        .map(|(index, line)| {
            subid_entry(line).map_err(|rule| AccountFileError::Malformed {
                path: path.to_owned(),
                line: index + 1,
                text: line.chars().take(200).collect(),
                rule,
            })
        })
        .collect()
}

/// The names and ids of `passwd(5)` or `group(5)`: both have them in the first and third field.
pub(crate) fn accounts(text: &str) -> impl Iterator<Item = (&str, u32)> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password, id) = (fields.next()?, fields.next()?, fields.next()?);
        Some((name, id.parse().ok()?))
    })
}

fn subid_entry(line: &str) -> Result<SubidEntry<'_>, String> {
    let malformed = || "it must be NAME:FIRST:COUNT, the last two whole numbers".to_owned();
    let (owner, range) = line.split_once(':').ok_or_else(malformed)?;
    let (first, count) = range.split_once(':').ok_or_else(malformed)?;
    let number = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| digits.parse::<u32>().ok()).flatten().ok_or_else(malformed)
    };
    if owner.is_empty() {
        return Err(malformed());
    }
    let range = IdRange::new(number(first)?, number(count)?).map_err(|invalid| invalid.to_string())?;
    Ok(SubidEntry { owner, range })
}
