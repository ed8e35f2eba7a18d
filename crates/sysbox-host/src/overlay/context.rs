//! Making an overlay by `fsopen(2)` and `fsconfig(2)`: one option at a time, so that no list is too long and no name odd.

use std::{
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, Mode, OFlags, StatVfsMountFlags, fstatvfs, openat},
    io::{Errno, read},
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_fd, fsconfig_set_flag,
        fsconfig_set_string, fsmount, fsopen,
    },
};
use sysbox_core::{HostError, host::OverlayLayers};

use super::shown;
use crate::error::failed;

/// The most bytes of a value of `fsconfig(2)`, less its terminator.
const MAX_VALUE_LEN: usize = 255;

/// Makes an overlay and gives its detached mount.
pub(super) fn create(layers: &OverlayLayers, attributes: MountAttrFlags) -> Result<OwnedFd, HostError> {
    let subject = || {
        let shown = layers.upper.as_ref().or_else(|| layers.lower.first());
        shown.map_or_else(
            || "an overlay of no layers".to_owned(),
            |layer| format!("an overlay over {layer:?}"),
        )
    };
    let context = configure(layers, Lower::Appended)
        .or_else(|refused| {
            // Linux before 6.8 knows no `lowerdir+` and answers so, at once or in the end.
            let retry = refused.errno == Errno::INVAL && shown::list(layers).len() <= MAX_VALUE_LEN;
            if retry { configure(layers, Lower::Listed).map_err(|_| refused) } else { Err(refused) }
        })
        .map_err(failed("mount", subject()))?;
    let mount =
        fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(failed("mount", subject()))?;
    let wanted_writable = layers.upper.is_some()
        && !layers.has_option("ro")
        && !attributes.contains(MountAttrFlags::MOUNT_ATTR_RDONLY);
    let flags = fstatvfs(&mount).map_err(failed("look at", subject()))?.f_flag;
    if wanted_writable && flags.contains(StatVfsMountFlags::RDONLY) {
        return Err(HostError::new("mount", subject(), SilentlyReadOnly));
    }
    Ok(mount)
}

/// overlayfs takes an upper layer that it cannot write, and then mounts read-only without an error.
#[derive(Debug, thiserror::Error)]
#[error(
    "overlayfs could not make its work directory and mounted read-only; check that the file system of the upper layer \
     can be written and has room, and that the kernel is 5.19 or later if it is ID-mapped (the kernel log says more)"
)]
struct SilentlyReadOnly;

/// How the lower layers are given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lower {
    /// One by one.
    Appended,
    /// As one list.
    Listed,
}

fn configure(layers: &OverlayLayers, lower: Lower) -> Result<OwnedFd, Refused> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(Refused::without_words)?;
    set_all(&context, layers, lower)
        .and_then(|()| fsconfig_create(&context))
        .map_err(|errno| Refused { errno, words: kernels_words(&context) })?;
    Ok(context)
}

fn set_all(context: &OwnedFd, layers: &OverlayLayers, lower: Lower) -> Result<(), Errno> {
    for option in &layers.options {
        match option.split_once('=') {
            Some((key, value)) => fsconfig_set_string(context, key, value)?,
            None => fsconfig_set_flag(context, option.as_str())?,
        }
    }
    if lower == Lower::Listed {
        fsconfig_set_string(context, "lowerdir", shown::list(layers))?;
    } else {
        let plain = |path: &PathBuf| path.as_os_str().as_bytes().to_vec();
        layers.lower.iter().try_for_each(|path| set_path(context, "lowerdir+", path, plain(path)))?;
        layers.data.iter().try_for_each(|path| set_path(context, "datadir+", path, plain(path)))?;
    }
    let escaped = |path: &Path| shown::with_backslashes(path);
    layers.upper.iter().try_for_each(|path| set_path(context, "upperdir", path, escaped(path)))?;
    layers.work.iter().try_for_each(|path| set_path(context, "workdir", path, escaped(path)))
}

/// Gives a path by its text, or by a descriptor where that is too long.
fn set_path(context: &OwnedFd, key: &str, path: &Path, text: Vec<u8>) -> Result<(), Errno> {
    if text.len() <= MAX_VALUE_LEN {
        return fsconfig_set_string(context, key, text);
    }
    let layer = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    fsconfig_set_fd(context, key, layer.as_fd())
}

/// A refusal of overlayfs.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.explain())]
struct Refused {
    #[source]
    errno: Errno,
    /// What the kernel says of it, if anything.
    words: String,
}

impl Refused {
    const fn without_words(errno: Errno) -> Self {
        Self { errno, words: String::new() }
    }

    fn explain(&self) -> String {
        let advice = match self.errno {
            Errno::BUSY => {
                "its upper layer or work directory is used by another overlay, and with index=on only one may"
            }
            Errno::PERM => "run as root",
            Errno::NODEV => "the kernel has no overlayfs; load the module overlay",
            Errno::LOOP => "one of its layers lies within another",
            Errno::NOENT => "one of its layers does not exist",
            _ => "overlayfs does not take these layers and options; the kernel log may say more",
        };
        if self.words.is_empty() { advice.to_owned() } else { format!("{advice} ({})", self.words) }
    }
}

/// Reads what was logged to a context: one message a call, `e`, `w` or `i` and a space before each.
fn kernels_words(context: &OwnedFd) -> String {
    let (mut words, mut message) = (Vec::new(), [0; 1024]);
    while let Ok(len @ 1..) = read(context, &mut message) {
        let message = String::from_utf8_lossy(&message[..len]);
        words.push(message.trim_end().trim_start_matches(['e', 'w', 'i']).trim_start().to_owned());
    }
    words.join("; ")
}

#[cfg(all(test, feature = "root-tests"))]
mod tests {
    use super::*;
    use crate::mount_namespace::on_private_thread;

    /// What kernels before 6.8 are given.
    #[test]
    fn layers_in_one_list_make_the_same_overlay() {
        let place = tempfile::tempdir().expect("made");
        let dir = |name: &str| {
            std::fs::create_dir(place.path().join(name)).expect("made");
            place.path().join(name)
        };
        let layers = OverlayLayers {
            lower: vec![dir("a:b"), dir(r"c\d")],
            data: vec![dir("data")],
            upper: Some(dir("up:per")),
            work: Some(dir("work")),
            options: vec!["metacopy=on".to_owned()],
        };
        let configured =
            on_private_thread(|| configure(&layers, Lower::Listed).map_err(failed("mount", "a list")));
        fsmount(configured.expect("run as root"), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
            .expect("made");
    }
}
