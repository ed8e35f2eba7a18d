//! `sysbox repair`: finishes or undoes what processes that died had begun with the files of containers.

use std::process::ExitCode;

use anyhow::bail;
use serde::Serialize;
use sysbox::embedded::{Mended, Repairs, Stray};

use super::inventory::Unfinished;
use crate::{
    args::RepairArgs,
    render,
    wire_up::{Wiring, require_root},
};

/// What is told of a repair.
#[derive(Debug, Serialize)]
struct Report {
    /// What was left half done.
    mended: Vec<Row>,
    /// Directories with files of containers that are on no record.
    strays: Vec<StrayRow>,
}

/// What was left half done of a container.
#[derive(Debug, Serialize)]
struct Row {
    container: String,
    /// In words that go after "it was left".
    left: &'static str,
    /// What was done about it: `finished`, `undone`, or `failed`; with `--dry-run` what will be: `to be finished`, `to be undone`.
    outcome: String,
    /// Why it could not be mended.
    error: Option<String>,
}

/// A directory with files of a container that is on no record.
#[derive(Debug, Serialize)]
pub(super) struct StrayRow {
    path: String,
    container: String,
    pub(super) bytes: u64,
}

impl From<&Stray> for StrayRow {
    fn from(stray: &Stray) -> Self {
        Self { path: stray.path.to_string(), container: stray.container.clone(), bytes: stray.bytes }
    }
}

/// Runs the command.
pub(crate) fn run(args: &RepairArgs) -> anyhow::Result<ExitCode> {
    require_root()?;
    let wiring = Wiring::new(&args.wiring)?;
    let report = report(&repairs(&wiring, args.dry_run)?, args.dry_run);
    if args.json {
        render::json(&report)?;
    } else {
        show(&report, &wiring)?;
    }
    let failed = report.mended.iter().any(|row| args.dry_run || row.error.is_some());
    Ok(if failed || !report.strays.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Nothing is made where there is no data root.
fn repairs(wiring: &Wiring, dry_run: bool) -> anyhow::Result<Repairs> {
    if wiring.is_embedded() && !wiring.data_root.as_path().exists() {
        return Ok(Repairs::default());
    }
    let backend = wiring.open()?;
    let Some(embedded) = backend.embedded() else {
        bail!(
            "the daemon of {} repairs what it keeps by itself; repair is for the embedded backend",
            wiring.url()
        );
    };
    Ok(if dry_run { embedded.unrepaired()? } else { embedded.repair()? })
}

fn report(repairs: &Repairs, dry_run: bool) -> Report {
    Report {
        mended: repairs.mended.iter().map(|mended| row(mended, dry_run)).collect(),
        strays: repairs.strays.iter().map(StrayRow::from).collect(),
    }
}

fn row(mended: &Mended, dry_run: bool) -> Row {
    let Unfinished { left, to_be } = mended.intent.into();
    let outcome = match &mended.failure {
        Some(_) => "failed".to_owned(),
        None if dry_run => format!("to be {to_be}"),
        None => to_be.to_owned(),
    };
    let error = mended.failure.as_ref().map(|error| render::chain(error));
    Row { container: mended.container.to_string(), left, outcome, error }
}

fn show(report: &Report, wiring: &Wiring) -> anyhow::Result<()> {
    if report.mended.is_empty() && report.strays.is_empty() {
        return render::line("nothing is left half done");
    }
    for Row { container, left, outcome, error } in &report.mended {
        let why = error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        render::line(&format!("container {container} was left {left}: {outcome}{why}"))?;
    }
    for stray in &report.strays {
        render::line(&stray.sentence("is on no record; its files are"))?;
    }
    if !report.strays.is_empty() {
        let gc = wiring.command("gc --strays");
        render::line(&format!("save what you need of the files on no record, then remove them: {gc}"))?;
    }
    Ok(())
}

impl StrayRow {
    /// "container ID `verb` in PATH (SIZE)".
    pub(super) fn sentence(&self, verb: &str) -> String {
        format!("container {} {verb} in {} ({})", self.container, self.path, render::bytes(self.bytes))
    }
}
