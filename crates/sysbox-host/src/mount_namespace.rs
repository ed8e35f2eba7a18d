//! Mount namespaces: where a runtime's mounts are its own, and end with it.

use std::{
    io,
    panic::resume_unwind,
    path::{Path, PathBuf},
    sync::OnceLock,
    thread,
};

use rustix::{
    mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount},
    thread::gettid,
};
use sysbox_core::{AbsPath, HostError};

use crate::{
    error::{Advised, failed},
    mountinfo::{self, MountEntry},
    sys,
};

/// Moves the calling thread to a mount namespace of its own, a copy of the one it is in.
///
/// Mounts made on the host later show there; those made there do not show on the host, and vanish when its last process
/// ends. Of a program with many threads only this one moves, so call it while there is just one.
///
/// # Errors
/// When the caller is not root, or its root directory is no mount point, as in a plain chroot.
pub fn enter_private() -> Result<(), HostError> {
    sys::unshare_mounts()
        .map_err(|error| failed("make", "a mount namespace")(Advised::from_io(&error, |_| "run as root")))?;
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC).map_err(|source| {
        failed("keep mounts from the host below", "/")(Advised { advice: NOT_A_MOUNT_POINT, source })
    })
}

/// By far the likeliest cause, once the namespace is there (`mount(2)`).
const NOT_A_MOUNT_POINT: &str =
    "the root directory of this process is no mount point; bind-mount it to itself before chroot";

/// Detaches every mount at or below a directory, the deepest first, and tells how many there were.
///
/// A mount in use goes on for those who use it. None left is no error: a second call gives 0.
///
/// # Errors
/// When the mount table cannot be read, or a mount that cannot be detached is left: the caller is not root, or it came
/// locked from another user namespace.
pub fn detach_below(dir: &AbsPath) -> Result<usize, HostError> {
    let top = as_in_mount_table(dir.as_path());
    let below = || -> Result<Vec<MountEntry>, HostError> {
        let mut mounts = mountinfo::read()?;
        mounts.retain(|mount| mount.mount_point.starts_with(&top));
        Ok(mounts)
    };
    let mut left = below()?;
    let found = left.len();
    while !left.is_empty() {
        let (before, result) = (left.len(), detach_each(left));
        left = below()?;
        // One that lies hidden below another can be detached when that is gone, so go on as long as they get fewer.
        if left.len() >= before {
            result?;
        }
    }
    Ok(found)
}

/// Detaches every mount whose mount point is no UTF-8, so that whoever reads the mount table as text can. Those that cannot be detached
/// stay.
///
/// # Errors
/// When the mount table cannot be read.
pub fn detach_unreadable() -> Result<(), HostError> {
    let mut mounts = mountinfo::read()?;
    mounts.retain(|mount| mount.mount_point.to_str().is_none());
    if let Err(error) = detach_each(mounts) {
        tracing::debug!(%error, "a mount stays whose mount point is no text");
    }
    Ok(())
}

/// Tries to detach each mount, the deepest and latest first; gives the last refusal.
fn detach_each(mut mounts: Vec<MountEntry>) -> Result<(), HostError> {
    mounts.sort_by_key(|mount| mount.mount_point.components().count());
    let mut result = Ok(());
    for MountEntry { mount_point, .. } in mounts.into_iter().rev() {
        if let Err(errno) = unmount(&mount_point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            result = Err(HostError::new("detach", mount_point.display().to_string(), errno));
        }
    }
    result
}

/// The path as the mount table gives it, as far as it can be resolved: a directory may be gone, or be a FUSE mount whose
/// daemon is.
fn as_in_mount_table(path: &Path) -> PathBuf {
    let by_parent = || Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize().ok().or_else(by_parent).unwrap_or_else(|| path.to_path_buf())
}

/// Runs `work` on a thread in a mount namespace of its own, and waits until both are gone.
///
/// All that it attaches, the ids it takes and the directory it works in are gone when this returns, and also when the
/// process is killed meanwhile. A detached mount that it gives back is the caller's to attach.
pub(crate) fn on_private_thread<T: Send>(
    work: impl FnOnce() -> Result<T, HostError> + Send,
) -> Result<T, HostError> {
    let id = OnceLock::new();
    let run = || {
        id.get_or_init(gettid);
        enter_private()?;
        work()
    };
    let result = thread::scope(|scope| {
        let thread = thread::Builder::new().name("sysbox-mounts".to_owned()).spawn_scoped(scope, run)?;
        io::Result::Ok(thread.join())
    });
    // The kernel wakes who joins a thread before it takes the thread's namespaces down and the thread off its process. A
    // caller with one thread, about to make a user namespace or to fork, must not find two.
    if let Some(id) = id.get() {
        let task = PathBuf::from(format!("/proc/self/task/{}", id.as_raw_nonzero()));
        while task.exists() {
            thread::yield_now();
        }
    }
    result.map_err(failed("start", "a thread for mounts"))?.unwrap_or_else(|panic| resume_unwind(panic))
}
