//! `cargo xtask`: what a developer does to this workspace, in one command each.
//!
//! Whatever a task needs of the machine is installed by the task, or named where it cannot be. Everything is built
//! as the calling user; root is taken only for the single programs that need it, so that no file in the target
//! folder belongs to root unless root called, but for the Debian of `boot`.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program talks to its user")]

mod boot;
mod build;
mod codegen;
mod demo;
mod error;
mod interop;
mod need;
mod process;
mod root;
mod tally;
mod test;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::error::TaskError;

const USAGE: &str = "\
Developer tasks of this workspace

Usage: cargo xtask <task> [-- <arguments>]

Tasks:
  boot     make a Debian with debootstrap, boot its systemd in `sysbox run`, look inside, and halt it; the Debian is kept
           below the target folder, where it belongs to root
  codegen  write the Rust code of the wire contract anew from proto/
  demo     build the runtime, then run `sysbox demo` as root; arguments go to `sysbox demo`
  interop  make what the tests with programs in other languages need, as `test` does, so that they can be run by themselves
  test     build everything, then run all tests: as the calling user those that need no root, as root the others,
           and the doc tests; arguments go to every test program, a part of a test's name for example
  help     print this text

They install what they need and do not find (apt-get or dnf), and use sudo where root is needed and the caller
is not root.";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Task {
    Boot,
    Codegen,
    Demo(Vec<OsString>),
    Interop,
    Test(Vec<OsString>),
    Help,
}

fn main() -> ExitCode {
    let outcome = match parse(std::env::args_os().skip(1)) {
        Ok(Task::Help) => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        Ok(Task::Boot) => boot::run(),
        Ok(Task::Codegen) => codegen::run(),
        Ok(Task::Demo(arguments)) => demo::run(&arguments),
        Ok(Task::Interop) => interop::run(),
        Ok(Task::Test(arguments)) => test::run(&arguments),
        Err(error) => Err(error),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("xtask: {}", error::chain(&error));
        ExitCode::from(if matches!(error, TaskError::Usage { .. }) { 2 } else { 1 })
    })
}

/// Reads the command line. A first `--` after the task only separates, as it does for cargo itself.
fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Task, TaskError> {
    let mut arguments = arguments.into_iter();
    let Some(task) = arguments.next() else {
        return Err(TaskError::Usage { problem: "no task given".to_owned() });
    };
    let mut rest: Vec<OsString> = arguments.collect();
    match rest.first() {
        Some(first) if first == "--" => drop(rest.remove(0)),
        Some(first) if first == "--help" || first == "-h" => return Ok(Task::Help),
        _ => {}
    }
    match task.to_str() {
        Some("boot") if rest.is_empty() => Ok(Task::Boot),
        Some("boot") => Err(TaskError::Usage { problem: "boot takes no arguments".to_owned() }),
        Some("codegen") if rest.is_empty() => Ok(Task::Codegen),
        Some("codegen") => Err(TaskError::Usage { problem: "codegen takes no arguments".to_owned() }),
        Some("interop") if rest.is_empty() => Ok(Task::Interop),
        Some("interop") => Err(TaskError::Usage { problem: "interop takes no arguments".to_owned() }),
        Some("demo") => Ok(Task::Demo(rest)),
        Some("test") => Ok(Task::Test(rest)),
        Some("help" | "--help" | "-h") => Ok(Task::Help),
        _ => Err(TaskError::Usage { problem: format!("no such task: {}", task.display()) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(line: &str) -> Result<Task, TaskError> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn arguments_after_the_separator_belong_to_the_task() {
        let arguments = ["--verbose", "--", "--help"].map(OsString::from).to_vec();
        assert_eq!(parse_words("demo -- --verbose -- --help").unwrap(), Task::Demo(arguments));
        assert_eq!(parse_words("test overlay").unwrap(), Task::Test(vec!["overlay".into()]));
        assert_eq!(parse_words("test").unwrap(), Task::Test(vec![]));
    }

    #[test]
    fn help_is_understood_before_and_after_a_task() {
        for line in ["help", "--help", "-h", "demo --help", "test -h"] {
            assert_eq!(parse_words(line).unwrap(), Task::Help, "{line}");
        }
    }

    #[test]
    fn an_unknown_or_absent_task_is_a_usage_error() {
        for line in ["", "deploy", "--frobnicate", "boot bullseye", "codegen all", "interop all"] {
            assert!(matches!(parse_words(line), Err(TaskError::Usage { .. })), "{line}");
        }
    }
}
