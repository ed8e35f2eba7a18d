//! The rules of a profile while they are changed. oci-spec gives them read-only, and lets them be replaced as a whole: so they are
//! borrowed, changed, and written once.

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSyscall};

/// What a rule, or a default, says of a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It fails, or ends the caller.
    Denied,
    /// A signal handler or a tracer of the user's decides.
    Watched,
    /// Who has the filter's descriptor decides.
    Notified,
    /// It is carried out, and maybe logged.
    Permitted,
}

impl From<Action> for Verdict {
    fn from(action: Action) -> Self {
        match action {
            Action::ScmpActErrno
            | Action::ScmpActKill
            | Action::ScmpActKillThread
            | Action::ScmpActKillProcess => Self::Denied,
            Action::ScmpActTrap | Action::ScmpActTrace => Self::Watched,
            Action::ScmpActNotify => Self::Notified,
            Action::ScmpActAllow | Action::ScmpActLog => Self::Permitted,
        }
    }
}

#[derive(Debug)]
pub(super) struct Rule<'a> {
    pub(super) names: Vec<&'a str>,
    action: Action,
    errno_ret: Option<u32>,
    args: Option<&'a Vec<LinuxSeccompArg>>,
}

impl<'a> Rule<'a> {
    pub(super) fn new(action: Action, names: Vec<&'a str>, args: Option<&'a Vec<LinuxSeccompArg>>) -> Self {
        Self { names, action, errno_ret: None, args }
    }

    fn read(syscall: &'a LinuxSyscall) -> Self {
        Self {
            names: syscall.names().iter().map(String::as_str).collect(),
            action: syscall.action(),
            errno_ret: syscall.errno_ret(),
            args: syscall.args().as_ref(),
        }
    }

    fn write(&self) -> LinuxSyscall {
        let mut syscall = LinuxSyscall::default();
        syscall
            .set_names(self.names.iter().map(|name| String::from(*name)).collect())
            .set_action(self.action)
            .set_errno_ret(self.errno_ret)
            .set_args(self.args.cloned());
        syscall
    }

    pub(super) fn verdict(&self) -> Verdict {
        self.action.into()
    }

    /// The conditions on arguments; without any it decides alone.
    pub(super) fn conditions(&self) -> Option<&'a Vec<LinuxSeccompArg>> {
        self.args.filter(|args| !args.is_empty())
    }
}

#[derive(Debug)]
pub(super) struct Profile<'a> {
    pub(super) default: Verdict,
    pub(super) rules: Vec<Rule<'a>>,
}

impl<'a> Profile<'a> {
    pub(super) fn read(seccomp: &'a LinuxSeccomp) -> Self {
        Self {
            default: seccomp.default_action().into(),
            rules: seccomp.syscalls().iter().flatten().map(Rule::read).collect(),
        }
    }

    /// The rules, if they are other than they were.
    pub(super) fn written_if(&self, is_changed: bool) -> Option<Vec<LinuxSyscall>> {
        is_changed.then(|| self.rules.iter().map(Rule::write).collect())
    }

    /// Takes names out of rules: those that `goes` says. A rule that loses its last name goes too.
    pub(super) fn take_out(&mut self, mut goes: impl FnMut(Verdict, bool, &str) -> bool) {
        self.rules.retain_mut(|rule| {
            let (verdict, is_conditional) = (rule.verdict(), rule.conditions().is_some());
            let before = rule.names.len();
            rule.names.retain(|name| !goes(verdict, is_conditional, name));
            !rule.names.is_empty() || before == 0
        });
    }
}
