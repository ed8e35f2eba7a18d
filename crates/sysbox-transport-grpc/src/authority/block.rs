//! One header block: taken out of its frames, and its authority replaced. Pure.

use http::uri::Authority;

use super::{
    FilterError,
    frame::{self, Head, kind},
    hpack::{Decoder, encode},
};

/// What stands in for an authority that the `http` crate refuses.
pub(super) const REPLACEMENT: &[u8] = b"localhost";

/// A header block as it was sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    stream: u32,
    end_stream: bool,
    /// In HPACK, without padding and priority.
    fragments: Vec<u8>,
}

impl Block {
    /// Puts a block together from all its frames.
    pub(super) fn from_frames(frames: &[u8]) -> Result<Self, FilterError> {
        let mut block = Self { stream: 0, end_stream: false, fragments: Vec::with_capacity(frames.len()) };
        let mut rest = frames;
        while let Some((head, after)) = rest.split_first_chunk() {
            let head = Head::parse(*head);
            let (payload, after) = after.split_at_checked(head.length).ok_or(FilterError::Ended)?;
            rest = after;
            if head.kind == kind::HEADERS {
                block.stream = head.stream;
                block.end_stream = head.has(frame::END_STREAM);
                block.fragments.extend_from_slice(strip(head, payload).ok_or(FilterError::Padding)?);
            } else {
                block.fragments.extend_from_slice(payload);
            }
        }
        Ok(block)
    }

    /// The same block with a valid authority.
    pub(super) fn rewrite(&self, decoder: &mut Decoder) -> Result<Rewritten, FilterError> {
        let mut rewritten = Rewritten {
            stream: self.stream,
            end_stream: self.end_stream,
            fields: Vec::with_capacity(2 * self.fragments.len()),
            refused: false,
        };
        decoder.decode(&self.fragments, |name, value| {
            let refused = name == b":authority" && Authority::try_from(value).is_err();
            rewritten.refused |= refused;
            encode(name, if refused { REPLACEMENT } else { value }, &mut rewritten.fields);
        })?;
        Ok(rewritten)
    }
}

/// A header block that needs no state to be decoded, and whose authority the `http` crate accepts.
#[derive(Debug)]
pub(super) struct Rewritten {
    stream: u32,
    end_stream: bool,
    fields: Vec<u8>,
    /// Whether it had an authority that the `http` crate refuses.
    pub(super) refused: bool,
}

impl Rewritten {
    /// Appends its frames.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        frame::write_block(self.stream, self.end_stream, &self.fields, out);
    }
}

/// The payload of a HEADERS frame without padding and priority; nothing if it is too short for them.
fn strip(head: Head, mut payload: &[u8]) -> Option<&[u8]> {
    let mut padding = 0;
    if head.has(frame::PADDED) {
        let (length, rest) = payload.split_first()?;
        (padding, payload) = (usize::from(*length), rest);
    }
    if head.has(frame::PRIORITY) {
        // Which stream it depends on (4 bytes), and its weight.
        payload = payload.get(5..)?;
    }
    payload.get(..payload.len().checked_sub(padding)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(flags: u8, payload: &[u8]) -> Result<Vec<u8>, FilterError> {
        let mut frames = Vec::new();
        Head { length: payload.len(), kind: kind::HEADERS, flags, stream: 1 }.write(&mut frames);
        frames.extend_from_slice(payload);
        Block::from_frames(&frames).map(|block| block.fragments)
    }

    #[test]
    fn padding_and_priority_are_dropped() {
        let both = frame::PADDED | frame::PRIORITY;
        for (flags, payload) in [
            (0, &b"block"[..]),
            (frame::PADDED, b"\x03block\0\0\0"),
            (frame::PADDED, b"\0block"),
            (frame::PRIORITY, b"\x80\0\0\x01\xffblock"),
            (both, b"\x02\0\0\0\0\0block\0\0"),
        ] {
            assert_eq!(headers(flags, payload).expect("valid"), b"block", "{flags:#x}");
        }
        assert_eq!(headers(both, b"\x02\0\0\0\0\0\0\0").expect("empty"), b"");
    }

    #[test]
    fn a_frame_too_short_for_its_padding_or_priority_is_told() {
        let both = frame::PADDED | frame::PRIORITY;
        for (flags, payload) in [
            (frame::PADDED, &b""[..]),
            (frame::PADDED, b"\x02\0"),
            (frame::PRIORITY, b"\0\0\0\0"),
            (both, b"\x01\0\0\0\0\0"),
        ] {
            assert!(matches!(headers(flags, payload), Err(FilterError::Padding)), "{flags:#x} {payload:?}");
        }
    }

    #[test]
    fn only_an_authority_that_http_refuses_is_replaced() {
        let cases: [(&[u8], &[u8]); 7] = [
            (b"/run/sysbox/sysmgr.sock", REPLACEMENT),
            (b"%2Frun%2Fsysbox%2Fsysmgr.sock", REPLACEMENT),
            (b"", REPLACEMENT),
            (b"\xff", REPLACEMENT),
            (b"localhost", b"localhost"),
            (b"example.com:80", b"example.com:80"),
            (b"[::1]:80", b"[::1]:80"),
        ];
        for (sent, expected) in cases {
            for name in [&b":authority"[..], b"host"] {
                let mut fragments = Vec::new();
                encode(name, sent, &mut fragments);
                let block = Block { stream: 1, end_stream: true, fragments };
                let rewritten = block.rewrite(&mut Decoder::default()).expect("valid");
                let expected = if name == b"host" { sent } else { expected };
                assert_eq!(rewritten.refused, expected != sent);
                let mut wanted = Vec::new();
                encode(name, expected, &mut wanted);
                assert_eq!(rewritten.fields, wanted);
            }
        }
    }
}
