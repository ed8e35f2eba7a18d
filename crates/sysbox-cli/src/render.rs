//! The only place that prints.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is where the program speaks to people and programs"
)]

use std::{error::Error, time::Duration};

use anyhow::Context;
use comfy_table::{Table, presets::NOTHING};
use serde::Serialize;
use tracing_subscriber::EnvFilter;

use crate::timings::Timings;

/// libcontainer reports an error it returns as an event too; it is told once, by us.
const QUIET: &str = "warn,libcontainer=off,libcgroups=off";

/// Sends events to standard error: those of `level`, by default warnings and errors.
pub(crate) fn set_up_log(level: Option<&str>) {
    let filter = EnvFilter::builder().parse_lossy(level.unwrap_or(QUIET));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
}

/// Prints an error with everything that caused it.
pub(crate) fn error(error: &anyhow::Error) {
    eprintln!("sysbox: {error:#}");
}

/// An error with everything that caused it.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// Prints a line.
pub(crate) fn line(text: &str) {
    println!("{text}");
}

/// Prints a line above what follows.
pub(crate) fn heading(text: &str) {
    println!("\n== {text}");
}

/// Prints what a program can read.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value).context("cannot print as JSON")?);
    Ok(())
}

/// Prints a table; as wide as the terminal, if there is one.
pub(crate) fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
    table.set_header(header.to_vec());
    table.add_rows(rows);
    println!("{}", table.trim_fmt());
}

/// Prints how long each step took, on standard error: standard output is the container's.
pub(crate) fn timings(timings: &Timings) {
    for line in timing_lines(timings) {
        eprintln!("{line}");
    }
}

/// Prints how long each step took.
pub(crate) fn timings_on_stdout(timings: &Timings) {
    for line in timing_lines(timings) {
        println!("{line}");
    }
}

fn timing_lines(timings: &Timings) -> impl Iterator<Item = String> {
    let width = timings.steps().iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    timings.steps().iter().map(move |(name, took)| format!("{name:width$}  {:>10}", milliseconds(*took)))
}

fn milliseconds(took: Duration) -> String {
    format!("{:.3} ms", took.as_secs_f64() * 1000.0)
}
