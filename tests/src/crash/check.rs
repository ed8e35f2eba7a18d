//! What must be so whenever no process is at work on a container, whatever happened to those that were.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use sysbox::{IdRange, embedded::EmbeddedMgr, linux::chown, tree::TreePhase};

use super::{
    place::{Place, abs, entries},
    view::{View, database},
};
use crate::leftovers::mounts;

/// All that is wrong, a line for each.
///
/// # Panics
/// When something cannot be looked at.
pub fn problems(place: &Place, mgr: &EmbeddedMgr) -> Vec<String> {
    let view = View::of(place, mgr);
    let mut found = half_done(mgr);
    found.extend(unsound(place));
    found.extend(left_mounted(place, &view));
    found.extend(left_on_disk(place, mgr, &view));
    found.extend(wrong_owners(place, mgr, &view));
    found
}

fn half_done(mgr: &EmbeddedMgr) -> Vec<String> {
    let left = mgr.unrepaired().expect("readable");
    let mended = left.mended.iter().map(|mended| format!("{mended:?} is not repaired"));
    mended.chain(left.strays.iter().map(|stray| format!("{stray:?}"))).collect()
}

/// What SQLite finds wrong with its file.
///
/// # Panics
/// When it cannot be read.
pub fn unsound(place: &Place) -> Vec<String> {
    let db = database(place);
    let text: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("readable");
    let dangling = db.prepare("PRAGMA foreign_key_check").and_then(|mut check| check.exists([]));
    let mut found = Vec::new();
    if text != "ok" {
        found.push(format!("integrity_check says {text}"));
    }
    if dangling.expect("readable") {
        found.push("a row refers to none".to_owned());
    }
    found
}

/// What is mounted of ours. Only the clone of a container that has not stopped may be.
fn left_mounted(place: &Place, view: &View) -> Vec<String> {
    let data_root = place.data_root().display().to_string();
    let is_due = |line: &String| view.is_cloned && view.is_alive() && line.contains("/clone/");
    mounts(&[&data_root]).into_iter().filter(|line| !is_due(line)).collect()
}

/// What is in the data root and no row tells of.
fn left_on_disk(place: &Place, mgr: &EmbeddedMgr, view: &View) -> Vec<String> {
    let record = mgr.status(&place.id()).expect("readable");
    let volumes: BTreeSet<_> = record
        .iter()
        .flat_map(|record| &record.volumes)
        .map(|volume| volume.path.as_path().to_owned())
        .collect();
    let mut found = Vec::new();
    if place.containers().is_empty() && !volumes.is_empty() {
        found.push(format!("the directory of {volumes:?} is not where directories of containers are"));
    }
    for dir in place.containers() {
        if record.is_none() {
            found.push(format!("{} is of no container", dir.display()));
        }
        for entry in entries(&dir) {
            match entry.file_name().and_then(|name| name.to_str()) {
                Some("container" | "volumes") => {}
                Some("clone") if view.is_cloned => {}
                _ => found.push(format!("{} is there without reason", entry.display())),
            }
        }
        let there: BTreeSet<_> = entries(&dir.join("volumes")).into_iter().collect();
        found.extend(there.difference(&volumes).map(|path| format!("{} is no volume", path.display())));
        found.extend(volumes.difference(&there).map(|path| format!("volume {} is gone", path.display())));
    }
    let trash = entries(&place.data_root().join("trash"));
    found.extend(trash.iter().map(|path| format!("{} is in the trash", path.display())));
    found
}

fn wrong_owners(place: &Place, mgr: &EmbeddedMgr, view: &View) -> Vec<String> {
    let ids = place.ids();
    let mut found = Vec::new();
    let is_upper_shifted = view.runs() && (view.is_clone_shifted || view.has_upper);
    if place.upper().exists() && (view.is_cloned || view.has_upper) {
        found.extend(owned_otherwise(&place.upper(), ids, is_upper_shifted));
    }
    if view.runs() && view.is_clone_shifted {
        found.extend(not_on_record(&place.upper()));
    }
    let is_prepared = view.is_alive() && view.prepared > 0;
    found.extend(owned_otherwise(&place.source(), ids, is_prepared));
    for volume in volumes(place, mgr) {
        let tree = chown::record(&abs(&volume)).unwrap_or_else(|error| panic!("{error}"));
        // A failed call may leave a volume half shifted, as it says itself: the next call goes on with it.
        if tree.as_ref().is_none_or(|tree| tree.phase == TreePhase::Shifted) {
            found.extend(owned_otherwise(&volume, ids, tree.is_some()));
        }
    }
    found
}

/// The volumes of which it is on record that they are half shifted, as none is after a call that has succeeded.
///
/// # Panics
/// When something cannot be looked at.
pub(super) fn half_shifted(place: &Place, mgr: &EmbeddedMgr) -> Vec<String> {
    let is_shifted = |volume: &PathBuf| chown::record(&abs(volume)).is_ok_and(|tree| tree.is_some());
    volumes(place, mgr).into_iter().filter(is_shifted).filter_map(|volume| not_on_record(&volume)).collect()
}

/// The volumes that are there.
fn volumes(place: &Place, mgr: &EmbeddedMgr) -> Vec<PathBuf> {
    let record = mgr.status(&place.id()).expect("readable");
    let all = record.into_iter().flat_map(|record| record.volumes);
    all.map(|volume| volume.path.as_path().to_owned()).filter(|path| path.exists()).collect()
}

/// A tree of which it is not on record that it is shifted, all of it.
fn not_on_record(tree: &Path) -> Option<String> {
    let record = chown::record(&abs(tree)).unwrap_or_else(|error| panic!("{error}"));
    let is_shifted = record.as_ref().is_some_and(|record| record.phase == TreePhase::Shifted);
    (!is_shifted).then(|| format!("{} is on record as {record:?} and not as shifted", tree.display()))
}

/// What in a tree has, or has not, owners of these ids. An overlay's whiteouts may belong to anybody.
pub(super) fn owned_otherwise(tree: &Path, ids: IdRange, is_wanted: bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![tree.to_owned()];
    while let Some(path) = waiting.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        let wrong = |id| ids.contains(id) != is_wanted;
        let is_device = metadata.file_type().is_char_device();
        if !is_device && (wrong(metadata.uid()) || wrong(metadata.gid())) {
            let (uid, gid) = (metadata.uid(), metadata.gid());
            let want = if is_wanted { "shifted" } else { "not shifted" };
            found.push(format!("{} belongs to {uid}:{gid} and should be {want}", path.display()));
        }
        if metadata.is_dir() {
            waiting.extend(entries(&path));
        }
    }
    found
}

/// What is left of a data root whose containers were all removed.
///
/// # Panics
/// When something cannot be looked at.
pub fn left(place: &Place, mgr: &EmbeddedMgr) -> Vec<String> {
    const STAYS: [&str; 7] =
        ["state.db", "state.db-wal", "state.db-shm", "lock", "files", "trash", "sources.lock"];
    let is_ours = |path: &Path| path.file_name().is_some_and(|name| STAYS.iter().any(|stays| name == *stays));
    let mut found: Vec<_> =
        mgr.list().expect("readable").into_iter().map(|record| format!("{record:?} is on record")).collect();
    let pools = mgr.subid_pools().unwrap_or_else(|error| panic!("{error}"));
    if (pools.uids.used, pools.gids.used) != (0, 0) {
        found.push(format!("{} and {} ranges are held", pools.uids.used, pools.gids.used));
    }
    let dirs = [place.containers(), entries(&place.data_root().join("trash"))].concat();
    let others = entries(&place.data_root()).into_iter().filter(|path| !is_ours(path));
    found.extend(dirs.into_iter().chain(others).map(|path| format!("{} is left", path.display())));
    found.extend(unsound(place));
    found.extend(mounts(&[&place.data_root().display().to_string()]));
    found
}
