//! The mount table (`proc_pid_mountinfo(5)`), byte for byte: names need not be UTF-8, and the kernel's octal escapes are
//! undone. Reading never panics, whatever stands there.

#[cfg(test)]
mod tests;

use std::{
    ffi::OsString,
    fs,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    mount::MountAttrFlags,
    process::Pid,
};
use sysbox_core::HostError;

use crate::{error::failed, fd_info};

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountEntry {
    pub(crate) id: u64,
    /// The device of the file system, as `MAJOR:MINOR`.
    pub(crate) device: Vec<u8>,
    /// The directory of the file system that is mounted.
    pub(crate) root: PathBuf,
    pub(crate) mount_point: PathBuf,
    /// The options of the mount, such as `ro`.
    pub(crate) options: Vec<Vec<u8>>,
    pub(crate) kind: String,
    /// The options of the file system, still escaped: a comma within a value is an escape or stands in quotes.
    pub(crate) super_options: Vec<u8>,
}

impl MountEntry {
    /// Whether the mount or its file system is read-only.
    pub(crate) fn is_read_only(&self) -> bool {
        let file_system_is = self.super_options == b"ro" || self.super_options.starts_with(b"ro,");
        file_system_is || self.attributes().contains(MountAttrFlags::MOUNT_ATTR_RDONLY)
    }

    /// The options of the mount as `fsmount(2)` takes them.
    pub(crate) fn attributes(&self) -> MountAttrFlags {
        let flag = |option: &Vec<u8>| match option.as_slice() {
            b"ro" => MountAttrFlags::MOUNT_ATTR_RDONLY,
            b"nosuid" => MountAttrFlags::MOUNT_ATTR_NOSUID,
            b"nodev" => MountAttrFlags::MOUNT_ATTR_NODEV,
            b"noexec" => MountAttrFlags::MOUNT_ATTR_NOEXEC,
            b"noatime" => MountAttrFlags::MOUNT_ATTR_NOATIME,
            b"nodiratime" => MountAttrFlags::MOUNT_ATTR_NODIRATIME,
            b"nosymfollow" => MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW,
            _ => MountAttrFlags::empty(),
        };
        self.options.iter().map(flag).collect()
    }
}

/// A line that is not as the manual says.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {number} of the mount table is not as proc_pid_mountinfo(5) says: {line:?}")]
pub(crate) struct Malformed {
    number: usize,
    line: String,
}

/// Reads a mount table.
pub(crate) fn parse(table: &[u8]) -> Result<Vec<MountEntry>, Malformed> {
    let lines = table.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let entry = |(line, number): (&[u8], usize)| {
        parse_line(line).ok_or_else(|| Malformed {
            number,
            line: String::from_utf8_lossy(line).chars().take(200).collect(),
        })
    };
    lines.zip(1..).map(entry).collect()
}

/// `ID PARENT MAJOR:MINOR ROOT MOUNT-POINT OPTIONS [TAG...] - TYPE SOURCE SUPER-OPTIONS`
fn parse_line(line: &[u8]) -> Option<MountEntry> {
    let mut fields = line.split(|&byte| byte == b' ');
    let id = str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let device = fields.nth(1)?.to_vec();
    let root = path(fields.next()?);
    let mount_point = path(fields.next()?);
    let options = fields.next()?.split(|&byte| byte == b',').map(<[u8]>::to_vec).collect();
    fields.find(|field| field == b"-")?;
    let kind = String::from_utf8_lossy(&unescape(fields.next()?)).into_owned();
    // The source may be empty, and then there are two spaces in a row: it is a field all the same.
    fields.next()?;
    let super_options = fields.next()?.to_vec();
    Some(MountEntry { id, device, root, mount_point, options, kind, super_options })
}

fn path(field: &[u8]) -> PathBuf {
    OsString::from_vec(unescape(field)).into()
}

/// Undoes the kernel's escapes: a backslash and three octal digits stand for a byte. Any other backslash is itself.
pub(crate) fn unescape(mut text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    while let [first, rest @ ..] = text {
        text = rest;
        match (first, rest) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                text = after;
            }
            _ => plain.push(*first),
        }
    }
    plain
}

/// The mount table of the calling thread.
pub(crate) fn read() -> Result<Vec<MountEntry>, HostError> {
    const TABLE: &str = "/proc/thread-self/mountinfo";
    let table = fs::read(TABLE).map_err(failed("read", TABLE))?;
    parse(&table).map_err(failed("read", TABLE))
}

/// The mount table of a process; `None` if that has ended.
pub(crate) fn of_process(pid: Pid) -> Result<Option<Vec<MountEntry>>, HostError> {
    let path = format!("/proc/{}/mountinfo", pid.as_raw_nonzero());
    let table = match fs::read(&path) {
        Ok(table) => table,
        // One that was not waited for is in no namespace any more (`EINVAL`).
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH | libc::EINVAL)) => {
            return Ok(None);
        }
        Err(error) => return Err(failed("read", path)(error)),
    };
    parse(&table).map(Some).map_err(failed("read", path))
}

/// The mount that a path is on. The last component is followed if it is a symbolic link.
pub(crate) fn of_path(path: &Path) -> Result<MountEntry, HostError> {
    let fd = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(failed("open", path.display()))?;
    // `statx(2)` tells it too, but from Linux 5.8 on only.
    let id = fd_info::number(&fd, "mnt_id")?;
    let find = failed("find the mount of", path.display());
    read()?.into_iter().find(|mount| mount.id == id).ok_or_else(|| find(NotListed))
}

#[derive(Debug, thiserror::Error)]
#[error(
    "it is not in the mount table of this process; it was unmounted meanwhile, or comes from another namespace"
)]
struct NotListed;
