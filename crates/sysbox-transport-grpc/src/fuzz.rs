//! What the fuzz targets call, and the property tests with them. No part of the API.

pub use crate::convert::fuzz::decode_anything as messages;

use crate::authority::{Mode, Rewriter};

/// Sends bytes through the authority filter, in pieces whose sizes the first byte chooses.
///
/// # Panics
/// When the filter breaks a promise: what it hands on depends on the pieces, or of a connection that it lets pass something is changed, or
/// it changes what it has changed already.
pub fn authority(input: &[u8]) {
    let Some((&piece, input)) = input.split_first() else { return };
    let (mode, whole, error) = filter(input, input.len().max(1));
    let pieces = filter(input, usize::from(piece) + 1);
    assert_eq!((mode, &whole, error), (pieces.0, &pieces.1, pieces.2), "the same in pieces");
    if mode != Mode::Rewrite {
        assert!(!error && whole == input, "nothing is changed and nothing fails");
        return;
    }
    let (mode, again, _) = filter(&whole, usize::from(piece) + 1);
    assert!(mode != Mode::Rewrite && again == whole, "nothing is changed twice");
}

/// What is handed on, and whether it ended with an error.
fn filter(input: &[u8], piece: usize) -> (Mode, Vec<u8>, bool) {
    let (mut rewriter, mut out) = (Rewriter::new(), Vec::new());
    for piece in input.chunks(piece) {
        let mut rest = piece;
        while !rest.is_empty() {
            let before = out.len();
            match rewriter.push(rest, &mut out) {
                Ok(taken) => {
                    assert!(taken > 0, "it goes on");
                    assert!(out.len() - before <= taken + Rewriter::LARGEST, "one block at a time");
                    rest = &rest[taken..];
                }
                Err(_) => return (rewriter.mode(), out, true),
            }
        }
    }
    let mode = rewriter.mode();
    let error = rewriter.end(&mut out).is_err();
    (mode, out, error)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    /// Frames that often make sense together.
    fn frame() -> impl Strategy<Value = Vec<u8>> {
        let field = prop_oneof![
            Just(b"\x41\x02/r".to_vec()),
            Just(b"\x01\x02/r".to_vec()),
            Just(b"\x41\x01r".to_vec()),
            Just(b"\x83".to_vec()),
            Just(b"\xbe".to_vec()),
            Just(b"\x3f\xe1\x1f".to_vec()),
            vec(any::<u8>(), 0..6),
        ];
        let payload = vec(field, 0..4).prop_map(|fields| fields.concat());
        let kind = prop_oneof![4 => Just(1_u8), 2 => Just(9), 1 => 0..11_u8];
        let flags = prop_oneof![3 => Just(4_u8), 1 => Just(0), 1 => any::<u8>()];
        (kind, flags, 1..3_u8, payload).prop_map(|(kind, flags, stream, payload)| {
            let length = u8::try_from(payload.len()).expect("short");
            [&[0, 0, length, kind, flags, 0, 0, 0, stream][..], &payload].concat()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_authority_filter_keeps_its_promises_for_frames(piece: u8, frames in vec(frame(), 0..12), cut in 0..20_usize) {
            let mut input = vec![piece];
            input.extend(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
            input.extend(frames.concat());
            let shorter = input.len().saturating_sub(cut.saturating_sub(12));
            super::authority(&input[..shorter]);
        }

        #[test]
        fn the_authority_filter_keeps_its_promises_for_any_bytes(input in vec(any::<u8>(), 0..200), preface: bool) {
            let preface: &[u8] = if preface { b"\x07PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" } else { b"" };
            super::authority(&[preface, &input].concat());
        }
    }
}
