//! The causes of an error, as texts, for transports that carry nothing else of them.

use std::{error::Error, iter::successors};

/// How many causes cross.
pub const MOST: usize = 16;
/// The most bytes of one.
pub const LONGEST: usize = 1024;

/// A cause of which only the text is known.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Cause {
    text: String,
    source: Option<Box<Self>>,
}

impl Cause {
    /// The causes that a peer told, the nearest first; `None` where it told none. More than [`MOST`] of them, and of each more
    /// than [`LONGEST`] bytes, are not kept.
    pub fn chain<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Option<Self> {
        let texts: Vec<_> = texts.into_iter().take(MOST).map(|text| bounded(text.as_ref())).collect();
        texts.into_iter().rev().fold(None, |source, text| Some(Self { text, source: source.map(Box::new) }))
    }
}

/// The texts of the causes from `source` on, the nearest first, [`MOST`] at most and of [`LONGEST`] bytes each.
///
/// ```
/// use sysbox_transport::causes::{Cause, texts};
///
/// let cause = Cause::chain(["disk is full", "no space left on device"]).ok_or("two causes")?;
/// assert_eq!(texts(Some(&cause)), ["disk is full", "no space left on device"]);
/// # Ok::<(), &str>(())
/// ```
pub fn texts(source: Option<&(dyn Error + 'static)>) -> Vec<String> {
    let causes = successors(source, |&cause| cause.source()).take(MOST);
    causes.map(|cause| bounded(&cause.to_string())).collect()
}

fn bounded(text: &str) -> String {
    shortened(text, LONGEST, char::len_utf8)
}

/// The text, or as much of its beginning as takes at most `most` bytes together with a mark that says so. `len` tells how
/// many bytes a character takes.
pub fn shortened(text: &str, most: usize, len: impl Fn(char) -> usize) -> String {
    const MARK: &str = "[cut]";
    let (mut taken, mut keep) = (0, 0);
    for (at, character) in text.char_indices() {
        if taken + MARK.len() <= most {
            keep = at;
        }
        taken += len(character);
        if taken > most {
            return format!("{}{MARK}", &text[..keep]);
        }
    }
    text.to_owned()
}

/// An error with its causes, in one line.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
