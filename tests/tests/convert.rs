//! `sysbox convert`: what becomes of the specs that engines write, and that looking at it changes nothing.

#![expect(clippy::expect_used, reason = "a test may fail by a panic, also in its helpers")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sysbox_tests::{
    Bundle, Outcome, PATIENCE, Site, Snapshot, binary, busybox, finish, path, require_root, uid_map,
};
use tempfile::TempDir;

const SPECS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/sysbox-core/tests/fixtures/specs");

/// What differs between the specs of containers that share the host's network and those of others.
const HOST_NETWORK: [&str; 2] = ["host-network", "net-host"];

/// Neither has it a network of its own.
const ROOTLESS: &str = "runc-spec-rootless";

/// A process with namespaces of its own, such as containers can join. It ends with this.
struct Joinable(Child);

impl Joinable {
    fn new() -> Self {
        let mut program = Command::new("unshare");
        let child =
            program.args(["--net", "--ipc", "--uts", "sleep", "infinity"]).spawn().expect("util-linux");
        let this = Self(child);
        let network = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).expect("root may");
        let started = Instant::now();
        while network(&this.0.id().to_string()) == network("self") {
            assert!(started.elapsed() < PATIENCE, "unshare makes no namespace");
            std::thread::sleep(Duration::from_millis(2));
        }
        this
    }

    fn namespace(&self, kind: &str) -> String {
        let name = if kind == "network" { "net" } else { kind };
        format!("/proc/{}/ns/{name}", self.0.id())
    }
}

impl Drop for Joinable {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A directory that everybody can read, with a bundle in it.
struct Place {
    dir: TempDir,
    joinable: Joinable,
}

impl Place {
    fn new() -> Self {
        use std::os::unix::fs::PermissionsExt;
        require_root();
        let dir = TempDir::with_prefix("sysbox-convert-").expect("a temporary directory");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("ours");
        let rootfs = dir.path().join("bundle/rootfs");
        for name in ["bin", "etc/docker", "var/lib/docker", "proc", "dev"] {
            fs::create_dir_all(rootfs.join(name)).expect("made");
        }
        fs::create_dir(dir.path().join("bundle/shared")).expect("made");
        Self { dir, joinable: Joinable::new() }
    }

    fn bundle(&self) -> PathBuf {
        self.dir.path().join("bundle")
    }

    fn data_root(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn write(&self, spec: &Value) {
        fs::write(self.bundle().join("config.json"), spec.to_string()).expect("written");
    }

    /// Puts the spec of a fixture into the bundle, with what it names of the host that it was taken on named as it is here.
    fn put(&self, name: &str) {
        let text = fs::read_to_string(format!("{SPECS}/{name}.json")).expect("a fixture");
        let mut spec: Value = serde_json::from_str(&text).expect("a spec");
        spec["root"]["path"] = "rootfs".into();
        for mount in spec["mounts"].as_array_mut().expect("a list") {
            if mount["source"].as_str().is_some_and(|source| source.starts_with('/')) {
                mount["source"] = "shared".into();
            }
        }
        let is_of_host = HOST_NETWORK.iter().any(|word| name.contains(word));
        for namespace in spec["linux"]["namespaces"].as_array_mut().expect("a list") {
            let kind = namespace["type"].as_str().expect("a text").to_owned();
            if namespace.get("path").is_some() {
                let of_host = is_of_host && kind == "network";
                let path = if of_host {
                    format!("/proc/{}/ns/net", process::id())
                } else {
                    self.joinable.namespace(&kind)
                };
                namespace["path"] = path.into();
            }
        }
        self.write(&spec);
    }

    fn convert(&self, arguments: &[&str]) -> Outcome {
        finish(self.command(Command::new(binary()), "convert").args(arguments))
    }

    fn command(&self, mut program: Command, command: &str) -> Command {
        program.args([command, "--bundle", path(&self.bundle()), "--data-root", path(&self.data_root())]);
        program.stdin(Stdio::null()).env_remove("SYSBOX_LOG").env_remove("SYSBOX_BACKEND");
        program
    }

    /// Makes what only stands for what `run` would be given, and puts a converted spec into the bundle.
    fn put_converted(&self, spec: &Value) {
        for mount in spec["mounts"].as_array().expect("a list") {
            let source = Path::new(mount["source"].as_str().unwrap_or_default());
            if source.starts_with(self.dir.path()) && !source.exists() {
                fs::create_dir_all(source).expect("made");
            }
        }
        self.write(spec);
    }
}

/// The names of the fixtures, those that are refused apart.
fn fixtures() -> (Vec<String>, Vec<String>) {
    let entries = fs::read_dir(SPECS).expect("the fixtures are there");
    let names = entries.map(|entry| entry.expect("readable").file_name().into_string().expect("a text"));
    let names = names.filter_map(|name| name.strip_suffix(".json").map(str::to_owned));
    let is_refused = |name: &String| name == ROOTLESS || HOST_NETWORK.iter().any(|word| name.contains(word));
    let (refused, converted): (Vec<_>, Vec<_>) = names.partition(is_refused);
    assert!(converted.len() >= 15 && refused.len() >= 5, "{converted:?}, {refused:?}");
    (converted, refused)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("not JSON ({e}): {text}"))
}

/// The members of a list of a spec that have a value in a property.
fn with<'a>(list: &'a Value, property: &str, value: &str) -> Vec<&'a Value> {
    list.as_array().expect("a list").iter().filter(|member| member[property] == value).collect()
}

#[test]
fn the_spec_of_every_engine_becomes_that_of_a_system_container() {
    let place = Place::new();
    for name in fixtures().0 {
        place.put(&name);
        let spec = json(&place.convert(&["c1"]).success());
        let linux = &spec["linux"];
        for kind in ["pid", "ipc", "uts", "mount", "network", "user", "cgroup"] {
            assert_eq!(with(&linux["namespaces"], "type", kind).len(), 1, "{kind} of {name}");
        }
        assert_eq!(linux["uidMappings"][0]["containerID"], 0, "{name}");
        assert_eq!(with(&spec["mounts"], "destination", "/proc").len(), 1, "{name}");
        let docker = with(&spec["mounts"], "destination", "/var/lib/docker");
        assert_eq!(docker.len(), 1, "{name}");
    }
}

#[test]
fn the_same_bundle_gives_the_same_bytes() {
    let place = Place::new();
    place.put("docker-default");
    let first = place.convert(&[]).success();
    assert!((0..8).all(|_| place.convert(&[]).success() == first));
}

#[test]
fn what_was_converted_is_not_changed_by_converting_it_again() {
    let place = Place::new();
    let fs = format!("--with-sysbox-fs={}", path(&place.dir.path().join("sysboxfs")));
    for options in [&["c1"][..], &["c1", &fs], &["c1", "--no-volumes"]] {
        for name in fixtures().0 {
            place.put(&name);
            let once = place.convert(options).success();
            place.put_converted(&json(&once));
            assert_eq!(place.convert(options).success(), once, "{name} with {options:?}");
            let diff = place.convert(&[options, &["--diff"]].concat()).success();
            assert!(diff.starts_with("nothing changes"), "{name} with {options:?}: {diff}");
            let diff = place.convert(&[options, &["--diff", "--json"]].concat()).success();
            assert_eq!(json(&diff), json!([]), "{name} with {options:?}");
        }
    }
}

#[test]
fn every_change_has_a_reason() {
    let place = Place::new();
    for name in fixtures().0 {
        place.put(&name);
        for options in [&["--diff"][..], &["--diff", "--with-sysbox-fs"], &["--diff", "--no-volumes"]] {
            let diff = json(&place.convert(&[options, &["--json"]].concat()).success());
            let changes = diff.as_array().expect("a list");
            assert!(!changes.is_empty(), "{name}");
            for change in changes {
                let reason = change["reason"].as_str().unwrap_or_default();
                assert!(!reason.is_empty(), "{name} with {options:?} has no reason for {change}");
            }
            let text = place.convert(options).success();
            assert!(!text.contains("no reason"), "{name} with {options:?}: {text}");
        }
    }
}

#[test]
fn a_diff_tells_each_field_with_what_it_was_and_what_it_is() {
    let place = Place::new();
    place.put("docker-default");
    let diff = json(&place.convert(&["--diff", "--json"]).success());
    let one = |field: &str| {
        let found = with(&diff, "field", field);
        assert_eq!(found.len(), 1, "{field}: {diff}");
        found[0].clone()
    };
    let user = one("linux.namespaces[user]");
    assert_eq!(
        (&user["change"], &user["before"], &user["after"]["type"]),
        (&"added".into(), &Value::Null, &"user".into())
    );
    let masked = one("linux.maskedPaths[/proc/kcore]");
    assert_eq!((&masked["change"], &masked["before"]), (&"removed".into(), &"/proc/kcore".into()));
    assert_eq!(one("mounts[/sys]")["change"], "changed");
    assert_eq!(one("mounts")["change"], "reordered");
    assert_eq!(one("linux.seccomp.syscalls[mount]")["after"], json!([{ "action": "SCMP_ACT_ALLOW" }]));

    let text = place.convert(&["--diff"]).success();
    for line in ["linux.namespaces\n  + user", "linux.maskedPaths\n  - /proc/kcore", "\n  ~ order: /sys "] {
        assert!(text.contains(line), "{line:?} is not in:\n{text}");
    }
}

#[test]
fn a_container_in_the_network_of_the_host_is_refused_with_the_reason() {
    let place = Place::new();
    for name in fixtures().1 {
        place.put(&name);
        for options in [&[][..], &["--diff"], &["--with-sysbox-fs"]] {
            let outcome = place.convert(options);
            assert_eq!(outcome.stdout, "", "{name}");
            outcome.failure(1, &["config.json", "linux.namespaces", "network", "host"]);
        }
    }
}

#[test]
fn what_run_refuses_is_refused_in_the_same_words() {
    let place = Place::new();
    place.put("runc-spec");
    let spec = json(&fs::read_to_string(place.bundle().join("config.json")).expect("written"));
    let broken = |pointer: &str, value: Value| {
        let mut spec = spec.clone();
        *spec.pointer_mut(pointer).expect("it is in the spec") = value;
        place.write(&spec);
    };
    let cases = [
        ("/root/path", json!("nowhere")),
        ("/process/env", json!(["SYSBOX_HONOR_CAPS=yes"])),
        ("/linux/namespaces", json!([{ "type": "pid" }])),
        ("/mounts", json!([{ "destination": "/a", "type": "bind", "source": "nowhere" }])),
    ];
    for (pointer, value) in cases {
        broken(pointer, value);
        let of_run = finish(place.command(Command::new(binary()), "run").arg("c1"));
        let refusal = place.convert(&["c1"]).failure(1, &["config.json"]);
        assert_eq!(of_run.failure(1, &[]), refusal, "{pointer}");
    }
    fs::remove_file(place.bundle().join("config.json")).expect("written before");
    place.convert(&[]).failure(1, &["cannot read", "--bundle"]);
}

#[test]
fn looking_changes_nothing_and_makes_nothing() {
    let place = Place::new();
    place.put("podman-bind-mounts");
    let before = Snapshot::of(place.dir.path());
    for options in [&[][..], &["--diff"], &["--with-sysbox-fs"], &["--diff", "--json"]] {
        place.convert(options).success();
    }
    before.assert_same(&Snapshot::of(place.dir.path()), "after conversions");
    assert!(!place.data_root().exists());
}

#[test]
fn nobody_gets_the_same_answer_as_root() {
    let place = Place::new();
    // The binary may be where only root can go.
    let copy = place.dir.path().join("sysbox");
    fs::copy(binary(), &copy).expect("copied");
    let as_nobody = |options: &[&str]| {
        let mut program = Command::new("setpriv");
        program.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&copy);
        finish(place.command(program, "convert").args(options)).success()
    };
    for name in ["containerd-seccomp", "docker-default", "docker-systemd", "runc-spec"] {
        place.put(name);
        for options in [&[][..], &["--diff"]] {
            assert_eq!(as_nobody(options), place.convert(options).success(), "{name}");
        }
    }
}

#[test]
fn emulated_files_and_traps_are_there_with_sysbox_fs_alone() {
    let place = Place::new();
    place.put("docker-default");
    let without = json(&place.convert(&["c1"]).success());
    assert!(with(&without["mounts"], "destination", "/proc/uptime").is_empty());
    assert_eq!(without["linux"]["seccomp"].get("listenerPath"), None);
    for (option, mountpoint) in
        [("--with-sysbox-fs", "/var/lib/sysboxfs"), ("--with-sysbox-fs=/elsewhere", "/elsewhere")]
    {
        let spec = json(&place.convert(&["c1", option]).success());
        let uptime = with(&spec["mounts"], "destination", "/proc/uptime");
        assert_eq!(uptime.len(), 1);
        assert_eq!(uptime[0]["source"], format!("{mountpoint}/c1/proc/uptime"));
        let seccomp = &spec["linux"]["seccomp"];
        assert_eq!(seccomp["listenerPath"], "/run/sysbox-runtime/seccomp.sock");
        let traps = with(&seccomp["syscalls"], "action", "SCMP_ACT_NOTIFY");
        assert!(
            traps
                .iter()
                .any(|rule| rule["names"].as_array().is_some_and(|names| names.contains(&"mount".into())))
        );
    }
}

#[test]
fn volumes_are_shown_in_the_data_root_and_can_be_left_out() {
    let place = Place::new();
    place.put("docker-default");
    fs::write(place.bundle().join("rootfs/etc/docker/daemon.json"), r#"{"data-root":"/srv/docker"}"#)
        .expect("written");
    fs::create_dir_all(place.bundle().join("rootfs/srv/docker")).expect("made");
    let spec = json(&place.convert(&["web"]).success());
    let volume = with(&spec["mounts"], "destination", "/srv/docker");
    assert_eq!(volume.len(), 1);
    let expected = place.data_root().join("files/web/volumes/var-lib-docker-1");
    assert_eq!(volume[0]["source"], path(&expected));
    let without = json(&place.convert(&["web", "--no-volumes"]).success());
    let mounts = without["mounts"].as_array().expect("a list");
    let source_is_there = |mount: &Value| {
        let source = mount["source"].as_str().unwrap_or_default();
        !source.starts_with('/') || Path::new(source).exists()
    };
    assert!(mounts.iter().all(source_is_there), "{mounts:?}");
}

#[test]
fn what_was_converted_without_volumes_can_be_run() {
    let site = Site::embedded(1);
    let rootfs = site.dir("rootfs");
    busybox(&rootfs);
    let bundle = Bundle::new(&site.dir("bundle"), &rootfs, "cat /proc/self/uid_map");
    let mut convert = site.command_without_range("convert");
    let converted = finish(convert.args(["--no-volumes", "--bundle", path(bundle.dir())])).success();
    fs::write(bundle.config(), &converted).expect("written");
    let map = uid_map(&finish(&mut site.run(&bundle, &site.id("converted"))).success()).expect("a map");
    let extent = &json(&converted)["linux"]["uidMappings"][0];
    assert_eq!(json!(map), json!([extent["containerID"], extent["hostID"], extent["size"]]));
    site.assert_nothing_left("after a run of a converted bundle");
}
