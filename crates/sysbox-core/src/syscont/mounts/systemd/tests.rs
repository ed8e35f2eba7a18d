//! What systemd as the init process takes.

use serde_json::{Value, json};

use super::*;
use crate::syscont::mounts::{
    complete_read_only,
    testing::{bind, changed, mount, options, spec, tmpfs},
};

fn process(program: &str, env: &[&str]) -> Value {
    json!({ "cwd": "/", "args": [program], "env": env, "user": { "uid": 0, "gid": 0 } })
}

fn complete(spec: &mut Spec) -> Vec<String> {
    changed(|changes| complete_systemd(spec, changes))
}

fn env(spec: &Spec) -> &[String] {
    spec.process().as_ref().and_then(|process| process.env().as_deref()).unwrap_or_default()
}

#[test]
fn what_is_not_systemd_takes_nothing() {
    for process in [process("/bin/sh", &["container=docker"]), Value::Null] {
        let mut spec = spec(json!({ "process": process }));
        let given = spec.clone();
        assert_eq!(complete(&mut spec), [""; 0]);
        assert_eq!(spec, given);
    }
}

#[test]
fn systemd_has_a_tmpfs_at_run_from_which_it_executes_and_one_at_run_lock() {
    let mut spec = spec(json!({ "process": process("/sbin/init", &[]) }));
    assert_eq!(complete(&mut spec), ["process.env[container]", "mounts[/run]", "mounts[/run/lock]"]);
    assert_eq!(options(&spec, "/run"), ["rw", "rprivate", "nosuid", "nodev", "mode=755", "size=64m"]);
    assert_eq!(options(&spec, "/run/lock"), ["rw", "rprivate", "noexec", "nosuid", "nodev", "size=4m"]);
    assert_eq!(complete(&mut spec), [""; 0]);
}

#[test]
fn a_tmpfs_of_the_spec_stays_and_anything_else_there_is_replaced() {
    let mounts = json!([tmpfs("/run/"), bind("/run/lock", "/of-host")]);
    let mut spec = spec(json!({ "process": process("/sbin/init", &[]), "mounts": mounts }));
    assert_eq!(complete(&mut spec), ["process.env[container]", "mounts[/run/lock]"]);
    assert_eq!(options(&spec, "/run"), [""; 0], "it is the user's");
    assert_eq!(mount(&spec, "/run/lock").typ().as_deref(), Some("tmpfs"));
}

#[test]
fn the_environment_says_once_that_the_container_has_users_of_its_own() {
    let variables = ["PATH=/bin", "container=docker", "container_ttys=x", "container=oci"];
    let mut spec = spec(json!({ "process": process("/sbin/init", &variables) }));
    complete(&mut spec);
    assert_eq!(env(&spec), ["PATH=/bin", "container=private-users", "container_ttys=x"]);
}

#[test]
fn in_a_read_only_rootfs_run_is_as_systemd_needs_it() {
    let root = json!({ "path": "/r", "readonly": true });
    let mut spec = spec(json!({ "root": root, "process": process("/sbin/init", &[]) }));
    complete(&mut spec);
    complete_read_only(&mut spec, false, &mut Changes::default());
    assert!(!options(&spec, "/run").contains(&"noexec"));
    assert!(options(&spec, "/tmp").contains(&"noexec"));
}
