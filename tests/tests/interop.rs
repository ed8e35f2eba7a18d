//! Clients and daemons in other languages talk with ours: every call of the wire contract, both ways. Needs root.

#![expect(clippy::expect_used, reason = "a test may fail by a panic, also in its helpers")]

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use sysbox_tests::{
    Bundle, Daemon, Ground, Kind, Outcome, Running, Site, Transport, busybox, finish,
    foreign::{ForeignDaemons, GO_VERSIONS, go_client, python_client, script},
    path,
};
use tempfile::TempDir;

/// Fails, showing the checks that failed, unless a client has made checks that all passed.
#[track_caller]
fn assert_all_passed(outcome: &Outcome, who: &str) {
    let failed: Vec<_> = outcome.stdout.lines().filter(|line| line.starts_with("FAILED")).collect();
    assert!(
        outcome.status.success() && failed.is_empty(),
        "{who}: {}\n  {}\n{}",
        outcome.status,
        failed.join("\n  "),
        outcome.stderr
    );
    assert!(outcome.stdout.contains(" checks, 0 failed"), "{who}: {}", outcome.stdout);
}

/// What a script of calls to an embedded manager is told.
fn values(site: &Site) -> [(&'static str, String); 2] {
    [("rootfs", path(&site.dir("rootfs")).to_owned()), ("first", site.ids().start.to_string())]
}

#[test]
fn a_client_in_python_gets_every_answer_of_the_contract_from_the_daemon() {
    let site = Site::embedded(1).with_daemon(Transport::Grpc);
    let values = values(&site);
    let values = values.each_ref().map(|(name, value)| (*name, value.as_str()));
    let outcome = python_client(&site.dir("run"), "embedded.json", &values, &["protobuf.sysboxStateChannel"]);
    assert_all_passed(&outcome, "python");
    site.assert_nothing_left("after the calls");
}

#[test]
fn clients_in_go_that_dial_as_sysbox_does_get_every_answer_of_the_contract_from_the_daemon() {
    let site = Site::embedded(1).with_daemon(Transport::Grpc);
    let values = values(&site);
    let values = values.each_ref().map(|(name, value)| (*name, value.as_str()));
    for version in GO_VERSIONS {
        for connections in ["each", "kept"] {
            let outcome = go_client(version, &site.dir("run"), "embedded.json", connections, &values);
            assert_all_passed(&outcome, &format!("go {version}, connections {connections}"));
        }
    }
    site.assert_nothing_left("after the calls");
}

/// The requests of the calls that Sysbox's own daemons have, as the daemons in Python write them down.
fn requests() -> Vec<(Value, Value)> {
    let of_sysbox = script("calls.json").into_iter().filter(|call| call.get("code").is_none());
    of_sysbox.map(|call| (call["method"].clone(), call["request"].clone())).collect()
}

/// Fails unless the daemons in Python were asked exactly the calls of the script since `before`, in the bytes that they
/// would have sent themselves.
#[track_caller]
fn assert_asked(daemons: &ForeignDaemons, before: usize, who: &str) {
    let asked = &daemons.asked()[before..];
    for record in asked {
        assert_eq!(record["data"], record["canonical"], "{who}: {}", record["method"]);
    }
    let asked: Vec<_> =
        asked.iter().map(|record| (record["method"].clone(), record["request"].clone())).collect();
    assert_eq!(asked, requests(), "{who}");
}

#[test]
fn every_field_of_every_message_goes_through_our_server_and_our_client_to_a_daemon_in_python_and_back() {
    let site = Site::embedded(1);
    let daemons = ForeignDaemons::start(&site.dir("python"), "calls.json", &[]);
    let ours = Daemon::start(Transport::Grpc, &site.dir("x").join("run"), &["--backend", &daemons.url()]);
    let mut clients = vec![("python".to_owned(), python_client(ours.dir(), "calls.json", &[], &[]))];
    assert_asked(&daemons, 0, "python");
    for version in GO_VERSIONS {
        let before = daemons.asked().len();
        let outcome = go_client(version, ours.dir(), "calls.json", "kept", &[]);
        assert_asked(&daemons, before, version);
        clients.push((format!("go {version}"), outcome));
    }
    for (who, outcome) in clients {
        assert_all_passed(&outcome, &who);
    }
    assert!(daemons.end().status.success());
}

#[test]
fn a_container_runs_over_daemons_in_python_that_are_called_in_the_order_of_sysbox() {
    let site = Site::embedded(1);
    let first = site.ids().start.to_string();
    let dir = TempDir::with_prefix("sysbox-interop-").expect("a temporary directory");
    let id = site.id("a");
    let emulated = emulated_files(&dir.path().join("fs").join(&id));
    let mountpoint = path(emulated.parent().expect("it is below the mount point"));
    let daemons =
        ForeignDaemons::start(dir.path(), "run.json", &[("first", &first), ("mountpoint", mountpoint)]);
    // Dropped before the daemons, which it needs to clean up where the test fails.
    let site = site;
    let ground = Ground::new(Kind::Ext4, busybox);
    let look = "cat /proc/self/uid_map /proc/sys/mine /sys/kernel/mine /proc/uptime; mount -t tmpfs x /tmp 2>&1; cat";
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), look);
    let bundle =
        bundle.with("/hostname", json!("wirt")).with("/linux/maskedPaths", json!(["/proc/fs", "/sys/x"]));
    let mut command = site.command_without_range("run");
    command.args(["--backend", &daemons.url(), "--bundle", path(bundle.dir()), &id]);
    let mut run = Running::start(&mut command);
    assert!(run.line().contains(&first), "the ids are those that the manager gave");
    for emulated in ["of /proc/sys", "of /sys/kernel", "of /proc/uptime"] {
        assert_eq!(run.line(), emulated, "sysbox-fs's own file is seen inside");
    }
    // These daemons close the filter's descriptor at once, so that the kernel answers for them what it answers for no listener.
    assert!(run.line().contains("Function not implemented"), "mount is trapped");
    let outcome = run.end();
    assert_eq!(outcome.code(), 0, "{outcome:?}");

    let asked = daemons.asked();
    let methods: Vec<_> =
        asked.iter().filter_map(|record| record["method"].as_str()?.split('.').nth(1)).collect();
    let order = [
        "sysboxMgrStateChannel/Register",
        "sysboxStateChannel/GetMountpoint",
        "sysboxMgrStateChannel/SubidAlloc",
        "sysboxMgrStateChannel/ReqMounts",
        "sysboxStateChannel/ContainerPreRegistration",
        "sysboxStateChannel/ContainerRegistration",
        "sysboxStateChannel/ContainerUpdate",
        "sysboxMgrStateChannel/Update",
        "sysboxStateChannel/ContainerUnregistration",
        "sysboxMgrStateChannel/Unregister",
    ];
    // A second ContainerUnregistration changes nothing, and sysbox-fs says so; a second Unregister would have failed the run.
    let mut of_order: Vec<_> = methods.iter().filter(|method| order.contains(method)).copied().collect();
    let mut seen = HashSet::new();
    of_order.retain(|method| seen.insert(*method));
    assert_eq!(of_order, order, "{methods:?}");
    let registration = asked.iter().find(|record| {
        record["method"].as_str().is_some_and(|method| method.ends_with("/ContainerRegistration"))
    });
    let told = &registration.expect("it is in the order")["request"];
    assert_eq!(told["Id"], json!(id));
    assert_eq!(told["Hostname"], json!("wirt"));
    assert_eq!(told["ProcMaskPaths"], json!(["/proc/fs"]));
    assert_eq!(told["UidFirst"].to_string(), first);
    assert_eq!((&told["UidSize"], &told["GidSize"]), (&json!(65_536), &json!(65_536)));
    assert!(told["InitPid"].as_i64().is_some_and(|pid| pid > 1), "{told}");
    let handed =
        asked.iter().find(|record| record.get("seccomp").is_some()).expect("a descriptor was handed over");
    let sent: Value = serde_json::from_str(handed["seccomp"].as_str().expect("text")).expect("JSON");
    assert_eq!(handed["filters"], json!(1), "it is that of a seccomp filter");
    assert_eq!((&sent["cntrId"], &sent["pid"]), (&json!(id), &told["InitPid"]));
    let list =
        finish(site.command_without_range("list").args(["--backend", &daemons.url(), "--format", "json"]));
    assert_eq!(list.success().trim(), "[]");
}

/// What sysbox-fs shows to a container, as plain files that say which they are.
fn emulated_files(dir: &Path) -> PathBuf {
    let file = |path: &str, text: &str| {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().expect("below")).expect("made");
        fs::write(path, format!("{text}\n")).expect("written");
    };
    for directory in ["proc/sys", "sys/kernel", "sys/devices/virtual", "sys/module/nf_conntrack/parameters"] {
        file(&format!("{directory}/mine"), &format!("of /{directory}"));
    }
    for path in ["proc/swaps", "proc/uptime"] {
        file(path, &format!("of /{path}"));
    }
    dir.to_owned()
}
