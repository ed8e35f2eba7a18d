//! The floor: a message of a given length goes over a unix socket, one of a given length comes back.
//!
//! A message begins with both lengths, so that one connection carries messages of any. It is written and read at once, and a
//! peer that sends anything else is hung up on.

use std::io;

use sysbox::transport::{Listener, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How long a message and its answer are, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lengths {
    pub(crate) request: u32,
    pub(crate) reply: u32,
}

const HEADER: usize = 8;

/// More than any call has.
const LONGEST: usize = 64 << 20;

/// A connection of the caller, with room for its messages.
#[derive(Debug)]
pub(crate) struct Pinger {
    stream: Stream,
    buffer: Vec<u8>,
}

impl Pinger {
    /// Calls over a connection.
    pub(crate) const fn new(stream: Stream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Sends a message and waits for the answer.
    pub(crate) async fn ping(&mut self, lengths: Lengths) -> io::Result<()> {
        let [request, reply] =
            [lengths.request, lengths.reply].map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        // The answer has a byte at least: who does not wait for it would send the next message too early.
        let (request, reply) = (request.max(HEADER), reply.max(1));
        if self.buffer.len() < request.max(reply) {
            self.buffer.resize(request.max(reply), 1);
        }
        let header = [request, reply].map(|length| u64::try_from(length).unwrap_or(u64::MAX));
        let header = header[0] << 32 | header[1];
        self.buffer[..HEADER].copy_from_slice(&header.to_le_bytes());
        self.stream.write_all(&self.buffer[..request]).await?;
        self.stream.read_exact(&mut self.buffer[..reply]).await?;
        Ok(())
    }
}

/// Answers whoever connects.
pub(crate) async fn serve(listener: Listener) -> io::Result<()> {
    loop {
        tokio::spawn(answer(listener.accept().await?));
    }
}

/// Answers until the peer goes away.
async fn answer(mut stream: Stream) -> io::Result<()> {
    let mut buffer = vec![1; 4096];
    loop {
        let mut read = 0;
        let (request, reply) = loop {
            if let Some(header) = buffer.first_chunk::<HEADER>().filter(|_| read >= HEADER) {
                let (request, reply) = lengths(*header)?;
                if buffer.len() < request.max(reply) {
                    buffer.resize(request.max(reply), 1);
                }
                if read >= request {
                    break (request, reply);
                }
            }
            match stream.read(&mut buffer[read..]).await? {
                0 => return Ok(()),
                more => read += more,
            }
        };
        if read > request {
            return Err(io::ErrorKind::InvalidData.into());
        }
        stream.write_all(&buffer[..reply]).await?;
    }
}

fn lengths(header: [u8; HEADER]) -> io::Result<(usize, usize)> {
    let header = u64::from_le_bytes(header);
    let length = |bits: u64| usize::try_from(bits).ok().filter(|length| *length <= LONGEST);
    let lengths = length(header >> 32).filter(|request| *request >= HEADER);
    lengths.zip(length(header & u64::from(u32::MAX))).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[tokio::test]
    async fn messages_of_any_lengths_are_answered_by_ones_of_the_lengths_asked_for() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let answering = tokio::spawn(answer(Stream::new(theirs).expect("registered")));
        let mut pinger = Pinger::new(Stream::new(ours).expect("registered"));
        for (request, reply) in [(8, 1), (80, 16), (0, 0), (300_000, 5), (9, 500_000), (100, 100)] {
            pinger.ping(Lengths { request, reply }).await.expect("answered");
        }
        drop(pinger);
        answering.await.expect("no panic").expect("nothing was left over");
    }

    #[tokio::test]
    async fn what_is_no_message_is_hung_up_on() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let answering = tokio::spawn(answer(Stream::new(theirs).expect("registered")));
        let mut ours = Stream::new(ours).expect("registered");
        ours.write_all(&u64::MAX.to_le_bytes()).await.expect("sent");
        let error = answering.await.expect("no panic").expect_err("too long");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
