//! What a profile gains, or loses, so that a system container can use what it needs.

use oci_spec::runtime::{Arch, LinuxSeccomp, LinuxSeccompAction as Action};

use super::{
    profile::{Profile, Rule, Verdict},
    table::{ALLOWED, KEPT_ARGUMENTS},
};
use crate::syscont::SpecError;

/// Whether the table is for a profile.
pub(super) fn require_known(seccomp: &LinuxSeccomp) -> Result<(), SpecError> {
    let architectures = seccomp.architectures().as_deref().unwrap_or_default();
    // The native one is that of the machine, which a system container runs on at all.
    let is_known = |arch: &Arch| {
        matches!(
            arch,
            Arch::ScmpArchX86_64 | Arch::ScmpArchAarch64 | Arch::ScmpArchArm | Arch::ScmpArchNative
        )
    };
    if !architectures.is_empty() && !architectures.iter().any(is_known) {
        let found: Vec<_> = architectures.iter().map(ToString::to_string).collect();
        let rule = "a system container has SCMP_ARCH_X86_64, SCMP_ARCH_AARCH64 or SCMP_ARCH_ARM, maybe beside others";
        return Err(SpecError::new("linux.seccomp.architectures", found.join(", "), rule));
    }
    match Verdict::from(seccomp.default_action()) {
        // Logging by default is for trying a profile out, and would hide what it denies.
        Verdict::Permitted if seccomp.default_action() == Action::ScmpActAllow => Ok(()),
        Verdict::Denied => Ok(()),
        _ => {
            let rule = "a system container's profile allows (SCMP_ACT_ALLOW) or denies (SCMP_ACT_ERRNO, SCMP_ACT_KILL, \
                        SCMP_ACT_KILL_THREAD, SCMP_ACT_KILL_PROCESS) by default";
            Err(SpecError::new("linux.seccomp.defaultAction", seccomp.default_action().to_string(), rule))
        }
    }
}

/// Has a profile permit what is in the table, and gives the names of which it said something else.
pub(super) fn complete(profile: &mut Profile<'_>) -> Vec<&'static str> {
    let mut calls = ALLOWED.map(|name| Call { name, ..Call::default() });
    let mut finder = Finder::default();
    if profile.default == Verdict::Permitted {
        profile.take_out(|verdict, is_conditional, name| {
            let denied = finder
                .find(&mut calls, name)
                .filter(|call| verdict == Verdict::Denied && !(is_conditional && call.keeps_conditions()));
            denied.map(|call| call.is_changed = true).is_some()
        });
    } else {
        permit(profile, &mut calls, finder);
    }
    calls.into_iter().filter(|call| call.is_changed).map(|call| call.name).collect()
}

/// Completes a profile that denies by default.
fn permit(profile: &mut Profile<'_>, calls: &mut [Call], mut finder: Finder) {
    let of_others = |rule: &&Rule<'_>| matches!(rule.verdict(), Verdict::Watched | Verdict::Notified);
    for name in profile.rules.iter().filter(of_others).flat_map(|rule| &rule.names) {
        if let Some(call) = finder.find(calls, name) {
            call.is_of_others = true;
        }
    }
    profile.take_out(|verdict, is_conditional, name| {
        let Some(call) = finder.find(calls, name) else { return false };
        let goes = match verdict {
            Verdict::Denied => true,
            Verdict::Permitted => is_conditional && !call.keeps_conditions(),
            Verdict::Watched | Verdict::Notified => false,
        };
        call.is_changed |= goes;
        call.has_rule |= !goes;
        goes
    });
    let lacking: Vec<_> = calls.iter_mut().filter(|call| !call.has_rule).collect();
    if !lacking.is_empty() {
        let names = lacking.into_iter().map(|call| {
            call.is_changed = true;
            call.name
        });
        profile.rules.push(Rule::new(Action::ScmpActAllow, names.collect(), None));
    }
}

/// A system call of the table, and what becomes of it.
#[derive(Clone, Copy, Debug, Default)]
struct Call {
    name: &'static str,
    /// A tracer, a signal handler or a listener decides of it, at least under some conditions.
    is_of_others: bool,
    /// Some rule is left that says something of it.
    has_rule: bool,
    is_changed: bool,
}

impl Call {
    /// Whether it stays permitted under conditions alone: the table may say so, and permitting it without any would take it from
    /// whoever else decides of it.
    fn keeps_conditions(&self) -> bool {
        self.is_of_others || KEPT_ARGUMENTS.binary_search(&self.name).is_ok()
    }
}

/// Finds system calls by name. Engines list them by name, as the table does: so it is looked first at the one behind the last.
#[derive(Default)]
struct Finder {
    next: usize,
}

impl Finder {
    fn find<'c>(&mut self, calls: &'c mut [Call], name: &str) -> Option<&'c mut Call> {
        let is_next = ALLOWED.get(self.next).is_some_and(|next| *next == name);
        let place = if is_next { self.next } else { ALLOWED.binary_search(&name).ok()? };
        self.next = place + 1;
        calls.get_mut(place)
    }
}
