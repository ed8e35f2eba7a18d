//! `sysbox gc`, `repair` and `status` as a user sees them: what they say, what they change, and their exit codes. Needs root.

#![expect(clippy::expect_used, reason = "a test may fail by a panic, also in its helpers")]

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{IFlags, ioctl_getflags, ioctl_setflags},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use serde_json::{Value, json};
use sysbox::{
    AbsPath, ContainerId, IdMappings, MgrPort, MountKind, MountRequest, MountRequests, Registration,
    ShiftType, SubidRequest, blocking::wait,
};
use sysbox_tests::{Bundle, Ground, Kind, Outcome, Running, Site, Transport, busybox, finish, path};

/// A site with a container that another program has registered with its manager: it has ids, and a volume with a file.
struct Stage {
    site: Site,
    id: String,
    rootfs: PathBuf,
}

impl Stage {
    fn new() -> Self {
        let site = Site::embedded(2);
        let rootfs = site.dir("rootfs");
        fs::create_dir_all(rootfs.join("var/lib/docker")).expect("made");
        fs::write(rootfs.join("var/lib/docker/image"), vec![1; 100 << 10]).expect("written");
        let stage = Self { id: site.id("a"), site, rootfs };
        stage.start();
        stage
    }

    fn container(&self) -> ContainerId {
        self.id.parse().expect("valid")
    }

    fn start(&self) {
        let (manager, id) = (self.site.manager(), self.container());
        let none = IdMappings::default();
        let registration = Registration {
            id: id.clone(),
            rootfs: abs(&self.rootfs),
            userns: None,
            netns: None,
            uid_mappings: none.clone(),
            gid_mappings: none,
        };
        let size = 65_536.try_into().expect("not zero");
        let docker =
            MountRequest { kind: MountKind::VarLibDocker, destination: abs(Path::new("/var/lib/docker")) };
        let request =
            MountRequests { id: id.clone(), rootfs_shift: ShiftType::IdMappedMount, mounts: vec![docker] };
        wait(async {
            manager.register(&registration).await.expect("registered");
            manager.alloc_subids(&SubidRequest { id, size }).await.expect("ids are free");
            manager.req_mounts(&request).await.expect("given a volume");
        });
    }

    fn stop(&self) {
        wait(self.site.manager().unregister(&self.container())).expect("it runs");
    }

    /// Stops it and takes its rootfs away.
    fn abandon(&self) {
        self.stop();
        fs::remove_dir_all(&self.rootfs).expect("root may");
    }

    fn volume(&self) -> PathBuf {
        PathBuf::from(self.site.row(&self.id)["volumes"][0]["path"].as_str().expect("it has a volume"))
    }

    /// Leaves it as a process does that dies in the middle of a call, by what such a one has written down.
    fn leave_half_done(&self, intent: i64) {
        let database =
            rusqlite::Connection::open(self.site.data_root().join("state.db")).expect("a database");
        let changed = database.execute("UPDATE files SET intent = ?1, begun = unixepoch()", [intent]);
        assert_eq!(changed.expect("a table `files`"), 1);
    }

    /// As after the loss of the database.
    fn forget_all(&self) {
        for name in ["state.db", "state.db-wal", "state.db-shm"] {
            let _ = fs::remove_file(self.site.data_root().join(name));
        }
    }

    fn sysbox(&self, command: &str, arguments: &[&str]) -> Outcome {
        finish(self.site.command(command).args(arguments))
    }

    fn json(&self, command: &str, arguments: &[&str], code: i32) -> Value {
        let told = finish(self.site.command(command).arg("--json").args(arguments));
        assert_eq!(told.code(), code, "{told:?}");
        serde_json::from_str(&told.stdout).unwrap_or_else(|e| panic!("{e}: {told:?}"))
    }
}

fn abs(path: &Path) -> AbsPath {
    AbsPath::new(path).expect("absolute")
}

#[test]
fn gc_releases_a_stopped_container_whose_rootfs_is_gone_and_tells_its_ids_and_size() {
    let stage = Stage::new();
    stage.abandon();
    let ids = stage.site.row(&stage.id)["uids"].as_str().expect("it has ids").to_owned();
    let told = stage.sysbox("gc", &[]).success();
    let mut lines = told.lines();
    let line = lines.next().expect("a line");
    assert!(line.starts_with(&format!("container {} is released: ", stage.id)), "{told}");
    assert!(line.contains("KiB") && line.ends_with(&format!(", ids {ids}")), "{told}");
    assert!(
        lines.next().is_some_and(|total| total.starts_with("released 1, ") && total.ends_with(" KiB in all")),
        "{told}"
    );
    stage.site.assert_nothing_left("after gc");
    assert_eq!(stage.sysbox("gc", &[]).success(), "nothing was released\n");
}

#[test]
fn gc_tells_the_same_in_json() {
    let stage = Stage::new();
    stage.abandon();
    let ids = stage.site.row(&stage.id)["uids"].clone();
    let told = stage.json("gc", &[], 0);
    let freed = &told["freed"][0];
    assert_eq!((&freed["container"], &freed["uids"], &freed["gids"]), (&json!(stage.id), &ids, &ids));
    assert!(freed["bytes"].as_u64().is_some_and(|bytes| bytes >= 100 << 10), "{told}");
    assert_eq!(
        (&told["strays"], &told["failures"], &told["bytes"]),
        (&json!([]), &json!([]), &freed["bytes"])
    );
    stage.site.assert_nothing_left("after gc");
}

#[test]
fn gc_leaves_a_container_that_has_not_stopped_or_whose_rootfs_is_there() {
    let stage = Stage::new();
    assert_eq!(stage.sysbox("gc", &[]).success(), "nothing was released\n");
    stage.stop();
    assert_eq!(stage.sysbox("gc", &[]).success(), "nothing was released\n");
    assert_eq!(stage.site.row(&stage.id)["state"], "stopped");
    assert_eq!(stage.site.delete(&stage.id).code(), 0);
    stage.site.assert_nothing_left("after delete");
}

#[test]
fn gc_cleans_up_after_a_dead_runtime_whose_container_and_rootfs_are_gone() {
    let site = Site::embedded(1);
    let ground = Ground::new(Kind::Ext4, busybox);
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), "echo up; cat");
    let id = site.id("a");
    let mut run = Running::start(&mut site.run(&bundle, &id));
    assert_eq!(run.line(), "up");
    let init = site.row(&id)["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    let init = pidfd_open(init.expect("it runs"), PidfdFlags::empty()).expect("it runs");
    run.kill();
    assert_eq!(finish(&mut site.command("gc")).success(), "nothing was released\n", "it still runs");
    // It ends by itself where its input ends with its runtime.
    let _ = pidfd_send_signal(&init, Signal::KILL);
    poll(&mut [PollFd::new(&init, PollFlags::IN)], None).expect("it ends");
    assert_eq!(finish(&mut site.command("gc")).success(), "nothing was released\n", "its rootfs is there");
    fs::remove_dir_all(ground.rootfs()).expect("root may");
    let told = finish(&mut site.command("gc")).success();
    assert!(told.starts_with(&format!("container {id} is released: ")), "{told}");
    site.assert_nothing_left("after gc");
}

/// A file that nobody can remove until this is dropped.
struct Immutable(File);

impl Immutable {
    fn new(path: &Path) -> Self {
        let file = File::open(path).expect("there");
        let flags = ioctl_getflags(&file).expect("the file system has flags");
        ioctl_setflags(&file, flags | IFlags::IMMUTABLE).expect("root may");
        Self(file)
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        let flags = ioctl_getflags(&self.0).unwrap_or(IFlags::empty());
        // What cannot be undone here is told by what cannot be removed afterwards.
        let _ = ioctl_setflags(&self.0, flags - IFlags::IMMUTABLE);
    }
}

#[test]
fn what_gc_cannot_release_is_told_with_the_reason_and_released_by_the_next() {
    let stage = Stage::new();
    let immutable = Immutable::new(&stage.volume().join("image"));
    stage.abandon();
    let told = stage.sysbox("gc", &[]);
    assert_eq!(told.code(), 1, "{told:?}");
    let line =
        told.stdout.lines().find(|line| line.starts_with("not released: ")).expect("a line of what is left");
    assert!(line.contains("trash") && line.contains("chattr"), "{told:?}");
    assert!(told.stdout.contains(&format!("container {} is released", stage.id)), "{told:?}");
    let again = stage.json("gc", &[], 1);
    assert!(again["failures"][0].as_str().is_some_and(|failure| failure.contains("trash")), "{again}");
    drop(immutable);
    assert_eq!(stage.sysbox("gc", &[]).code(), 0);
    stage.site.assert_nothing_left("after gc");
}

#[test]
fn repair_tells_what_was_left_half_done_and_what_it_did_about_it() {
    // The numbers are those of the column `intent`.
    for (intent, left, outcome) in [
        (1, "while its volumes were being made", "undone"),
        (2, "while sources of its bind mounts were being prepared", "undone"),
        (9, "while it was being stopped", "finished"),
    ] {
        let stage = Stage::new();
        stage.leave_half_done(intent);
        assert_eq!(stage.site.row(&stage.id)["unfinished"]["left"], left);
        let table = stage.sysbox("list", &[]).success();
        let advice = format!("{} was left {left}; mend it: sysbox repair", stage.id);
        assert!(table.lines().any(|line| line.starts_with(&advice)), "{table}");
        let dry = stage.sysbox("repair", &["--dry-run"]);
        assert_eq!(dry.code(), 1, "{dry:?}");
        assert_eq!(dry.stdout, format!("container {} was left {left}: to be {outcome}\n", stage.id));
        assert_eq!(stage.site.row(&stage.id)["unfinished"]["left"], left, "a dry run changes nothing");
        let repaired = stage.sysbox("repair", &[]).success();
        assert_eq!(repaired, format!("container {} was left {left}: {outcome}\n", stage.id));
        assert_eq!(stage.sysbox("repair", &[]).success(), "nothing is left half done\n");
        assert_eq!(stage.site.row(&stage.id)["unfinished"], Value::Null);
    }
}

#[test]
fn repair_tells_the_same_in_json() {
    let stage = Stage::new();
    stage.leave_half_done(1);
    let mended = |outcome: &str| json!([{ "container": stage.id, "left": "while its volumes were being made", "outcome": outcome, "error": null }]);
    let dry = stage.json("repair", &["--dry-run"], 1);
    assert_eq!(dry, json!({ "mended": mended("to be undone"), "strays": [] }));
    assert_eq!(stage.json("repair", &[], 0), json!({ "mended": mended("undone"), "strays": [] }));
    assert_eq!(stage.json("repair", &[], 0), json!({ "mended": [], "strays": [] }));
}

#[test]
fn files_of_a_container_on_no_record_are_shown_by_repair_and_removed_by_gc_when_told_to() {
    let stage = Stage::new();
    let volume = stage.volume();
    let dir = volume.ancestors().nth(2).expect("the directory of the container").to_owned();
    stage.forget_all();
    for arguments in [&["--dry-run"][..], &[]] {
        let told = stage.sysbox("repair", arguments);
        assert_eq!(told.code(), 1, "{told:?}");
        let line = format!("container {} is on no record; its files are in {} (", stage.id, path(&dir));
        assert!(
            told.stdout.lines().any(|told| told.starts_with(&line) && told.ends_with("KiB)")),
            "{told:?}"
        );
        assert!(told.stdout.contains("gc --strays"), "{told:?}");
    }
    let strays = stage.json("repair", &[], 1);
    assert_eq!(strays["strays"][0]["path"], path(&dir));
    assert_eq!(stage.sysbox("gc", &[]).success(), "nothing was released\n");
    assert!(volume.join("image").exists(), "gc has removed what nobody told it to");
    let told = stage.sysbox("gc", &["--strays"]).success();
    assert!(told.contains(path(&dir)) && told.contains("released 1, "), "{told}");
    assert!(!dir.exists(), "the files are there");
    assert_eq!(stage.sysbox("repair", &[]).success(), "nothing is left half done\n");
    stage.site.assert_nothing_left("after gc --strays");
}

#[test]
fn where_there_is_no_data_root_nothing_is_found_and_none_is_made() {
    let site = Site::embedded(1);
    assert_eq!(finish(&mut site.command("gc")).success(), "nothing was released\n");
    assert_eq!(finish(&mut site.command("repair")).success(), "nothing is left half done\n");
    finish(site.command("status").arg(site.id("a"))).failure(1, &[&site.id("a"), "sysbox list"]);
    assert!(!site.data_root().exists(), "a data root was made");
}

#[test]
fn over_a_daemon_gc_and_repair_say_that_it_does_that_by_itself() {
    for transport in [Transport::Grpc, Transport::Tarpc] {
        let site = Site::embedded(1).with_daemon(transport);
        for command in ["gc", "repair"] {
            let mut program = site.command_without_range(command);
            program.args(["--backend", &site.backend().expect("a daemon")]);
            finish(&mut program).failure(1, &["by itself", command, "embedded"]);
        }
    }
}

#[test]
fn status_of_a_container_that_is_not_there_names_it_and_says_where_to_look() {
    let stage = Stage::new();
    let nobody = stage.site.id("nobody");
    for arguments in [&[&*nobody][..], &["--json", &nobody]] {
        stage.sysbox("status", arguments).failure(1, &[&nobody, "not known", "sysbox list"]);
    }
    stage.sysbox("status", &["../x"]).failure(2, &["../x"]);
    stage.sysbox("status", &[]).failure(2, &["ID"]);
    stage.sysbox("gc", &[&stage.id]).failure(2, &[&stage.id]);
}

#[test]
fn status_of_a_container_that_only_the_manager_knows_has_its_state_and_volumes() {
    let stage = Stage::new();
    let text = stage.sysbox("status", &[&stage.id]).success();
    for line in ["status     running", "shift      NoShift"] {
        assert!(text.lines().any(|told| told == line), "{line:?} is not told in: {text}");
    }
    assert!(text.lines().any(|line| line.starts_with("volumes    1, ")), "{text}");
    assert!(text.lines().any(|line| line.trim_start().starts_with("/var/lib/docker ")), "{text}");
    stage.stop();
    stage.start();
    let again = stage.json("status", &[&stage.id], 0);
    assert_eq!(
        (&again["starts"], &again["state"], &again["status"]),
        (&json!(2), &json!("running"), &Value::Null)
    );
    let text = stage.sysbox("status", &[&stage.id]).success();
    assert!(text.contains("for the 2. time"), "{text}");
}

#[test]
fn a_volume_that_vanishes_is_listed_without_a_size() {
    let stage = Stage::new();
    fs::remove_dir_all(stage.volume()).expect("root may");
    let row = stage.site.row(&stage.id);
    assert_eq!((&row["volumes"][0]["bytes"], &row["volumes"][0]["inodes"]), (&Value::Null, &Value::Null));
    assert_eq!(stage.sysbox("status", &[&stage.id]).code(), 0);
    assert_eq!(stage.sysbox("list", &[]).code(), 0);
}

#[test]
fn the_files_of_a_living_container_are_no_strays_when_the_database_is_lost() {
    let site = Site::embedded(1);
    let ground = Ground::new(Kind::Ext4, busybox);
    fs::create_dir_all(ground.rootfs().join("var/lib/docker")).expect("made");
    let bundle = Bundle::new(
        &ground.bundle(),
        ground.rootfs(),
        "echo up; cat; echo kept > /var/lib/docker/x && echo written",
    );
    let id = site.id("a");
    let mut run = Running::start(&mut site.run(&bundle, &id));
    assert_eq!(run.line(), "up");
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        fs::remove_file(site.data_root().join(name)).expect("there");
    }
    let told = finish(site.command("gc").arg("--strays"));
    assert_eq!(told.code(), 1, "{told:?}");
    assert!(told.stdout.contains(&format!("container {id} is alive")), "{told:?}");
    let ended = run.end();
    assert!(ended.stdout.contains("written"), "{ended:?}");
    finish(site.command("gc").arg("--strays")).success();
    site.assert_nothing_left("after gc --strays");
}
