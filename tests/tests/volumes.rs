//! Special directories of a container, such as Docker's: what the rootfs has there is seen inside, and what the container makes
//! of it is in the rootfs when it has ended, whatever the shift. Needs root.

#![expect(clippy::expect_used, reason = "a test may fail by a panic, also in its helpers")]

use std::{
    fs,
    os::unix::fs::{MetadataExt, lchown, symlink},
    path::Path,
    process::Stdio,
};

use serde_json::json;
use sysbox_tests::{Bundle, Ground, Kind, Running, Site, Snapshot, busybox, finish, path};

const DOCKER: &str = "var/lib/docker";

/// A busybox with something in Docker's directory.
fn with_images(rootfs: &Path) {
    busybox(rootfs);
    let docker = rootfs.join(DOCKER);
    fs::create_dir_all(docker.join("layers")).expect("made");
    for name in ["image", "layers/of a user", "gone"] {
        fs::write(docker.join(name), format!("{name}\n")).expect("written");
    }
    lchown(docker.join("layers/of a user"), Some(1000), Some(1001)).expect("root may");
}

fn owner(path: &Path) -> (u32, u32) {
    let metadata = fs::symlink_metadata(path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
    (metadata.uid(), metadata.gid())
}

fn contents(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{path:?}: {e}"))
}

/// The rootfs but for Docker's directory, the numbers of links and the times of directories.
fn elsewhere(rootfs: &Path) -> Snapshot {
    Snapshot::of(rootfs).without(DOCKER).without_links().without_times_of_directories()
}

/// Runs a container that works in Docker's directory, and checks what it sees and what becomes of it.
fn what_is_made_of_a_volume_is_in_the_rootfs(kind: Kind, policy: &str, shift: &str) {
    let site = Site::new(1);
    let ground = Ground::new(kind, with_images);
    let script = "grep -c ' /var/lib/docker ' /proc/mounts
        cd /var/lib/docker
        stat -c %u:%g . image 'layers/of a user'
        cat image
        echo changed > image
        echo new > new; chown 7:8 new
        rm gone
        echo done; cat";
    let script = script
        .replace("grep", "busybox grep")
        .replace("chown", "busybox chown")
        .replace("rm ", "busybox rm ");
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), &script);
    let before = elsewhere(ground.rootfs());
    let mut run = Running::start(site.run(&bundle, &site.id("a")).args(["--shift-policy", policy]));
    let told: Vec<_> = (0..6).map(|_| run.line()).collect();
    assert_eq!(told, ["1", "0:0", "0:0", "1000:1001", "image", "done"], "{kind:?}, {policy}");
    assert_eq!(site.row(&site.id("a"))["shift"], shift);
    let ended = run.end();
    assert_eq!((ended.code(), &*ended.stderr), (0, ""), "{kind:?}, {policy}");
    let docker = ground.rootfs().join(DOCKER);
    assert_eq!(contents(&docker.join("image")), "changed\n");
    assert_eq!(contents(&docker.join("new")), "new\n");
    assert_eq!(contents(&docker.join("layers/of a user")), "layers/of a user\n");
    assert!(!docker.join("gone").exists(), "what the container removed is there");
    let owners = ["", "image", "new", "layers/of a user"].map(|name| owner(&docker.join(name)));
    assert_eq!(owners, [(0, 0), (0, 0), (7, 8), (1000, 1001)], "{kind:?}, {policy}");
    before.assert_same(&elsewhere(ground.rootfs()), "the rest of the rootfs");
    site.assert_nothing_left("after the run");
}

#[test]
fn in_an_id_mapped_rootfs() {
    what_is_made_of_a_volume_is_in_the_rootfs(Kind::Ext4, "prefer-id-mapped", "IDMappedMount");
}

#[test]
fn in_an_id_mapped_overlay() {
    what_is_made_of_a_volume_is_in_the_rootfs(Kind::Overlay, "prefer-id-mapped", "IDMappedMount");
}

#[test]
fn in_a_rootfs_that_is_chowned() {
    what_is_made_of_a_volume_is_in_the_rootfs(Kind::Ext4, "reference", "Chown");
}

#[test]
fn in_an_overlay_that_is_cloned_and_its_clone_chowned() {
    what_is_made_of_a_volume_is_in_the_rootfs(Kind::OverlayOnRamfs, "prefer-id-mapped", "Chown");
}

#[test]
fn in_an_overlay_that_cannot_be_cloned_and_is_chowned_itself() {
    what_is_made_of_a_volume_is_in_the_rootfs(Kind::NestedOverlay, "prefer-id-mapped", "Chown");
}

#[test]
fn what_a_container_writes_to_a_clone_is_in_the_rootfs_and_no_file_that_it_left_alone_is_copied_up() {
    let site = Site::embedded(1);
    let ground = Ground::new(Kind::OverlayOnRamfs, busybox);
    let script = "stat -c %u:%g /bin/busybox /tmp; echo made > /tmp/made; echo up; cat";
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), script);
    let mut run = Running::start(&mut site.run(&bundle, &site.id("a")));
    assert_eq!([run.line(), run.line(), run.line()], ["0:0", "0:0", "up"]);
    let row = site.row(&site.id("a"));
    assert_eq!((&row["shift"], &row["cloned"]), (&json!("Chown"), &json!(true)));
    let upper = ground.whole().join("outer-upper");
    assert!(!upper.join("bin").exists(), "the whole rootfs was copied up");
    assert_eq!(run.end().code(), 0);
    assert_eq!(owner(&upper.join("tmp/made")), (0, 0));
    assert_eq!(contents(&ground.rootfs().join("tmp/made")), "made\n");
    assert_eq!(
        Snapshot::of(&ground.whole()).count_from(site.ids().start),
        0,
        "nothing belongs to the container"
    );
    site.assert_nothing_left("after the run");
}

#[test]
fn a_clone_whose_runtime_was_killed_is_undone_by_delete_and_by_the_next_run() {
    let site = Site::new(1);
    let ground = Ground::new(Kind::OverlayOnRamfs, with_images);
    let script = "echo more >> /var/lib/docker/image; echo up; cat";
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), script);
    let id = site.id("a");
    let before = elsewhere(ground.rootfs());
    for nth in 0..2 {
        let mut run = Running::start(&mut site.run(&bundle, &id));
        assert_eq!(run.line(), "up");
        run.kill();
        if nth == 0 {
            assert_eq!(site.delete(&id).code(), 0);
        } else {
            assert_eq!(finish(&mut site.run(&bundle, &id)).success(), "up\n");
        }
        before.assert_same(&elsewhere(ground.rootfs()), "after it was cleaned up");
        site.assert_nothing_left("after it was cleaned up");
    }
    assert_eq!(contents(&ground.rootfs().join(DOCKER).join("image")), "image\nmore\nmore\nmore\n");
}

#[test]
fn a_rootfs_gets_no_special_directory_that_it_does_not_have() {
    let site = Site::new(1);
    let ground = Ground::new(Kind::Ext4, |rootfs| {
        busybox(rootfs);
        fs::create_dir_all(rootfs.join("var/lib")).expect("made");
        fs::write(rootfs.join(DOCKER), "a file").expect("written");
    });
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), "cat /var/lib/docker; ls /var/lib");
    let before = Snapshot::of(ground.rootfs());
    let ran = finish(&mut site.run(&bundle, &site.id("a")));
    assert_eq!(ran.success(), "a filedocker\n");
    before.assert_same(&Snapshot::of(ground.rootfs()), "after the run");
    site.assert_nothing_left("after the run");
}

#[test]
fn what_the_spec_mounts_at_a_special_directory_or_above_it_is_there_in_place_of_a_volume() {
    for destination in ["/var/lib/docker", "/var/lib"] {
        let site = Site::new(1);
        let ground = Ground::new(Kind::Ext4, with_images);
        let source = site.dir("source");
        fs::create_dir(source.join("docker")).expect("made");
        fs::write(source.join("file"), "").expect("written");
        let script = format!("ls {destination}; echo > {destination}/made; echo up; cat");
        let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), &script);
        let bundle = bundle.with_bind(&source, destination, &["rbind"]);
        let before = Snapshot::of(ground.rootfs());
        let mut run = Running::start(&mut site.run(&bundle, &site.id("a")));
        assert_eq!([run.line(), run.line(), run.line()], ["docker", "file", "up"]);
        assert_eq!(site.row(&site.id("a"))["volumes"], json!([]));
        assert_eq!(run.end().code(), 0);
        before.assert_same(&Snapshot::of(ground.rootfs()), destination);
        assert_eq!(owner(&source.join("made")), (0, 0), "{destination}");
        site.assert_nothing_left(destination);
    }
}

#[test]
fn the_source_of_a_mount_at_a_special_directory_is_prepared() {
    let site = Site::embedded(1);
    let ground = Ground::new(Kind::Ext4, with_images);
    let source = site.dir("source");
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), "echo up; cat");
    let bundle = bundle.with_bind(&source, "/var/lib/docker", &["rbind"]);
    let mut run = Running::start(&mut site.run(&bundle, &site.id("a")));
    assert_eq!(run.line(), "up");
    assert_eq!(site.row(&site.id("a"))["prepared"], json!([path(&source)]));
    assert_eq!(run.end().code(), 0);
    site.assert_nothing_left("after the run");
}

#[test]
fn what_the_spec_mounts_below_a_special_directory_is_seen_in_the_volume() {
    let site = Site::new(1);
    let ground = Ground::new(Kind::Ext4, with_images);
    let source = site.dir("source");
    fs::write(source.join("mounted"), "").expect("written");
    let bundle = Bundle::new(
        &ground.bundle(),
        ground.rootfs(),
        "ls /var/lib/docker/layers; cat /var/lib/docker/image",
    );
    let bundle = bundle.with_bind(&source, "/var/lib/docker/layers", &["rbind"]);
    assert_eq!(finish(&mut site.run(&bundle, &site.id("a"))).success(), "mounted\nimage\n");
    let below = ground.rootfs().join(DOCKER).join("layers/of a user");
    assert_eq!(owner(&below), (1000, 1001), "what is mounted over in the container is kept");
    site.assert_nothing_left("after the run");
}

#[test]
fn a_volume_in_a_read_only_rootfs_is_read_only() {
    let site = Site::new(1);
    let ground = Ground::new(Kind::Ext4, with_images);
    let script = "cat /var/lib/docker/image; { echo > /var/lib/docker/new; } 2>/dev/null || echo refused";
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), script).with("/root/readonly", json!(true));
    let snapshot = || Snapshot::of(ground.rootfs()).without_times_of_directories();
    let before = snapshot();
    assert_eq!(finish(&mut site.run(&bundle, &site.id("a"))).success(), "image\nrefused\n");
    before.assert_same(&snapshot(), "after the run");
    site.assert_nothing_left("after the run");
}

#[test]
fn a_special_directory_may_be_a_link_in_the_rootfs_and_never_leads_out_of_it() {
    let site = Site::new(1);
    let outside = site.dir("outside");
    fs::write(outside.join("sentinel"), "").expect("written");
    let ground = Ground::new(Kind::Ext4, |rootfs| {
        busybox(rootfs);
        fs::create_dir_all(rootfs.join("var/lib")).expect("made");
        fs::create_dir(rootfs.join("data")).expect("made");
        fs::write(rootfs.join("data/image"), "image\n").expect("written");
        symlink("../../data", rootfs.join(DOCKER)).expect("made");
        symlink(&outside, rootfs.join("var/lib/kubelet")).expect("made");
        symlink("buildkit", rootfs.join("var/lib/buildkit")).expect("made");
    });
    let before = Snapshot::of(&outside);
    let script = "cat /var/lib/docker/image; echo new > /var/lib/docker/new";
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), script);
    assert_eq!(finish(&mut site.run(&bundle, &site.id("a"))).success(), "image\n");
    assert_eq!(contents(&ground.rootfs().join("data/new")), "new\n");
    assert!(
        ground.rootfs().join(DOCKER).is_symlink() && ground.rootfs().join("var/lib/kubelet").is_symlink()
    );
    before.assert_same(&Snapshot::of(&outside), "what a link of the rootfs leads to on the host");
    site.assert_nothing_left("after the run");
}

#[test]
fn volumes_are_listed_with_their_sizes_and_told_of_by_status() {
    let site = Site::embedded(1);
    let ground = Ground::new(Kind::Ext4, |rootfs| {
        with_images(rootfs);
        fs::create_dir(rootfs.join("var/lib/kubelet")).expect("made");
        fs::write(rootfs.join(DOCKER).join("big"), vec![1; 3 << 20]).expect("written");
    });
    let id = site.id("a");
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), "echo up; cat");
    let mut run = Running::start(&mut site.run(&bundle, &id));
    assert_eq!(run.line(), "up");
    let row = site.row(&id);
    let volumes = row["volumes"].as_array().expect("an array");
    let told: Vec<_> = volumes.iter().map(|volume| (&volume["kind"], &volume["destination"])).collect();
    assert_eq!(
        told,
        [
            (&json!("var-lib-docker"), &json!("/var/lib/docker")),
            (&json!("var-lib-kubelet"), &json!("/var/lib/kubelet"))
        ]
    );
    for (volume, inodes) in volumes.iter().zip([6, 1]) {
        let place = Path::new(volume["path"].as_str().expect("a path"));
        assert!(place.starts_with(site.data_root()) && place.is_dir(), "{volume}");
        assert_eq!(volume["inodes"], inodes, "{volume}");
        assert!(volume["synced"].is_null() || volume["synced"].is_u64(), "{volume}");
    }
    let bytes = volumes[0]["bytes"].as_u64().expect("a number");
    assert!((3 << 20..4 << 20).contains(&bytes), "{bytes}");

    let json = finish(site.command("status").args(["--json", &id])).success();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).expect("JSON"), site.row(&id));
    let table = finish(&mut site.command("list")).success();
    assert!(
        table.lines().any(|line| line.trim_start().starts_with(&id) && line.contains(" 2, 3.")),
        "{table}"
    );
    let text = finish(site.command("status").arg(&id)).success();
    for line in [
        format!("container  {id}"),
        "status     running".to_owned(),
        "shift      IDMappedMount".to_owned(),
        format!("rootfs     {}", path(ground.rootfs())),
    ] {
        assert!(text.lines().any(|told| told == line), "{line:?} is not told in: {text}");
    }
    let of_docker = text
        .lines()
        .find(|line| line.trim_start().starts_with("/var/lib/docker "))
        .expect("a row of a table");
    assert!(
        of_docker.contains("MiB") && of_docker.contains(volumes[0]["path"].as_str().expect("a path")),
        "{text}"
    );
    assert_eq!(run.end().code(), 0);
    site.assert_nothing_left("after the run");
}

#[test]
fn a_volume_that_does_not_fit_back_is_kept_and_told_of_and_copied_back_by_repair() {
    let site = Site::embedded(1);
    let ground = Ground::new(Kind::Ext4, with_images);
    let ballast = ground.whole().join("ballast");
    fs::write(&ballast, vec![1; 60 << 20]).expect("it fits");
    let id = site.id("a");
    let script = "busybox dd if=/dev/zero of=/var/lib/docker/big bs=1M count=50 2>/dev/null";
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), script);
    let before = elsewhere(ground.rootfs());
    let repair = format!("sysbox repair --data-root {}", path(&site.data_root()));
    let kept = path(&site.data_root()).to_owned();
    let run = finish(&mut site.run(&bundle, &id));
    run.failure(
        1,
        &["was not cleaned up", "No space left", "sysbox delete --force", &repair, &kept, "/var/lib/docker"],
    );

    let row = site.row(&id);
    assert_eq!(row["unfinished"]["left"], "while it was being stopped", "{row}");
    let path_of_big = Path::new(row["volumes"][0]["path"].as_str().expect("a volume")).join("big");
    assert_eq!(fs::metadata(&path_of_big).expect("it is kept").len(), 50 << 20);
    let status = finish(site.command("status").arg(&id)).success();
    assert!(status.contains("while it was being stopped") && status.contains(&repair), "{status}");
    let failed = finish(&mut site.command("repair"));
    assert_eq!(failed.code(), 1, "{failed:?}");
    assert!(
        failed.stdout.contains(&format!("container {id} was left while it was being stopped: failed")),
        "{failed:?}"
    );

    fs::remove_file(&ballast).expect("there");
    let repaired = finish(&mut site.command("repair")).success();
    assert_eq!(repaired, format!("container {id} was left while it was being stopped: finished\n"));
    assert_eq!(fs::metadata(ground.rootfs().join(DOCKER).join("big")).expect("copied back").len(), 50 << 20);
    finish(site.command("delete").arg(&id)).success();
    before.assert_same(&elsewhere(ground.rootfs()), "after it was repaired and deleted");
    site.assert_nothing_left("after it was repaired and deleted");
}

#[test]
fn who_may_have_volumes_of_a_rootfs_has_it_alone() {
    let site = Site::new(2);
    let ground = Ground::new(Kind::Ext4, |rootfs| {
        busybox(rootfs);
        fs::create_dir_all(rootfs.join(DOCKER)).expect("made");
    });
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), "echo up; cat > /var/lib/docker/log");
    for (of_first, of_second) in
        [(vec!["--no-volumes"], vec![]), (vec![], vec!["--no-volumes"]), (vec![], vec![])]
    {
        let mut first = Running::start(site.run(&bundle, &site.id("a")).args(&of_first));
        assert_eq!(first.line(), "up");
        for policy in ["prefer-id-mapped", "reference"] {
            let mut second = site.run(&bundle, &site.id("b"));
            let second = finish(second.args(&of_second).args(["--shift-policy", policy]));
            second.failure(1, &["in use by container", &site.id("a")]);
        }
        first.send("written meanwhile\n");
        assert_eq!(first.end().code(), 0);
        assert_eq!(
            contents(&ground.rootfs().join(DOCKER).join("log")),
            "written meanwhile\n",
            "{of_first:?}"
        );
    }
    let without = |name| site.run(&bundle, &site.id(name)).arg("--no-volumes").stdin(Stdio::null()).output();
    let mut first = Running::start(site.run(&bundle, &site.id("a")).arg("--no-volumes"));
    assert_eq!(first.line(), "up");
    assert!(without("b").expect("it runs").status.success(), "two can be on it where neither has a volume");
    assert_eq!(first.end().code(), 0);
    site.assert_nothing_left("after all");
}
