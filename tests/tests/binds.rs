//! Bind mounts of a spec: the host's root is root inside, whatever the shift of the rootfs. Needs root.

#![expect(clippy::expect_used, reason = "a test may fail by a panic, also in its helpers")]

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, lchown},
    path::Path,
};

use sysbox_tests::{Bundle, Ground, Kind, Site, Snapshot, busybox, finish};

const POLICIES: [&str; 2] = ["prefer-id-mapped", "reference"];

/// A directory with files of root and of a user that nobody else may read.
fn fill(dir: &Path) {
    for (name, id) in [("of root", 0), ("of a user", 1000)] {
        let path = dir.join(name);
        fs::write(&path, format!("{name}\n")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("root may");
        lchown(&path, Some(id), Some(id)).expect("root may");
    }
}

#[test]
fn a_directory_is_the_hosts_with_its_owners() {
    for policy in POLICIES {
        let site = Site::new(1);
        let source = site.dir("source");
        fill(&source);
        let before = Snapshot::of(&source);
        let ground = Ground::new(Kind::Ext4, busybox);
        let script = "cd /mnt; cat 'of root' 'of a user'; stat -c %u:%g . 'of root' 'of a user'; touch made";
        let bundle =
            Bundle::new(&ground.bundle(), ground.rootfs(), script).with_bind(&source, "/mnt", &["rbind"]);
        let output = finish(site.run(&bundle, &site.id("a")).args(["--shift-policy", policy])).success();
        assert_eq!(output, "of root\nof a user\n0:0\n0:0\n1000:1000\n", "{policy}");
        assert_eq!(fs::metadata(source.join("made")).expect("made inside").uid(), 0, "{policy}");
        before.without("made").assert_same(&Snapshot::of(&source).without("made"), policy);
        site.assert_nothing_left("after the run");
    }
}

#[test]
fn a_file_is_the_hosts_and_can_be_made_read_only() {
    for policy in POLICIES {
        let site = Site::new(1);
        let source = site.dir("source");
        fill(&source);
        let before = Snapshot::of(&source);
        let ground = Ground::new(Kind::Tmpfs, busybox);
        let script = "cat /etc/given; stat -c %u:%g /etc/given; echo more >> /etc/given || echo refused";
        let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), script);
        let bundle = bundle.with_bind(&source.join("of root"), "/etc/given", &["bind", "ro"]);
        let outcome = finish(site.run(&bundle, &site.id("a")).args(["--shift-policy", policy]));
        assert_eq!(outcome.success(), "of root\n0:0\nrefused\n", "{policy}");
        before.assert_same(&Snapshot::of(&source), policy);
        site.assert_nothing_left("after the run");
    }
}

#[test]
fn what_is_mounted_below_a_source_comes_along_with_rbind_alone() {
    let site = Site::new(1);
    // An overlay, so that the source has a mount of its own below it, and one that cannot be ID-mapped.
    let below = Ground::new(Kind::Overlay, |layer| fs::write(layer.join("below"), "").expect("written"));
    let source = below.rootfs().parent().expect("the directory that it is mounted in");
    let ground = Ground::new(Kind::Ext4, busybox);
    let seen = |options: &[&str]| {
        let script = "ls /mnt/outer";
        let bundle =
            Bundle::new(&ground.bundle(), ground.rootfs(), script).with_bind(source, "/mnt", options);
        finish(&mut site.run(&bundle, &site.id("a"))).success()
    };
    assert_eq!(seen(&["rbind"]), "below\nfrom-outer-upper\n");
    assert_eq!(seen(&["bind"]), "");
    site.assert_nothing_left("after two runs");
}

#[test]
fn a_relative_source_is_below_the_bundle() {
    let site = Site::new(1);
    let ground = Ground::new(Kind::Ext4, busybox);
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), "cat /mnt/given");
    let bundle = bundle.with_bind(Path::new("data"), "/mnt", &["bind"]);
    fs::create_dir(bundle.dir().join("data")).expect("made");
    fs::write(bundle.dir().join("data/given"), "it is\n").expect("written");
    assert_eq!(finish(&mut site.run(&bundle, &site.id("a"))).success(), "it is\n");
}

#[test]
fn a_device_stays_one() {
    let site = Site::new(1);
    let ground = Ground::new(Kind::Ext4, busybox);
    let bundle =
        Bundle::new(&ground.bundle(), ground.rootfs(), "echo gone > /dev/kmsg; stat -c '%F %t %T' /dev/kmsg");
    let bundle = bundle.with_bind(Path::new("/dev/null"), "/dev/kmsg", &["bind"]);
    assert_eq!(finish(&mut site.run(&bundle, &site.id("a"))).success(), "character special file 1 3\n");
}

#[test]
fn a_source_that_is_not_there_is_named_and_everything_is_undone() {
    let site = Site::new(1);
    let ground = Ground::new(Kind::Ext4, busybox);
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), "").with_bind(
        Path::new("/nowhere"),
        "/mnt",
        &["bind"],
    );
    let before = Snapshot::of(ground.rootfs());
    finish(&mut site.run(&bundle, &site.id("a"))).failure(1, &["/nowhere", "mounts[", "].source"]);
    before.assert_same(&Snapshot::of(ground.rootfs()), "after the refusal");
    site.assert_nothing_left("after the refusal");
}

#[test]
fn links_are_not_followed_in_a_mount_that_says_so() {
    let site = Site::new(1);
    let source = site.dir("source");
    fs::write(source.join("file"), "told\n").expect("written");
    std::os::unix::fs::symlink("file", source.join("link")).expect("made");
    let ground = Ground::new(Kind::Tmpfs, busybox);
    let script = "cat /mnt/file; cat /mnt/link || echo refused";
    for (option, told) in [("nosymfollow", "told\nrefused\n"), ("symfollow", "told\ntold\n")] {
        let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), script);
        let bundle = bundle.with_bind(&source, "/mnt", &["bind", option]);
        assert_eq!(finish(&mut site.run(&bundle, &site.id("a"))).success(), told);
    }
    site.assert_nothing_left("after the runs");
}
