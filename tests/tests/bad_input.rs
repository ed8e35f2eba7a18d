//! What is refused is named, with its value and the rule, and nothing on disk has changed. Needs root.

#![expect(clippy::expect_used, reason = "a test may fail by a panic, also in its helpers")]

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::Command,
};

use serde_json::{Value, json};
use sysbox_tests::{Bundle, Mounted, Site, Snapshot, binary, busybox, finish};

/// A site without a data root, and a bundle with its rootfs inside.
struct Stage {
    site: Site,
    bundle: Bundle,
}

impl Stage {
    fn new() -> Self {
        let site = Site::new(1);
        let dir = site.dir("bundle");
        fs::create_dir(dir.join("rootfs")).expect("made");
        busybox(&dir.join("rootfs"));
        fs::write(dir.join("file"), "").expect("made");
        let bundle = Bundle::new(&dir, Path::new("rootfs"), "echo done");
        Self { site, bundle }
    }

    fn with(change: impl FnOnce(Bundle) -> Bundle) -> Self {
        let Self { site, bundle } = Self::new();
        Self { site, bundle: change(bundle) }
    }

    fn run(&self) -> Command {
        self.site.run(&self.bundle, &self.site.id("a"))
    }

    /// Runs a command that has to fail with this code and say these words, and to change nothing.
    #[track_caller]
    fn refused(&self, command: &mut Command, code: i32, words: &[&str]) {
        let whole = self.site.dir("");
        let before = Snapshot::of(&whole);
        finish(command).failure(code, words);
        before.assert_same(&Snapshot::of(&whole), "after the refusal");
        self.site.assert_nothing_left("after the refusal");
    }

    #[track_caller]
    fn run_refused(&self, words: &[&str]) {
        self.refused(&mut self.run(), 1, words);
        assert!(!self.site.data_root().exists(), "a data root was made");
    }
}

fn with_value(pointer: &str, value: Value) -> Stage {
    Stage::with(|bundle| bundle.with(pointer, value))
}

#[test]
fn a_good_bundle_is_not_refused() {
    let stage = Stage::new();
    assert_eq!(finish(&mut stage.run()).success(), "done\n");
}

#[test]
fn a_directory_without_a_config() {
    let stage = Stage::new();
    fs::remove_file(stage.bundle.config()).expect("removed");
    stage.run_refused(&["config.json", "No such file", "--bundle"]);
    let mut nowhere = stage.site.command("run");
    nowhere.args(["--bundle", "/nowhere/at/all", &stage.site.id("a")]);
    stage.refused(&mut nowhere, 1, &["/nowhere/at/all", "No such file"]);
}

#[test]
fn broken_json() {
    let stage = Stage::new();
    for (text, words) in [("{", "line 1"), ("", "line 1"), (r#"{"root": 7}"#, "line 1")] {
        fs::write(stage.bundle.config(), text).expect("written");
        stage.run_refused(&["config.json", "not an OCI runtime spec", words]);
    }
}

#[test]
fn a_spec_without_root_linux_or_process() {
    for (field, pointer) in [("root", "/root"), ("linux", "/linux"), ("process", "/process")] {
        Stage::with(|bundle| bundle.without(pointer)).run_refused(&[
            "config.json",
            &format!("spec field {field} is"),
            "missing",
        ]);
    }
}

#[test]
fn a_process_without_a_program() {
    with_value("/process/args", json!([])).run_refused(&["process.args"]);
    Stage::with(|bundle| bundle.without("/process/args")).run_refused(&["process.args"]);
}

#[test]
fn a_rootfs_that_is_missing_a_file_or_outside_the_bundle() {
    for (path, rule) in [
        ("nowhere", "No such file"),
        ("/nowhere/at/all", "No such file"),
        ("", "must be a directory"),
        ("file", "must be a directory"),
        ("..", "must stay below the bundle"),
        ("rootfs/../..", "must stay below the bundle"),
    ] {
        with_value("/root/path", json!(path)).run_refused(&["root.path", &format!("{path:?}"), rule]);
    }
}

#[test]
fn mappings_that_overlap_overflow_are_too_small_or_hit_the_hosts_root() {
    let extent = |inside: u32, outside: u32, size: u32| json!({ "containerID": inside, "hostID": outside, "size": size });
    for (extents, words) in [
        (vec![extent(0, 0, 65_536)], ["0", "host's id 0"]),
        (vec![extent(0, 4_294_967_290, 65_536)], ["4294967290", "beyond"]),
        (vec![extent(4_294_967_290, 500_000_000, 65_536)], ["4294967290", "beyond"]),
        (vec![extent(0, 500_000_000, 0)], ["500000000", "size 0"]),
        (vec![extent(0, 500_000_000, 1000)], ["1000", "at least 65536"]),
        (vec![extent(5, 500_000_000, 65_536)], ["500000000", "starts at container id 0"]),
        (vec![extent(0, 500_000_000, 65_536), extent(9, 600_000_000, 65_536)], ["2", "overlap"]),
        (vec![extent(0, 500_000_000, 65_536), extent(65_536, 500_000_009, 65_536)], ["2", "overlap"]),
        (
            vec![extent(0, 500_000_000, 65_536), extent(65_536, 700_000_000, 9)],
            ["700000000", "one contiguous"],
        ),
    ] {
        for field in ["uidMappings", "gidMappings"] {
            let stage = Stage::with(|bundle| {
                bundle.with_mapping(500_000_000).with(&format!("/linux/{field}"), json!(extents))
            });
            stage.run_refused(&[&format!("linux.{field}"), words[0], words[1]]);
        }
    }
}

#[test]
fn mappings_of_one_kind_alone() {
    let mapping = json!([{ "containerID": 0, "hostID": 500_000_000, "size": 65_536 }]);
    with_value("/linux/uidMappings", mapping.clone()).run_refused(&["linux.gidMappings"]);
    with_value("/linux/gidMappings", mapping).run_refused(&["linux.uidMappings"]);
}

#[test]
fn a_spec_that_leaves_the_container_in_namespaces_of_the_host() {
    with_value("/linux/namespaces", json!([{ "type": "pid" }, { "type": "mount" }, { "type": "uts" }]))
        .run_refused(&["linux.namespaces", "ipc", "network"]);
}

#[test]
fn a_user_namespace_to_join_that_has_the_hosts_root_or_whose_ids_are_not_to_be_had() {
    let joining = |path: &str| {
        let kinds = ["pid", "ipc", "uts", "mount", "network"].map(|kind| json!({ "type": kind }));
        let user = json!({ "type": "user", "path": path });
        with_value("/linux/namespaces", kinds.into_iter().chain([user]).collect())
    };
    joining("/proc/self/ns/user").run_refused(&["/proc/self/ns/user", "host's id 0"]);
    joining("/run/no-namespace").run_refused(&["/run/no-namespace", "/proc/1234/ns/user"]);
}

#[test]
fn a_namespace_that_is_given_twice() {
    let kinds = ["pid", "ipc", "uts", "mount", "network", "user", "user"];
    with_value("/linux/namespaces", kinds.map(|kind| json!({ "type": kind })).into_iter().collect())
        .run_refused(&["linux.namespaces", "user twice"]);
}

#[test]
fn a_cgroup_that_is_there_already() {
    let stage = Stage::new();
    let hierarchies = ["/sys/fs/cgroup/freezer", "/sys/fs/cgroup"].map(Path::new);
    let hierarchy = hierarchies.into_iter().find(|dir| dir.join("cgroup.procs").exists());
    let made = hierarchy.expect("the host has cgroups").join(stage.site.id("cgroup"));
    fs::create_dir(&made).expect("made");
    let path = format!("/{}", stage.site.id("cgroup"));
    let bundle = with_value("/linux/cgroupsPath", json!(path));
    let outcome = finish(&mut bundle.run());
    fs::remove_dir(&made).expect("it is still there");
    outcome.failure(1, &[&path, "there already"]);
}

#[test]
fn a_cgroup_that_could_be_anothers() {
    for path in ["/../x", "a/../../b", "/", "./x"] {
        with_value("/linux/cgroupsPath", json!(path))
            .run_refused(&["linux.cgroupsPath", &format!("{path:?}")]);
    }
}

#[test]
fn names_that_are_none() {
    let stage = Stage::new();
    let long = "x".repeat(1025);
    for (id, words) in
        [("../x", ["../x", "'/'"]), ("", ["empty", "container id"]), (&long, ["1025", "at most"])]
    {
        for command in ["run", "delete"] {
            stage.refused(stage.site.command(command).arg("--").arg(id), 2, &words);
        }
    }
    let no_file_name = "x".repeat(256);
    let mut run = stage.site.run(&stage.bundle, &no_file_name);
    stage.refused(&mut run, 1, &["256", "255"]);
}

#[test]
fn a_backend_that_nobody_knows() {
    let stage = Stage::new();
    stage.refused(stage.run().args(["--backend", "pigeon:///x"]), 2, &["pigeon:///x", "embedded:"]);
    stage.refused(
        stage.run().args(["--backend", "embedded://relative"]),
        2,
        &["embedded://relative", "absolute"],
    );
}

#[test]
fn ids_that_are_no_range_or_too_few() {
    let stage = Stage::new();
    let run = |range: &str| {
        let mut run = stage.site.command_without_range("run");
        run.args(["--subid-range", range, "--bundle"]).arg(stage.bundle.dir()).arg(stage.site.id("a"));
        run
    };
    for range in ["many", "5", "500000000:0", "4294967295:2", "500000000:99999999999"] {
        stage.refused(&mut run(range), 2, &[range, "--subid-range"]);
    }
    stage.refused(&mut run("500039680:1000"), 1, &["1000", "too small"]);
}

#[test]
fn a_data_root_that_cannot_be_written_to() {
    let stage = Stage::new();
    let elsewhere = tempfile::tempdir().expect("a temporary directory");
    let mounted = Mounted::read_only(elsewhere.path());
    let in_file = stage.bundle.dir().join("file/data");
    let in_mount = elsewhere.path().join("data");
    for (data_root, why) in [(in_file, "Not a directory"), (in_mount, "Read-only file system")] {
        let mut run = Command::new(binary());
        run.arg("run").arg("--data-root").arg(&data_root).arg("--bundle").arg(stage.bundle.dir());
        let path = data_root.display().to_string();
        stage.refused(run.arg(stage.site.id("a")), 1, &[&path, why]);
    }
    drop(mounted);
}

#[test]
fn a_data_root_that_others_can_write_to() {
    let stage = Stage::new();
    fs::create_dir(stage.site.data_root()).expect("made");
    fs::set_permissions(stage.site.data_root(), fs::Permissions::from_mode(0o777)).expect("ours");
    let data_root = stage.site.data_root().display().to_string();
    let before = Snapshot::of(&stage.site.dir(""));
    finish(&mut stage.run()).failure(1, &[&data_root, "777"]);
    before.assert_same(&Snapshot::of(&stage.site.dir("")), "after the refusal");
}

#[test]
fn anyone_but_root() {
    let stage = Stage::new();
    // Where everybody may run it.
    let program = stage.site.dir("").join("sysbox");
    // By a process of its own: a child that another test forks while the copy is open for writing would keep it from being run.
    assert!(Command::new("cp").arg(binary()).arg(&program).status().expect("started").success());
    let bundle = stage.bundle.dir().to_str().expect("UTF-8");
    for arguments in
        [vec!["run", "--bundle", bundle, "a"], vec!["list"], vec!["delete", "a"], vec!["check"], vec!["demo"]]
    {
        let mut command = Command::new(&program);
        command.args(arguments).uid(65_534).gid(65_534);
        stage.refused(&mut command, 1, &["root", "sudo"]);
    }
}

#[test]
fn a_corrupt_database_is_said_to_be_and_kept_aside() {
    let stage = Stage::new();
    assert_eq!(finish(&mut stage.run()).success(), "done\n");
    let garbage = b"no database at all ".repeat(1000);
    fs::write(stage.site.data_root().join("state.db"), &garbage).expect("written");
    let said = finish(&mut stage.run()).failure(1, &["state.db", "corrupt"]);
    let kept =
        fs::read_dir(stage.site.data_root()).expect("readable").map(|entry| entry.expect("readable").path());
    let kept =
        kept.into_iter().find(|path| fs::read(path).is_ok_and(|bytes| bytes == garbage)).expect("kept aside");
    assert!(said.contains(&kept.display().to_string()), "{} is not named in: {said}", kept.display());
    assert_eq!(finish(&mut stage.run()).success(), "done\n", "the next run starts with a new one");
    assert_eq!(fs::read(&kept).expect("still there"), garbage);
    stage.site.assert_nothing_left("after the next run");
}

#[test]
fn a_record_that_cannot_be_read_is_named_and_cleaned_up_by_force_alone() {
    let stage = Stage::new();
    assert_eq!(finish(&mut stage.run()).success(), "done\n");
    let id = stage.site.id("a");
    let dir = stage.site.data_root().join("containers").join(&id);
    fs::create_dir_all(&dir).expect("made");
    let anothers = r#"{"version":1,"id":"b"}"#;
    for text in ["", "{", anothers] {
        fs::create_dir_all(&dir).expect("made");
        fs::write(dir.join("record.json"), text).expect("written");
        let words = [&*dir.join("record.json").display().to_string(), "cannot be read"];
        finish(&mut stage.run()).failure(1, &words);
        finish(stage.site.command("delete").arg(&id)).failure(1, &words);
        assert_eq!(fs::read_to_string(dir.join("record.json")).expect("still there"), text);
        assert_eq!(finish(&mut stage.site.command("list")).code(), 0, "the others are shown");
        assert_eq!(finish(stage.site.command("delete").args(["--force", &id])).code(), 0);
    }
    stage.site.assert_nothing_left("after delete --force");
}

#[test]
fn what_the_kernel_would_refuse_is_named_by_its_field() {
    // Above fs.nr_open, which nobody may exceed.
    let limit = json!([{ "type": "RLIMIT_NOFILE", "soft": 1024, "hard": u32::MAX }]);
    for (field, value, word) in [
        ("oomScoreAdj", json!(-2000), "-2000"),
        ("cwd", json!("/nowhere/at/all"), "/nowhere/at/all"),
        ("cwd", json!("nowhere"), "nowhere"),
        ("rlimits", limit, "4294967295"),
    ] {
        let stage = with_value(&format!("/process/{field}"), value);
        finish(&mut stage.run()).failure(1, &[&format!("process.{field}"), word]);
        stage.site.assert_nothing_left(field);
    }
}

#[test]
fn a_program_that_is_not_there() {
    let stage = with_value("/process/args", json!(["/nowhere/at/all"]));
    finish(&mut stage.run()).failure(1, &["/nowhere/at/all", "not found"]);
    stage.site.assert_nothing_left("after the refusal");
}
