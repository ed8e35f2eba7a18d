//! What a container does to its rootfs through the clone is in the rootfs afterwards, as if it had been done there.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    os::{
        fd::{AsFd, AsRawFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    place::{GID, Place, UID, as_container_root, owner, userns},
    rootfs::Rootfs,
    support::{ACCESS_ACL, CAPABILITY, acl, assert_same, attribute, capability, set_attribute, snapshot},
};

/// What a container may do. In the directory `moved` it is done by way of redirects, if the overlay has them.
const WORK: &str = "
    echo more >> usr/deep/plain
    echo new > made; chown 5:6 made; chmod 4755 made; ln made made-too
    mkdir -p new/dir; echo deep > new/dir/file
    rm usr/removed usr/sudoedit
    rm -r home; mkdir home; echo opaque > home/file
    chmod 700 own; chown 1000:1000 usr/shared
    mkfifo usr/pipe; ln -s made usr/link
    mv link moved-link
    rm foreign || true
    if mv usr/deep moved; then echo inside > moved/inside; fi
";

/// What a container sees and an image of it would hold; inodes and times are not the same in two overlays.
fn contents(root: &Path) -> BTreeMap<PathBuf, String> {
    let describe = |(path, facts): (PathBuf, crate::support::Facts)| {
        let name = path.strip_prefix(root).expect("below the root").to_owned();
        let data =
            fs::symlink_metadata(&path).expect("there").is_file().then(|| fs::read(&path).expect("there"));
        let crate::support::Facts { mode, owner, device, target, attributes, .. } = facts;
        // How many names a directory has in it is not counted alike.
        (name, format!("{mode:o} {owner:?} {device} {target:?} {attributes:?} {data:?}"))
    };
    snapshot(root).into_iter().map(describe).collect()
}

/// Does the same to a clone as the container's root, and to its twin without a clone as the host's root.
fn the_rootfs_is_as_its_twin(place: &Place, options: &[&str]) {
    let (rootfs, twin) = (Rootfs::new(place, "rootfs", options), Rootfs::new(place, "twin", options));
    rootfs.attach();
    rootfs.shift();
    as_container_root(rootfs.clone.path(), WORK);
    for (name, value) in [(ACCESS_ACL, acl(&[UID + 7], &[GID + 8])), (CAPABILITY, capability(UID))] {
        set_attribute(&rootfs.shown("made"), name, &value);
    }
    rootfs.revert();
    let done = Command::new("sh").args(["-ec", WORK]).current_dir(&twin.path).status();
    assert!(done.expect("a shell").success());
    for (name, value) in [(ACCESS_ACL, acl(&[7], &[8])), (CAPABILITY, capability(0))] {
        set_attribute(&twin.path.as_path().join("made"), name, &value);
    }
    let wanted = contents(twin.path.as_path());
    assert!(wanted.contains_key(Path::new("made-too")));
    for path in [&rootfs.path, rootfs.clone.path()] {
        let found = contents(path.as_path());
        for (name, facts) in &wanted {
            assert_eq!(found.get(name), Some(facts), "{name:?}");
        }
        assert_eq!(found.len(), wanted.len());
    }
    let made = fs::symlink_metadata(rootfs.path.as_path().join("made")).expect("there");
    assert_eq!(made.nlink(), 2, "a hard link that was made inside");
    rootfs.clone.discard().expect("discarded");
    assert_eq!(contents(rootfs.path.as_path()).len(), wanted.len());
}

#[test]
fn what_a_container_did_is_in_the_rootfs_with_the_owners_it_should_have() {
    the_rootfs_is_as_its_twin(&Place::new(), &[]);
}

#[test]
fn directories_that_a_container_renamed_are_in_the_rootfs() {
    the_rootfs_is_as_its_twin(&Place::new(), &["redirect_dir=on"]);
}

#[test]
fn a_rootfs_with_metacopy_of_its_own_can_be_cloned() {
    the_rootfs_is_as_its_twin(&Place::new(), &["metacopy=on"]);
}

#[test]
fn a_volatile_rootfs_can_be_cloned() {
    the_rootfs_is_as_its_twin(&Place::new(), &["volatile", "index=off"]);
}

#[test]
fn everything_is_the_containers_while_it_is_shifted() {
    let place = Place::on_tmpfs();
    let rootfs = Rootfs::new(&place, "rootfs", &[]);
    rootfs.attach();
    let before = snapshot(rootfs.clone.path().as_path());
    rootfs.shift();
    for (path, facts) in &before {
        let shift = |id: u32, by| if id < 65_536 { id + by } else { id };
        assert_eq!(owner(path), (shift(facts.owner.0, UID), shift(facts.owner.1, GID)), "{path:?}");
        assert_eq!(fs::symlink_metadata(path).expect("there").mode(), facts.mode, "{path:?}");
    }
    assert_eq!(attribute(&rootfs.shown("usr/ping"), CAPABILITY), Some(capability(UID)));
    assert_eq!(attribute(&rootfs.shown("usr/shared"), ACCESS_ACL), Some(acl(&[UID + 7], &[GID + 8])));
}

#[test]
fn without_a_container_the_rootfs_is_exactly_as_it_was() {
    let place = Place::new();
    let rootfs = Rootfs::new(&place, "rootfs", &[]);
    let (before, works) = (rootfs.on_disk(), rootfs.works());
    rootfs.attach();
    assert_same(&rootfs.on_disk(), &before);
    rootfs.shift();
    assert_eq!(owner(rootfs.upper().join("own")), (UID + 3, GID + 4));
    rootfs.revert();
    assert_same(&rootfs.on_disk(), &before);
    rootfs.clone.discard().expect("discarded");
    assert_same(&rootfs.on_disk(), &before);
    assert_eq!(rootfs.works(), works, "no work directory is left");
    assert!(!place.at("rootfs-clone").as_path().exists());
    rootfs.clone.discard().expect("nothing is left to do");
}

#[test]
fn nothing_that_a_container_wrote_is_in_the_directory_of_the_clone() {
    let place = Place::on_tmpfs();
    let rootfs = Rootfs::new(&place, "rootfs", &[]);
    rootfs.attach();
    rootfs.shift();
    let before = snapshot(place.at("rootfs-clone/layers/upper").as_path());
    as_container_root(rootfs.clone.path(), WORK);
    assert_same(&snapshot(place.at("rootfs-clone/layers/upper").as_path()), &before);
    let file = fs::symlink_metadata(place.at("rootfs-clone/layers/upper/usr/sudo").as_path()).expect("there");
    assert_eq!(file.blocks(), 0, "no data are copied");
}

#[test]
fn a_container_goes_on_after_a_revert_and_a_second_shift() {
    let place = Place::new();
    let rootfs = Rootfs::new(&place, "rootfs", &[]);
    rootfs.attach();
    rootfs.shift();
    // Its working directory is on the overlay that it was started on.
    let userns = userns();
    let mut container = Command::new("nsenter")
        .arg(format!("--user=/proc/{}/fd/{}", std::process::id(), userns.as_fd().as_raw_fd()))
        .args(["--setuid=0", "--setgid=0", "sh", "-ec"])
        .arg(
            "echo early > early; echo; read line; echo late >> usr/deep/plain; rm usr/removed; mv early late",
        )
        .current_dir(rootfs.clone.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("nsenter of util-linux");
    container.stdout.as_mut().expect("piped").read_exact(&mut [0]).expect("it has written");
    rootfs.revert();
    assert_eq!(owner(rootfs.shown("early")), (0, 0));
    assert_eq!(owner(rootfs.shown("usr/sudo")), (0, 0));
    let again = rootfs.shift();
    assert!(again.changed < 10, "only the upper layer is walked: {again:?}");
    assert_eq!(owner(rootfs.shown("early")), (UID, GID));
    container.stdin.take().expect("piped").write_all(b"\n").expect("it listens");
    assert!(container.wait().expect("it was started").success());
    rootfs.revert();
    assert_eq!(owner(rootfs.path.as_path().join("late")), (0, 0));
    assert_eq!(owner(rootfs.path.as_path().join("usr/deep/plain")), (0, 0));
    let (path, below) = (rootfs.path.as_path(), &rootfs.layers.lower[1]);
    assert_eq!(fs::read(path.join("late")).expect("there"), b"early\n");
    let was = fs::read(below.join("usr/deep/plain")).expect("there");
    assert_eq!(fs::read(path.join("usr/deep/plain")).expect("there"), [&was[..], b"late\n"].concat());
    assert!(!path.join("usr/removed").exists());
}
