//! Standard output, for what the container's terminal shows: a write to it never waits, and what it does not take yet is kept.

use std::{
    fs::File,
    io::{self, IsTerminal, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::{FileTypeExt, MetadataExt},
    },
};

use anyhow::Context;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags, major, minor, open},
    pipe::PIPE_BUF,
};

/// The device number by which each opening makes another pseudo-terminal (`pts(4)`).
const PTMX: (u32, u32) = (5, 2);

/// Standard output and what it is still to be given.
#[derive(Debug)]
pub(super) struct Output {
    stdout: File,
    left: Vec<u8>,
}

impl Output {
    /// Opens it anew where a write could wait. That it should not is set for all who have an open file, so not for the one that
    /// was given to us.
    pub(super) fn open() -> io::Result<Self> {
        io::stdout().flush()?;
        let given = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let metadata = given.metadata()?;
        let is_ptmx = (major(metadata.rdev()), minor(metadata.rdev())) == PTMX;
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let stdout = if metadata.file_type().is_fifo() || given.is_terminal() && !is_ptmx {
            open("/proc/self/fd/1", flags, Mode::empty()).map_or(given, File::from)
        } else {
            given
        };
        Ok(Self { stdout, left: Vec::new() })
    }

    /// Whether all was taken, so that there can be more.
    pub(super) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// Keeps what is to be written next.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.left.extend_from_slice(bytes);
    }

    /// Writes what is taken at once; tells whether that was anything.
    pub(super) fn write(&mut self) -> anyhow::Result<bool> {
        if !self.takes_more()? {
            return Ok(false);
        }
        // A pipe that is ready takes so much without waiting (`pipe(7)`).
        match self.stdout.write(&self.left[..self.left.len().min(PIPE_BUF)]) {
            Ok(count) => {
                self.left.drain(..count);
                Ok(count > 0)
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(false),
            Err(e) => Err(e).context("cannot write standard output"),
        }
    }

    /// An error is told by the write.
    fn takes_more(&self) -> anyhow::Result<bool> {
        match poll(&mut [PollFd::new(&self.stdout, PollFlags::OUT)], Some(&Timespec::default())) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(e) => Err(e).context("cannot wait for standard output"),
        }
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stdout.as_fd()
    }
}
