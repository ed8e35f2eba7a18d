//! `sysbox gc`: releases what is kept for containers that nobody will start again, since their rootfs is gone.

use std::{collections::BTreeMap, io, path::Path, process::ExitCode};

use anyhow::bail;
use serde::Serialize;
use sysbox::embedded::{EmbeddedMgr, Freed, Stray};

use super::{
    delete,
    inventory::{self, Container},
    repair::StrayRow,
};
use crate::{
    args::GcArgs,
    container::Status,
    render,
    wire_up::{Wiring, require_root},
};

/// What is told of what was released.
#[derive(Debug, Default, Serialize)]
struct Report {
    freed: Vec<Row>,
    /// Directories of containers on no record that were removed.
    strays: Vec<StrayRow>,
    /// What could not be released, and why.
    failures: Vec<String>,
    /// How much room all that was released took.
    bytes: u64,
}

/// A container that was released.
#[derive(Debug, Serialize)]
struct Row {
    container: String,
    /// The host's user ids that are free now, first-last.
    uids: Option<String>,
    /// The host's group ids that are free now.
    gids: Option<String>,
    /// How much room its files took.
    bytes: u64,
}

/// Runs the command.
pub(crate) fn run(args: &GcArgs) -> anyhow::Result<ExitCode> {
    require_root()?;
    let wiring = Wiring::new(&args.wiring)?;
    if !wiring.is_embedded() {
        bail!(
            "the daemon of {} releases what nobody needs by itself; gc is for the embedded backend",
            wiring.url()
        );
    }
    let report =
        if wiring.data_root.as_path().exists() { collect(&wiring, args.strays)? } else { Report::default() };
    if args.json {
        render::json(&report)?;
    } else {
        show(&report)?;
    }
    Ok(if report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn collect(wiring: &Wiring, strays: bool) -> anyhow::Result<Report> {
    let before = inventory::all(wiring)?;
    let mut report = Report::default();
    let backend = wiring.open()?;
    for container in before.iter().filter(|container| is_abandoned(container)) {
        if let Some(embedded) = backend.embedded()
            && !embedded.is_rootfs_gone(&container.id.parse()?)?
        {
            continue;
        }
        match delete_stopped(wiring, container) {
            Ok(()) => report.freed.push(row(&container.id, container.bytes(), Some(container))),
            Err(error) => report.failures.push(render::chain(error.as_ref())),
        }
    }
    if let Some(embedded) = backend.embedded() {
        let Freed { containers, failures, trash } = embedded.gc()?;
        if strays {
            remove_strays(wiring, embedded, &mut report)?;
        }
        let known: BTreeMap<_, _> =
            before.iter().map(|container| (container.id.as_str(), container)).collect();
        let rows =
            containers.iter().map(|(id, bytes)| row(id.as_str(), *bytes, known.get(id.as_str()).copied()));
        report.freed.extend(rows);
        report.failures.extend(failures.iter().map(|error| render::chain(error)));
        report.failures.extend(trash.iter().map(|error| render::chain(error)));
    }
    report.bytes =
        report.freed.iter().map(|row| row.bytes).chain(report.strays.iter().map(|stray| stray.bytes)).sum();
    Ok(report)
}

/// Removes what is on no record of the manager's, but for what belongs to a container that is alive here.
fn remove_strays(wiring: &Wiring, embedded: &EmbeddedMgr, report: &mut Report) -> anyhow::Result<()> {
    let records = wiring.containers.list()?;
    for stray in embedded.unrepaired()?.strays {
        let mut of_it = records.iter().filter(|record| record.id == stray.container);
        if of_it.any(|record| record.status() != Status::Stopped) {
            let Stray { path, container, .. } = &stray;
            report
                .failures
                .push(format!("container {container} is alive, and {path} is its own; end it first"));
            continue;
        }
        match embedded.discard_stray(&stray) {
            Ok(()) => report.strays.push(StrayRow::from(&stray)),
            Err(error) => report.failures.push(render::chain(&error)),
        }
    }
    Ok(())
}

/// Whether its runtime died, its processes too, and its rootfs is gone: the manager was not told, and takes it as running.
fn is_abandoned(container: &Container) -> bool {
    let is_gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    container.status == Some(Status::Stopped)
        && Path::new(&container.rootfs).symlink_metadata().is_err_and(|error| is_gone(&error))
}

fn delete_stopped(wiring: &Wiring, container: &Container) -> anyhow::Result<()> {
    match wiring.containers.claim_existing(&container.id.parse()?)? {
        Some(claim) => delete::delete(wiring, claim, false),
        None => Ok(()),
    }
}

fn row(id: &str, bytes: u64, known: Option<&Container>) -> Row {
    let ids = |of: fn(&Container) -> &Option<String>| known.and_then(|known| of(known).clone());
    Row {
        container: id.to_owned(),
        uids: ids(|container| &container.uids),
        gids: ids(|container| &container.gids),
        bytes,
    }
}

fn show(report: &Report) -> anyhow::Result<()> {
    for Row { container, uids, gids, bytes } in &report.freed {
        let ids = match (uids, gids) {
            (Some(uids), Some(gids)) if uids == gids => format!(", ids {uids}"),
            (Some(uids), Some(gids)) => format!(", user ids {uids}, group ids {gids}"),
            _ => String::new(),
        };
        render::line(&format!("container {container} is released: {}{ids}", render::bytes(*bytes)))?;
    }
    for stray in &report.strays {
        render::line(&stray.sentence("was on no record; its files are removed, which were"))?;
    }
    for failure in &report.failures {
        render::line(&format!("not released: {failure}"))?;
    }
    let count = report.freed.len() + report.strays.len();
    render::line(&match count {
        0 => "nothing was released".to_owned(),
        _ => format!("released {count}, {} in all", render::bytes(report.bytes)),
    })
}
