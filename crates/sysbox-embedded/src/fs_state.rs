//! The entries that a rootfs needs beside its own: where its distribution keeps the headers of the kernel elsewhere than the
//! host's, a link leads from there to where they are mounted.

#[cfg(test)]
mod tests;

use std::path::Path;

use sysbox_core::{AbsPath, FsEntry, FsEntryKind, FsStateRequest, HostPort, host::OsRelease};
use sysbox_host::within;

use crate::{error::Fault, headers};

/// Where `os-release(5)` is, the one that counts first.
const OS_RELEASE: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];

/// The most bytes that are read of one.
const AT_MOST: usize = 64 * 1024;

/// The entries for a rootfs.
///
/// # Errors
/// When the host does not say which kernel it runs.
pub(crate) fn entries(host: &dyn HostPort, request: &FsStateRequest) -> Result<Vec<FsEntry>, Fault> {
    entries_on(host, Path::new("/"), &request.rootfs)
}

/// The same for a host whose files are looked for in the directory `root`.
fn entries_on(host: &dyn HostPort, root: &Path, rootfs: &AbsPath) -> Result<Vec<FsEntry>, Fault> {
    let release = headers::release(host)?;
    let Some(inside) = distribution(rootfs) else { return Ok(Vec::new()) };
    let outside = match host.os_release() {
        Ok(outside) => outside,
        Err(error) => {
            tracing::debug!(%error, reason = %error.source, "the host's distribution is not known");
            return Ok(Vec::new());
        }
    };
    let (theirs, ours) = (headers::directory(&inside, &release), headers::directory(&outside, &release));
    if theirs == ours || !headers::is_directory(root, &ours) {
        return Ok(Vec::new());
    }
    Ok(link(&theirs, ours).unwrap_or_default())
}

/// What makes a path lead to another.
fn link(path: &str, target: String) -> Option<Vec<FsEntry>> {
    let path = AbsPath::new(path).ok()?;
    let parent = AbsPath::new(path.as_path().parent()?).ok()?;
    let directory = FsEntry { kind: FsEntryKind::Dir, path: parent, mode: 0o755, target: None };
    let link = FsEntry { kind: FsEntryKind::Softlink, path, mode: 0o777, target: Some(target) };
    Some(vec![directory, link])
}

/// The distribution in a rootfs, if it tells. The rootfs is not trusted, and nothing depends on it but its own links.
fn distribution(rootfs: &AbsPath) -> Option<OsRelease> {
    for file in OS_RELEASE {
        match AbsPath::new(file).ok().map(|file| within::read_file(rootfs, &file, AT_MOST))? {
            Ok(Some(text)) => return parse(rootfs, file, &text),
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(%error, reason = %error.source, "the distribution of a rootfs is not known");
                return None;
            }
        }
    }
    None
}

fn parse(rootfs: &AbsPath, file: &str, text: &[u8]) -> Option<OsRelease> {
    match String::from_utf8_lossy(text).parse() {
        Ok(read) => Some(read),
        Err(error) => {
            tracing::debug!(%rootfs, file, %error, "the distribution of a rootfs is not known");
            None
        }
    }
}
