//! The specs that engines write run as they are, and what of them cannot be is refused by the field. Needs root.

#![expect(clippy::expect_used, reason = "a test may fail by a panic, also in its helpers")]

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::fs::{major, minor};
use serde_json::{Value, json};
use sysbox_tests::{Bundle, Ground, Kind, PATIENCE, Site, busybox, finish, path};

const SPECS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/sysbox-core/tests/fixtures/specs");

/// What is in the names of the specs of containers without a network of their own.
const NETWORK_OF_HOST: [&str; 3] = ["host-network", "net-host", "rootless"];

/// The names of the fixtures: of those that run, and of those that are refused.
fn fixtures() -> (Vec<String>, Vec<String>) {
    let entries = fs::read_dir(SPECS).expect("the fixtures are there");
    let names = entries.map(|entry| entry.expect("readable").file_name().into_string().expect("a text"));
    let names = names.filter_map(|name| name.strip_suffix(".json").map(str::to_owned));
    let (refused, run): (Vec<_>, Vec<_>) =
        names.partition(|name| NETWORK_OF_HOST.iter().any(|word| name.contains(word)));
    assert!(run.len() >= 15 && refused.len() >= 5, "{run:?}, {refused:?}");
    (run, refused)
}

fn list<'a>(spec: &'a mut Value, pointer: &str) -> impl Iterator<Item = &'a mut Value> {
    spec.pointer_mut(pointer).and_then(Value::as_array_mut).into_iter().flatten()
}

/// A spec as its engine wrote it, but for what only that engine's host had.
fn spec(name: &str, site: &Site, rootfs: &Path) -> Value {
    let text = fs::read_to_string(format!("{SPECS}/{name}.json")).expect("a fixture");
    let mut spec: Value = serde_json::from_str(&text).expect("a spec");
    spec["root"]["path"] = path(rootfs).into();
    spec["process"]["args"] = json!(["/bin/sh", "-c", "echo it runs"]);
    spec["process"]["terminal"] = false.into();
    spec.as_object_mut().expect("an object").remove("hooks");
    if spec["process"]["oomScoreAdj"].as_i64().is_some_and(|score| score < 0) {
        spec["process"]["oomScoreAdj"] = Value::Null;
    }
    for mount in list(&mut spec, "/mounts") {
        bind_what_is_there(mount, site);
    }
    // Those of others on that host.
    for namespace in list(&mut spec, "/linux/namespaces") {
        namespace.as_object_mut().expect("an object").remove("path");
    }
    if let Some(devices) = spec.pointer_mut("/linux/devices").and_then(Value::as_array_mut) {
        devices.retain(is_of_this_host);
    }
    if let Some(cgroup) = spec.pointer_mut("/linux/cgroupsPath") {
        let of_engine = Path::new(cgroup.as_str().expect("a text")).to_owned();
        *cgroup = path(&of_engine.with_file_name(site.id("a"))).into();
    }
    spec
}

/// Gives a bind mount whose source this host does not have one that it has.
fn bind_what_is_there(mount: &mut Value, site: &Site) {
    let source = PathBuf::from(mount["source"].as_str().unwrap_or_default());
    if !source.is_absolute() || source.exists() {
        return;
    }
    let destination = mount["destination"].as_str().expect("a text");
    let ours = site.dir("sources").join(destination.replace('/', "_"));
    let is_file = ["/etc/", "/dev/termination-log", "/run/.containerenv"];
    if is_file.iter().any(|of_file| destination.starts_with(of_file)) {
        fs::write(&ours, "").expect("written");
    } else {
        fs::create_dir_all(&ours).expect("made");
    }
    mount["source"] = path(&ours).into();
}

fn is_of_this_host(device: &Value) -> bool {
    let at = device["path"].as_str().expect("a text");
    // The container has its own, so it is not looked for.
    at == "/dev/ptmx"
        || fs::metadata(at).is_ok_and(|found| {
            let numbers = json!([major(found.rdev()), minor(found.rdev())]);
            let is_kind = if device["type"] == "b" {
                found.file_type().is_block_device()
            } else {
                found.file_type().is_char_device()
            };
            is_kind && numbers == json!([device["major"], device["minor"]])
        })
}

/// A site with room for one container, a busybox on a fresh ext4, and a bundle that runs a script in it.
fn stage(script: &str) -> (Site, Ground, Bundle) {
    let site = Site::new(1);
    let ground = Ground::new(Kind::Ext4, busybox);
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), script);
    (site, ground, bundle)
}

#[test]
fn the_spec_of_every_engine_runs() {
    let site = Site::new(1);
    for name in fixtures().0 {
        let ground = Ground::new(Kind::Ext4, busybox);
        let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), "");
        let spec = spec(&name, &site, ground.rootfs()).to_string();
        fs::write(bundle.config(), &spec).expect("written");
        let outcome = finish(&mut site.run(&bundle, &site.id("a")));
        let said = (outcome.code(), outcome.stdout.as_str());
        assert_eq!(said, (0, "it runs\n"), "{name}: {}", outcome.stderr);
        assert_eq!(
            outcome.stderr.contains("begins empty"),
            spec.contains("tmpcopyup"),
            "{name}: {outcome:?}"
        );
        site.assert_nothing_left(&format!("after a run of {name}"));
    }
}

#[test]
fn a_container_in_the_network_of_the_host_is_refused_with_the_reason() {
    let (site, ground, bundle) = stage("");
    for name in fixtures().1 {
        let mut spec = spec(&name, &site, ground.rootfs());
        for network in list(&mut spec, "/linux/namespaces").filter(|it| it["type"] == "network") {
            network["path"] = "/proc/1/ns/net".into();
        }
        fs::write(bundle.config(), spec.to_string()).expect("written");
        finish(&mut site.run(&bundle, &site.id("a"))).failure(1, &["linux.namespaces", "network", "host"]);
        site.assert_nothing_left(&format!("after the refusal of {name}"));
    }
}

/// A process of the host with namespaces of its own, as engines make them. It ends with this.
struct OfEngine(Child);

impl OfEngine {
    fn new() -> Self {
        let mut unshare = Command::new("unshare");
        unshare.args(["--net", "--ipc", "--uts", "--cgroup", "sleep", "infinity"]);
        let this = Self(unshare.spawn().expect("util-linux"));
        let cgroup = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/cgroup")).expect("root may");
        let started = Instant::now();
        while cgroup(&this.0.id().to_string()) == cgroup("self") {
            assert!(started.elapsed() < PATIENCE, "unshare makes no namespace");
            std::thread::sleep(Duration::from_millis(2));
        }
        this
    }
}

impl Drop for OfEngine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_namespace_of_the_hosts_user_namespace_is_refused_with_what_to_do() {
    let engine = OfEngine::new();
    let (site, _ground, bundle) = stage("");
    for (kind, file) in [("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("cgroup", "cgroup")] {
        let path = format!("/proc/{}/ns/{file}", engine.0.id());
        let mut namespaces = vec![json!({ "type": kind, "path": path })];
        let others = ["pid", "ipc", "uts", "mount", "network"].into_iter().filter(|other| *other != kind);
        namespaces.extend(others.map(|other| json!({ "type": other })));
        let bundle = bundle.clone().with("/linux/namespaces", namespaces.into());
        let words = [&*format!("linux.namespaces[{kind}].path"), &path, "leave the path out"];
        finish(&mut site.run(&bundle, &site.id("a"))).failure(1, &words);
        site.assert_nothing_left(&format!("after the refusal of {kind}"));
    }
}

#[test]
fn a_device_that_the_host_does_not_have_is_refused_by_its_path() {
    let (site, _ground, bundle) = stage("");
    for (path, numbers) in [("/dev/nowhere", (1, 3)), ("/dev/zero", (1, 3))] {
        let device = json!({ "path": path, "type": "c", "major": numbers.0, "minor": numbers.1 });
        let bundle = bundle.clone().with("/linux/devices", json!([device]));
        let field = format!("linux.devices[{path}]");
        finish(&mut site.run(&bundle, &site.id("a"))).failure(1, &[&field, "host"]);
        site.assert_nothing_left("after the refusal");
    }
}

#[test]
fn the_rootfs_propagates_as_is_said_with_or_without_the_letter_for_recursive() {
    let (site, _ground, bundle) = stage("while read -r line; do echo \"$line\"; done < /proc/self/mountinfo");
    let tags = |propagation: &str| {
        let bundle = bundle.clone().with("/linux/rootfsPropagation", propagation.into());
        let mounts = finish(&mut site.run(&bundle, &site.id("a"))).success();
        let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/")).expect("there is a root");
        // The optional fields are before the dash (`proc_pid_mountinfo(5)`); which group it is differs from run to run.
        let optional = root.split(' ').skip(6).take_while(|field| *field != "-");
        optional.map(|field| field.split(':').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    for (name, recursive) in
        [("shared", "rshared"), ("slave", "rslave"), ("private", "rprivate"), ("unbindable", "runbindable")]
    {
        assert_eq!(tags(recursive), tags(name), "{recursive}");
    }
    assert!(tags("rshared").contains(&"shared".to_owned()));
    assert!(tags("runbindable").contains(&"unbindable".to_owned()));
    site.assert_nothing_left("after the runs");
}

#[test]
fn the_program_can_open_its_output_by_name_also_where_that_is_a_pipe() {
    let script = "echo out > /dev/stdout; echo err > /dev/stderr; read -r line < /dev/stdin; echo $line";
    let (site, _ground, bundle) = stage(script);
    for user in [0, 1000] {
        let bundle = bundle.clone().with("/process/user", json!({ "uid": user, "gid": user }));
        let mut run = site.run(&bundle, &site.id("a"));
        let run = run.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut run = run.spawn().expect("the binary is there");
        std::io::Write::write_all(&mut run.stdin.take().expect("a pipe"), b"in\n").expect("it reads");
        let output = run.wait_with_output().expect("our child");
        let said = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(said, ("out\nin\n".into(), "err\n".into()), "as user {user}: {output:?}");
        site.assert_nothing_left("after the run");
    }
}
