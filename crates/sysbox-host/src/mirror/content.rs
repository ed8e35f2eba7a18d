//! The contents of a file: shared with the source where the file system can (`FICLONE`), else copied by the kernel, else by
//! hand. Holes stay holes.

use std::{
    os::fd::BorrowedFd,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::{
    fs::{SeekFrom, copy_file_range, fdatasync, ftruncate, ioctl_ficlone, seek},
    io::{Errno, pread, pwrite},
};

use super::facts::Facts;

/// Bytes that are copied by hand at once. What fits in is not worth a second system call.
pub(super) const BUFFER: usize = 128 * 1024;
/// Bytes that the kernel copies at once.
const STRETCH: u64 = 64 << 20;

/// Which side a copy failed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Read(Errno),
    Write(Errno),
}

/// A copy of one file into another one, which is empty.
pub(super) struct Content<'a> {
    pub(super) source: BorrowedFd<'a>,
    pub(super) target: BorrowedFd<'a>,
    /// Whether to try to share blocks; cleared when the file systems cannot.
    pub(super) clones: &'a AtomicBool,
    /// Of [`BUFFER`] bytes.
    pub(super) buffer: &'a mut [u8],
}

impl Content<'_> {
    /// Copies and returns how many bytes there are besides holes. What is appended meanwhile may be left out, and a file that
    /// was cut meanwhile ends where it was cut.
    pub(super) fn copy(&mut self, facts: &Facts) -> Result<u64, Failure> {
        let has_holes = facts.allocated < facts.size;
        if facts.size <= BUFFER as u64 && !has_holes {
            return self.by_hand(0, facts.size);
        }
        if self.share()? {
            return Ok(facts.allocated.min(facts.size));
        }
        self.copy_stretches(facts.size)
    }

    /// Shares all blocks with the source; `false` if that cannot be.
    fn share(&self) -> Result<bool, Failure> {
        if !self.clones.load(Ordering::Relaxed) {
            return Ok(false);
        }
        match ioctl_ficlone(self.target, self.source) {
            Ok(()) => Ok(true),
            Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::IO)) => Err(Failure::Write(errno)),
            Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::NOTTY) => {
                self.clones.store(false, Ordering::Relaxed);
                Ok(false)
            }
            // This file cannot, such as one without checksums on btrfs.
            Err(_) => Ok(false),
        }
    }

    /// Copies what is between the holes.
    fn copy_stretches(&mut self, size: u64) -> Result<u64, Failure> {
        let (mut copied, mut end, mut holes) = (0, 0, false);
        while end < size {
            let start = match seek(self.source, SeekFrom::Data(end)) {
                Ok(start) => start.min(size),
                Err(Errno::NXIO) => size,
                // The file system does not tell holes.
                Err(Errno::INVAL) => end,
                Err(errno) => return Err(Failure::Read(errno)),
            };
            holes |= start > end;
            if start == size {
                break;
            }
            end = match seek(self.source, SeekFrom::Hole(start)) {
                Ok(end) => end.min(size),
                Err(Errno::NXIO) => break,
                Err(Errno::INVAL) => size,
                Err(errno) => return Err(Failure::Read(errno)),
            };
            let reached = self.copy_stretch(start, end)?;
            copied += reached - start;
            if reached < end {
                // It was cut meanwhile.
                return Ok(copied);
            }
        }
        if holes {
            ftruncate(self.target, size).map_err(Failure::Write)?;
            // The size says no more that all is there, should the power fail before the contents are on the disk.
            fdatasync(self.target).map_err(Failure::Write)?;
        }
        Ok(copied)
    }

    /// Copies from one offset to another one and returns how far it came.
    fn copy_stretch(&mut self, start: u64, end: u64) -> Result<u64, Failure> {
        let (mut from, mut to) = (start, start);
        while from < end {
            let len = usize::try_from((end - from).min(STRETCH)).unwrap_or(BUFFER);
            match copy_file_range(self.source, Some(&mut from), self.target, Some(&mut to), len) {
                // At the end of the file, or not done by this file system.
                Ok(0) => break,
                Ok(_) => {}
                Err(Errno::NOSPC) => return Err(Failure::Write(Errno::NOSPC)),
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        self.by_hand(from, end)
    }

    /// As [`copy_stretch`](Self::copy_stretch), by reading and writing.
    fn by_hand(&mut self, start: u64, end: u64) -> Result<u64, Failure> {
        let mut at = start;
        while at < end {
            let len = usize::try_from(end - at).unwrap_or(BUFFER).min(BUFFER);
            let read = match pread(self.source, &mut self.buffer[..len], at) {
                Ok(0) => break,
                Err(Errno::INTR) => continue,
                result => result.map_err(Failure::Read)?,
            };
            let mut written = 0;
            while written < read {
                match pwrite(self.target, &self.buffer[written..read], at + written as u64) {
                    Err(Errno::INTR) => {}
                    result => written += result.map_err(Failure::Write)?,
                }
            }
            at += read as u64;
        }
        Ok(at)
    }
}
