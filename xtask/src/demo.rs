//! `cargo xtask demo`: from a clean clone to a shell command inside a system container.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};

use crate::error::TaskError;
use crate::root::Root;
use crate::{build, need, process};

/// Builds the runtime as the caller and runs `sysbox demo` with `arguments` as root; answers its exit code.
pub(crate) fn run(arguments: &[OsString]) -> Result<ExitCode, TaskError> {
    need::provide(&need::BUILD.iter().collect::<Vec<_>>())?;
    let built = build::runtime()?;
    let mut command = Root::detect()?.command(built.runtime()?.as_os_str(), &[])?;
    let status = process::status(command.arg("demo").args(arguments))?;
    Ok(exit_code(status))
}

/// The code of a program, by the shell's convention 128 + signal where a signal ended it.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    // Linux keeps eight bits of an exit code and has 64 signals, so anything else cannot have come from wait(2).
    code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_that_of_the_demo() {
        // The numbers are wait(2) statuses: the code in the second byte, or the signal in the first.
        for (raw, code) in [(0, 0), (7 << 8, 7), (9, 137)] {
            assert_eq!(exit_code(ExitStatus::from_raw(raw)), ExitCode::from(code), "{raw}");
        }
    }
}
