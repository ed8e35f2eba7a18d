//! System calls that sysbox-fs carries out for a container (seccomp user notification).

use std::collections::HashSet;

use oci_spec::runtime::{LinuxSeccompAction as Action, LinuxSeccompArg};

use super::{
    profile::{Profile, Rule, Verdict},
    table::{TRAPPED, TRAPPED_CHOWN, TRAPPED_IN_SYSCONT, TRAPPED_XATTR},
};
use crate::ContainerConfig;

/// The system calls that sysbox-fs traps in a container with this config.
pub fn traps(config: &ContainerConfig) -> Vec<&'static str> {
    let in_syscont = |is_wanted: bool, names: &'static [&'static str]| {
        names.iter().copied().filter(move |_| config.syscont_mode && is_wanted)
    };
    TRAPPED
        .into_iter()
        .chain(in_syscont(true, &TRAPPED_IN_SYSCONT))
        .chain(in_syscont(config.ignore_sysfs_chown, &TRAPPED_CHOWN))
        .chain(in_syscont(config.allow_trusted_xattr, &TRAPPED_XATTR))
        .collect()
}

/// What trapping makes of a profile.
#[derive(Debug)]
pub(super) struct Trapped {
    /// Of these the profile said something else.
    pub(super) changed: Vec<&'static str>,
    /// Whether a listener is told of any.
    pub(super) needs_listener: bool,
    /// Whether a listener is told of other system calls too.
    pub(super) has_others: bool,
}

/// Has a profile notify its listener of system calls wherever it permits them.
pub(super) fn trap<'a>(profile: &mut Profile<'a>, names: &[&'static str]) -> Trapped {
    let (mut calls, has_others) = calls(profile, names);
    for call in &mut calls {
        let is_permitted =
            call.is_permitted || (profile.default == Verdict::Permitted && !call.is_notified_always);
        call.moves = is_permitted && !call.is_denied;
    }
    let needs_listener = calls.iter().any(|call| call.moves || call.is_notified);
    if calls.iter().any(|call| call.moves) {
        notify(profile, &calls);
    }
    let changed = calls.into_iter().filter(|call| call.moves).map(|call| call.name).collect();
    Trapped { changed, needs_listener, has_others }
}

/// A system call to be trapped, and what the rules of a profile say of it.
#[derive(Debug, Default)]
struct Call {
    name: &'static str,
    /// At least under some conditions. Rules of several kinds decide by their order then, so it is left alone.
    is_denied: bool,
    is_permitted: bool,
    is_notified: bool,
    is_notified_always: bool,
    /// Whether it is to be notified where it is permitted.
    moves: bool,
}

/// The system calls by name, and whether the listener is told of others too.
fn calls(profile: &Profile<'_>, names: &[&'static str]) -> (Vec<Call>, bool) {
    let mut calls: Vec<_> = names.iter().map(|name| Call { name, ..Call::default() }).collect();
    calls.sort_unstable_by_key(|call| call.name);
    calls.dedup_by_key(|call| call.name);
    let mut has_others = profile.default == Verdict::Notified;
    for rule in &profile.rules {
        let (verdict, is_conditional) = (rule.verdict(), rule.conditions().is_some());
        for name in &rule.names {
            let Some(call) = find(&calls, name).and_then(|place| calls.get_mut(place)) else {
                has_others |= verdict == Verdict::Notified;
                continue;
            };
            call.is_denied |= matches!(verdict, Verdict::Denied | Verdict::Watched);
            call.is_permitted |= verdict == Verdict::Permitted;
            call.is_notified |= verdict == Verdict::Notified;
            call.is_notified_always |= verdict == Verdict::Notified && !is_conditional;
        }
    }
    (calls, has_others)
}

fn find(calls: &[Call], name: &str) -> Option<usize> {
    calls.binary_search_by_key(&name, |call| call.name).ok()
}

fn moves(calls: &[Call], name: &str) -> bool {
    find(calls, name).and_then(|place| calls.get(place)).is_some_and(|call| call.moves)
}

/// Moves system calls from rules that permit them into rules that notify: conditions on arguments go with them, unless the default
/// permits them under any.
fn notify<'a>(profile: &mut Profile<'a>, calls: &[Call]) {
    let permits_all = profile.default == Verdict::Permitted;
    let mut always: Vec<&'a str> =
        calls.iter().filter(|call| call.moves && permits_all).map(|call| call.name).collect();
    let mut notified: HashSet<_> = profile
        .rules
        .iter()
        .filter(|rule| rule.verdict() == Verdict::Notified)
        .filter_map(|rule| Some((rule, key(rule.conditions()?))))
        .flat_map(|(rule, key)| rule.names.iter().map(move |name| (*name, key.clone())))
        .filter(|(name, _)| moves(calls, name))
        .collect();
    for mut rule in std::mem::take(&mut profile.rules) {
        let moved: Vec<_> = if rule.verdict() == Verdict::Permitted {
            rule.names.extract_if(.., |name| moves(calls, name)).collect()
        } else {
            Vec::new()
        };
        let conditions = rule.conditions().filter(|_| !permits_all);
        if moved.is_empty() || !rule.names.is_empty() {
            profile.rules.push(rule);
        }
        let Some(conditions) = conditions else {
            always.extend(moved);
            continue;
        };
        let names: Vec<_> =
            moved.into_iter().filter(|name| notified.insert((*name, key(conditions)))).collect();
        if !names.is_empty() {
            profile.rules.push(Rule::new(Action::ScmpActNotify, names, Some(conditions)));
        }
    }
    always.sort_unstable();
    always.dedup();
    always.retain(|name| !calls.iter().any(|call| call.name == *name && call.is_notified_always));
    if !always.is_empty() {
        profile.rules.push(Rule::new(Action::ScmpActNotify, always, None));
    }
}

/// Conditions as what can be told apart by hash.
fn key(conditions: &[LinuxSeccompArg]) -> Vec<(usize, u64, Option<u64>, u32)> {
    conditions.iter().map(|one| (one.index(), one.value(), one.value_two(), one.op() as u32)).collect()
}
