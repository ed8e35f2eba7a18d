//! Whether a root directory is that of processes in another mount namespace, as of a container whose runtime is gone.

use std::{
    collections::HashSet,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::process::Pid;
use sysbox_core::{AbsPath, HostError};

use crate::{
    error::failed,
    mountinfo::{self, MountEntry},
};

/// Whether this directory is what a process in another mount namespace than the caller's has as `/`: a mount of it, ID-mapped or not.
///
/// Found are processes that `/proc` shows and the caller may look at (`ptrace(2)`): with root in a user namespace of his all that are
/// in it, however few capabilities he has. Not found is an overlay that has the layers of this one, for its mounts are its own.
///
/// # Errors
/// When the directory or `/proc` cannot be read.
pub fn is_root_elsewhere(root: &AbsPath) -> Result<bool, HostError> {
    let directory = Directory::of(root.as_path())?;
    let own =
        namespace("/proc/thread-self").map_err(failed("look at", "the mount namespace of this thread"))?;
    // The table of a process shows what is below its own root only, so one that has another root may show more.
    let mut seen = HashSet::new();
    for pid in pids()? {
        let subject = || format!("the mount namespace of process {}", pid.as_raw_nonzero());
        let view = view(pid).map_err(|error| failed("look at", subject())(error))?;
        let Some(view) = view.filter(|view| view.namespace != own) else { continue };
        if seen.insert(view)
            && let Some(mounts) = mountinfo::of_process(pid)?
            && mounts.iter().any(|mount| directory.is_root(mount))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A directory as mount tables name it: they do so alike in all namespaces.
struct Directory {
    device: Vec<u8>,
    /// Where it is in the file system on the device.
    path: PathBuf,
}

impl Directory {
    fn of(path: &Path) -> Result<Self, HostError> {
        let canonical = path.canonicalize().map_err(failed("resolve", path.display()))?;
        let mount = mountinfo::of_path(&canonical)?;
        let below = canonical.strip_prefix(&mount.mount_point).map_err(failed("resolve", path.display()))?;
        // Nothing is joined to the path of the mount's own root, which would end with a slash.
        let path = if below.as_os_str().is_empty() { mount.root } else { mount.root.join(below) };
        Ok(Self { device: mount.device, path })
    }

    fn is_root(&self, mount: &MountEntry) -> bool {
        mount.mount_point == Path::new("/") && mount.device == self.device && mount.root == self.path
    }
}

/// What decides about the mounts that a process sees.
#[derive(PartialEq, Eq, Hash)]
struct View {
    namespace: u64,
    root: (u64, u64),
}

/// `None` if the process has ended, or has privileges that the caller lacks.
fn view(pid: Pid) -> io::Result<Option<View>> {
    let process = format!("/proc/{}", pid.as_raw_nonzero());
    let view = namespace(&process).and_then(|namespace| {
        let root = fs::metadata(format!("{process}/root"))?;
        Ok(View { namespace, root: (root.dev(), root.ino()) })
    });
    match view {
        Ok(view) => Ok(Some(view)),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH | libc::EACCES)) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn namespace(process: &str) -> io::Result<u64> {
    Ok(fs::metadata(format!("{process}/ns/mnt"))?.ino())
}

fn pids() -> Result<Vec<Pid>, HostError> {
    let read = failed("read", "/proc");
    let entries =
        fs::read_dir("/proc").and_then(|entries| entries.collect::<io::Result<Vec<_>>>()).map_err(read)?;
    let pid = |entry: fs::DirEntry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?);
    Ok(entries.into_iter().filter_map(pid).collect())
}

#[cfg(all(test, feature = "root-tests"))]
mod tests {
    use std::{
        io::{BufRead, BufReader},
        os::unix::fs::symlink,
        process::{Command, Stdio},
    };

    use super::*;

    /// Gives a mount of the directory `$1` to a shell as its root, in which it tells that it is there and waits for the end of its input.
    const ENTER: &str =
        "mount --bind $1 $1 && mount --bind /usr $1/usr && exec chroot $1 /usr/bin/sh -c 'echo up; read x'";

    #[test]
    fn a_directory_is_the_root_elsewhere_as_long_as_a_process_in_another_namespace_has_it() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("usr")).expect("made");
        for name in ["bin", "lib", "lib64"] {
            symlink(format!("usr/{name}"), dir.path().join(name)).expect("made");
        }
        let is_root =
            |path: &Path| is_root_elsewhere(&AbsPath::new(path).expect("absolute")).expect("readable");
        assert!(!is_root(dir.path()));
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "sh", "-c", ENTER, "sh"]).arg(dir.path());
        let mut child =
            unshare.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("unshare(1) is there");
        let mut told = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut told).expect("readable");
        assert_eq!(told, "up\n");
        assert!(is_root(dir.path()));
        assert!(!is_root(&dir.path().join("usr")), "what is below it is not");
        drop(child.stdin.take());
        child.wait().expect("it is our child");
        assert!(!is_root(dir.path()));
    }
}
