//! Lets clients in whose `:authority` is a path.
//!
//! A Go client that dials the bare path of a socket sends that path as the authority of its requests, as it is or percent-encoded.
//! Neither is one by RFC 3986, the `http` crate refuses both, and so a server on `h2` answers each such request with
//! `PROTOCOL_ERROR`. [`Filter`] stands between the socket and the server: where the first request of a connection has an authority
//! that `http` refuses, every such authority on that connection becomes `localhost` before the server sees it. One that `http` accepts
//! stays, and so does a `host` field: neither `h2` nor `hyper` compares the two, and a path is a valid value of a field.
//!
//! **Invariant**: of every other connection, of whatever bytes, nothing is changed. All that comes before its first header block is
//! handed on at once, for many clients wait for the server's settings; the block itself as soon as it is complete; what follows is
//! no longer looked at.
//!
//! The header blocks of a connection that needs it are decoded, and encoded again without the dynamic table; padding and priority are
//! dropped. All other frames are handed on as they come. Such a connection holds less than 512 KiB while a block is rewritten: one
//! block of at most 16 KiB, and its fields, of at most 64 KiB, decoded and encoded. Between blocks it is at most 24 KiB of buffers and
//! what the dynamic table holds, 4 KiB by HPACK's count.

mod block;
mod frame;
mod hpack;
mod rewriter;

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use loona_hpack::decoder::DecoderError;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(crate) use rewriter::{Mode, Rewriter};

/// How much is read at once.
const INPUT: usize = 8 * 1024;

/// Once that much is to be handed on, no more input is looked at; an output buffer that grew above it is given back.
const OUTPUT: usize = 2 * INPUT;

/// A connection of which the reader sees no authority that the `http` crate refuses.
///
/// A read ends with [`io::ErrorKind::InvalidData`] and a [`FilterError`] where a header block that must be changed cannot be.
#[derive(Debug)]
pub(crate) struct Filter<S> {
    stream: S,
    rewriter: Rewriter,
    /// What came, and which part of it has not been looked at yet.
    input: Vec<u8>,
    looked: usize,
    /// What is to be handed on, and how much of it has been.
    output: Vec<u8>,
    handed: usize,
    /// What is told once all of `output` is handed on.
    error: Option<FilterError>,
    ended: bool,
}

/// A header block that must be changed cannot be.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub(crate) enum FilterError {
    #[error("the frames of a header block have more than {} bytes; send less metadata", rewriter::MAX_BLOCK)]
    LongBlock,
    #[error("a frame of type {kind} on stream {stream} comes within the header block of stream {open}")]
    Interleaved { kind: u8, stream: u32, open: u32 },
    #[error("a client sent PUSH_PROMISE, which only servers may")]
    Pushed,
    #[error("a HEADERS frame is too short for its padding or priority")]
    Padding,
    #[error("a header block is not valid HPACK")]
    Hpack(#[source] DecoderError),
    #[error("the fields of a header block have more than {} bytes; send less metadata", hpack::MAX_DECODED)]
    LargeFields,
    #[error("the connection ends within a frame")]
    Ended,
}

impl<S> Filter<S> {
    /// Stands before a connection of which nothing has been read yet.
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            rewriter: Rewriter::new(),
            input: Vec::new(),
            looked: 0,
            output: Vec::new(),
            handed: 0,
            error: None,
            ended: false,
        }
    }

    /// Hands on what fits; `false` if there is nothing.
    fn hand_on(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let waiting = &self.output[self.handed..];
        if waiting.is_empty() {
            return false;
        }
        let handed = waiting.len().min(buf.remaining());
        buf.put_slice(&waiting[..handed]);
        self.handed += handed;
        if self.handed == self.output.len() {
            self.handed = 0;
            self.output.clear();
            if self.output.capacity() > OUTPUT {
                self.output = Vec::new();
            }
        }
        true
    }

    /// Looks at what came, until enough is to be handed on.
    fn look(&mut self) {
        while self.error.is_none() && self.looked < self.input.len() && self.output.len() < OUTPUT {
            match self.rewriter.push(&self.input[self.looked..], &mut self.output) {
                Ok(taken) => self.looked += taken,
                Err(error) => self.fail(error),
            }
        }
    }

    fn fail(&mut self, error: FilterError) {
        self.error = Some(error);
        self.input = Vec::new();
        self.looked = 0;
        self.ended = true;
    }

    fn end(&mut self) {
        self.ended = true;
        if let Err(error) = self.rewriter.end(&mut self.output) {
            self.fail(error);
        }
    }
}

impl<S: AsyncRead + Unpin> Filter<S> {
    /// Reads what comes next; nothing comes after the end.
    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.input.resize(INPUT, 0);
        let mut room = ReadBuf::new(&mut self.input);
        let read = Pin::new(&mut self.stream).poll_read(cx, &mut room);
        let came = room.filled().len();
        self.input.truncate(came);
        self.looked = 0;
        ready!(read)?;
        if came == 0 {
            self.end();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Filter<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            this.look();
            if this.hand_on(buf) {
                return Poll::Ready(Ok(()));
            }
            if let Some(error) = this.error.take() {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
            }
            if this.ended {
                return Poll::Ready(Ok(()));
            }
            if this.rewriter.mode() == Mode::Pass {
                (this.input, this.looked) = (Vec::new(), 0);
                this.output = Vec::new();
                return Pin::new(&mut this.stream).poll_read(cx, buf);
            }
            ready!(this.poll_input(cx))?;
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Filter<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
