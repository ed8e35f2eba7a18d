//! Bytes are one message or none, and reading them takes no more memory than they are worth.

use proptest::{collection::vec, prelude::*};
use sysbox_core::{ContainerId, ErrorKind, Operation, PortError};

use super::*;
use crate::{
    fault::Failure,
    service::{FsReply, FsRequest, MgrReply, MgrRequest},
    wire::arbitrary,
};

/// How many bytes of memory a byte of a message takes at most: a list that grows holds three times its elements for a moment,
/// and an empty text, of one byte, is 24 in memory; of one that lies about its length, as many as it could be of the largest.
const FACTOR: u64 = 128;
/// What an error takes.
const FIXED: u64 = 1024;

/// Reads bytes as every message, and gives the most memory that it took at once.
fn memory(bytes: &[u8]) -> u64 {
    fn of<T: DeserializeOwned>(bytes: &[u8]) -> u64 {
        allocation_counter::measure(|| drop(decode::<T>(bytes))).bytes_max
    }
    [of::<MgrRequest>(bytes), of::<MgrReply>(bytes), of::<FsRequest>(bytes), of::<FsReply>(bytes)]
        .into_iter()
        .max()
        .unwrap_or_default()
}

fn within_bounds(bytes: &[u8]) -> bool {
    let len = u64::try_from(bytes.len()).expect("small");
    memory(bytes) <= FIXED + FACTOR * len
}

fn pause() -> BytesMut {
    let id: ContainerId = "c1".parse().expect("an id");
    let mut bytes = BytesMut::new();
    encode(&MgrRequest::Pause(id.into()), &mut bytes).expect("it has a form");
    bytes
}

#[test]
fn a_message_is_appended_to_what_is_there() {
    let mut bytes = BytesMut::from(&b"before"[..]);
    encode(&FsRequest::Mountpoint, &mut bytes).expect("it has a form");
    assert_eq!(&bytes[..], b"before\0");
}

#[test]
fn what_has_no_form_is_refused_and_leaves_nothing() {
    struct Half;
    impl Serialize for Half {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut list = serializer.serialize_seq(Some(2))?;
            serde::ser::SerializeSeq::serialize_element(&mut list, "one")?;
            Err(serde::ser::Error::custom("no more"))
        }
    }
    let mut bytes = BytesMut::from(&b"before"[..]);
    let error = encode(&Half, &mut bytes).expect_err("it has none");
    assert_eq!(error.to_string(), "the message has no form on the wire");
    assert_eq!(&bytes[..], b"before");
}

#[test]
fn bytes_that_end_too_early_or_too_late_are_refused() {
    let mut bytes = pause();
    for end in 0..bytes.len() {
        let error = decode::<MgrRequest>(&bytes[..end]).expect_err("cut off");
        assert!(matches!(error, DecodeError::Malformed(_)), "{error}");
    }
    bytes.extend_from_slice(b"xy");
    let error = decode::<MgrRequest>(&bytes).expect_err("too long");
    assert!(matches!(error, DecodeError::Trailing { left: 2 }), "{error}");
}

#[test]
fn a_variant_of_a_newer_peer_is_refused() {
    for bytes in [&b"\x0e\x02c1"[..], b"\x7f", b"\xff\xff\xff\xff\x0f"] {
        assert!(matches!(decode::<MgrRequest>(bytes), Err(DecodeError::Malformed(_))));
    }
    assert!(decode::<FsRequest>(b"\x05").is_err());
}

#[test]
fn a_length_that_lies_takes_no_memory() {
    const LENGTHS: [&[u8]; 4] =
        [b"\x40", b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff\x0f", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"];
    // The text of an id, the bytes of a path, lists of extents, of mounts, of mounts made, of causes and of paths.
    let before: [&[u8]; 7] = [
        b"\x02",
        b"\x00\x02c1",
        b"\x00\x02c1\x02/r\x00\x00",
        b"\x06\x02c1\x00",
        b"\x00\x06",
        b"\x01\x05\x03why",
        b"\x02\x02c1\x00\x00\x00\x00\x00",
    ];
    for before in before {
        for length in LENGTHS {
            let bytes = [before, length].concat();
            assert!(memory(&bytes) <= FIXED, "{} for {}", memory(&bytes), bytes.escape_ascii());
        }
    }
}

#[test]
fn the_worst_of_a_mebibyte_takes_memory_in_proportion() {
    const LEN: usize = 1 << 20;
    let list = |before: &[u8], element: &[u8]| {
        let mut bytes = before.to_vec();
        let count = (LEN - before.len() - 4) / element.len();
        bytes.extend(postcard::to_allocvec(&count).expect("a number"));
        bytes.extend(element.repeat(count));
        bytes
    };
    for bytes in [
        list(b"\x01\x05\x03why", b"\x00"),
        list(b"\x00\x06", b"\x00\x00\x00\x00"),
        list(b"\x00\x08", b"\x00\x00\x00\x00"),
        list(b"\x02\x02c1\x00\x00\x00\x00\x00", b"\x00"),
        list(b"\x00\x06\x01\x00\x00\x00", b"\x00"),
        // One that says it has as many mounts as there are bytes, of which the first is none.
        list(b"\x00\x06", b"\xff"),
    ] {
        assert!(within_bounds(&bytes), "{} for {}", memory(&bytes), bytes[..16].escape_ascii());
    }
}

#[test]
fn what_cannot_be_read_says_that_versions_may_differ() {
    let error = decode::<MgrRequest>(b"").expect_err("nothing");
    assert!(std::error::Error::source(&error).is_some());
    assert_eq!(
        error.to_string(),
        "the bytes are not the message that they should be; the peer may be of another version"
    );
    let error = decode::<FsRequest>(b"\0\0\0").expect_err("too long");
    assert_eq!(error.to_string(), "2 bytes follow the message; the peer may be of another version");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_bytes_take_memory_in_proportion(bytes in vec(any::<u8>(), 0..200)) {
        prop_assert!(within_bounds(&bytes), "{}", memory(&bytes));
    }

    #[test]
    fn changed_messages_take_memory_in_proportion(
        mounts in arbitrary::mounts(), why in any::<String>(), changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let failure = Failure::from(&PortError::new(Operation::Pause, ErrorKind::Internal, why).with_source("x"));
        for reply in [MgrReply::Ok(crate::service::MgrAnswer::ReqMounts(mounts.into())), Err(failure)] {
            let mut bytes = BytesMut::new();
            encode(&reply, &mut bytes).expect("it has a form");
            for (at, byte) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            prop_assert!(within_bounds(&bytes), "{}", memory(&bytes));
        }
    }
}
