//! The process of a container, and what is executed in one.

use oci_spec::runtime::{Capabilities, Capability};
use serde_json::json;

use super::*;
use crate::{HostError, MockHostPort};

fn process(uid: u32, rest: serde_json::Value) -> Process {
    let mut all = json!({ "cwd": "/", "user": { "uid": uid, "gid": 0 } });
    if let (Some(all), serde_json::Value::Object(rest)) = (all.as_object_mut(), rest) {
        all.extend(rest);
    }
    serde_json::from_value(all).expect("a process")
}

fn host(last: Option<&'static str>) -> MockHostPort {
    let mut host = MockHostPort::new();
    host.expect_sysctl()
        .withf(|name| name == "kernel.cap_last_cap")
        .returning(move |_| Ok(last.map(str::to_owned)));
    host
}

fn all() -> Capabilities {
    all_capabilities(&host(Some("40"))).expect("known")
}

fn fields(changes: &Changes) -> Vec<&str> {
    changes.iter().map(|change| change.field.as_ref()).collect()
}

#[test]
fn systemd_is_told_by_the_first_argument_whole() {
    let runs = |args: serde_json::Value| is_systemd(&process(0, json!({ "args": args })));
    for program in ["/sbin/init", "/usr/sbin/init", "/lib/systemd/systemd", "/usr/lib/systemd/systemd"] {
        assert!(runs(json!([program])) && runs(json!([program, "--show-status"])), "{program}");
    }
    for args in
        [json!([]), json!([""]), json!(["/sbin/init2"]), json!(["init"]), json!(["/bin/sh", "/sbin/init"])]
    {
        assert!(!runs(args.clone()), "{args}");
    }
    assert!(!is_systemd(&process(0, json!({}))), "without arguments");
}

#[test]
fn all_capabilities_are_those_up_to_the_last_one_of_the_kernel() {
    let of = |last| all_capabilities(&host(Some(last))).expect("known");
    assert_eq!(of("0"), Capabilities::from([Capability::Chown]));
    let old = of("37");
    assert!(old.len() == 38 && old.contains(&Capability::AuditRead) && !old.contains(&Capability::Perfmon));
    assert_eq!(of("40\n").len(), 41);
    assert_eq!(of("41"), of("40"), "a newer kernel has those that have a name");
    assert_eq!(of("4294967295"), of("40"));
}

#[test]
fn capabilities_have_the_numbers_of_the_kernel() {
    let last_but = |last, capability| {
        let of = |last: u32| {
            let mut host = MockHostPort::new();
            host.expect_sysctl().returning(move |_| Ok(Some(last.to_string())));
            all_capabilities(&host).expect("known")
        };
        let fewer = if last == 0 { Capabilities::new() } else { of(last - 1) };
        assert_eq!(of(last).difference(&fewer).collect::<Vec<_>>(), [&capability]);
    };
    last_but(0, Capability::Chown);
    last_but(5, Capability::Kill);
    last_but(12, Capability::NetAdmin);
    last_but(21, Capability::SysAdmin);
    last_but(27, Capability::Mknod);
    last_but(31, Capability::Setfcap);
    last_but(36, Capability::BlockSuspend);
    last_but(40, Capability::CheckpointRestore);
}

#[test]
fn a_kernel_that_does_not_tell_its_last_capability_is_an_error() {
    let error = |last| {
        let error = all_capabilities(&host(last)).expect_err("not told");
        format!("{error}: {}", error.source)
    };
    assert_eq!(error(None), "cannot read sysctl kernel.cap_last_cap: this kernel does not have it");
    for last in ["", "-1", "forty", "4294967296"] {
        let expected =
            format!("cannot read sysctl kernel.cap_last_cap: {last:?} is not the number of a capability");
        assert_eq!(error(Some(last)), expected);
    }
}

#[test]
fn root_gets_every_capability_in_all_five_sets() {
    let mut process = process(0, json!({ "capabilities": { "bounding": ["CAP_CHOWN"] } }));
    let mut changes = Changes::default();
    give_capabilities(&mut process, &all(), &mut changes);
    let given = process.capabilities().clone().expect("given");
    for set in [given.bounding(), given.effective(), given.inheritable(), given.permitted(), given.ambient()]
    {
        assert_eq!(set.as_ref(), Some(&all()));
    }
    assert_eq!(fields(&changes), ["process.capabilities"]);
}

#[test]
fn others_get_every_capability_in_the_bounding_set_alone() {
    for uid in [1, 1000, u32::MAX] {
        let mut process = process(uid, json!({ "capabilities": { "effective": ["CAP_SYS_ADMIN"] } }));
        give_capabilities(&mut process, &all(), &mut Changes::default());
        let given = process.capabilities().clone().expect("given");
        assert_eq!(given.bounding().as_ref(), Some(&all()));
        for set in [given.effective(), given.inheritable(), given.permitted(), given.ambient()] {
            assert_eq!(set.as_ref(), Some(&Capabilities::new()));
        }
    }
}

#[test]
fn capabilities_that_are_given_already_are_not_noted() {
    for uid in [0, 1000] {
        let mut process = process(uid, json!({}));
        give_capabilities(&mut process, &all(), &mut Changes::default());
        let (once, mut again) = (process.clone(), Changes::default());
        give_capabilities(&mut process, &all(), &mut again);
        assert_eq!((process, again), (once, Changes::default()));
    }
}

#[test]
fn an_oom_score_below_the_least_is_raised_to_it_and_others_stay() {
    for (score, raised) in [(-1000, -999), (i32::MIN, -999), (-999, -999), (0, 0), (1000, 1000)] {
        let process = process(0, json!({ "oomScoreAdj": score }));
        let mut spec = Spec::default();
        spec.set_process(Some(process));
        let mut changes = Changes::default();
        raise_oom_score(&mut spec, &mut changes);
        assert_eq!(spec.process().as_ref().expect("there").oom_score_adj(), Some(raised));
        assert_eq!(changes.is_empty(), score == raised);
    }
}

#[test]
fn a_process_without_an_oom_score_or_apparmor_profile_gets_none() {
    let mut bare = process(0, json!({}));
    let (before, mut changes) = (bare.clone(), Changes::default());
    raise_oom_score_of(&mut bare, &mut changes);
    drop_apparmor_profile(&mut bare, &mut changes);
    assert_eq!((bare, changes), (before, Changes::default()));
}

#[test]
fn the_apparmor_profile_is_dropped() {
    let mut process = process(0, json!({ "apparmorProfile": "docker-default" }));
    let mut changes = Changes::default();
    drop_apparmor_profile(&mut process, &mut changes);
    assert_eq!((process.apparmor_profile(), fields(&changes)), (&None, vec!["process.apparmorProfile"]));
}

fn executed() -> Process {
    process(
        0,
        json!({ "apparmorProfile": "docker-default", "oomScoreAdj": -1000,
            "env": ["A=b", "SYSBOX_HONOR_CAPS=TRUE"], "capabilities": { "bounding": ["CAP_CHOWN"] } }),
    )
}

#[test]
fn what_is_executed_is_converted_as_the_init_process_and_only_once() {
    let mut process = executed();
    let changes =
        convert_process(&mut process, &ContainerConfig::default(), &host(Some("40"))).expect("converted");
    let expected = [
        "process.env[SYSBOX_HONOR_CAPS]",
        "process.oomScoreAdj",
        "process.apparmorProfile",
        "process.capabilities",
    ];
    assert_eq!(fields(&changes), expected);
    let once = process.clone();
    let again =
        convert_process(&mut process, &ContainerConfig::default(), &host(Some("40"))).expect("converted");
    assert_eq!((process, again), (once, Changes::default()));
}

#[test]
fn what_is_executed_keeps_its_capabilities_where_the_container_honors_them() {
    let config = ContainerConfig { honor_caps: true, ..ContainerConfig::default() };
    let mut process = executed();
    convert_process(&mut process, &config, &MockHostPort::new()).expect("the host is not asked");
    assert_eq!(process.capabilities(), executed().capabilities());
    assert_eq!(process.apparmor_profile(), &None);
}

#[test]
fn outside_of_system_container_mode_what_is_executed_loses_settings_and_its_oom_score_alone() {
    let config = ContainerConfig { syscont_mode: false, ..ContainerConfig::default() };
    let mut process = executed();
    let changes = convert_process(&mut process, &config, &MockHostPort::new()).expect("converted");
    assert_eq!(fields(&changes), ["process.env[SYSBOX_HONOR_CAPS]", "process.oomScoreAdj"]);
}

#[test]
fn a_process_that_cannot_be_converted_is_left_as_it_is() {
    let mut process = executed();
    *process.env_mut() = Some(vec!["SYSBOX_X=1".to_owned()]);
    let before = process.clone();
    let error = convert_process(&mut process, &ContainerConfig::default(), &host(Some("40"))).expect_err("X");
    assert!(matches!(error, ProcessError::Spec(SpecError { field, .. }) if field == "process.env"));
    let error =
        convert_process(&mut process, &ContainerConfig::default(), &host(None)).expect_err("no number");
    assert!(matches!(error, ProcessError::Host(HostError { operation: "read", .. })));
    assert_eq!(process, before);
}
