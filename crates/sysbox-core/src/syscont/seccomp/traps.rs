//! System calls that sysbox-fs carries out for a container (seccomp user notification).

use std::collections::{HashMap, HashSet};

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
            call.is_permitted || (profile.default == Verdict::Permitted && call.always.is_none());
        call.moves = is_permitted && !call.is_denied();
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
    /// What the first rule without conditions says: that decides, whatever others say.
    always: Option<Verdict>,
    /// Under some conditions.
    is_denied_under: bool,
    /// Under some conditions or without.
    is_permitted: bool,
    is_notified: bool,
    /// Whether it is to be notified where it is permitted.
    moves: bool,
}

impl Call {
    /// Whether it is denied, at least under some conditions: rules of several kinds decide by their order then, so it is left alone.
    fn is_denied(&self) -> bool {
        self.always.map_or(self.is_denied_under, denies)
    }
}

fn denies(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Denied | Verdict::Watched)
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
            if is_conditional {
                call.is_denied_under |= denies(verdict);
            } else {
                call.always.get_or_insert(verdict);
            }
            call.is_permitted |= verdict == Verdict::Permitted;
            call.is_notified |= verdict == Verdict::Notified;
        }
    }
    (calls, has_others)
}

fn find(calls: &[Call], name: &str) -> Option<usize> {
    calls.binary_search_by_key(&name, |call| call.name).ok()
}

/// The system call of this name, if it is to be notified where it is permitted.
fn moving<'c>(calls: &'c [Call], name: &str) -> Option<&'c Call> {
    find(calls, name).and_then(|place| calls.get(place)).filter(|call| call.moves)
}

/// Moves system calls from rules that permit them into rules that notify: conditions on arguments go with them, unless the default, or a
/// rule without any, decides. What rules without conditions say after the first one goes too: it decides of nothing, and would not be
/// after that one any more.
fn notify<'a>(profile: &mut Profile<'a>, calls: &[Call]) {
    let permits_all = profile.default == Verdict::Permitted;
    let is_always = |name: &str| permits_all || moving(calls, name).is_some_and(|call| call.always.is_some());
    let always: Vec<&'a str> =
        calls.iter().filter(|call| call.moves && is_always(call.name)).map(|call| call.name).collect();
    let mut notified = Notified::default();
    for rule in profile.rules.iter().filter(|rule| rule.verdict() == Verdict::Notified) {
        if let Some(conditions) = rule.conditions() {
            let names = rule.names.iter().copied().filter(|name| moving(calls, name).is_some());
            notified.missing(names, conditions);
        }
    }
    for mut rule in std::mem::take(&mut profile.rules) {
        let conditions = rule.conditions();
        let is_left = conditions.is_some() && rule.verdict() != Verdict::Permitted;
        let goes = |name: &mut &str| !is_left && moving(calls, name).is_some();
        let mut moved: Vec<&'a str> = rule.names.extract_if(.., goes).collect();
        if moved.is_empty() || !rule.names.is_empty() {
            profile.rules.push(rule);
        }
        moved.retain(|name| !is_always(name));
        let names = conditions.map(|conditions| notified.missing(moved, conditions)).unwrap_or_default();
        if !names.is_empty() {
            profile.rules.push(Rule::new(Action::ScmpActNotify, names, conditions));
        }
    }
    if !always.is_empty() {
        profile.rules.push(Rule::new(Action::ScmpActNotify, always, None));
    }
}

/// Conditions as what can be told apart by hash.
type Key = Vec<(usize, u64, Option<u64>, u32)>;

/// What is notified of under which conditions. These can be as long as their rule has names, so they are kept once for all of those.
#[derive(Default)]
struct Notified<'a> {
    numbers: HashMap<Key, usize>,
    names: HashSet<(&'a str, usize)>,
}

impl<'a> Notified<'a> {
    /// Those of these names that were not notified of under these conditions before, and are so from now on.
    fn missing(
        &mut self,
        names: impl IntoIterator<Item = &'a str>,
        conditions: &[LinuxSeccompArg],
    ) -> Vec<&'a str> {
        let key: Key = conditions
            .iter()
            .map(|one| (one.index(), one.value(), one.value_two(), one.op() as u32))
            .collect();
        let next = self.numbers.len();
        let number = *self.numbers.entry(key).or_insert(next);
        names.into_iter().filter(|name| self.names.insert((name, number))).collect()
    }
}
