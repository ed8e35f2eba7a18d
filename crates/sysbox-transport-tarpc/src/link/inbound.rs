//! What a peer sends, cut into frames.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};

use super::LinkError;
use crate::{
    frame::LENGTH,
    hello::{Hello, NotOurs},
};

/// Holds what is read in one go: a hundred calls or so. It is kept, so that reading needs neither memory nor clearing it.
const BUFFER: usize = 16 << 10;
/// By how much room for a long frame grows.
const STEP: usize = 256 << 10;

#[derive(Debug)]
pub(super) struct Inbound {
    buffer: Box<[u8]>,
    /// What of the buffer was filled and not taken yet.
    start: usize,
    end: usize,
    /// A frame that the buffer cannot hold.
    long: Option<Long>,
    most: usize,
}

#[derive(Debug)]
struct Long {
    /// Grows as the frame comes, and not because a peer announced it.
    bytes: Vec<u8>,
    filled: usize,
    length: usize,
}

impl Inbound {
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; BUFFER].into(), start: 0, end: 0, long: None, most: 0 }
    }

    pub(super) const fn limit(&mut self, most: usize) {
        self.most = most;
    }

    /// The hello that comes first, once it is whole.
    pub(super) fn hello(&mut self) -> Result<Option<Hello>, NotOurs> {
        let Some((hello, took)) = Hello::parse(&self.buffer[self.start..self.end])? else { return Ok(None) };
        self.start += took;
        Ok(Some(hello))
    }

    /// The next frame that is whole, without its length.
    pub(super) fn frame(&mut self) -> Result<Option<Bytes>, LinkError> {
        if let Some(long) = self.long.take_if(|long| long.filled == long.length) {
            return Ok(Some(long.bytes.into()));
        }
        let held = &self.buffer[self.start..self.end];
        let Some((length, rest)) = held.split_first_chunk::<LENGTH>().filter(|_| self.long.is_none()) else {
            return Ok(None);
        };
        let announced = u32::from_le_bytes(*length);
        let length = usize::try_from(announced).unwrap_or(usize::MAX);
        if length > self.most {
            return Err(LinkError::Oversized { bytes: announced, most: self.most });
        }
        if let Some(frame) = rest.get(..length) {
            let frame = Bytes::copy_from_slice(frame);
            self.start += LENGTH + length;
            return Ok(Some(frame));
        }
        if LENGTH + length > BUFFER {
            self.long = Some(Long { bytes: rest.to_vec(), filled: rest.len(), length });
            self.start = self.end;
        }
        Ok(None)
    }

    /// Whether a part of a frame is there.
    pub(super) const fn is_within_frame(&self) -> bool {
        self.start < self.end || self.long.is_some()
    }

    /// Forgets what is there and reads once; 0 is the end.
    pub(super) fn poll_skip(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        (self.start, self.end, self.long) = (0, 0, None);
        self.poll_fill(stream, cx)
    }

    /// Reads once, and tells how much came; 0 is the end.
    pub(super) fn poll_fill(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let room = match &mut self.long {
            Some(long) => {
                long.bytes.resize(long.length.min(long.filled + STEP), 0);
                &mut long.bytes[long.filled..]
            }
            None => {
                self.buffer.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
                &mut self.buffer[self.end..]
            }
        };
        let mut room = ReadBuf::new(room);
        ready!(Pin::new(stream).poll_read(cx, &mut room))?;
        let came = room.filled().len();
        match &mut self.long {
            Some(long) => long.filled += came,
            None => self.end += came,
        }
        Poll::Ready(Ok(came))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::task::Waker;

    /// Gives what it has in pieces of given sizes.
    struct Pieces<'a> {
        left: &'a [u8],
        sizes: std::iter::Cycle<std::slice::Iter<'a, usize>>,
    }

    impl AsyncRead for Pieces<'_> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            assert!(buf.remaining() > 0, "there is room");
            let size = *self.sizes.next().expect("endless");
            let (piece, left) = self.left.split_at(size.min(buf.remaining()).min(self.left.len()));
            buf.put_slice(piece);
            self.left = left;
            Poll::Ready(Ok(()))
        }
    }

    fn all(bytes: &[u8], sizes: &[usize], most: usize) -> Result<Vec<Bytes>, LinkError> {
        let mut stream = Pieces { left: bytes, sizes: sizes.iter().cycle() };
        let mut inbound = Inbound::new();
        inbound.limit(most);
        let mut frames = Vec::new();
        loop {
            while let Some(frame) = inbound.frame()? {
                frames.push(frame);
            }
            match inbound.poll_fill(&mut stream, &mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(1..)) => {}
                _ => return Ok(frames),
            }
        }
    }

    fn framed(content: &[u8]) -> Vec<u8> {
        [&u32::try_from(content.len()).expect("short").to_le_bytes(), content].concat()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn frames_come_out_as_they_went_in_however_they_are_cut(
            lengths in prop::collection::vec(prop_oneof![0..300_usize, 16_000..17_000_usize, 0..700_000_usize], 0..8),
            sizes in prop::collection::vec(prop_oneof![1..40_usize, 1..400_000_usize], 1..6),
        ) {
            let filler: Vec<u8> = (0..=250).cycle().take(700_000).collect();
            let sent: Vec<_> = lengths.iter().enumerate().map(|(n, length)| &filler[n..n + length]).collect();
            let wire: Vec<u8> = sent.iter().flat_map(|content| framed(content)).collect();
            prop_assert_eq!(all(&wire, &sizes, 700_000).expect("valid"), sent);
        }
    }

    #[test]
    fn a_frame_that_is_too_long_is_refused_by_its_length_alone() {
        let error = all(&[10, 0, 0, 0], &[1], 9).expect_err("too long");
        assert!(matches!(error, LinkError::Oversized { bytes: 10, most: 9 }), "{error}");
        assert_eq!(all(&framed(&[7; 9]), &[1], 9).expect("short enough"), [&[7; 9][..]]);
    }

    #[test]
    fn memory_is_taken_for_what_came_and_not_for_what_was_announced() {
        let mut inbound = Inbound::new();
        inbound.limit(usize::MAX);
        let mut stream = Pieces { left: &[0xff, 0xff, 0xff, 0xff, 1, 2, 3], sizes: [7].iter().cycle() };
        let mut fill = |inbound: &mut Inbound| {
            let _ = inbound.poll_fill(&mut stream, &mut Context::from_waker(Waker::noop()));
            inbound.frame().expect("no error")
        };
        assert_eq!((fill(&mut inbound), fill(&mut inbound)), (None, None));
        assert!(inbound.long.expect("it is long").bytes.capacity() <= 2 * STEP);
    }
}
