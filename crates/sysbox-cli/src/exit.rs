//! The exit codes of the program.

use std::process::ExitCode;

use crate::runtime::Interrupted;

/// The code of a program that a signal ended, as shells give it.
pub(crate) fn code_of_signal(signal: i32) -> ExitCode {
    ExitCode::from(u8::try_from(128 + signal).unwrap_or(u8::MAX))
}

/// The code of an error: 1, or that of the signal that made it.
pub(crate) fn code_of(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<Interrupted>() {
        Some(interrupted) => code_of_signal(interrupted.signal),
        None => ExitCode::FAILURE,
    }
}
