//! What is known of containers: by the runtime, from their directories, and by the embedded manager.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use serde::Serialize;
use sysbox::{
    ContainerId,
    embedded::{ContainerRecord, Intent, VolumeRecord},
    linux::usage::usage,
};

use crate::{
    container::{Record, Status},
    wire_up::Wiring,
};

/// What is shown of a container.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Container {
    pub(crate) id: String,
    /// What its processes do; `None` for one that only the manager knows.
    pub(crate) status: Option<Status>,
    /// What the manager was told that it does; `None` for one that it does not know.
    pub(crate) state: Option<&'static str>,
    /// How often it was registered with the manager.
    pub(crate) starts: Option<u32>,
    /// Its init process while it runs.
    pub(crate) pid: Option<i32>,
    /// The host's user ids, first-last.
    pub(crate) uids: Option<String>,
    /// The host's group ids, first-last.
    pub(crate) gids: Option<String>,
    /// How its rootfs is shifted.
    pub(crate) shift: Option<String>,
    /// When it was registered last, in seconds since 1970.
    pub(crate) created: u64,
    pub(crate) bundle: Option<String>,
    pub(crate) rootfs: String,
    pub(crate) volumes: Vec<Volume>,
    /// The sources of bind mounts that were prepared for it.
    pub(crate) prepared: Vec<String>,
    /// Whether the manager has a clone of its rootfs.
    pub(crate) cloned: bool,
    /// What a process that died has begun with its files.
    pub(crate) unfinished: Option<Unfinished>,
}

/// What is shown of a volume.
#[derive(Debug, Serialize)]
pub(crate) struct Volume {
    pub(crate) kind: &'static str,
    pub(crate) destination: String,
    /// Where it is on the host.
    pub(crate) path: String,
    /// How much room it takes; `None` where that cannot be told, as of one that goes away just now.
    pub(crate) bytes: Option<u64>,
    pub(crate) inodes: Option<u64>,
    /// When it was copied from the rootfs or into it last, in seconds since 1970.
    pub(crate) synced: Option<u64>,
}

/// What was left half done.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Unfinished {
    /// In words that go after "it was left".
    pub(crate) left: &'static str,
    /// What becomes of it: `finished` or `undone`.
    pub(crate) to_be: &'static str,
}

impl From<Intent> for Unfinished {
    fn from(intent: Intent) -> Self {
        let to_be = if intent.is_to_be_finished() { "finished" } else { "undone" };
        Self { left: intent.words(), to_be }
    }
}

/// All containers below a data root, by id. Nothing is made where there is no data root.
pub(crate) fn all(wiring: &Wiring) -> anyhow::Result<Vec<Container>> {
    if !wiring.data_root.as_path().exists() {
        return Ok(Vec::new());
    }
    let known = match wiring.open()?.embedded() {
        Some(embedded) => embedded.list()?,
        None => Vec::new(),
    };
    let mut found: BTreeMap<String, Container> = BTreeMap::new();
    for record in &wiring.containers.list()? {
        found.insert(record.id.clone(), of_runtime(record));
    }
    for record in &known {
        let container = found.entry(record.id.to_string()).or_insert_with(|| of_manager(record));
        add(container, record);
    }
    Ok(found.into_values().collect())
}

/// One container, if it is known.
pub(crate) fn one(wiring: &Wiring, id: &ContainerId) -> anyhow::Result<Option<Container>> {
    if !wiring.data_root.as_path().exists() {
        return Ok(None);
    }
    let known = match wiring.open()?.embedded() {
        Some(embedded) => embedded.status(id)?,
        None => None,
    };
    let of_runtime = wiring.containers.record(id)?.as_ref().map(of_runtime);
    let mut found = of_runtime.or_else(|| known.as_ref().map(of_manager));
    if let (Some(container), Some(record)) = (&mut found, &known) {
        add(container, record);
    }
    Ok(found)
}

fn of_runtime(record: &Record) -> Container {
    let status = record.status();
    let runs = matches!(status, Status::Running | Status::Orphaned);
    let given = record.given.as_ref();
    Container {
        id: record.id.clone(),
        status: Some(status),
        pid: record.init.filter(|_| runs).map(|init| init.pid),
        uids: given.map(|given| given.uids.clone()),
        gids: given.map(|given| given.gids.clone()),
        shift: given.map(|given| given.shift.clone()),
        created: record.created,
        bundle: Some(record.bundle.clone()),
        rootfs: record.rootfs.clone(),
        cloned: record.cloned,
        ..Container::default()
    }
}

fn of_manager(record: &ContainerRecord) -> Container {
    Container { id: record.id.to_string(), rootfs: record.rootfs.to_string(), ..Container::default() }
}

/// Adds what the manager knows, which counts where both know something.
fn add(container: &mut Container, record: &ContainerRecord) {
    container.state = Some(record.state.name());
    container.starts = Some(record.starts);
    container.uids = record.uids.map(|range| range.to_string());
    container.gids = record.gids.map(|range| range.to_string());
    container.shift = Some(record.rootfs_shift.name().to_owned());
    container.created = seconds(record.registered);
    container.volumes = record.volumes.iter().map(volume).collect();
    container.prepared = record.prepared.iter().map(ToString::to_string).collect();
    container.cloned = record.cloned;
    container.unfinished = record.unfinished.map(Unfinished::from);
}

fn volume(volume: &VolumeRecord) -> Volume {
    let usage = usage(&volume.path).inspect_err(|error| tracing::debug!(%error, "its size is not told")).ok();
    Volume {
        kind: volume.kind.name(),
        destination: volume.destination.to_string(),
        path: volume.path.to_string(),
        bytes: usage.map(|usage| usage.bytes),
        inodes: usage.map(|usage| usage.inodes),
        synced: volume.synced.map(seconds),
    }
}

impl Container {
    /// What it does, by its processes if the runtime knows it, else by what the manager was told.
    pub(crate) fn state(&self) -> String {
        let status = self.status.map(|status| format!("{status:?}").to_lowercase());
        status.or_else(|| self.state.map(str::to_owned)).unwrap_or_else(|| "-".to_owned())
    }

    /// How much room its volumes take, as far as it can be told.
    pub(crate) fn bytes(&self) -> u64 {
        self.volumes.iter().filter_map(|volume| volume.bytes).sum()
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// How long ago a time in seconds since 1970 was, in one unit.
pub(crate) fn age(since: u64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    in_one_unit(now.as_secs().saturating_sub(since))
}

fn in_one_unit(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_the_unit_in_which_it_is_at_least_two() {
        let ages = [0, 119, 120, 7199, 7200, 172_799, 172_800].map(in_one_unit);
        assert_eq!(ages, ["0s", "119s", "2m", "119m", "2h", "47h", "2d"]);
    }

    #[test]
    fn what_processes_do_counts_more_than_what_the_manager_was_told() {
        let told = Container { state: Some("paused"), ..Container::default() };
        assert_eq!(told.state(), "paused");
        assert_eq!(Container { status: Some(Status::Orphaned), ..told }.state(), "orphaned");
    }
}
