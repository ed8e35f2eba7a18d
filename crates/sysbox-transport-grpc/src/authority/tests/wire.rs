//! What a client sends, made by hand, and what a server makes of it.

use crate::authority::{
    FilterError, Mode, Rewriter,
    frame::{END_HEADERS, END_STREAM, Head, PREFACE, kind},
};

pub(super) const DATA: u8 = 0;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PATHS: [&[u8]; 2] = [b"/run/sysbox/sysmgr.sock", b"%2Frun%2Fsysbox%2Fsysmgr.sock"];

pub(super) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Head { length: payload.len(), kind, flags, stream }.write(&mut out);
    out.extend_from_slice(payload);
    out
}

/// A header block in one frame.
pub(super) fn headers(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(kind::HEADERS, END_HEADERS | END_STREAM, stream, block)
}

/// A header block in frames of so many bytes.
pub(super) fn split(stream: u32, block: &[u8], size: usize) -> Vec<u8> {
    let last = block.len().div_ceil(size) - 1;
    let frames = block.chunks(size).enumerate().map(|(i, part)| {
        let end = if i == last { END_HEADERS } else { 0 };
        if i == 0 {
            frame(kind::HEADERS, END_STREAM | end, stream, part)
        } else {
            frame(kind::CONTINUATION, end, stream, part)
        }
    });
    frames.flatten().collect()
}

/// `:method: POST`, `:scheme: http`, `:path: /x`, and an authority that goes into the dynamic table.
pub(super) fn request(authority: &[u8]) -> Vec<u8> {
    let length = u8::try_from(authority.len()).expect("short");
    assert!(length < 127);
    [b"\x83\x86\x04\x02/x\x41", &[length][..], authority].concat()
}

/// The fields of [`request`].
pub(super) fn request_fields(authority: &[u8]) -> Fields {
    let fields: [(&[u8], &[u8]); 4] =
        [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/x"), (b":authority", authority)];
    fields.map(|(name, value)| (name.into(), value.into())).into()
}

/// The preface, settings, and then all of that.
pub(super) fn connection(frames: &[&[u8]]) -> Vec<u8> {
    let settings = frame(SETTINGS, 0, 0, b"");
    [&PREFACE[..], &settings, &frames.concat()].concat()
}

/// What a filter makes of bytes that come in pieces of such sizes, again and again.
pub(super) fn filter(input: &[u8], pieces: &[usize]) -> (Mode, Vec<u8>, Result<(), FilterError>) {
    let (mut rewriter, mut out) = (Rewriter::new(), Vec::new());
    let mut rest = input;
    for piece in pieces.iter().cycle() {
        let (mut piece, after) = rest.split_at((*piece).min(rest.len()));
        while !piece.is_empty() {
            match rewriter.push(piece, &mut out) {
                Ok(taken) => piece = &piece[taken..],
                Err(error) => return (rewriter.mode(), out, Err(error)),
            }
        }
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    let mode = rewriter.mode();
    let ended = rewriter.end(&mut out);
    (mode, out, ended)
}

/// What a filter hands on of a connection that it rewrites.
pub(super) fn rewritten(frames: &[&[u8]]) -> Vec<Seen> {
    let (mode, out, ended) = filter(&connection(frames), &[usize::MAX]);
    assert_eq!((mode, ended), (Mode::Rewrite, Ok(())));
    see(&out)[1..].into()
}

/// What a server sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Block { stream: u32, end_stream: bool, fields: Fields },
    Frame { kind: u8, stream: u32, payload: Vec<u8> },
}

impl Seen {
    pub(super) fn request(stream: u32, authority: &[u8]) -> Self {
        Self::Block { stream, end_stream: true, fields: request_fields(authority) }
    }
}

/// Reads what was handed on, each block with a decoder that has seen no other.
pub(super) fn see(out: &[u8]) -> Vec<Seen> {
    let mut rest = out.strip_prefix(PREFACE).expect("the preface");
    let mut seen = Vec::new();
    let mut open: Option<(u32, bool, Vec<u8>)> = None;
    while let Some((head, after)) = rest.split_first_chunk() {
        let head = Head::parse(*head);
        let (payload, after) = after.split_at(head.length);
        rest = after;
        match (head.kind, &mut open) {
            (kind::HEADERS, None) => {
                assert_eq!(head.flags & !(END_HEADERS | END_STREAM), 0, "no padding, no priority");
                open = Some((head.stream, head.has(END_STREAM), payload.into()));
            }
            (kind::CONTINUATION, Some((stream, _, block))) if *stream == head.stream => block.extend(payload),
            (kind, None) => seen.push(Seen::Frame { kind, stream: head.stream, payload: payload.into() }),
            (kind, Some(_)) => panic!("a frame of type {kind} within a header block"),
        }
        if head.has(END_HEADERS)
            && let Some((stream, end_stream, block)) = open.take()
        {
            let fields = loona_hpack::Decoder::new().decode(&block).expect("valid without any state");
            seen.push(Seen::Block { stream, end_stream, fields });
        }
    }
    assert!(rest.is_empty() && open.is_none(), "it ends with a frame");
    seen
}
