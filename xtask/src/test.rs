//! `cargo xtask test`: every test of the workspace, each with the rights it needs.
//!
//! All test programs run to the end, whatever fails before them; the summary comes last. Success means that tests
//! without and tests with root ran, and that all passed.

mod summary;

use std::ffi::OsString;
use std::io;
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use crate::build::{self, Built, TestProgram};
use crate::error::TaskError;
use crate::root::Root;
use crate::tally::Tally;
use crate::test::summary::{Group, Summary};
use crate::{interop, need, process};

/// Variables of the caller that change how tests run, and so must get through sudo.
const PASSED_ON: &[&str] = &[
    "CI",
    "PROPTEST_CASES",
    "RUST_BACKTRACE",
    "RUST_LOG",
    "RUST_TEST_THREADS",
    "SYSBOX_CRASH_MATRIX",
    "SYSBOX_SOAK_SECONDS",
];

/// Builds and runs all tests; `arguments` are given to each test program.
pub(crate) fn run(arguments: &[OsString]) -> Result<ExitCode, TaskError> {
    need::provide(&need::BUILD.iter().chain(need::TESTS).chain(need::INTEROP).collect::<Vec<_>>())?;
    let built = build::everything()?;
    interop::make()?;
    let root = Root::detect()?;

    let mut without_root = Group::new("tests without root");
    for test in built.tests.iter().filter(|test| !test.needs_root) {
        let mut command = Command::new(&test.executable);
        command.envs(environment(test, &built)?).args(arguments);
        run_program(test, &mut command, &mut without_root)?;
    }
    let mut with_root = Group::new("tests with root");
    for test in built.tests.iter().filter(|test| test.needs_root) {
        let mut command = root.command(test.executable.as_os_str(), &root_environment(test, &built)?)?;
        run_program(test, command.args(arguments), &mut with_root)?;
    }
    // The embedded backend was the first.
    for backend in ["grpc", "tarpc"] {
        for test in built.tests.iter().filter(|test| test.is_for_every_backend) {
            let mut environment = root_environment(test, &built)?;
            environment.push(("SYSBOX_TEST_BACKEND", OsString::from(backend)));
            let mut command = root.command(test.executable.as_os_str(), &environment)?;
            let over_daemon =
                TestProgram { title: format!("{}, over {backend}", test.title), ..test.clone() };
            run_program(&over_daemon, command.args(arguments), &mut with_root)?;
        }
    }
    let documentation = run_documentation(arguments)?;

    let summary = Summary { without_root, with_root, documentation, is_filtered: !arguments.is_empty() };
    println!("\n{summary}");
    Ok(if summary.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs one test program where cargo would run it, and books the outcome.
fn run_program(test: &TestProgram, command: &mut Command, group: &mut Group) -> Result<(), TaskError> {
    println!("\n     Running {} as {}", test.title, if test.needs_root { "root" } else { "the caller" });
    let (tally, status) = count(command.current_dir(&test.directory))?;
    group.book(&test.title, tally, status.success());
    Ok(())
}

/// Runs the examples in the documentation of all crates. Cargo must do this itself: they are compiled by rustdoc.
fn run_documentation(arguments: &[OsString]) -> Result<Group, TaskError> {
    const TITLE: &str = "cargo test --doc";
    let mut group = Group::new("examples in documentation");
    let mut command = build::cargo();
    command.args(["test", "--doc", "--workspace", "--all-features", "--no-fail-fast", "--"]).args(arguments);
    let (tally, status) = count(&mut command)?;
    group.book(TITLE, tally, status.success());
    Ok(group)
}

fn count(command: &mut Command) -> Result<(Tally, ExitStatus), TaskError> {
    process::read_output(command.stdin(Stdio::null()), |output| Tally::copy(output, &mut io::stdout().lock()))
}

/// What a test program learns by variables: its package's directory, as from cargo, and the built runtime.
fn environment(test: &TestProgram, built: &Built) -> Result<Vec<(&'static str, OsString)>, TaskError> {
    Ok(vec![
        ("CARGO_MANIFEST_DIR", test.directory.clone().into()),
        ("SYSBOX_BIN", built.runtime()?.clone().into()),
    ])
}

/// The same, with what sudo would hold back. Seeds of failed property tests are not written to the source tree, where
/// they would belong to root; the failure prints them.
fn root_environment(test: &TestProgram, built: &Built) -> Result<Vec<(&'static str, OsString)>, TaskError> {
    let mut environment = environment(test, built)?;
    environment.push(("PROPTEST_DISABLE_FAILURE_PERSISTENCE", OsString::from("1")));
    environment.extend(PASSED_ON.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))));
    Ok(environment)
}
