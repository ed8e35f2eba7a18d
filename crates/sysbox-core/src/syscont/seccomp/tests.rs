//! The rules by example; [`properties`] has them over random profiles.

mod of_traps;
mod properties;

use serde_json::{Value, json};

use super::*;
use crate::ContainerConfig;
use table::{ALLOWED, KEPT_ARGUMENTS, TRAPPED, TRAPPED_CHOWN, TRAPPED_IN_SYSCONT, TRAPPED_XATTR};

const SOCKET: &str = "/run/seccomp.sock";

fn spec(seccomp: Value) -> Spec {
    serde_json::from_value(json!({ "ociVersion": "1.0.2", "linux": { "seccomp": seccomp } })).expect("a spec")
}

fn profile(default: &str, syscalls: Value) -> Spec {
    spec(json!({ "defaultAction": default, "syscalls": syscalls }))
}

fn rule(action: &str, names: &[&str]) -> Value {
    json!({ "names": names, "action": action })
}

/// A rule on the value of the first argument.
fn rule_if(action: &str, names: &[&str], value: u64) -> Value {
    json!({ "names": names, "action": action, "args": [{ "index": 0, "value": value, "op": "SCMP_CMP_EQ" }] })
}

fn seccomp_of(spec: &Spec) -> Value {
    let seccomp = spec.linux().as_ref().expect("there").seccomp();
    serde_json::to_value(seccomp).expect("a profile is JSON")
}

fn rules(spec: &Spec) -> Value {
    seccomp_of(spec).get("syscalls").cloned().unwrap_or_default()
}

fn listener() -> AbsPath {
    AbsPath::new(SOCKET).expect("absolute")
}

fn fields(changes: &Changes) -> Vec<&str> {
    changes.iter().map(|change| change.field.as_ref()).collect()
}

fn completed(mut spec: Spec) -> (Value, Changes) {
    let mut changes = Changes::default();
    complete_profile(&mut spec, &mut changes).expect("completed");
    (rules(&spec), changes)
}

fn trapped(mut spec: Spec, names: &[&'static str]) -> (Value, Changes) {
    let mut changes = Changes::default();
    trap(&mut spec, names, &listener(), &mut changes).expect("trapped");
    (seccomp_of(&spec), changes)
}

/// The table without some names: what one rule at the end allows.
fn rest(names: &[&str]) -> Value {
    let rest: Vec<_> = ALLOWED.into_iter().filter(|name| !names.contains(name)).collect();
    rule("SCMP_ACT_ALLOW", &rest)
}

#[test]
fn the_table_is_sorted_without_twins_and_allows_what_it_keeps_or_traps() {
    let lists: [&[&str]; 6] =
        [&ALLOWED, &KEPT_ARGUMENTS, &TRAPPED, &TRAPPED_IN_SYSCONT, &TRAPPED_CHOWN, &TRAPPED_XATTR];
    for list in lists {
        assert!(list.is_sorted_by(|one, next| one < next), "{list:?}");
        assert!(list.iter().all(|name| ALLOWED.binary_search(name).is_ok()), "{list:?}");
    }
}

#[test]
fn a_spec_without_a_profile_gets_none_by_completion() {
    let bare: Spec = serde_json::from_str(r#"{"ociVersion":"1.0.2","linux":{}}"#).expect("a spec");
    let (mut converted, mut changes) = (bare.clone(), Changes::default());
    complete_profile(&mut converted, &mut changes).expect("nothing to do");
    assert_eq!((converted, changes), (bare, Changes::default()));
}

#[test]
fn an_allow_list_gains_what_it_lacks_in_one_sorted_rule_at_the_end() {
    for default in ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_PROCESS"] {
        let given = rule("SCMP_ACT_ALLOW", &["read", "bpf", "mount"]);
        let (rules, changes) = completed(profile(default, json!([given])));
        assert_eq!(rules, json!([given, rest(&["read", "mount"])]));
        assert_eq!(fields(&changes).len(), ALLOWED.len() - 2);
        assert!(fields(&changes).contains(&"linux.seccomp.syscalls[umount2]"));
    }
}

#[test]
fn an_allow_list_loses_rules_that_deny_what_is_needed_and_keeps_the_others() {
    let (rules, changes) = completed(profile(
        "SCMP_ACT_ERRNO",
        json!([
            rule("SCMP_ACT_KILL", &["mount"]),
            { "names": ["clone3", "umount2"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 },
            rule_if("SCMP_ACT_ERRNO", &["setns"], 1),
        ]),
    ));
    let kept = json!({ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 });
    assert_eq!(rules, json!([kept, rest(&[])]));
    assert_eq!(fields(&changes).len(), ALLOWED.len(), "each once");
}

#[test]
fn conditions_on_arguments_of_what_is_needed_are_dropped() {
    let (rules, _) = completed(profile(
        "SCMP_ACT_ERRNO",
        json!([
            rule_if("SCMP_ACT_ALLOW", &["clone", "clone3", "mount"], 7),
            rule_if("SCMP_ACT_LOG", &["unshare"], 7),
            rule("SCMP_ACT_LOG", &["mount"]),
        ]),
    ));
    let kept =
        [rule_if("SCMP_ACT_ALLOW", &["clone3"], 7), rule("SCMP_ACT_LOG", &["mount"]), rest(&["mount"])];
    assert_eq!(rules, json!(kept));
}

#[test]
fn an_empty_list_of_conditions_is_none() {
    let allowed = json!({ "names": ["mount"], "action": "SCMP_ACT_ALLOW", "args": [] });
    let (rules, changes) = completed(profile("SCMP_ACT_ERRNO", json!([allowed])));
    assert_eq!(rules, json!([allowed, rest(&["mount"])]));
    assert!(!fields(&changes).contains(&"linux.seccomp.syscalls[mount]"));
    let (seccomp, _) = trapped(profile("SCMP_ACT_ERRNO", json!([allowed])), &["mount"]);
    assert_eq!(seccomp.get("syscalls"), Some(&json!([rule("SCMP_ACT_NOTIFY", &["mount"])])));
}

#[test]
fn personality_and_socket_keep_conditions_on_arguments_where_the_profile_has_any() {
    let kept = rule_if("SCMP_ACT_ALLOW", &["personality", "socket"], 8);
    let (rules, _) = completed(profile("SCMP_ACT_ERRNO", json!([kept])));
    assert_eq!(rules, json!([kept, rest(&["personality", "socket"])]));
    let (rules, _) = completed(profile("SCMP_ACT_ERRNO", json!([])));
    assert_eq!(rules, json!([rest(&[])]), "without any they are allowed");
}

#[test]
fn what_others_decide_of_stays_theirs() {
    let given = [
        rule_if("SCMP_ACT_NOTIFY", &["mount"], 1),
        rule_if("SCMP_ACT_ALLOW", &["mount"], 2),
        rule("SCMP_ACT_TRAP", &["ioctl"]),
        rule("SCMP_ACT_TRACE", &["kill"]),
    ];
    let (rules, changes) = completed(profile("SCMP_ACT_ERRNO", json!(given)));
    let mut expected = given.to_vec();
    expected.push(rest(&["ioctl", "kill", "mount"]));
    assert_eq!(rules, json!(expected));
    assert!(!fields(&changes).contains(&"linux.seccomp.syscalls[mount]"));
}

#[test]
fn a_deny_list_loses_what_is_needed_and_nothing_else_and_gains_nothing() {
    let (rules, changes) = completed(profile(
        "SCMP_ACT_ALLOW",
        json!([
            rule("SCMP_ACT_ERRNO", &["mount", "bpf", "personality"]),
            rule_if("SCMP_ACT_ERRNO", &["personality", "socket"], 1),
            rule_if("SCMP_ACT_KILL_PROCESS", &["clone"], 1),
            rule_if("SCMP_ACT_ERRNO", &["kexec_load"], 1),
            rule("SCMP_ACT_TRAP", &["mount"]),
        ]),
    ));
    let kept = [
        rule("SCMP_ACT_ERRNO", &["bpf"]),
        rule_if("SCMP_ACT_ERRNO", &["personality", "socket"], 1),
        rule_if("SCMP_ACT_ERRNO", &["kexec_load"], 1),
        rule("SCMP_ACT_TRAP", &["mount"]),
    ];
    assert_eq!(rules, json!(kept));
    assert_eq!(
        fields(&changes),
        ["clone", "mount", "personality"].map(|name| format!("linux.seccomp.syscalls[{name}]"))
    );
}

#[test]
fn a_profile_that_has_all_is_not_written_again() {
    let complete = profile("SCMP_ACT_ERRNO", json!([{ "names": [], "action": "SCMP_ACT_ALLOW" }, rest(&[])]));
    let (mut spec, mut changes) = (complete.clone(), Changes::default());
    complete_profile(&mut spec, &mut changes).expect("nothing to do");
    assert_eq!((spec, changes), (complete, Changes::default()));
}

#[test]
fn a_profile_for_other_machines_is_refused() {
    let of = |architectures: Value| {
        let mut spec = spec(json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": architectures }));
        complete_profile(&mut spec, &mut Changes::default())
    };
    for known in ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_NATIVE"] {
        assert_eq!(of(json!(["SCMP_ARCH_MIPS", known])), Ok(()));
    }
    assert_eq!(of(json!([])), Ok(()));
    let error = of(json!(["SCMP_ARCH_X86", "SCMP_ARCH_S390X"])).expect_err("none known");
    assert_eq!(
        (&*error.field, &*error.found),
        ("linux.seccomp.architectures", "SCMP_ARCH_X86, SCMP_ARCH_S390X")
    );
}

#[test]
fn a_default_that_neither_allows_nor_denies_is_refused() {
    for default in ["SCMP_ACT_LOG", "SCMP_ACT_TRAP", "SCMP_ACT_TRACE", "SCMP_ACT_NOTIFY"] {
        let mut spec = profile(default, json!([rule("SCMP_ACT_ERRNO", &["mount"])]));
        let before = spec.clone();
        let error = complete_profile(&mut spec, &mut Changes::default()).expect_err(default);
        assert_eq!((&*error.field, &*error.found), ("linux.seccomp.defaultAction", default));
        assert_eq!(spec, before);
    }
}
