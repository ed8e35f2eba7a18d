//! Mounts that a backend or a case leaves: what is below a directory is unmounted before the directory is removed.

use std::{
    ffi::CString,
    fs, mem,
    path::{Path, PathBuf},
};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use sysbox::AbsPath;
use sysbox_conformance::BoxError;

/// Unmounts all that is mounted below a directory when this is dropped.
#[derive(Debug)]
pub(super) struct Unmounted(PathBuf);

impl Unmounted {
    pub(super) fn below(directory: &Path) -> Self {
        Self(directory.to_owned())
    }

    /// Leaves what is mounted.
    pub(super) fn stay(mut self) {
        drop(mem::take(&mut self.0));
    }
}

impl Drop for Unmounted {
    fn drop(&mut self) {
        if self.0 == Path::new("") {
            return;
        }
        // The last mounted is unmounted first. Of a mount that is gone by itself there is nothing to be said.
        for at in mounted_below(&self.0).iter().rev() {
            let _ = unmount(at, UnmountFlags::DETACH);
        }
    }
}

/// Mount points of this mount namespace (`proc_pid_mountinfo(5)`); the directories here have no name that is escaped there.
fn mounted_below(directory: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("/proc is mounted");
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    points.filter(|point| point.starts_with(directory)).collect()
}

/// Mounts an overlay over `layer`; all else of it is in `beside`.
pub(super) fn overlay(layer: &AbsPath, beside: &AbsPath) -> Result<AbsPath, BoxError> {
    let [upper, work, merged] = ["upper", "work", "rootfs"].map(|name| beside.as_path().join(name));
    for dir in [&upper, &work, &merged] {
        fs::create_dir_all(dir)?;
    }
    let data = format!("lowerdir={layer},upperdir={},workdir={}", upper.display(), work.display());
    let data = CString::new(data)?;
    mount("overlay", &merged, "overlay", MountFlags::empty(), Some(&*data))
        .map_err(|error| format!("cannot mount an overlay at {}: {error}", merged.display()))?;
    Ok(AbsPath::new(merged)?)
}
