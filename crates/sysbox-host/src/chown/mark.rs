//! What chown(2) drops from an inode, kept on that inode until it is restored.
//!
//! A [`Mark`] is written before the owner of a file with set-id bits or capabilities changes, and removed after both are
//! back; only an inode without room for it does without. Whoever finds one, after a crash, restores from it in the direction that it goes itself: the mark holds the
//! values as they were, and the root id of the capabilities tells by its range on which side it is.

use std::fmt::{self, Write as _};

use rustix::fs::Mode;

/// The permissions and the capabilities that an inode must have in the end.
///
/// Its text form is what is kept with the inode: `1 <mode, octal> <capabilities, hexadecimal, or ->`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// The permissions, set-id and sticky bits.
    pub(super) mode: Mode,
    /// The value of `security.capability`, if it has one.
    pub(super) capability: Option<Vec<u8>>,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1 {:o} ", self.mode.as_raw_mode())?;
        match &self.capability {
            None => f.write_char('-'),
            Some(value) => value.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

impl Mark {
    /// Reads a mark; `None` when it is none of version 1.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let mut fields = std::str::from_utf8(text).ok()?.split(' ');
        let (Some("1"), Some(mode), Some(capability), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return None;
        };
        let mode = u32::from_str_radix(mode, 8).ok().filter(|mode| *mode <= 0o7777)?;
        let capability = match capability {
            "-" => None,
            digits => Some(bytes(digits.as_bytes())?),
        };
        Some(Self { mode: Mode::from_raw_mode(mode), capability })
    }
}

/// The bytes that hexadecimal digits stand for.
fn bytes(digits: &[u8]) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |&[high, low]: &[u8; 2]| Some(digit(high)? << 4 | digit(low)?);
    rest.is_empty().then(|| pairs.iter().map(pair).collect())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_mark_is_octal_and_hexadecimal() {
        let mark = Mark { mode: Mode::from_raw_mode(0o4755), capability: None };
        assert_eq!(mark.to_string(), "1 4755 -");
        let mark = Mark { capability: Some(vec![0, 0xAB]), ..mark };
        assert_eq!(mark.to_string(), "1 4755 00ab");
    }

    #[test]
    fn a_mark_of_another_form_is_not_taken() {
        for text in ["", "1", "2 755 -", "1 755", "1 755 - -", "1 10000 -", "1 8 -", "1 755 abc", "1 755 zz"]
        {
            assert_eq!(Mark::parse(text.as_bytes()), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_mark_is_read_as_it_was_written(
            mode in 0u32..=0o7777,
            capability in proptest::option::of(proptest::collection::vec(any::<u8>(), 1..30)),
        ) {
            let mark = Mark { mode: Mode::from_raw_mode(mode), capability };
            prop_assert_eq!(Mark::parse(mark.to_string().as_bytes()), Some(mark));
        }

        #[test]
        fn reading_a_mark_never_panics(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = Mark::parse(&text);
        }
    }
}
