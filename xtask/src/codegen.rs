//! `cargo xtask codegen`: the Rust code of the wire contract. It is a program of its own, so that other tasks need not build
//! what it is made of.

use std::process::ExitCode;

use crate::error::TaskError;
use crate::{build, process};

/// Writes the generated code into the source tree.
pub(crate) fn run() -> Result<ExitCode, TaskError> {
    process::succeed(build::cargo().args(["run", "--package", "codegen"]))?;
    Ok(ExitCode::SUCCESS)
}
