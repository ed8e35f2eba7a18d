//! Messages to bytes and back, by [postcard](https://postcard.jamesmunns.com/wire-format): its format is specified in writing and
//! fixed since its version 1.0.
//!
//! Chosen by `cargo bench -p sysbox-transport-tarpc --bench codec`, which keeps the most instructive; the CBORs were measured by
//! it too. Bytes, and nanoseconds to encode and to decode, on a machine busy with other work, so good for their order only:
//!
//! | | registration | ids | update | 1000 mounts |
//! |---|---|---|---|---|
//! | postcard 1.2 | 184, 133 + 425 | 8, 35 + 86 | 124, 147 + 238 | 131894, 81709 + 536730 |
//! | rmp-serde 1.3 | 206, 198 + 588 | 28, 43 + 108 | 143, 142 + 473 | 134908, 125530 + 583060 |
//! | cbor4ii 1.2 | 295, 246 + 1038 | 36, 49 + 224 | 236, 153 + 712 | 165908, 204080 + 939450 |
//! | ciborium 0.2 | 295, 790 + 2466 | 36, 170 + 647 | 236, 442 + 2092 | 165908, 290750 + 2135900 |
//! | bitcode 0.6 | 196, 3442 + 3694 | 12, 1031 + 1277 | 137, 3041 + 2655 | 126981, 116620 + 415920 |
//! | `serde_json` 1.0 | 577, 1811 + 6800 | 50, 147 + 334 | 370, 781 + 2058 | 224912, 554700 + 1317500 |
//!
//! - It has the fewest bytes for all but long lists, and is among the fastest for all.
//! - A length that lies takes no memory: it is held against the bytes that are left. With the others, JSON excepted, a
//!   message of 50 bytes takes a mebibyte, at which serde stops to believe a length.
//! - MessagePack and CBOR carry names, which versions could use to differ. Versions are settled when connecting instead.
//! - bitcode promises no format beyond a major version. ciborium had no release since January 2024.
//! - bincode 1.3, which tarpc's own feature takes, needs half the time for a small message and up to twice the bytes. It is no
//!   longer maintained: release 3.0.0 is nothing but the notice that says so.

#[cfg(test)]
mod tests;

use bytes::{BufMut, BytesMut};
use postcard::ser_flavors::Flavor;
use serde::{Serialize, de::DeserializeOwned};

/// A message that has no bytes.
#[derive(Debug, thiserror::Error)]
#[error("the message has no form on the wire")]
pub struct EncodeError(#[from] postcard::Error);

/// Bytes that are no message.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// They end too early, or hold what cannot stand there.
    #[error("the bytes are not the message that they should be; the peer may be of another version")]
    Malformed(#[from] postcard::Error),
    /// There are more of them than the message has.
    #[error("{left} bytes follow the message; the peer may be of another version")]
    Trailing {
        /// How many.
        left: usize,
    },
}

/// Appends a message's bytes.
///
/// # Errors
/// [`EncodeError`] when serde finds no form for it, which no message here does; `out` is as it was then.
pub fn encode(message: &impl Serialize, out: &mut BytesMut) -> Result<(), EncodeError> {
    let before = out.len();
    postcard::serialize_with_flavor(message, Appended(out)).inspect_err(|_| out.truncate(before))?;
    Ok(())
}

/// Reads a message, which must be all of the bytes.
///
/// # Errors
/// [`DecodeError`] when they are not that message, or not only.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let (message, rest) = postcard::take_from_bytes(bytes)?;
    if rest.is_empty() { Ok(message) } else { Err(DecodeError::Trailing { left: rest.len() }) }
}

/// Pieces of bytes are appended as a whole.
struct Appended<'a>(&'a mut BytesMut);

impl Flavor for Appended<'_> {
    type Output = ();

    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(data);
        Ok(())
    }

    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.0.put_u8(data);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}
