//! Becoming root, for one program at a time: directly when the caller is root, through sudo otherwise.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use crate::error::TaskError;
use crate::need;

/// How a program is started as root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root {
    /// The caller is root already.
    Already,
    /// By sudo, which asks for a password if its rules say so.
    Sudo,
    /// Not at all: the caller is not root, and there is no sudo.
    Unreachable,
}

impl Root {
    /// Looks who is calling. The directory of a process in `/proc` belongs to its effective user (proc(5)).
    pub(crate) fn detect() -> Result<Self, TaskError> {
        let source_of = |source| TaskError::Start { command: "stat /proc/self".to_owned(), source };
        Ok(if std::fs::metadata("/proc/self").map_err(source_of)?.uid() == 0 {
            Self::Already
        } else if need::find("sudo").is_some() {
            Self::Sudo
        } else {
            Self::Unreachable
        })
    }

    /// A command that runs `program` as root with `environment` added.
    ///
    /// sudo clears the environment, so the variables are set behind it, by env(1).
    pub(crate) fn command(
        self,
        program: &OsStr,
        environment: &[(&str, OsString)],
    ) -> Result<Command, TaskError> {
        let mut command = match self {
            Self::Already => {
                let mut command = Command::new(program);
                command.envs(environment.iter().map(|(name, value)| (name, value)));
                return Ok(command);
            }
            Self::Sudo => Command::new("sudo"),
            Self::Unreachable => return Err(TaskError::NoRoot { program: program.display().to_string() }),
        };
        command.args(["--", "env"]);
        for (name, value) in environment {
            let mut assignment = OsStr::new(name).to_owned();
            assignment.push("=");
            assignment.push(value);
            command.arg(assignment);
        }
        command.arg(program);
        Ok(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &Command) -> Vec<String> {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words.map(|word| word.display().to_string()).collect()
    }

    #[test]
    fn sudo_gets_the_environment_on_its_command_line() {
        let environment = [("SYSBOX_BIN", OsString::from("/a b/sysbox"))];
        let command = Root::Sudo.command(OsStr::new("/t/tree-1"), &environment).unwrap();
        assert_eq!(words(&command), ["sudo", "--", "env", "SYSBOX_BIN=/a b/sysbox", "/t/tree-1"]);
    }

    #[test]
    fn root_runs_the_program_itself() {
        let environment = [("SYSBOX_BIN", OsString::from("/sysbox"))];
        let command = Root::Already.command(OsStr::new("/t/tree-1"), &environment).unwrap();
        assert_eq!(words(&command), ["/t/tree-1"]);
        assert!(
            command.get_envs().any(|(name, value)| name == "SYSBOX_BIN" && value == Some("/sysbox".as_ref()))
        );
    }

    #[test]
    fn without_sudo_the_program_that_needs_root_is_named() {
        let error = Root::Unreachable.command(OsStr::new("/t/tree-1"), &[]).unwrap_err();
        assert!(matches!(error, TaskError::NoRoot { program } if program == "/t/tree-1"));
    }
}
