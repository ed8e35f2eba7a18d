//! Every way to shift ids on every file system that has it: what is seen inside, what is on disk, and that all is as it was
//! afterwards. Needs root.

#![expect(clippy::expect_used, reason = "a test may fail by a panic, also in its helpers")]

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use sysbox_tests::{
    Bundle, Ground, Kind, Mounted, Running, Site, Snapshot, busybox, finish, furnish, shift_owners, uid_map,
};

const SCRIPT: &str = "cat /proc/self/uid_map /proc/self/gid_map
    stat -c %u:%g / /bin/busybox /kept '/kept/of a user'
    touch /tmp/made
    echo done
    cat";

fn owner(path: &Path) -> (u32, u32) {
    let metadata = fs::symlink_metadata(path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
    (metadata.uid(), metadata.gid())
}

fn everything(rootfs: &Path) {
    busybox(rootfs);
    furnish(rootfs);
}

/// A container that runs [`SCRIPT`], when it has made its file.
struct Made {
    run: Running,
    /// The host's id of its root.
    first: u32,
}

/// Runs a bundle up to where its file is made, and checks what it is like inside.
fn make(site: &Site, bundle: &Bundle, policy: &str) -> Made {
    let mut run = Running::start(site.run(bundle, &site.id("a")).args(["--shift-policy", policy]));
    let uids = uid_map(&run.line()).expect("a mapping");
    let gids = uid_map(&run.line()).expect("a mapping");
    assert_eq!(uids, [0, site.ids().start, 65_536]);
    assert_eq!(gids, uids);
    assert_eq!([run.line(), run.line(), run.line(), run.line()], ["0:0", "0:0", "0:0", "1000:1001"]);
    assert_eq!(run.line(), "done");
    Made { run, first: uids[1] }
}

/// The host's root owns the rootfs before and after; `on_disk` is who owns it meanwhile.
fn roots_rootfs_is_as_it_was(kind: Kind, policy: &str, shift: &str, on_disk: impl FnOnce(u32) -> u32) {
    let site = Site::new(1);
    let ground = Ground::new(kind, everything);
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), SCRIPT);
    let before = snapshot(kind, ground.rootfs());
    let made = make(&site, &bundle, policy);
    assert_eq!(site.row(&site.id("a"))["shift"], shift);
    let meanwhile = on_disk(made.first);
    assert_eq!(owner(ground.rootfs()), (meanwhile, meanwhile), "while the container runs");
    assert_eq!(made.run.end().code(), 0);
    assert_eq!(owner(&ground.rootfs().join("tmp/made")), (0, 0));
    before.assert_same(&snapshot(kind, ground.rootfs()), "after the run");
    site.assert_nothing_left("after the run");
}

/// The rootfs but for what the script makes.
fn snapshot(kind: Kind, rootfs: &Path) -> Snapshot {
    let snapshot = Snapshot::of(rootfs).without("tmp/made");
    if matches!(kind, Kind::Overlay | Kind::NestedOverlay) { snapshot.without_links() } else { snapshot }
}

#[test]
fn ext4_is_id_mapped() {
    roots_rootfs_is_as_it_was(Kind::Ext4, "prefer-id-mapped", "IDMappedMount", |_| 0);
}

#[test]
fn tmpfs_is_id_mapped() {
    roots_rootfs_is_as_it_was(Kind::Tmpfs, "prefer-id-mapped", "IDMappedMount", |_| 0);
}

#[test]
fn overlayfs_is_id_mapped_by_its_layers_under_either_policy() {
    for policy in ["prefer-id-mapped", "reference"] {
        roots_rootfs_is_as_it_was(Kind::Overlay, policy, "IDMappedMount", |_| 0);
    }
}

#[test]
fn ext4_is_chowned_and_chowned_back() {
    roots_rootfs_is_as_it_was(Kind::Ext4, "reference", "Chown", |first| first);
}

#[test]
fn tmpfs_is_chowned_and_chowned_back() {
    roots_rootfs_is_as_it_was(Kind::Tmpfs, "reference", "Chown", |first| first);
}

#[test]
fn overlayfs_with_a_layer_that_cannot_be_id_mapped_is_chowned_and_chowned_back() {
    roots_rootfs_is_as_it_was(Kind::NestedOverlay, "prefer-id-mapped", "Chown", |first| first);
}

#[test]
fn every_name_of_a_file_has_its_owner_inside_whatever_the_shift() {
    for (kind, policy) in [
        (Kind::Ext4, "prefer-id-mapped"),
        (Kind::Ext4, "reference"),
        (Kind::Overlay, "prefer-id-mapped"),
        (Kind::NestedOverlay, "prefer-id-mapped"),
    ] {
        let site = Site::new(1);
        let ground = Ground::new(kind, everything);
        let script = "stat -c %u:%g:%a /kept/linked /kept/link /kept/set-id";
        let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), script);
        let outcome = finish(site.run(&bundle, &site.id("a")).args(["--shift-policy", policy]));
        assert_eq!(outcome.success(), "0:4:644\n0:4:644\n0:0:6755\n", "{kind:?}, {policy}");
    }
}

#[test]
fn the_layers_of_an_id_mapped_overlay_are_roots_on_disk_and_the_lower_one_is_not_touched() {
    let site = Site::new(1);
    let ground = Ground::new(Kind::Overlay, everything);
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), SCRIPT);
    let lower = Snapshot::of(&ground.whole().join("rootfs"));
    let made = make(&site, &bundle, "prefer-id-mapped");
    assert_eq!(made.run.end().code(), 0);
    lower.assert_same(&Snapshot::of(&ground.whole().join("rootfs")), "the lower layer after the run");
    assert_eq!(owner(&ground.whole().join("outer-upper/tmp/made")), (0, 0));
    assert_eq!(
        Snapshot::of(&ground.whole()).count_from(site.ids().start),
        0,
        "nothing belongs to the container"
    );
}

/// A rootfs that belongs to the ids that the spec maps needs no shift.
fn own_rootfs_is_not_shifted(kind: Kind) {
    let site = Site::new(1);
    let first = site.ids().start;
    let ground = Ground::new(kind, |rootfs| {
        busybox(rootfs);
        fs::create_dir(rootfs.join("kept")).expect("made");
        fs::write(rootfs.join("kept/of a user"), "").expect("made");
        std::os::unix::fs::lchown(rootfs.join("kept/of a user"), Some(1000), Some(1001)).expect("root may");
        shift_owners(rootfs, first);
    });
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), SCRIPT).with_mapping(first);
    let before = snapshot(kind, ground.rootfs());
    let made = make(&site, &bundle, "prefer-id-mapped");
    let row = site.row(&site.id("a"));
    assert_eq!(
        (&row["shift"], &row["uids"]),
        (&"NoShift".into(), &format!("{first}-{}", first + 65_535).into())
    );
    assert_eq!(made.run.end().code(), 0);
    assert_eq!(owner(&ground.rootfs().join("tmp/made")), (first, first));
    before.assert_same(&snapshot(kind, ground.rootfs()), "after the run");
    site.assert_nothing_left("after the run");
}

#[test]
fn ext4_that_the_containers_root_owns_is_not_shifted() {
    own_rootfs_is_not_shifted(Kind::Ext4);
}

#[test]
fn tmpfs_that_the_containers_root_owns_is_not_shifted() {
    own_rootfs_is_not_shifted(Kind::Tmpfs);
}

#[test]
fn overlayfs_that_the_containers_root_owns_is_not_shifted() {
    own_rootfs_is_not_shifted(Kind::Overlay);
}

#[test]
fn what_is_mounted_below_a_rootfs_is_left_out_whatever_the_shift() {
    for policy in ["prefer-id-mapped", "reference"] {
        let site = Site::new(1);
        let ground = Ground::new(Kind::Ext4, |rootfs| {
            busybox(rootfs);
            fs::create_dir(rootfs.join("below")).expect("made");
        });
        let below = Mounted::writable(&ground.rootfs().join("below"));
        fs::write(ground.rootfs().join("below/file"), "").expect("written");
        let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), "ls /below; echo done");
        let outcome = finish(site.run(&bundle, &site.id("a")).args(["--shift-policy", policy]));
        assert_eq!(outcome.success(), "done\n", "{policy}");
        assert!(ground.rootfs().join("below/file").exists(), "it is still mounted");
        drop(below);
        site.assert_nothing_left(policy);
    }
}
