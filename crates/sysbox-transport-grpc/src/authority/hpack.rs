//! HPACK (RFC 7541) by `loona-hpack`, within limits; and literals that need no state at the other end.
//!
//! **Invariant**: what one block may cost is bounded. The dynamic table holds at most [`TABLE_SIZE`], whatever a block asks for, and of
//! one block at most [`MAX_DECODED`] are handed out. How long a block may be, its caller bounds.
//!
//! `loona-hpack` builds its tables anew for each string of Huffman code, about 20 µs each: 0.2 ms for a request of gRPC, a third of a
//! second for the worst block of 16 KiB. The first is paid once by a connection whose authority is valid, and by each request of one whose
//! authority is a path; the clients that send one connect for every call anyway. The second costs its sender 16 KiB each time, and it
//! must be one whom the mode of the socket lets in.
//!
//! It takes a change of the table's size between two fields, which the standard does not allow; nothing here depends on that.

use std::fmt;

use loona_hpack::encoder::encode_integer;

use super::FilterError;

/// What `SETTINGS_HEADER_TABLE_SIZE` is unless a server says otherwise, which ours does not.
const TABLE_SIZE: usize = 4096;

/// How large the fields of a block may be in all, counted as for `SETTINGS_MAX_HEADER_LIST_SIZE`: names, values, and 32 per field. It is
/// above what our server takes, so that the server answers a request that has somewhat too much.
pub(super) const MAX_DECODED: usize = 64 * 1024;

/// Decodes the header blocks of one direction of a connection. It must see every one of them.
pub(super) struct Decoder(loona_hpack::Decoder<'static>);

impl Decoder {
    /// Decodes a whole header block and hands out the name and value of each field. After an error it is of no more use.
    pub(super) fn decode(
        &mut self,
        block: &[u8],
        mut each: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), FilterError> {
        let mut left = Some(MAX_DECODED);
        let decoded = self.0.decode_with_cb(block, |name, value| {
            left = left.and_then(|left| left.checked_sub(name.len() + value.len() + 32));
            if left.is_some() {
                each(&name, &value);
            }
        });
        decoded.map_err(FilterError::Hpack)?;
        left.map(|_| ()).ok_or(FilterError::LargeFields)
    }
}

impl Default for Decoder {
    fn default() -> Self {
        let mut decoder = loona_hpack::Decoder::new();
        decoder.set_max_allowed_table_size(TABLE_SIZE);
        Self(decoder)
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What the table holds may be secret.
        f.debug_struct("Decoder").finish_non_exhaustive()
    }
}

/// Appends a field as a literal that neither refers to a table nor goes into one, without Huffman code. Each is marked as never to be
/// indexed, for the decoder does not tell which were.
pub(super) fn encode(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.push(0x10);
    for string in [name, value] {
        out.extend(encode_integer(string.len(), 7));
        out.extend_from_slice(string);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loona_hpack::decoder::DecoderError;
    use proptest::{collection::vec, prelude::*};

    type Fields = Vec<(Vec<u8>, Vec<u8>)>;

    fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Fields, FilterError> {
        let mut fields = Fields::new();
        decoder.decode(block, |name, value| fields.push((name.into(), value.into())))?;
        Ok(fields)
    }

    #[test]
    fn a_field_is_encoded_as_the_standard_does_it() {
        let mut block = Vec::new();
        encode(b"password", b"secret", &mut block);
        assert_eq!(block, b"\x10\x08password\x06secret");
        block.clear();
        encode(b"", &[b'v'; 300], &mut block);
        assert_eq!(block[..5], [0x10, 0, 0x7f, 0xad, 1]);
    }

    #[test]
    fn no_block_makes_the_table_larger_than_4096_bytes() {
        let mut decoder = Decoder::default();
        assert_eq!(decode(&mut decoder, b"\x20\x3f\xe1\x1f\x82").map(|fields| fields.len()), Ok(1));
        let larger = decode(&mut decoder, b"\x3f\xe2\x1f\x82");
        assert_eq!(larger, Err(FilterError::Hpack(DecoderError::InvalidMaxDynamicSize)));
    }

    #[test]
    fn a_small_block_cannot_grow_without_bound() {
        let mut block = b"\x40\x01a\x7f\xa1\x1e".to_vec(); // a field that nearly fills the table
        block.extend([b'x'; 0x7f + 0xf21]);
        block.extend([0xbe; 10_000]); // and again and again
        let mut bytes = 0;
        let ended = Decoder::default().decode(&block, |name, value| bytes += name.len() + value.len() + 32);
        assert_eq!(ended, Err(FilterError::LargeFields));
        assert!((MAX_DECODED - 4096..=MAX_DECODED).contains(&bytes));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_without_any_state(fields in vec((vec(any::<u8>(), 0..200), vec(any::<u8>(), 0..2000)), 0..8)) {
            let mut block = Vec::new();
            for (name, value) in &fields {
                encode(name, value, &mut block);
            }
            prop_assert_eq!(decode(&mut Decoder::default(), &block).expect("valid"), fields);
        }

        #[test]
        fn no_bytes_make_it_panic(blocks in vec(vec(any::<u8>(), 0..60), 0..4)) {
            let mut decoder = Decoder::default();
            for block in blocks {
                let _ = decode(&mut decoder, &block);
            }
        }
    }
}
