//! A bundle with a Debian in it.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
};

use crate::error::TaskError;
use crate::interop::{file_error, target};
use crate::process;
use crate::root::Root;

const SUITE: &str = "bookworm";

const MIRROR: &str = "http://deb.debian.org/debian";

/// What a stock runtime would be given for a container of any kind, but for the program: nothing in it is for systemd.
const CONFIG: &str = include_str!("config.json");

/// Where the bundle is, and where the state of its containers is kept.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) bundle: PathBuf,
    pub(super) data_root: PathBuf,
    /// Keeps a second call waiting until this one has ended.
    _lock: File,
}

impl Machine {
    /// Makes the bundle, or takes the one that an earlier call has made.
    pub(super) fn make(root: Root) -> Result<Self, TaskError> {
        let dir = target()?.join("boot");
        let bundle = dir.join(SUITE);
        let (config, rootfs) = (bundle.join("config.json"), bundle.join("rootfs"));
        fs::create_dir_all(&bundle).map_err(|source| file_error(&bundle, source))?;
        let lock = dir.join("lock");
        let locked = File::create(&lock).and_then(|file| file.lock().map(|()| file));
        let locked = locked.map_err(|source| file_error(&lock, source))?;
        fs::write(&config, CONFIG).map_err(|source| file_error(&config, source))?;
        if !rootfs.exists() {
            debootstrap(root, &bundle.join("rootfs-by-half"), &rootfs)?;
        }
        Ok(Self { bundle, data_root: dir.join("data"), _lock: locked })
    }
}

/// Makes a rootfs as root, since its owners are those of a Debian. It gets its name when it is whole.
fn debootstrap(root: Root, by_half: &Path, rootfs: &Path) -> Result<(), TaskError> {
    println!("making {} by debootstrap, which takes a minute or two", rootfs.display());
    let command = |program: &str| root.command(OsStr::new(program), &[]);
    let proc = by_half.join("proc");
    if proc.join("self").exists() {
        // debootstrap mounts it, and was killed.
        process::succeed(command("umount")?.arg(proc))?;
    }
    process::succeed(command("rm")?.args(["-rf", "--one-file-system"]).arg(by_half))?;
    let mut debootstrap = command("debootstrap")?;
    debootstrap.args(["--variant=minbase", "--include=systemd-sysv", SUITE]).arg(by_half).arg(MIRROR);
    process::succeed(&mut debootstrap)?;
    process::succeed(command("mv")?.arg(by_half).arg(rootfs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_config_names_init_and_leaves_all_that_makes_a_system_container_to_the_runtime() {
        let config: serde_json::Value = serde_json::from_str(CONFIG).unwrap();
        let all = |pointer: &str, key: &str| {
            let items = config.pointer(pointer).and_then(serde_json::Value::as_array).unwrap();
            items.iter().map(|item| item[key].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(config["process"]["args"], serde_json::json!(["/sbin/init"]));
        assert_eq!(all("/linux/namespaces", "type"), ["pid", "network", "ipc", "uts", "mount"]);
        assert!(all("/mounts", "destination").iter().all(|path| !path.starts_with("/run")));
        assert!(!config["process"].to_string().contains("container="));
        assert!(!config["process"]["capabilities"].to_string().contains("CAP_SYS_ADMIN"));
    }
}
