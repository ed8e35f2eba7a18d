//! What is trapped, and how.

use super::*;

#[test]
fn what_is_trapped_follows_the_config() {
    let of = |syscont_mode, ignore_sysfs_chown, allow_trusted_xattr| {
        let config = ContainerConfig {
            syscont_mode,
            ignore_sysfs_chown,
            allow_trusted_xattr,
            ..ContainerConfig::default()
        };
        traps(&config)
    };
    let always = vec!["mount", "umount2"];
    let in_syscont = [&always[..], &["openat2"]].concat();
    assert_eq!(of(false, false, false), always);
    assert_eq!(of(false, true, true), always);
    assert_eq!(of(true, false, false), in_syscont);
    let chown: &[_] = &["chown", "fchown", "fchownat"];
    assert_eq!(of(true, true, false), [&in_syscont, chown].concat());
    assert_eq!(of(true, false, true), [&in_syscont, &TRAPPED_XATTR[..]].concat());
    assert_eq!(of(true, true, true).len(), 2 + 1 + 3 + 12);
}

#[test]
fn a_spec_without_a_profile_gets_one_that_allows_all_else() {
    let mut bare: Spec = serde_json::from_str(r#"{"ociVersion":"1.0.2","linux":{}}"#).expect("a spec");
    bare.linux_mut().as_mut().expect("there").set_seccomp(None);
    let (mut seccomp, changes) = trapped(bare, &["umount2", "mount"]);
    let architectures = seccomp.as_object_mut().expect("a profile").remove("architectures");
    if cfg!(target_arch = "x86_64") {
        let names = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];
        assert_eq!(architectures, Some(json!(names)), "programs of 32 bits must not be ended by it");
    }
    let expected = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": SOCKET,
        "syscalls": [rule("SCMP_ACT_NOTIFY", &["mount", "umount2"])],
    });
    assert_eq!(seccomp, expected);
    let expected = [
        "linux.seccomp",
        "linux.seccomp.syscalls[mount]",
        "linux.seccomp.syscalls[umount2]",
        "linux.seccomp.listenerPath",
    ];
    assert_eq!(fields(&changes), expected);
}

#[test]
fn without_linux_or_without_names_nothing_is_made() {
    let mut bare: Spec = serde_json::from_str(r#"{"ociVersion":"1.0.2"}"#).expect("a spec");
    bare.set_linux(None);
    let error = trap(&mut bare, &["mount"], &listener(), &mut Changes::default()).expect_err("no linux");
    assert_eq!(error.field, "linux");
    let (seccomp, changes) = trapped(spec(Value::Null), &[]);
    assert_eq!((seccomp, changes), (Value::Null, Changes::default()));
}

#[test]
fn an_allow_list_notifies_where_it_allowed_or_logged_under_the_same_conditions() {
    let given = [
        rule("SCMP_ACT_ALLOW", &["umount2", "read", "mount"]),
        rule_if("SCMP_ACT_LOG", &["chown", "write"], 4),
        rule_if("SCMP_ACT_ALLOW", &["fchown"], 5),
    ];
    let (seccomp, changes) = trapped(
        profile("SCMP_ACT_ERRNO", json!(given)),
        &["mount", "umount2", "chown", "fchown", "fchownat"],
    );
    let expected = [
        rule("SCMP_ACT_ALLOW", &["read"]),
        rule_if("SCMP_ACT_LOG", &["write"], 4),
        rule_if("SCMP_ACT_NOTIFY", &["chown"], 4),
        rule_if("SCMP_ACT_NOTIFY", &["fchown"], 5),
        rule("SCMP_ACT_NOTIFY", &["mount", "umount2"]),
    ];
    assert_eq!(seccomp.get("syscalls"), Some(&json!(expected)));
    let named = ["chown", "fchown", "mount", "umount2"].map(|name| format!("linux.seccomp.syscalls[{name}]"));
    assert_eq!(fields(&changes)[..4], named);
}

#[test]
fn what_is_denied_is_not_trapped() {
    for action in
        ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP", "SCMP_ACT_TRACE"]
    {
        for given in [rule(action, &["mount"]), rule_if(action, &["mount"], 1)] {
            let spec = profile("SCMP_ACT_ALLOW", json!([given]));
            assert_eq!(trapped(spec.clone(), &["mount"]), (seccomp_of(&spec), Changes::default()));
        }
    }
    let by_default = profile("SCMP_ACT_ERRNO", json!([rule("SCMP_ACT_ALLOW", &["read"])]));
    assert_eq!(trapped(by_default.clone(), &["mount"]), (seccomp_of(&by_default), Changes::default()));
}

#[test]
fn a_rule_without_conditions_decides_whether_a_system_call_is_denied_and_of_several_the_first() {
    let (allow, log, error) = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_ERRNO");
    let trace = rule_if("SCMP_ACT_TRACE", &["mount"], 1);
    let notify = rule("SCMP_ACT_NOTIFY", &["mount"]);
    for default in [allow, error] {
        let rules = |given: &[Value]| {
            let (seccomp, _) = trapped(profile(default, json!(given)), &["mount"]);
            seccomp.get("syscalls").cloned().expect("rules")
        };
        for given in [[rule(allow, &["mount"]), trace.clone()], [trace.clone(), rule(log, &["mount"])]] {
            assert_eq!(rules(&given), json!([trace, notify]), "{default}");
        }
        let given = [rule(allow, &["mount"]), rule(error, &["mount", "bpf"]), rule(log, &["mount"])];
        assert_eq!(rules(&given), json!([rule(error, &["bpf"]), notify]), "{default}");
        let denied = [rule(error, &["mount"]), rule(allow, &["mount"]), rule_if(allow, &["mount"], 1)];
        assert_eq!(rules(&denied), json!(denied), "{default}");
    }
}

#[test]
fn a_default_of_allow_is_trapped_without_conditions() {
    let given = [rule_if("SCMP_ACT_LOG", &["mount"], 1), rule("SCMP_ACT_ERRNO", &["bpf"])];
    let (seccomp, _) = trapped(profile("SCMP_ACT_ALLOW", json!(given)), &["umount2", "mount"]);
    let expected = [rule("SCMP_ACT_ERRNO", &["bpf"]), rule("SCMP_ACT_NOTIFY", &["mount", "umount2"])];
    assert_eq!(seccomp.get("syscalls"), Some(&json!(expected)));
}

#[test]
fn no_two_rules_notify_of_one_system_call_under_the_same_conditions() {
    let twice = [rule_if("SCMP_ACT_ALLOW", &["mount", "mount"], 1), rule_if("SCMP_ACT_LOG", &["mount"], 1)];
    let (seccomp, _) = trapped(profile("SCMP_ACT_ERRNO", json!(twice)), &["mount", "mount"]);
    assert_eq!(seccomp.get("syscalls"), Some(&json!([rule_if("SCMP_ACT_NOTIFY", &["mount"], 1)])));
    let with_own = spec(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "listenerPath": SOCKET,
        "syscalls": [rule("SCMP_ACT_NOTIFY", &["mount"]), rule("SCMP_ACT_ALLOW", &["mount"])],
    }));
    let (seccomp, _) = trapped(with_own, &["mount"]);
    assert_eq!(seccomp.get("syscalls"), Some(&json!([rule("SCMP_ACT_NOTIFY", &["mount"])])));
}

#[test]
fn another_listener_is_refused_and_the_same_one_is_not_noted() {
    let with = |path: &str, names: &[&str]| {
        let syscalls = json!([rule("SCMP_ACT_NOTIFY", names)]);
        let mut spec =
            spec(json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": path, "syscalls": syscalls }));
        let (before, mut changes) = (spec.clone(), Changes::default());
        let answer = trap(&mut spec, &["mount"], &listener(), &mut changes);
        assert!(answer.is_ok() || (spec == before && changes.is_empty()), "an error changes nothing");
        answer.map(|()| fields(&changes).join(", ")).map_err(|error| (error.field, error.found))
    };
    let refused = |found: &str| Err(("linux.seccomp.listenerPath".into(), found.to_owned()));
    assert_eq!(with("/run/agent.sock", &["bpf"]), refused(r#""/run/agent.sock""#));
    assert_eq!(with("/run/agent.sock", &["mount"]), refused(r#""/run/agent.sock""#));
    assert_eq!(with("", &["bpf"]), refused("missing"));
    assert_eq!(with(SOCKET, &["mount", "bpf"]), Ok(String::new()));
    assert_eq!(with("", &["mount"]), Ok("linux.seccomp.listenerPath".to_owned()));
}

#[test]
fn a_listener_stays_the_users_where_nothing_is_trapped() {
    let of_user = spec(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "listenerPath": "/run/agent.sock",
        "syscalls": [rule("SCMP_ACT_NOTIFY", &["bpf"])],
    }));
    assert_eq!(trapped(of_user.clone(), &["mount"]), (seccomp_of(&of_user), Changes::default()));
}

#[test]
fn synchronizing_threads_is_dropped_with_a_listener_alone() {
    let with = |default: &str| {
        let flags = ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"];
        trapped(spec(json!({ "defaultAction": default, "flags": flags })), &["mount"]).0
    };
    assert_eq!(with("SCMP_ACT_ALLOW").get("flags"), Some(&json!(["SECCOMP_FILTER_FLAG_LOG"])));
    assert_eq!(with("SCMP_ACT_ERRNO").get("flags").and_then(Value::as_array).map(Vec::len), Some(2));
}

#[test]
fn completing_and_trapping_at_once_is_as_one_after_the_other() {
    let given = profile(
        "SCMP_ACT_ERRNO",
        json!([rule("SCMP_ACT_ALLOW", &["read"]), rule("SCMP_ACT_KILL", &["mount"])]),
    );
    let bare: Spec = serde_json::from_str(r#"{"ociVersion":"1.0.2","linux":{}}"#).expect("a spec");
    for given in [given, bare, profile("SCMP_ACT_ALLOW", json!([rule("SCMP_ACT_ERRNO", &["umount2"])]))] {
        let names = traps(&ContainerConfig::default());
        let (mut at_once, mut changes) = (given.clone(), Changes::default());
        complete_and_trap(&mut at_once, &names, &listener(), &mut changes).expect("converted");
        let (mut in_turn, mut noted) = (given, Changes::default());
        complete_profile(&mut in_turn, &mut noted).expect("completed");
        trap(&mut in_turn, &names, &listener(), &mut noted).expect("trapped");
        assert_eq!((at_once, changes), (in_turn, noted));
    }
}
