//! What is made in a rootfs so that something can be mounted there, and the entries that a manager wants in it: they are there while a
//! container needs them, and gone when it has ended, but for what it has put into them. Needs root.

#![expect(clippy::expect_used, reason = "a test may fail by a panic, also in its helpers")]

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;
use sysbox_tests::{
    Bundle, Ground, Kind, Running, Site, Snapshot, busybox, finish, furnish, path, shift_owners,
};

const DOCKER: &str = "var/lib/docker";

/// A busybox with nothing to mount at.
fn bare(rootfs: &Path) {
    busybox(rootfs);
    for dir in ["proc", "sys", "dev"] {
        fs::remove_dir(rootfs.join(dir)).expect("it is empty");
    }
}

/// All of a rootfs but for the numbers of links, which on overlayfs are those of a layer.
fn snapshot(rootfs: &Path) -> Snapshot {
    Snapshot::of(rootfs).without_links()
}

/// A file and a directory of the host at places that the rootfs does not have.
fn with_binds(bundle: Bundle, site: &Site) -> Bundle {
    let source = site.dir("source");
    fs::write(source.join("file"), "of the host\n").expect("written");
    let bundle = bundle.with_bind(&source.join("file"), "/opt/deep/file", &["bind"]);
    bundle.with_bind(&source, "/opt/deep/dir", &["rbind"])
}

const SCRIPT: &str = "busybox grep -c ' /var/lib/docker ' /proc/mounts
    cat /opt/deep/file /opt/deep/dir/file
    stat -c %u:%g:%a /opt /opt/deep
    echo up
    cat";

fn nothing_is_left_of_mount_points(kind: Kind, policy: &str, shift: &str) {
    let site = Site::new(1);
    let first = site.ids().start;
    let is_own = shift == "NoShift";
    let ground = Ground::new(kind, |rootfs| {
        bare(rootfs);
        // ramfs has no attributes.
        if kind != Kind::OverlayOnRamfs {
            furnish(rootfs);
        }
        if is_own {
            shift_owners(rootfs, first);
        }
    });
    let bundle = with_binds(Bundle::new(&ground.bundle(), ground.rootfs(), SCRIPT), &site);
    let bundle = if is_own { bundle.with_mapping(first) } else { bundle };
    let before = snapshot(ground.rootfs());
    let mut run = Running::start(site.run(&bundle, &site.id("a")).args(["--shift-policy", policy]));
    let told: Vec<_> = (0..6).map(|_| run.line()).collect();
    // Elsewhere an inner Docker can have its overlays in the rootfs.
    let volumes = if kind == Kind::Ext4 { "0" } else { "1" };
    let expected = [volumes, "of the host", "of the host", "0:0:755", "0:0:755", "up"];
    assert_eq!(told, expected, "{kind:?}, {policy}");
    assert_eq!(site.row(&site.id("a"))["shift"], shift, "{kind:?}, {policy}");
    assert_eq!(run.end().code(), 0);
    before.assert_same(&snapshot(ground.rootfs()), "after the run");
    site.assert_nothing_left("after the run");
}

#[test]
fn an_id_mapped_rootfs_is_as_it_was() {
    nothing_is_left_of_mount_points(Kind::Ext4, "prefer-id-mapped", "IDMappedMount");
}

#[test]
fn an_id_mapped_overlay_is_as_it_was() {
    nothing_is_left_of_mount_points(Kind::Overlay, "prefer-id-mapped", "IDMappedMount");
}

#[test]
fn a_rootfs_that_is_chowned_is_as_it_was() {
    nothing_is_left_of_mount_points(Kind::Ext4, "reference", "Chown");
}

#[test]
fn an_overlay_that_is_cloned_is_as_it_was() {
    nothing_is_left_of_mount_points(Kind::OverlayOnRamfs, "prefer-id-mapped", "Chown");
}

#[test]
fn an_overlay_that_is_chowned_is_as_it_was() {
    nothing_is_left_of_mount_points(Kind::NestedOverlay, "prefer-id-mapped", "Chown");
}

#[test]
fn a_rootfs_that_the_containers_root_owns_is_as_it_was() {
    nothing_is_left_of_mount_points(Kind::Ext4, "prefer-id-mapped", "NoShift");
}

#[test]
fn what_a_container_puts_into_a_special_directory_that_the_rootfs_had_not_is_there_afterwards() {
    for kind in [Kind::Overlay, Kind::OverlayOnRamfs] {
        let site = Site::new(1);
        let ground = Ground::new(kind, busybox);
        let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), "echo image > /var/lib/docker/image");
        let before = snapshot(ground.rootfs());
        finish(&mut site.run(&bundle, &site.id("a"))).success();
        let image = ground.rootfs().join(DOCKER).join("image");
        assert_eq!(fs::read_to_string(&image).expect("it is copied back"), "image\n", "{kind:?}");
        let names = |dir: &str| -> Vec<_> {
            let entries = fs::read_dir(ground.rootfs().join(dir)).expect("readable");
            entries.map(|entry| entry.expect("readable").file_name()).collect()
        };
        assert_eq!((names("var"), names("var/lib")), (vec!["lib".into()], vec!["docker".into()]), "{kind:?}");
        before
            .without("var")
            .assert_same(&snapshot(ground.rootfs()).without("var"), "the rest of the rootfs");
        site.assert_nothing_left("after the run");
    }
}

#[test]
fn who_shares_a_rootfs_keeps_its_mounts_when_another_ends_and_the_last_leaves_nothing() {
    let site = Site::new(2);
    let ground = Ground::new(Kind::Ext4, busybox);
    let before = snapshot(ground.rootfs());
    let source = site.dir("source");
    fs::write(source.join("file"), "of the host\n").expect("written");
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), "echo up; read x; cat /var/lib/file; cat");
    // With a mount above them it has no volumes, which only one of two could have.
    let bundle = bundle.with_bind(&source, "/var/lib", &["rbind"]);
    let mut first = Running::start(&mut site.run(&bundle, &site.id("a")));
    assert_eq!(first.line(), "up");
    let mut second = Running::start(&mut site.run(&bundle, &site.id("b")));
    assert_eq!(second.line(), "up");
    assert_eq!(first.end().code(), 0);
    assert!(ground.rootfs().join("var/lib").is_dir(), "it is another's too");
    second.send("\n");
    assert_eq!(second.line(), "of the host");
    assert_eq!(second.end().code(), 0);
    before.assert_same(&snapshot(ground.rootfs()), "after both");
    assert!(source.join("file").exists(), "what was mounted is as it was");
    site.assert_nothing_left("after both");
}

#[test]
fn a_container_of_another_data_root_keeps_its_mounts_also_when_its_runtime_has_died() {
    let (site, other, ground) = (Site::new(1), Site::new(1), Ground::new(Kind::Ext4, bare));
    let source = site.dir("source");
    // With a mount above them it has no volumes, which only one of two could have.
    let bundle = |dir: &Path, script| {
        Bundle::new(dir, ground.rootfs(), script).with_bind(&source, "/var/lib", &["rbind"])
    };
    // It makes what the other one finds.
    let mut first = Running::start(&mut site.run(&bundle(&site.dir("a"), "echo up; cat"), &site.id("a")));
    assert_eq!(first.line(), "up");
    let script = "echo up; read x; busybox grep -c -E ' /(proc|dev|var/lib) ' /proc/mounts; cat";
    let mut second = Running::start(&mut other.run(&bundle(&other.dir("b"), script), &other.id("b")));
    assert_eq!(second.line(), "up");
    second.signal(Signal::KILL);
    while second.is_running() {
        std::thread::yield_now();
    }
    assert_eq!(first.end().code(), 0);
    second.send("\n");
    assert_eq!(second.line(), "3", "it has all its mounts");
    assert_eq!(other.delete(&other.id("b")).code(), 0);
    other.assert_nothing_left("after it was deleted");
}

#[test]
fn what_a_killed_runtime_left_is_removed_by_delete_and_by_the_next_run() {
    for kind in [Kind::Ext4, Kind::Overlay, Kind::OverlayOnRamfs] {
        let site = Site::new(1);
        let ground = Ground::new(kind, bare);
        let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), "echo up; cat");
        let before = snapshot(ground.rootfs());
        for nth in 0..2 {
            let mut run = Running::start(&mut site.run(&bundle, &site.id("a")));
            assert_eq!(run.line(), "up");
            run.kill();
            if nth == 0 {
                assert_eq!(site.delete(&site.id("a")).code(), 0);
            } else {
                assert_eq!(finish(&mut site.run(&bundle, &site.id("a"))).success(), "up\n");
            }
            before.assert_same(&snapshot(ground.rootfs()), "after it was cleaned up");
            site.assert_nothing_left("after it was cleaned up");
        }
    }
}

#[test]
fn what_is_not_as_it_was_made_stays() {
    let site = Site::new(1);
    let ground = Ground::new(Kind::Ext4, busybox);
    let source = site.dir("source");
    fs::write(source.join("file"), "").expect("written");
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), "echo up; cat");
    let bundle = bundle.with_bind(&source.join("file"), "/opt/file", &["bind"]);
    let bundle = bundle.with_bind(&source.join("file"), "/opt/deep/file", &["bind"]);
    let mut run = Running::start(&mut site.run(&bundle, &site.id("a")));
    assert_eq!(run.line(), "up");
    fs::write(ground.rootfs().join("opt/file"), "of the user").expect("root may");
    fs::write(ground.rootfs().join("opt/kept"), "").expect("root may");
    assert_eq!(run.end().code(), 0);
    assert_eq!(fs::read_to_string(ground.rootfs().join("opt/file")).expect("it stays"), "of the user");
    assert!(ground.rootfs().join("opt/kept").is_file());
    assert!(!ground.rootfs().join("opt/deep").exists(), "it is as it was made");
    site.assert_nothing_left("after the run");
}

#[test]
fn links_of_the_rootfs_lead_to_mount_points_in_it_and_never_out_of_it() {
    let site = Site::new(1);
    let outside = site.dir("outside");
    let ground = Ground::new(Kind::Overlay, |rootfs| {
        busybox(rootfs);
        fs::create_dir_all(rootfs.join("var/lib")).expect("made");
        symlink("../../data/docker", rootfs.join(DOCKER)).expect("made");
        symlink(outside.join("kubelet"), rootfs.join("var/lib/kubelet")).expect("made");
    });
    let before = (snapshot(ground.rootfs()), snapshot(&outside));
    let script = "busybox grep -c ' /data/docker ' /proc/mounts; echo up; cat";
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), script);
    let mut run = Running::start(&mut site.run(&bundle, &site.id("a")));
    assert_eq!([run.line(), run.line()], ["1", "up"]);
    assert!(ground.rootfs().join("data/docker").is_dir());
    assert_eq!(run.end().code(), 0);
    before.0.assert_same(&snapshot(ground.rootfs()), "after the run");
    before.1.assert_same(&snapshot(&outside), "outside");
    site.assert_nothing_left("after the run");
}

#[test]
fn a_mount_goes_where_links_lead_also_below_another_mount_and_leaves_nothing_there() {
    let site = Site::new(1);
    let ground = Ground::new(Kind::Ext4, |rootfs| {
        busybox(rootfs);
        symlink("../run/systemd/resolve/stub-resolv.conf", rootfs.join("etc/resolv.conf")).expect("made");
        symlink("z", rootfs.join("link")).expect("made");
    });
    let before = snapshot(ground.rootfs());
    let source = site.dir("source");
    fs::write(source.join("file"), "of the host\n").expect("written");
    let script = "cat /etc/resolv.conf /run/systemd/resolve/stub-resolv.conf; ls /link; cat";
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), script)
        .with_bind(&source.join("file"), "/etc/resolv.conf", &["bind"])
        .with_bind(&source, "/link/below", &["bind"])
        .with_bind(&source, "/z", &["bind"]);
    let mut run = Running::start(&mut site.run(&bundle, &site.id("a")));
    assert_eq!([run.line(), run.line(), run.line()], ["of the host", "of the host", "file"]);
    assert_eq!(run.end().code(), 0);
    before.assert_same(&snapshot(ground.rootfs()), "after the run");
    site.assert_nothing_left("after the run");
}

/// A mount of a tree that nothing can be written to.
struct ReadOnly(PathBuf);

impl ReadOnly {
    fn new(tree: &Path, at: PathBuf) -> Self {
        mount(&["--bind", path(tree), path(&at)]);
        let mounted = Self(at);
        mount(&["-o", "remount,bind,ro", path(&mounted.0)]);
        mounted
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        // Where it cannot be unmounted the site tells.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn mount(arguments: &[&str]) {
    assert!(Command::new("mount").args(arguments).status().expect("mount(8)").success(), "{arguments:?}");
}

#[test]
fn a_rootfs_that_cannot_be_written_is_run_without_the_special_directories_that_it_has_not() {
    let site = Site::new(1);
    let ground = Ground::new(Kind::Overlay, |rootfs| {
        busybox(rootfs);
        fs::create_dir_all(rootfs.join("var/lib/kubelet")).expect("made");
    });
    let read_only = ReadOnly::new(ground.rootfs(), site.dir("read-only"));
    let script = "ls /var/lib; busybox grep -c ' /var/lib/kubelet ' /proc/mounts";
    let bundle = Bundle::new(&ground.bundle(), &read_only.0, script);
    let before = Snapshot::of(ground.rootfs());
    let ran = finish(site.run(&bundle, &site.id("a")).args(["--log", "info"]));
    let told = |line: &str| line.contains("is not mounted") && line.contains("/var/lib/docker");
    assert!(ran.stderr.lines().any(told), "{ran:?}");
    assert_eq!(ran.success(), "kubelet\n1\n");
    before.assert_same(&Snapshot::of(ground.rootfs()), "after the run");
    drop(read_only);
    site.assert_nothing_left("after the run");
}

#[test]
fn a_mount_of_the_spec_that_has_no_place_is_refused_by_name() {
    let site = Site::new(1);
    let ground = Ground::new(Kind::Ext4, |rootfs| {
        busybox(rootfs);
        fs::write(rootfs.join("file"), "").expect("written");
    });
    let source = site.dir("source");
    let read_only = ReadOnly::new(ground.rootfs(), site.dir("read-only"));
    for (rootfs, destination, reason) in [
        (read_only.0.as_path(), "/opt/dir", "the file system is read-only"),
        (ground.rootfs(), "/file", "something is there that is no directory"),
        (ground.rootfs(), "/file/below", "it is no directory"),
    ] {
        let bundle =
            Bundle::new(&ground.bundle(), rootfs, "echo").with_bind(&source, destination, &["rbind"]);
        let before = snapshot(ground.rootfs());
        let ran = finish(&mut site.run(&bundle, &site.id("a")));
        ran.failure(1, &[&format!("nothing can be mounted at {destination} "), path(rootfs), reason]);
        before.assert_same(&snapshot(ground.rootfs()), destination);
    }
    drop(read_only);
    site.assert_nothing_left("after the runs");
}

/// Where headers of this kernel are in this distribution, and where a rootfs of Fedora has them.
fn headers() -> [String; 2] {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("/proc is mounted");
    ["linux-headers-", "kernels/"].map(|directory| format!("/usr/src/{directory}{}", release.trim()))
}

/// The same command on a host with headers, as it alone sees it.
fn with_headers(command: &Command) -> Command {
    let [ours, _] = headers();
    let script =
        format!("mount -t tmpfs none /usr/src && mkdir {ours} && : > {ours}/Makefile && exec \"$@\"");
    let mut wrapped = Command::new("unshare");
    wrapped.args(["--mount", "sh", "-c", &script, "sh"]);
    wrapped.arg(command.get_program()).args(command.get_args()).env_remove("SYSBOX_LOG");
    wrapped
}

fn fedora(rootfs: &Path) {
    busybox(rootfs);
    fs::write(rootfs.join("etc/os-release"), "ID=fedora\n").expect("written");
}

#[test]
fn a_rootfs_of_another_distribution_leads_to_the_headers_of_the_kernel_as_long_as_it_is_run() {
    let [ours, theirs] = headers();
    for kind in [Kind::Ext4, Kind::Overlay, Kind::OverlayOnRamfs] {
        let site = Site::embedded(1);
        let ground = Ground::new(kind, fedora);
        let before = snapshot(ground.rootfs());
        let script = format!("busybox readlink {theirs}; ls {theirs}; busybox stat -c %u:%g {theirs}; cat");
        let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), &script);
        let mut run = Running::start(&mut with_headers(&site.run(&bundle, &site.id("a"))));
        assert_eq!([run.line(), run.line(), run.line()], [&*ours, "Makefile", "0:0"], "{kind:?}");
        assert_eq!(run.end().code(), 0);
        before.assert_same(&snapshot(ground.rootfs()), "after the run");
        site.assert_nothing_left("after the run");
    }
}

#[test]
fn on_a_read_only_file_system_a_rootfs_of_another_distribution_is_run_without_the_headers() {
    let site = Site::embedded(1);
    let ground = Ground::new(Kind::Ext4, fedora);
    let read_only = ReadOnly::new(ground.rootfs(), site.dir("read-only"));
    let bundle = Bundle::new(&ground.bundle(), &read_only.0, "echo up");
    let ran = finish(&mut with_headers(site.run(&bundle, &site.id("a")).args(["--log", "info"])));
    let told = |line: &str| line.contains("the file system is read-only") && line.contains(&headers()[1]);
    assert!(ran.stderr.lines().any(told), "{ran:?}");
    assert_eq!(ran.success(), "up\n");
    drop(read_only);
    site.assert_nothing_left("after the run");
}

#[test]
fn a_link_that_the_rootfs_has_where_the_manager_wants_one_is_the_users_and_stays() {
    let site = Site::embedded(1);
    let [ours, theirs] = headers();
    let ground = Ground::new(Kind::Ext4, |rootfs| {
        fedora(rootfs);
        fs::create_dir_all(rootfs.join("usr/src/kernels")).expect("made");
        symlink(&ours, rootfs.join(&theirs[1..])).expect("made");
    });
    let before = snapshot(ground.rootfs());
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), &format!("ls {theirs}"));
    let mut run = with_headers(&site.run(&bundle, &site.id("a")));
    assert_eq!(finish(&mut run).success(), "Makefile\n");
    before.assert_same(&snapshot(ground.rootfs()), "after the run");
    site.assert_nothing_left("after the run");
}
