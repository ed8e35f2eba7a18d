//! What goes over a connection after the two hellos: frames.
//!
//! ```text
//! length u32 | kind u8 | id u64 | ...          to the server                              to the client
//!                                              1: remaining milliseconds u64 | request     1: answer
//!                                              2: cancelled                                2: not begun | why u8
//!                                                                                          3: too long | bytes u64
//! ```
//!
//! Numbers are little-endian; the length is that of all after it. It is this crate's own form, so that neither tarpc's version
//! nor serde's way with its types is part of the wire. Requests and answers are bytes here: `codec` reads and writes them.
//!
//! No bytes of a peer make anything here panic.

use std::time::Duration;

use bytes::{Buf, Bytes};
use sysbox_core::Deadlines;

/// The bytes of a frame's length.
pub(crate) const LENGTH: usize = 4;
/// The bytes of kind and id.
const HEAD: usize = 9;
/// What a frame has beside the request or the answer in it, at most.
pub(crate) const OVERHEAD: usize = HEAD + 8;
/// The most bytes of a request or an answer that a length can tell, whatever the ends take.
pub(crate) const LONGEST: u64 = 0xffff_ff00;

const CALL: u8 = 1;
const CANCEL: u8 = 2;

const ANSWER: u8 = 1;
const NOT_BEGUN: u8 = 2;
const TOO_LONG: u8 = 3;

/// A frame that a client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ToServer {
    /// Makes a call.
    Call {
        /// By what answer and cancellation name it.
        id: u64,
        /// How long the client waits for the answer, [`Deadlines::LONGEST`] at most.
        remaining: Duration,
        /// The request.
        request: Bytes,
    },
    /// Nobody waits for a call any more.
    Cancel {
        /// The call.
        id: u64,
    },
}

/// A frame that a server sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ToClient {
    /// The call that it is about.
    pub(crate) id: u64,
    /// What became of it.
    pub(crate) outcome: Outcome,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was answered.
    Answer(Bytes),
    /// It was certainly not carried out.
    NotBegun(NotBegun),
    /// It was answered, but by more than the client takes.
    TooLong {
        /// How many bytes the answer has.
        bytes: u64,
    },
}

/// Why a call was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotBegun {
    /// The server takes no calls any more.
    #[error("it is stopping")]
    Stopping,
    /// This connection has as many calls open as it may.
    #[error("too many calls are open on this connection")]
    TooMany,
    /// The request is none that the server knows.
    #[error("it does not know this call")]
    NotUnderstood,
    /// For a reason that only a newer server knows.
    #[error("for a reason with the number {0}")]
    Other(u8),
}

impl NotBegun {
    const fn of(code: u8) -> Self {
        match code {
            0 => Self::Stopping,
            1 => Self::TooMany,
            2 => Self::NotUnderstood,
            other => Self::Other(other),
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::Stopping => 0,
            Self::TooMany => 1,
            Self::NotUnderstood => 2,
            Self::Other(other) => other,
        }
    }
}

/// A frame that breaks the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of kind {kind} and {bytes} bytes, which is none of this protocol")]
pub(crate) struct Malformed {
    kind: u8,
    bytes: usize,
}

impl ToServer {
    /// Reads a frame, without its length.
    pub(crate) fn parse(frame: Bytes) -> Result<Self, Malformed> {
        let (kind, id, mut rest) = split(frame)?;
        match kind {
            CALL if rest.len() >= 8 => {
                let remaining = Duration::from_millis(rest.get_u64_le()).min(Deadlines::LONGEST);
                Ok(Self::Call { id, remaining, request: rest })
            }
            CANCEL if rest.is_empty() => Ok(Self::Cancel { id }),
            _ => Err(malformed(kind, &rest)),
        }
    }

    /// Writes the frame, with its length.
    pub(crate) fn write(&self, to: &mut Vec<u8>) {
        match self {
            Self::Call { id, remaining, request } => {
                write_head(to, CALL, *id, 8 + request.len());
                // Rounded up: the client's own timer is to be the first.
                let millis = remaining.min(&Deadlines::LONGEST).as_nanos().div_ceil(1_000_000);
                to.extend(u64::try_from(millis).unwrap_or(u64::MAX).to_le_bytes());
                to.extend_from_slice(request);
            }
            Self::Cancel { id } => write_head(to, CANCEL, *id, 0),
        }
    }
}

impl ToClient {
    /// Reads a frame, without its length.
    pub(crate) fn parse(frame: Bytes) -> Result<Self, Malformed> {
        let (kind, id, mut rest) = split(frame)?;
        let outcome = match (kind, &*rest) {
            (ANSWER, _) => Outcome::Answer(rest),
            (NOT_BEGUN, &[why]) => Outcome::NotBegun(NotBegun::of(why)),
            (TOO_LONG, [_, _, _, _, _, _, _, _]) => Outcome::TooLong { bytes: rest.get_u64_le() },
            _ => return Err(malformed(kind, &rest)),
        };
        Ok(Self { id, outcome })
    }

    /// Writes the frame, with its length.
    pub(crate) fn write(&self, to: &mut Vec<u8>) {
        match &self.outcome {
            Outcome::Answer(answer) => {
                write_head(to, ANSWER, self.id, answer.len());
                to.extend_from_slice(answer);
            }
            Outcome::NotBegun(why) => {
                write_head(to, NOT_BEGUN, self.id, 1);
                to.push(why.code());
            }
            Outcome::TooLong { bytes } => {
                write_head(to, TOO_LONG, self.id, 8);
                to.extend(bytes.to_le_bytes());
            }
        }
    }
}

fn split(mut frame: Bytes) -> Result<(u8, u64, Bytes), Malformed> {
    if frame.len() < HEAD {
        return Err(malformed(0, &frame));
    }
    Ok((frame.get_u8(), frame.get_u64_le(), frame))
}

fn malformed(kind: u8, rest: &Bytes) -> Malformed {
    Malformed { kind, bytes: rest.len() }
}

/// No request or answer is longer than [`LONGEST`].
fn write_head(to: &mut Vec<u8>, kind: u8, id: u64, rest: usize) {
    let length = u32::try_from(HEAD + rest).unwrap_or(u32::MAX);
    to.extend(length.to_le_bytes());
    to.push(kind);
    to.extend(id.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unframed(bytes: &[u8]) -> Bytes {
        let (length, frame) = bytes.split_first_chunk::<LENGTH>().expect("a length");
        assert_eq!(usize::try_from(u32::from_le_bytes(*length)).expect("small"), frame.len());
        Bytes::copy_from_slice(frame)
    }

    #[test]
    fn the_form_of_frames_is_that_of_version_1() {
        let mut bytes = Vec::new();
        let call =
            ToServer::Call { id: 258, remaining: Duration::from_millis(600), request: b"rq"[..].into() };
        call.write(&mut bytes);
        ToServer::Cancel { id: 3 }.write(&mut bytes);
        ToClient { id: 4, outcome: Outcome::Answer(b"an"[..].into()) }.write(&mut bytes);
        ToClient { id: 5, outcome: Outcome::NotBegun(NotBegun::TooMany) }.write(&mut bytes);
        ToClient { id: 6, outcome: Outcome::TooLong { bytes: 9 } }.write(&mut bytes);
        ToClient { id: 7, outcome: Outcome::NotBegun(NotBegun::NotUnderstood) }.write(&mut bytes);
        let expected = b"\x13\0\0\0\x01\x02\x01\0\0\0\0\0\0\x58\x02\0\0\0\0\0\0rq\
            \x09\0\0\0\x02\x03\0\0\0\0\0\0\0\
            \x0b\0\0\0\x01\x04\0\0\0\0\0\0\0an\
            \x0a\0\0\0\x02\x05\0\0\0\0\0\0\0\x01\
            \x11\0\0\0\x03\x06\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\
            \x0a\0\0\0\x02\x07\0\0\0\0\0\0\0\x02";
        assert_eq!(bytes, expected);
    }

    #[test]
    fn a_deadline_is_clamped_by_who_writes_it_and_by_who_reads_it() {
        let mut bytes = Vec::new();
        ToServer::Call { id: 0, remaining: Duration::MAX, request: Bytes::new() }.write(&mut bytes);
        assert!(
            matches!(ToServer::parse(unframed(&bytes)), Ok(ToServer::Call { remaining, .. }) if remaining == Deadlines::LONGEST)
        );
        bytes[13..].fill(0xff);
        assert!(
            matches!(ToServer::parse(unframed(&bytes)), Ok(ToServer::Call { remaining, .. }) if remaining == Deadlines::LONGEST)
        );
    }

    #[test]
    fn a_deadline_is_not_shortened_by_the_wire() {
        let mut bytes = Vec::new();
        ToServer::Call { id: 0, remaining: Duration::from_nanos(1), request: Bytes::new() }.write(&mut bytes);
        assert!(
            matches!(ToServer::parse(unframed(&bytes)), Ok(ToServer::Call { remaining, .. }) if remaining.as_millis() == 1)
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(id: u64, millis in 0..2_592_000_000_u64, content: Vec<u8>, size: u64, why: u8) {
            let content = Bytes::from(content);
            let remaining = Duration::from_millis(millis);
            for frame in [ToServer::Call { id, remaining, request: content.clone() }, ToServer::Cancel { id }] {
                let mut bytes = Vec::new();
                frame.write(&mut bytes);
                prop_assert_eq!(ToServer::parse(unframed(&bytes)), Ok(frame));
            }
            for outcome in [
                Outcome::Answer(content),
                Outcome::NotBegun(NotBegun::of(why)),
                Outcome::TooLong { bytes: size },
            ] {
                let frame = ToClient { id, outcome };
                let mut bytes = Vec::new();
                frame.write(&mut bytes);
                prop_assert_eq!(ToClient::parse(unframed(&bytes)), Ok(frame));
            }
        }

        #[test]
        fn no_bytes_make_it_panic(kind in 0..5_u8, rest: Vec<u8>) {
            let frame = Bytes::from([vec![kind], rest.clone()].concat());
            let _ = (ToServer::parse(frame.clone()), ToClient::parse(frame), ToServer::parse(rest.into()));
        }
    }
}
