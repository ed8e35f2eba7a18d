//! The only place that prints.
//!
//! Printing can fail, and a reader may go away: every function says so, and the caller cleans up before it gives up.

use std::{
    error::Error,
    io::{self, IsTerminal, Write},
    time::Duration,
};

use anyhow::Context;
use comfy_table::{ContentArrangement, Table, presets::NOTHING};
use serde::Serialize;
use tracing_subscriber::EnvFilter;

use crate::{
    args::{Cli, Command, LogFormat},
    timings::Timings,
};

/// libcontainer reports an error it returns as an event too; it is told once, by us. What fails in the container's process
/// is told there alone: all that is returned of it is that it failed.
const QUIET: &str =
    "warn,libcontainer=off,libcgroups=off,libcontainer::process::init=error,libcontainer::rootfs=error";

/// A daemon also tells what it does.
const QUIET_DAEMON: &str = "warn,sysbox=info";

/// Sends events to standard error: those that are asked for, by default warnings and errors.
pub(crate) fn set_up_log(cli: &Cli) {
    let default = if matches!(cli.command, Command::Serve(_)) { QUIET_DAEMON } else { QUIET };
    let wanted = cli.log.as_deref().unwrap_or(default);
    // tarpc warns of what our errors tell, for each call that is open when a daemon goes; who wants that names it.
    let filter = EnvFilter::builder().parse_lossy(format!("tarpc=off,{wanted}"));
    // Colours are for people, unless they say no (https://no-color.org).
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
    // A log that nobody takes must not end the program, and there is nobody to tell.
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).log_internal_errors(false);
    match cli.log_format {
        LogFormat::Text => log.with_ansi(colours).without_time().init(),
        LogFormat::Json => log.json().init(),
    }
}

/// Prints an error with everything that caused it, as the log is printed.
pub(crate) fn error(error: &anyhow::Error, format: LogFormat) {
    if let LogFormat::Json = format {
        tracing::error!(error = chain(error.as_ref()), "failed");
        return;
    }
    // Who has closed standard error does not want to know.
    let _ = writeln!(io::stderr(), "sysbox: {}", chain(error.as_ref()));
}

/// An error with everything that caused it. Errors of others may repeat their cause; it is told once.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let further = error.to_string();
        if !text.ends_with(&further) {
            text = format!("{text}: {further}");
        }
        cause = error.source();
    }
    text
}

/// Prints a line.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{text}").context("cannot write to standard output")
}

/// Prints a line above what follows.
pub(crate) fn heading(text: &str) -> anyhow::Result<()> {
    line(&format!("\n== {text}"))
}

/// Prints what a program can read.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(&serde_json::to_string_pretty(value).context("cannot print as JSON")?)
}

/// A number of bytes for people, in the unit in which it is at least one.
pub(crate) fn bytes(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// Prints a table; as wide as the terminal, if there is one.
pub(crate) fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header.to_vec());
    table.add_rows(rows);
    line(&table.trim_fmt())
}

/// Prints how long each step took, on standard error: standard output is the container's. Its exit code counts for more
/// than whether anybody reads this.
pub(crate) fn timings(timings: &Timings) {
    if let Err(error) = write!(io::stderr(), "{}", timing_lines(timings)) {
        tracing::debug!(%error, "nobody reads the timings");
    }
}

/// Prints how long each step took.
pub(crate) fn timings_on_stdout(timings: &Timings) -> anyhow::Result<()> {
    write!(io::stdout(), "{}", timing_lines(timings)).context("cannot write to standard output")
}

fn timing_lines(timings: &Timings) -> String {
    let width = timings.steps().iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, took): &(&str, Duration)| {
        format!("{name:width$}  {:>10.3} ms\n", took.as_secs_f64() * 1000.0)
    };
    timings.steps().iter().map(line).collect()
}
