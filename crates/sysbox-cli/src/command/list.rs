//! `sysbox list`: the containers below the data root.

use std::{
    collections::BTreeMap,
    process::ExitCode,
    time::{Duration, SystemTime},
};

use serde::Serialize;
use sysbox::embedded::ContainerRecord;

use crate::{
    args::{ListArgs, ListFormat},
    container::{Record, Status},
    render,
    wire_up::{Wiring, require_root},
};

/// What is shown of a container.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Row {
    pub(crate) id: String,
    /// What its processes do; `None` for one that only the manager knows.
    pub(crate) status: Option<Status>,
    /// Its init process while it runs.
    pub(crate) pid: Option<i32>,
    /// The host's user ids, first-last.
    pub(crate) uids: Option<String>,
    /// The host's group ids, first-last.
    pub(crate) gids: Option<String>,
    /// How its rootfs is shifted.
    pub(crate) shift: Option<String>,
    /// Seconds since 1970.
    pub(crate) created: u64,
    pub(crate) bundle: Option<String>,
    pub(crate) rootfs: String,
}

/// Runs the command.
pub(crate) fn run(args: &ListArgs) -> anyhow::Result<ExitCode> {
    require_root()?;
    let wiring = Wiring::new(&args.wiring)?;
    let rows = rows(&wiring)?;
    match args.format {
        ListFormat::Json => render::json(&rows)?,
        ListFormat::Table => {
            let header = ["ID", "STATUS", "PID", "UIDS", "GIDS", "SHIFT", "AGE", "ROOTFS"];
            render::table(&header, rows.iter().map(cells))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What runtime and manager know, by id.
fn rows(wiring: &Wiring) -> anyhow::Result<Vec<Row>> {
    if !wiring.data_root.as_path().exists() {
        return Ok(Vec::new());
    }
    let known = match wiring.open()?.embedded() {
        Some(embedded) => embedded.list()?,
        None => Vec::new(),
    };
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for record in &wiring.containers.list()? {
        rows.insert(record.id.clone(), of_runtime(record));
    }
    for container in known {
        let row = rows.entry(container.id.to_string()).or_insert_with(|| of_manager(&container));
        row.uids = container.uids.map(|range| range.to_string());
        row.gids = container.gids.map(|range| range.to_string());
        row.shift = Some(container.rootfs_shift.name().to_owned());
    }
    Ok(rows.into_values().collect())
}

fn of_runtime(record: &Record) -> Row {
    let status = record.status();
    let runs = matches!(status, Status::Running | Status::Orphaned);
    let given = record.given.as_ref();
    Row {
        id: record.id.clone(),
        status: Some(status),
        pid: record.init.filter(|_| runs).map(|init| init.pid),
        uids: given.map(|given| given.uids.clone()),
        gids: given.map(|given| given.gids.clone()),
        shift: given.map(|given| given.shift.clone()),
        created: record.created,
        bundle: Some(record.bundle.clone()),
        rootfs: record.rootfs.clone(),
    }
}

fn of_manager(container: &ContainerRecord) -> Row {
    let created = container.registered.duration_since(SystemTime::UNIX_EPOCH);
    Row {
        id: container.id.to_string(),
        created: created.map_or(0, |since| since.as_secs()),
        rootfs: container.rootfs.to_string(),
        ..Row::default()
    }
}

fn cells(row: &Row) -> Vec<String> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    vec![
        row.id.clone(),
        or_dash(row.status.map(|status| format!("{status:?}").to_lowercase())),
        or_dash(row.pid.map(|pid| pid.to_string())),
        or_dash(row.uids.clone()),
        or_dash(row.gids.clone()),
        or_dash(row.shift.clone()),
        age(row.created),
        row.rootfs.clone(),
    ]
}

fn age(created: u64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = now.as_secs().saturating_sub(created);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}
