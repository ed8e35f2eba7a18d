//! Running other programs: no exit status is ever dropped, and every error names the whole command line.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use crate::error::TaskError;

/// Runs `command` to its end and answers how it ended.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus, TaskError> {
    command.status().map_err(|source| TaskError::Start { command: line(command), source })
}

/// Starts `command`.
pub(crate) fn spawn(command: &mut Command) -> Result<Child, TaskError> {
    command.spawn().map_err(|source| TaskError::Start { command: line(command), source })
}

/// How a program ended, if it has.
pub(crate) fn try_wait(child: &mut Child) -> Result<Option<ExitStatus>, TaskError> {
    child.try_wait().map_err(|source| TaskError::Start { command: format!("process {}", child.id()), source })
}

/// Runs `command` to its end and answers how it ended and all that it wrote.
pub(crate) fn output(command: &mut Command) -> Result<Output, TaskError> {
    command.output().map_err(|source| TaskError::Start { command: line(command), source })
}

/// Runs `command` and takes anything but success as an error.
pub(crate) fn succeed(command: &mut Command) -> Result<(), TaskError> {
    let status = status(command)?;
    ended(command, status)
}

/// Runs `command`, hands its standard output to `read`, and answers what that made of it and how the program ended.
pub(crate) fn read_output<T>(
    command: &mut Command,
    read: impl FnOnce(&mut dyn BufRead) -> std::io::Result<T>,
) -> Result<(T, ExitStatus), TaskError> {
    let spawned = command.stdout(Stdio::piped()).spawn();
    let start = |source| TaskError::Start { command: line(command), source };
    let output = |source| TaskError::Output { command: line(command), source };

    let mut child = spawned.map_err(start)?;
    #[expect(clippy::expect_used, reason = "the pipe was asked for five lines up")]
    let stdout = child.stdout.take().expect("standard output was asked for as a pipe");
    let result = read(&mut BufReader::new(stdout));
    // The child is waited for also when reading failed: the pipe is closed by now, so that it cannot block on us.
    let status = child.wait().map_err(start)?;
    Ok((result.map_err(output)?, status))
}

/// `Ok` if `command` ended with success.
pub(crate) fn ended(command: &Command, status: ExitStatus) -> Result<(), TaskError> {
    if status.success() { Ok(()) } else { Err(TaskError::Ended { command: line(command), status }) }
}

/// The command line as a person would write it, quoting left out.
fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
