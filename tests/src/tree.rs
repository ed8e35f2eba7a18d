//! What a rootfs is made of: a busybox, and one of everything that a change of owners could spoil.

use std::{
    env, fs,
    os::unix::fs::{PermissionsExt, lchown, symlink},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, lsetxattr, makedev, mknodat};

/// What the tests call of busybox.
const APPLETS: [&str; 11] =
    ["cat", "echo", "id", "ls", "mkdir", "sh", "sleep", "stat", "stty", "touch", "tty"];

/// Fills an empty directory with a busybox, and the directories that mounts need.
///
/// # Panics
/// When no static busybox is on the search path.
pub fn busybox(rootfs: &Path) {
    for dir in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
        fs::create_dir(rootfs.join(dir)).expect("the rootfs is empty");
    }
    fs::set_permissions(rootfs.join("tmp"), fs::Permissions::from_mode(0o1777)).expect("root may");
    fs::copy(installed_busybox(), rootfs.join("bin/busybox")).expect("copied");
    for applet in APPLETS {
        symlink("busybox", rootfs.join("bin").join(applet)).expect("made");
    }
}

fn installed_busybox() -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|dir| dir.join("busybox")).find(|file| file.is_file());
    found
        .expect("busybox, linked statically, is on the search path; install busybox-static (Fedora: busybox)")
}

/// Adds a directory `kept` with one of each kind of inode, set-id bits, capabilities, ACLs, other attributes and owners.
pub fn furnish(rootfs: &Path) {
    let kept = rootfs.join("kept");
    fs::create_dir(&kept).expect("made");
    let file = |name: &str, mode: u32, owner: u32, group: u32| {
        let path = kept.join(name);
        fs::write(&path, name).expect("written");
        lchown(&path, Some(owner), Some(group)).expect("root may");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("root may");
        path
    };
    file("set-id", 0o6755, 0, 0);
    file("of a user", 0o640, 1000, 1001);
    file("of the last id", 0o600, 65_535, 65_535);
    fs::hard_link(file("linked", 0o644, 0, 4), kept.join("link")).expect("made");
    symlink("/nowhere/at/all", kept.join("dangling")).expect("made");
    let special = |name: &str, kind, device| {
        mknodat(CWD, kept.join(name), kind, Mode::from_raw_mode(0o620), device).expect("root may");
    };
    special("fifo", FileType::Fifo, 0);
    special("null", FileType::CharacterDevice, makedev(1, 3));
    let attribute = |path: &Path, name: &str, value: &[u8]| {
        lsetxattr(path, name, value, XattrFlags::empty())
            .unwrap_or_else(|e| panic!("{name} on {path:?}: {e}"));
    };
    attribute(&file("capable", 0o755, 0, 0), "security.capability", &NET_RAW);
    attribute(&file("listed", 0o640, 0, 0), "system.posix_acl_access", &ACL);
    attribute(&file("trusted", 0o644, 0, 0), "trusted.mine", b"value");
}

/// cap_net_raw=ep in a `security.capability` of revision 2 (`linux/capability.h`).
const NET_RAW: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// user::rw-,user:1000:r--,group::r--,mask::r--,other::--- (`linux/posix_acl_xattr.h`).
const ACL: [u8; 44] = [
    2, 0, 0, 0, // version
    1, 0, 6, 0, 255, 255, 255, 255, // user::
    2, 0, 4, 0, 0xe8, 3, 0, 0, // user:1000:
    4, 0, 4, 0, 255, 255, 255, 255, // group::
    16, 0, 4, 0, 255, 255, 255, 255, // mask::
    32, 0, 0, 0, 255, 255, 255, 255, // other::
];

/// Adds `offset` to the owner and group of a plain tree: it then belongs to the container's root.
pub fn shift_owners(root: &Path, offset: u32) {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::symlink_metadata(root).expect("it is there");
    lchown(root, Some(metadata.uid() + offset), Some(metadata.gid() + offset)).expect("root may");
    if metadata.is_dir() {
        for entry in fs::read_dir(root).expect("readable") {
            shift_owners(&entry.expect("readable").path(), offset);
        }
    } else if !metadata.is_symlink() {
        fs::set_permissions(root, metadata.permissions()).expect("root may");
    }
}
