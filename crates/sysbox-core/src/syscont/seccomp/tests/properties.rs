//! The rules over random profiles.

use std::collections::BTreeSet;

use oci_spec::runtime::LinuxSyscall;
use proptest::{prelude::*, sample::select};

use super::*;

/// Some of the table, with and without a special part in it, and some that are not there.
const NAMES: [&str; 10] =
    ["mount", "umount2", "socket", "personality", "clone", "read", "bpf", "clone3", "kexec_load", ""];
const ACTIONS: [&str; 9] = [
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_LOG",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_TRACE",
];
const DEFAULTS: [&str; 5] =
    ["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_PROCESS"];
const TRAPS: [&str; 3] = ["umount2", "mount", "clone"];

prop_compose! {
    fn any_rule()(
        names in prop::collection::vec(select(&NAMES[..]), 0..5),
        action in select(&ACTIONS[..]),
        condition in prop::option::weighted(0.4, 0_u64..3),
    ) -> Value {
        condition.map_or_else(|| rule(action, &names), |value| rule_if(action, &names, value))
    }
}

prop_compose! {
    /// A profile whose listener, if it has one, is ours.
    fn any_profile(defaults: &'static [&'static str])(
        default in select(defaults),
        syscalls in prop::collection::vec(any_rule(), 0..8),
    ) -> Spec {
        spec(json!({ "defaultAction": default, "listenerPath": SOCKET, "syscalls": syscalls }))
    }
}

fn syscalls(spec: &Spec) -> Vec<LinuxSyscall> {
    let seccomp = spec.linux().as_ref().expect("there").seccomp().clone().expect("there");
    seccomp.syscalls().clone().unwrap_or_default()
}

/// What a profile says of a system call: every action with its conditions, or the default.
fn said(spec: &Spec, name: &str) -> BTreeSet<String> {
    let says = |syscall: &&LinuxSyscall| syscall.names().iter().any(|named| named == name);
    let said: BTreeSet<_> = syscalls(spec)
        .iter()
        .filter(says)
        .map(|syscall| format!("{} {:?} {:?}", syscall.action(), syscall.errno_ret(), syscall.args()))
        .collect();
    if said.is_empty() { BTreeSet::from([default_of(spec)]) } else { said }
}

fn default_of(spec: &Spec) -> String {
    spec.linux().as_ref().expect("there").seccomp().as_ref().expect("there").default_action().to_string()
}

fn denies(said: &str) -> bool {
    said.starts_with("SCMP_ACT_ERRNO") || said.starts_with("SCMP_ACT_KILL")
}

fn is_of_others(said: &str) -> bool {
    ["SCMP_ACT_NOTIFY", "SCMP_ACT_TRAP", "SCMP_ACT_TRACE"].iter().any(|action| said.starts_with(action))
}

/// What happens to a call whose first argument is `value`: the first rule without conditions, else any action of those that apply.
fn outcomes(spec: &Spec, name: &str, value: u64) -> BTreeSet<String> {
    let (mut always, mut under) = (None, BTreeSet::new());
    for syscall in syscalls(spec).iter().filter(|syscall| syscall.names().iter().any(|named| named == name)) {
        match syscall.args().as_deref().unwrap_or_default() {
            [] => always = always.or_else(|| Some(syscall.action().to_string())),
            conditions if conditions.iter().all(|condition| condition.value() == value) => {
                under.insert(syscall.action().to_string());
            }
            _ => {}
        }
    }
    match always {
        Some(action) => BTreeSet::from([action]),
        None if under.is_empty() => BTreeSet::from([default_of(spec)]),
        None => under,
    }
}

/// Whether a profile denies a system call by the first rule without conditions, or else by any rule.
fn is_denied(spec: &Spec, name: &str) -> bool {
    let mut rules = syscalls(spec);
    rules.retain(|rule| rule.names().iter().any(|named| named == name));
    let denies = |rule: &LinuxSyscall| !is_reachable(&rule.action().to_string());
    let always = rules.iter().find(|rule| rule.args().as_deref().unwrap_or_default().is_empty());
    always.map_or_else(|| rules.iter().any(denies), denies)
}

fn is_reachable(outcome: &str) -> bool {
    ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY"].contains(&outcome)
}

proptest! {
    #[test]
    fn to_complete_twice_is_to_complete_once(given in any_profile(&DEFAULTS)) {
        let (mut once, mut changes) = (given.clone(), Changes::default());
        complete_profile(&mut once, &mut changes).expect("a default that is taken");
        prop_assert_eq!(changes.is_empty(), once == given);
        let (mut twice, mut again) = (once.clone(), Changes::default());
        complete_profile(&mut twice, &mut again).expect("a default that is taken");
        prop_assert_eq!((twice, again), (once, Changes::default()));
    }

    #[test]
    fn whatever_is_needed_is_permitted_or_of_others_after_completion(given in any_profile(&DEFAULTS)) {
        let mut completed = given.clone();
        complete_profile(&mut completed, &mut Changes::default()).expect("a default that is taken");
        for name in NAMES.into_iter().filter(|name| ALLOWED.contains(name)) {
            let keeps_arguments = KEPT_ARGUMENTS.contains(&name);
            prop_assert!(keeps_arguments || !said(&completed, name).iter().any(|said| denies(said)), "{}", name);
            let is_left = said(&given, name).iter().any(|said| is_of_others(said)) || keeps_arguments;
            for value in 0..4 {
                let can = outcomes(&completed, name, value).iter().all(|outcome| is_reachable(outcome));
                prop_assert!(is_left || can, "{} {}", name, value);
            }
        }
    }

    #[test]
    fn of_what_is_not_in_the_table_a_profile_says_the_same_after_completion(given in any_profile(&DEFAULTS)) {
        let mut completed = given.clone();
        complete_profile(&mut completed, &mut Changes::default()).expect("a default that is taken");
        for name in ["bpf", "clone3", "kexec_load", "", "never_named"] {
            prop_assert_eq!(said(&completed, name), said(&given, name));
        }
    }

    #[test]
    fn what_could_be_called_can_be_called_after_completion(given in any_profile(&DEFAULTS)) {
        let mut completed = given.clone();
        complete_profile(&mut completed, &mut Changes::default()).expect("a default that is taken");
        for name in NAMES {
            for value in 0..4 {
                let could = outcomes(&given, name, value).iter().all(|outcome| is_reachable(outcome));
                let can = outcomes(&completed, name, value).iter().all(|outcome| is_reachable(outcome));
                prop_assert!(!could || can, "{name} {value}");
            }
        }
    }

    #[test]
    fn to_complete_and_trap_twice_is_to_do_so_once(given in any_profile(&DEFAULTS)) {
        let mut once = given;
        complete_and_trap(&mut once, &TRAPS, &listener(), &mut Changes::default()).expect("our listener");
        let (mut twice, mut again) = (once.clone(), Changes::default());
        complete_and_trap(&mut twice, &TRAPS, &listener(), &mut again).expect("our listener");
        prop_assert_eq!((twice, again), (once, Changes::default()));
    }

    #[test]
    fn to_trap_twice_is_to_trap_once(given in any_profile(&ACTIONS)) {
        let (mut once, mut changes) = (given.clone(), Changes::default());
        trap(&mut once, &TRAPS, &listener(), &mut changes).expect("our listener");
        prop_assert_eq!(changes.is_empty(), once == given);
        let (mut twice, mut again) = (once.clone(), Changes::default());
        trap(&mut twice, &TRAPS, &listener(), &mut again).expect("our listener");
        prop_assert_eq!((twice, again), (once, Changes::default()));
    }

    #[test]
    fn a_trap_makes_nothing_reachable_that_was_denied_and_denies_nothing(given in any_profile(&ACTIONS)) {
        let mut trapped = given.clone();
        trap(&mut trapped, &TRAPS, &listener(), &mut Changes::default()).expect("our listener");
        for name in NAMES {
            for value in 0..4 {
                let reachable = |spec| -> BTreeSet<bool> {
                    outcomes(spec, name, value).iter().map(|outcome| is_reachable(outcome)).collect()
                };
                prop_assert_eq!(reachable(&trapped), reachable(&given), "{} {}", name, value);
            }
        }
    }

    #[test]
    fn what_is_trapped_is_carried_out_by_no_one_else(given in any_profile(&ACTIONS)) {
        let mut trapped = given.clone();
        trap(&mut trapped, &TRAPS, &listener(), &mut Changes::default()).expect("our listener");
        for name in TRAPS {
            let permitted = said(&trapped, name).iter().any(|said| {
                said.starts_with("SCMP_ACT_ALLOW") || said.starts_with("SCMP_ACT_LOG")
            });
            prop_assert!(is_denied(&given, name) || !permitted, "{name}");
        }
    }

    #[test]
    fn of_what_is_not_trapped_a_profile_says_the_same(given in any_profile(&ACTIONS)) {
        let mut trapped = given.clone();
        trap(&mut trapped, &TRAPS, &listener(), &mut Changes::default()).expect("our listener");
        for name in NAMES.into_iter().filter(|name| !TRAPS.contains(name)) {
            prop_assert_eq!(said(&trapped, name), said(&given, name));
        }
    }
}
