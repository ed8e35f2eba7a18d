//! What a rootfs lacks for the mounts of its container: it is made before the container is created, and removed when that has
//! ended, as far as nothing came to be in it.
//!
//! It is made here and not left to libcontainer, so that all of it is on record before any of it is there. What others that are
//! alive in the rootfs have made is put on record too, for whoever is the last one to remove it. So a container that has the rootfs
//! alone leaves nothing. Of several that start and end at once, each may take another for the last one: empty places may stay. They
//! stay too where the last one knows nothing of them, since they were made by containers of another data root.

use std::{
    collections::HashSet,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use oci_spec::runtime::Mount;
use rustix::{
    fs::CWD,
    mount::{OpenTreeFlags, open_tree},
};
use sysbox::{
    AbsPath, Converted, HostError, HostPort, Owner, ShiftType,
    linux::{
        LinuxHost,
        within::{self, Entry, LastName, Place},
    },
    syscont::mounts::is_bind,
};

use super::{Ground, rootfs};
use crate::container::{Claim, Containers, Made, Record};

/// The permissions of a directory that something is mounted at.
const DIRECTORY: u32 = 0o755;
/// The permissions of a file that another is mounted at.
const FILE: u32 = 0o644;

/// Mounts at and below these are what every program expects: no container is run without them.
const NEEDED: [&str; 5] = ["/proc", "/sys", "/dev", "/run", "/tmp"];

/// A rootfs or its clone, as it is to be mounted for the container: without what is mounted below it.
#[derive(Debug)]
pub(super) struct Tree {
    /// A path that leads to it as long as this lives.
    pub(super) path: AbsPath,
    /// Where it is.
    pub(super) name: AbsPath,
    _mount: OwnedFd,
}

impl Tree {
    pub(super) fn open(tree: &AbsPath) -> anyhow::Result<Self> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let mount = open_tree(CWD, tree.as_path(), flags)
            .with_context(|| format!("cannot clone the mount of {tree}"))?;
        let path = AbsPath::new(format!("/proc/self/fd/{}", mount.as_raw_fd()))?;
        Ok(Self { path, name: tree.clone(), _mount: mount })
    }

    /// A directory as it is.
    #[cfg(test)]
    pub(super) fn of_test(directory: &Path) -> Self {
        let path = AbsPath::new(directory).expect("absolute");
        Self { name: path.clone(), path, _mount: std::fs::File::open(directory).expect("there").into() }
    }

    /// Makes what is on record, unless something is there already.
    pub(super) fn make(&self, made: &Made, owner: Owner, mode: u32) -> anyhow::Result<()> {
        let path = AbsPath::new(made.path())?;
        within::make(&self.path, &path, entry(made), owner, mode).map_err(|error| self.named(error))?;
        Ok(())
    }

    /// Where a path leads in it.
    pub(super) fn look_up(&self, path: &AbsPath, last: LastName) -> Result<Place, HostError> {
        within::look_up(&self.path, path, last).map_err(|error| self.named(error))
    }

    fn remove_unused(&self, made: &Made) -> anyhow::Result<bool> {
        let path = AbsPath::new(made.path())?;
        Ok(within::remove_unused(&self.path, &path, entry(made)).map_err(|error| self.named(error))?)
    }

    /// The error with the name that a user knows.
    fn named(&self, mut error: HostError) -> HostError {
        error.subject = error.subject.replace(&self.path.to_string(), &self.name.to_string());
        error
    }
}

/// The owner on disk of what belongs to the container's root.
pub(super) fn roots_owner(converted: &Converted) -> Owner {
    match converted.shift.rootfs {
        ShiftType::NoShift => converted.ids.root(),
        _ => Owner::new(0, 0),
    }
}

/// Puts on record what others have made in the rootfs of this container, for they may leave it to this one.
pub(super) fn adopt(ground: Ground<'_>, record: &mut Record) -> anyhow::Result<()> {
    let others = ground.wiring.containers.list()?.into_iter();
    let here =
        others.filter(|other| other.id != record.id && other.rootfs_identity == record.rootfs_identity);
    let made = here.flat_map(|other| other.made().to_vec()).collect();
    put_down(made, ground.claim, record)
}

/// Puts on record what is about to be made.
pub(super) fn put_down(made: Vec<Made>, claim: &Claim, record: &mut Record) -> anyhow::Result<()> {
    if record.note_made(made) {
        claim.save(record)?;
    }
    Ok(())
}

/// Makes the mount points that the rootfs lacks. Where it cannot have one, what conversion wants to be mounted there is left out of
/// the spec; what the spec itself mounts, and what every container needs, is an error.
pub(super) fn make(
    ground: Ground<'_>,
    record: &mut Record,
    converted: &mut Converted,
    tree: &Tree,
) -> anyhow::Result<()> {
    let Ground { bundle, claim, wiring, .. } = ground;
    let of_spec: HashSet<PathBuf> = destinations(bundle.spec.mounts()).collect();
    let is_read_only = is_read_only(&wiring.host, &tree.name)?;
    let Survey { missing, led, .. } = loop {
        let mounts = converted.spec.mounts_mut().get_or_insert_default();
        let survey = survey(mounts, tree, is_read_only);
        let refused = &survey.refused;
        if refused.is_empty() {
            break survey;
        }
        for Refused { destination, reason } in refused {
            let is_needed = NEEDED.iter().any(|needed| destination.starts_with(needed));
            if is_needed || of_spec.contains(destination) {
                bail!(
                    "nothing can be mounted at {} in rootfs {}: {reason}",
                    destination.display(),
                    tree.name
                );
            }
            tracing::info!(destination = %destination.display(), rootfs = %tree.name, reason, "is not mounted");
        }
        // What is below one that is left out has no mount above it any more, so all is looked at again.
        mounts.retain(|mount| !refused.iter().any(|refused| refused.destination == *mount.destination()));
    };
    let owner = roots_owner(converted);
    led.into_iter().for_each(|(number, place)| lead(converted, number, place));
    put_down(missing.clone(), claim, record)?;
    missing.iter().try_for_each(|made| tree.make(made, owner, mode(made)))
}

const fn mode(made: &Made) -> u32 {
    if matches!(made, Made::File(_)) { FILE } else { DIRECTORY }
}

/// A mount that cannot be.
struct Refused {
    destination: PathBuf,
    reason: String,
}

/// What mounts find in the tree.
#[derive(Default)]
struct Survey {
    /// What it lacks for them, from the top.
    missing: Vec<Made>,
    refused: Vec<Refused>,
    /// The numbers of those that links lead elsewhere, and where.
    led: Vec<(usize, AbsPath)>,
}

/// Looks for the places of mounts, which are mounted in this order.
fn survey(mounts: &[Mount], tree: &Tree, is_read_only: bool) -> Survey {
    let mut survey = Survey::default();
    // What is below one that is mounted before it is not in the tree, and links of the tree may lead there too.
    let (mut destinations, mut places) = (HashSet::new(), HashSet::new());
    for (number, mount) in mounts.iter().enumerate() {
        let destination = mount.destination();
        if !is_below(destination, &destinations) {
            let found = look_up(mount, tree).and_then(|place| {
                let is_hidden = is_below(place.path.as_path(), &places);
                if is_hidden { Ok((place, Vec::new())) } else { lacking(mount, place, is_read_only) }
            });
            match found {
                Ok((place, lacking)) => {
                    survey.missing.extend(lacking);
                    places.insert(place.path.as_path().to_owned());
                    if place.path.as_path() != destination {
                        survey.led.push((number, place.path));
                    }
                }
                Err(reason) => survey.refused.push(Refused { destination: destination.clone(), reason }),
            }
        }
        destinations.insert(destination.clone());
    }
    survey
}

fn is_below(path: &Path, others: &HashSet<PathBuf>) -> bool {
    path.ancestors().skip(1).any(|above| others.contains(above))
}

/// Where a mount goes in the tree.
fn look_up(mount: &Mount, tree: &Tree) -> Result<Place, String> {
    let destination = AbsPath::new(mount.destination()).map_err(|error| error.to_string())?;
    tree.look_up(&destination, LastName::Followed).map_err(|error| error.source.to_string())
}

/// What the place of a mount lacks.
fn lacking(mount: &Mount, place: Place, is_read_only: bool) -> Result<(Place, Vec<Made>), String> {
    match (place.missing.is_empty(), is_read_only) {
        (true, _) if place.is_directory == is_of_directory(mount) => Ok((place, Vec::new())),
        (true, _) if place.is_directory => {
            Err("a directory is there, and no file can be mounted on it".to_owned())
        }
        (true, _) => Err("something is there that is no directory".to_owned()),
        (false, true) => Err("it is not there, and cannot be made: the file system is read-only".to_owned()),
        (false, false) => {
            let missing = missing(mount, &place);
            Ok((place, missing))
        }
    }
}

/// Mounts something where links lead it: libcontainer makes no file by way of a link, as none is below what it has just mounted.
fn lead(converted: &mut Converted, number: usize, place: AbsPath) {
    let Some(mount) = converted.spec.mounts_mut().iter_mut().flatten().nth(number) else { return };
    tracing::debug!(destination = %mount.destination().display(), %place, "is where links lead");
    // What is said of its destination is meant for it still.
    if converted.skip_uid_shift.iter().any(|path| mount.destination().starts_with(path)) {
        converted.skip_uid_shift.push(place.clone());
    }
    mount.set_destination(place.into());
}

/// Whether a directory is mounted; else it is a file.
fn is_of_directory(mount: &Mount) -> bool {
    !is_bind(mount) || mount.source().as_ref().is_none_or(|source| source.is_dir())
}

/// What must be made for a mount.
fn missing(mount: &Mount, place: &Place) -> Vec<Made> {
    // What has no path that is text cannot be on record. It is left to libcontainer, and stays.
    let text = |path: &AbsPath| path.as_path().to_str().map(str::to_owned);
    let Some(mut paths) = place.missing.iter().map(text).collect::<Option<Vec<_>>>() else {
        return Vec::new();
    };
    let last =
        paths.pop().map(|last| if is_of_directory(mount) { Made::Directory(last) } else { Made::File(last) });
    paths.into_iter().map(Made::Directory).chain(last).collect()
}

fn destinations(mounts: &Option<Vec<Mount>>) -> impl Iterator<Item = PathBuf> {
    mounts.iter().flatten().map(|mount| mount.destination().clone())
}

pub(super) fn is_read_only(host: &LinuxHost, tree: &AbsPath) -> anyhow::Result<bool> {
    Ok(host.file_system(tree)?.read_only)
}

/// Removes from the rootfs of a container that has ended what was made there and is empty still, unless others are in the rootfs: they
/// may have mounts there, which would be gone with the directory. What cannot be removed is told of, and keeps nothing else from being cleaned up.
pub(super) fn remove(record: &Record, containers: &Containers) {
    if record.made().is_empty() {
        return;
    }
    if let Err(error) = try_remove(record, containers) {
        let error = format!("{error:#}");
        tracing::warn!(
            rootfs = record.rootfs,
            error,
            "empty directories that were made for mounting may be left"
        );
    }
}

fn try_remove(record: &Record, containers: &Containers) -> anyhow::Result<()> {
    let rootfs = AbsPath::new(&record.rootfs)?;
    if rootfs::identity(&rootfs)? != Some(record.rootfs_identity) {
        tracing::debug!(%rootfs, "is another one by now, or gone");
        return Ok(());
    }
    let Some(_alone) = rootfs::alone(&rootfs, record, containers)? else {
        tracing::debug!(%rootfs, "others are in it: what was made for mounting is left to them");
        return Ok(());
    };
    // One of another data root whose runtime has died is known by no record and no lock.
    if within::is_root_elsewhere(&rootfs)? {
        tracing::debug!(%rootfs, "processes have it as their root: what was made for mounting stays");
        return Ok(());
    }
    let tree = Tree::open(&rootfs)?;
    for made in record.made() {
        if !tree.remove_unused(made)? {
            tracing::debug!(%rootfs, path = made.path(), "is not as it was made, and stays");
        }
    }
    Ok(())
}

fn entry(made: &Made) -> Entry<'_> {
    match made {
        Made::Directory(_) => Entry::Directory,
        Made::File(_) => Entry::File,
        Made::Link { target, .. } => Entry::Link(Path::new(target)),
    }
}

#[cfg(test)]
mod tests;
