//! HTTP/2 frames (RFC 9113, section 4): their heads, and a header block cut into frames.

/// What a client sends first.
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The largest payload of a frame, as our server's settings leave it.
pub(super) const MAX_PAYLOAD: usize = 16_384;

pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const PRIORITY: u8 = 0x20;

/// The types of frames that matter here.
pub(super) mod kind {
    pub(in super::super) const HEADERS: u8 = 0x1;
    pub(in super::super) const PUSH_PROMISE: u8 = 0x5;
    pub(in super::super) const CONTINUATION: u8 = 0x9;
}

/// What a frame begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes of payload after the head.
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Head {
    /// Bytes of a head.
    pub(super) const LENGTH: usize = 9;

    pub(super) const fn parse(bytes: [u8; Self::LENGTH]) -> Self {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = bytes;
        let length = (l0 as usize) << 16 | (l1 as usize) << 8 | l2 as usize;
        // The first bit is reserved and means nothing.
        let stream = u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]);
        Self { length, kind, flags, stream }
    }

    /// Whether a flag is set.
    pub(super) const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Appends it. The length has at most 24 bits.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let [l0, l1, l2, ..] = self.length.to_le_bytes();
        out.extend([l2, l1, l0, self.kind, self.flags]);
        out.extend(self.stream.to_be_bytes());
    }
}

/// Appends a header block as a HEADERS frame and as many CONTINUATION frames as it needs.
pub(super) fn write_block(stream: u32, end_stream: bool, block: &[u8], out: &mut Vec<u8>) {
    let mut kind = kind::HEADERS;
    let mut flags = if end_stream { END_STREAM } else { 0 };
    let mut rest = block;
    loop {
        let (payload, after) = rest.split_at(rest.len().min(MAX_PAYLOAD));
        if after.is_empty() {
            flags |= END_HEADERS;
        }
        Head { length: payload.len(), kind, flags, stream }.write(out);
        out.extend_from_slice(payload);
        if after.is_empty() {
            return;
        }
        (kind, flags, rest) = (kind::CONTINUATION, 0, after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_head_is_read_as_it_was_written(
            length in 0..1_usize << 24, kind: u8, flags: u8, stream in 0..1_u32 << 31, reserved: bool,
        ) {
            let head = Head { length, kind, flags, stream };
            let mut bytes = Vec::new();
            head.write(&mut bytes);
            let mut bytes: [u8; Head::LENGTH] = bytes.try_into().expect("nine bytes");
            bytes[5] |= u8::from(reserved) << 7;
            prop_assert_eq!(Head::parse(bytes), head);
        }
    }

    #[test]
    fn a_block_is_cut_where_a_frame_is_full_and_only_the_last_ends_it() {
        for (length, payloads) in [
            (0, vec![0]),
            (MAX_PAYLOAD, vec![MAX_PAYLOAD]),
            (2 * MAX_PAYLOAD + 1, vec![MAX_PAYLOAD, MAX_PAYLOAD, 1]),
        ] {
            let mut out = Vec::new();
            write_block(7, true, &vec![b'x'; length], &mut out);
            let mut frames = Vec::new();
            let mut rest = &out[..];
            while let Some((head, after)) = rest.split_first_chunk() {
                let head = Head::parse(*head);
                frames.push((head.kind, head.flags, head.stream, head.length));
                rest = &after[head.length..];
            }
            let last = payloads.len() - 1;
            let expected = payloads.iter().enumerate().map(|(i, length)| {
                let kind = if i == 0 { kind::HEADERS } else { kind::CONTINUATION };
                let flags = if i == 0 { END_STREAM } else { 0 } | if i == last { END_HEADERS } else { 0 };
                (kind, flags, 7, *length)
            });
            assert_eq!(frames, expected.collect::<Vec<_>>());
        }
    }
}
