//! What the filter changes and what it leaves alone.

mod end_to_end;
mod shell;
mod wire;

use proptest::{collection::vec, prelude::*};

use super::{
    FilterError, Mode,
    block::REPLACEMENT,
    frame::{END_HEADERS, END_STREAM, MAX_PAYLOAD, PADDED, PREFACE, PRIORITY, kind},
    rewriter::MAX_BLOCK,
};
use loona_hpack::decoder::DecoderError;
use wire::{DATA, PATHS, Seen, connection, filter, frame, headers, request, rewritten, split};

const PATH: &[u8] = PATHS[0];

/// It is handed on byte for byte, whether it comes at once or byte by byte.
fn passes(input: &[u8]) {
    for pieces in [usize::MAX, 1] {
        let (mode, out, ended) = filter(input, &[pieces]);
        assert_eq!((mode != Mode::Rewrite, ended), (true, Ok(())));
        assert!(out == input);
    }
}

/// It is rewritten until that error.
fn fails(frames: &[&[u8]], error: FilterError) {
    let first = headers(1, &request(PATH));
    let frames = [&[&first[..]], frames].concat();
    for pieces in [usize::MAX, 1] {
        let (mode, _, ended) = filter(&connection(&frames), &[pieces]);
        assert_eq!((mode, ended), (Mode::Rewrite, Err(error)));
    }
}

#[test]
fn an_authority_that_http_refuses_becomes_localhost() {
    for path in [PATHS[0], PATHS[1], b""] {
        assert_eq!(rewritten(&[&headers(1, &request(path))]), [Seen::request(1, b"localhost")]);
    }
}

#[test]
fn a_connection_with_a_valid_authority_or_none_is_not_changed() {
    for block in [request(b"localhost"), request(b"sysbox:80"), b"\x83\x86\x84".to_vec(), Vec::new()] {
        // Not even what would be changed elsewhere.
        passes(&connection(&[&headers(1, &block), &headers(3, &request(PATH)), b"garbage"]));
    }
}

#[test]
fn every_request_of_a_connection_is_changed_also_where_its_authority_is_in_the_dynamic_table() {
    let mut frames = vec![headers(1, &request(PATH))];
    frames.extend((3..200).step_by(2).map(|stream| headers(stream, b"\x83\x86\x04\x02/x\xbe")));
    // It is evicted, and sent anew; a name can be in the dynamic table too.
    frames.push(headers(201, &[b"\x20", &request(PATH)[..]].concat()));
    frames.push(headers(203, &[b"\x3f\xe1\x1f", &request(PATHS[1])[..]].concat()));
    frames.push(headers(205, b"\x83\x86\x04\x02/x\x0f\x2f\x02/y"));
    let expected: Vec<_> = (1..206).step_by(2).map(|stream| Seen::request(stream, REPLACEMENT)).collect();
    let frames: Vec<_> = frames.iter().map(|frame| &frame[..]).collect();
    assert_eq!(rewritten(&frames), expected);
    fails(&[&headers(3, b"\x20\xbe")], FilterError::Hpack(DecoderError::HeaderIndexOutOfBounds));
}

#[test]
fn frames_between_header_blocks_are_handed_on_as_they_are_and_trailers_are_decoded_too() {
    let large = vec![7; 3 * MAX_PAYLOAD];
    let others = [
        frame(8, 0, 0, b"\0\0\x10\0"),
        frame(DATA, 0, 1, &large),
        frame(3, 0, 1, b"\0\0\0\x08"),
        frame(6, 0, 0, b"pingpong"),
    ];
    let request = frame(kind::HEADERS, END_HEADERS, 1, &request(PATH));
    let trailers = headers(1, b"\x40\x01a\x01b");
    let seen = rewritten(&[
        &others[0],
        &request,
        &others[1],
        &others[2],
        &trailers,
        &others[3],
        &headers(3, b"\xbe"),
    ]);
    let other = |kind, stream, payload: &[u8]| Seen::Frame { kind, stream, payload: payload.into() };
    let block = |stream, end_stream, fields| Seen::Block { stream, end_stream, fields };
    let expected = [
        other(8, 0, b"\0\0\x10\0"),
        block(1, false, wire::request_fields(REPLACEMENT)),
        other(DATA, 1, &large),
        other(3, 1, b"\0\0\0\x08"),
        block(1, true, vec![(b"a".to_vec(), b"b".to_vec())]),
        other(6, 0, b"pingpong"),
        block(3, true, vec![(b"a".to_vec(), b"b".to_vec())]),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_header_block_may_be_padded_have_a_priority_and_come_in_many_frames() {
    let block = request(PATH);
    let first = [&b"\x02\0\0\0\0\x10"[..], &block[..4], b"\0\0"].concat();
    let first = frame(kind::HEADERS, END_STREAM | PADDED | PRIORITY, 1, &first);
    let second = frame(kind::CONTINUATION, END_HEADERS, 1, &block[4..]);
    let empty = frame(kind::CONTINUATION, 0, 3, b"");
    let third = split(3, &block, 1);
    let third = [&third[..10], &empty, &third[10..]].concat();
    let expected = [Seen::request(1, REPLACEMENT), Seen::request(3, REPLACEMENT)];
    assert_eq!(rewritten(&[&first, &second, &third]), expected);
}

#[test]
fn a_block_that_grows_is_cut_into_frames_again() {
    let value = vec![b'v'; 4000];
    let field = [&b"\x40\x01a\x7f\xa1\x1e"[..], &value].concat();
    let block = [&request(PATH)[..], &field, &[0xbe; 11]].concat();
    let seen = rewritten(&[&split(1, &block, 1000)]);
    let mut fields = wire::request_fields(REPLACEMENT);
    fields.extend(vec![(b"a".to_vec(), value); 12]);
    assert_eq!(seen, [Seen::Block { stream: 1, end_stream: true, fields }]);
}

#[test]
fn before_anything_is_changed_what_is_wrong_is_left_to_the_server() {
    let request = request(PATH);
    let open = frame(kind::HEADERS, 0, 1, &request);
    let end = frame(kind::CONTINUATION, END_HEADERS, 1, b"");
    let long = frame(kind::HEADERS, END_HEADERS, 1, &[0; MAX_PAYLOAD + 1]);
    let many = frame(kind::CONTINUATION, 0, 1, &[0; 4096]).repeat(4);
    for frames in [
        [&open[..], &frame(kind::CONTINUATION, END_HEADERS, 3, b"")].concat(),
        [&open[..], &frame(DATA, 0, 1, b"x"), &end].concat(),
        [&open[..], &headers(3, &request)].concat(),
        [&open[..], &many, &end].concat(),
        [&end[..], &frame(kind::PUSH_PROMISE, END_HEADERS, 1, &request)].concat(),
        frame(kind::HEADERS, END_HEADERS | PADDED, 1, b"\x09"),
        headers(1, b"\xff"),
        long,
        open,
    ] {
        passes(&connection(&[&frames]));
    }
    passes(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    passes(&PREFACE[..20]);
    passes(&connection(&[&headers(1, &request)[..8]]));
    passes(b"");
}

#[test]
fn once_something_is_changed_what_cannot_be_changed_is_an_error() {
    let open = frame(kind::HEADERS, 0, 3, b"\x83");
    let interleaved = |kind, stream| FilterError::Interleaved { kind, stream, open: 3 };
    fails(&[&open, &frame(kind::CONTINUATION, END_HEADERS, 5, b"")], interleaved(kind::CONTINUATION, 5));
    fails(&[&open, &frame(DATA, 0, 3, b"x")], interleaved(DATA, 3));
    fails(&[&open, &headers(5, b"\x83")], interleaved(kind::HEADERS, 5));
    fails(&[&frame(kind::PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\x02\x83")], FilterError::Pushed);
    fails(&[&frame(kind::HEADERS, END_HEADERS | PADDED, 3, b"\x09")], FilterError::Padding);
    fails(&[&frame(kind::HEADERS, END_HEADERS, 3, &[0; MAX_BLOCK - 8])], FilterError::LongBlock);
    fails(&[&open, &frame(kind::CONTINUATION, 0, 3, &[0; 4096]).repeat(4)], FilterError::LongBlock);
    fails(&[&open, &frame(kind::CONTINUATION, 0, 3, b"").repeat(MAX_BLOCK / 9)], FilterError::LongBlock);
    fails(&[&headers(3, b"\x3f\xe2\x1f")], FilterError::Hpack(DecoderError::InvalidMaxDynamicSize));
    let field = [&b"\x40\x01a\x7f\xa1\x1e"[..], &[b'x'; 0x7f + 0xf21]].concat();
    let large = [&field[..], &[0xbe; 100]].concat();
    fails(&[&headers(3, &large)], FilterError::LargeFields);
    fails(&[&open], FilterError::Ended);
    fails(&[&open[..5]], FilterError::Ended);
}

/// Requests as another implementation encodes them, cut into any number of frames, with the fields that a server should see.
fn requests() -> impl Strategy<Value = (Vec<u8>, Vec<Seen>)> {
    let authority = prop_oneof![Just(PATHS[0]), Just(PATHS[1]), Just(&b"localhost"[..]), Just(&b""[..])];
    let value = prop_oneof![vec(any::<u8>(), 0..30), vec(any::<u8>(), 0..3000)];
    let field = (vec(b'a'..b'd', 1..4), value);
    let one = (authority, vec(field, 0..4), 1_usize..200, vec(any::<u8>(), 0..50));
    vec(one, 1..6).prop_map(|requests| {
        let mut encoder = loona_hpack::Encoder::new();
        let (mut bytes, mut seen) = (connection(&[]), Vec::new());
        // The first makes sure that the connection is rewritten.
        let first = (PATH, Vec::new(), 100, Vec::new());
        for ((authority, more, frames, data), stream) in
            [first].into_iter().chain(requests).zip((1..).step_by(2))
        {
            let is_valid = authority == b"localhost";
            let mut fields = wire::request_fields(authority);
            fields.extend(more);
            let block = encoder.encode(fields.iter().map(|(name, value)| (&name[..], &value[..])));
            bytes.extend(split(stream, &block, block.len().div_ceil(frames)));
            bytes.extend(frame(DATA, 0, stream, &data));
            if !is_valid {
                fields[3].1 = REPLACEMENT.into();
            }
            seen.push(Seen::Block { stream, end_stream: true, fields });
            seen.push(Seen::Frame { kind: DATA, stream, payload: data });
        }
        (bytes, seen)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn in_whatever_pieces_requests_come_the_server_sees_the_same(
        (bytes, expected) in requests(), pieces in vec(1_usize..500, 1..20),
    ) {
        let (mode, out, ended) = filter(&bytes, &pieces);
        prop_assert_eq!((mode, ended), (Mode::Rewrite, Ok(())));
        prop_assert_eq!(&wire::see(&out)[1..], &expected[..]);
        for pieces in [1, usize::MAX] {
            prop_assert!(filter(&bytes, &[pieces]).1 == out);
        }
    }

    #[test]
    fn after_a_valid_authority_any_bytes_are_handed_on(tail in vec(any::<u8>(), 0..2000), cut in 0_usize..100) {
        let input = connection(&[&headers(1, &request(b"localhost")), &tail]);
        passes(&input[..input.len().saturating_sub(cut)]);
    }

    #[test]
    fn whatever_is_not_http2_is_handed_on(input in vec(any::<u8>(), 0..2000)) {
        passes(&input);
    }
}
