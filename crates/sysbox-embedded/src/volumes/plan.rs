//! What a request comes to: the rules, and which volumes there are to be.

use std::path::PathBuf;

use rusqlite::Connection;
use sysbox_core::{AbsPath, ContainerId, ErrorKind, MountKind, MountRequest, MountRequests};

use super::{
    identity::Identity,
    ownership::{Ownership, ids_of},
    rows::{self, Volume},
};
use crate::{
    error::Fault,
    ground::{Ground, Turn},
    lifecycle,
};

/// The volumes of a request.
#[derive(Debug)]
pub(super) struct Plan {
    /// The rootfs that they are filled from.
    pub(super) rootfs: AbsPath,
    pub(super) ownership: Ownership,
    /// In the order of the wishes. Those on record are as they were given before.
    pub(super) volumes: Vec<Volume>,
    /// The start of the container that they are given for.
    pub(super) start: u32,
}

impl Plan {
    /// Checks the rules, and finds the volumes on record or names new ones. `now` is which rootfs is there.
    ///
    /// # Errors
    /// `NotFound`; `FailedPrecondition` when the container has stopped, has no ids where it needs them, or its volumes belong to
    /// another rootfs.
    pub(super) fn new(
        db: &Connection,
        turn: &Turn,
        request: &MountRequests,
        now: Option<Identity>,
    ) -> Result<Self, Fault> {
        let container = lifecycle::alive(db, &request.id, "given mounts")?;
        let ownership = Ownership::new(request.rootfs_shift, ids_of(db, &container)?)?;
        let known = rows::all(db, turn.nr)?;
        let mut volumes: Vec<Volume> = Vec::new();
        for MountRequest { kind, destination } in of_volumes(request) {
            let destination = plain(destination);
            if volumes.iter().any(|volume| volume.is_for(*kind, &destination)) {
                continue;
            }
            if let Some(other) = rows::other_user(db, turn.nr, &container.rootfs, &destination)? {
                return Err(shared(&container.rootfs, &destination, &other));
            }
            let found = known.iter().find(|volume| volume.is_for(*kind, &destination)).cloned();
            found.iter().try_for_each(|volume| check_rootfs(volume, &container.rootfs, now))?;
            volumes.push(found.unwrap_or_else(|| Volume {
                kind: *kind,
                destination,
                name: new_name(*kind, &[&known, &volumes]),
                synced: None,
                start: container.starts,
                shift: request.rootfs_shift,
                rootfs: container.rootfs.clone(),
                mounted: false,
                identity: None,
            }));
        }
        Ok(Self { rootfs: container.rootfs, ownership, volumes, start: container.starts })
    }
}

/// Checks, when the volumes are there, that no other container was given one for the same place meanwhile.
///
/// # Errors
/// `FailedPrecondition` when one was.
pub(super) fn check_again(db: &Connection, turn: &Turn, plan: &Plan) -> Result<(), Fault> {
    for Volume { destination, .. } in &plan.volumes {
        if let Some(other) = rows::other_user(db, turn.nr, &plan.rootfs, destination)? {
            return Err(shared(&plan.rootfs, destination, &other));
        }
    }
    Ok(())
}

/// Two volumes of one place cannot both be copied back: the later one would take away what only the other has.
fn shared(rootfs: &AbsPath, destination: &AbsPath, other: &ContainerId) -> Fault {
    let message = format!(
        "cannot have a volume for {destination} of rootfs {rootfs}: container {other} has one; stop that first, or give each a rootfs of its own"
    );
    Fault::refused(ErrorKind::FailedPrecondition, message)
}

/// Refuses a volume of another rootfs: it would be copied over what this one has.
fn check_rootfs(volume: &Volume, rootfs: &AbsPath, now: Option<Identity>) -> Result<(), Fault> {
    let Volume { destination, rootfs: own, .. } = volume;
    let what = if own != rootfs {
        format!("belongs to rootfs {own}, and now has rootfs {rootfs}")
    } else if now.is_some_and(|now| volume.is_of_other(now)) {
        format!("belongs to another rootfs than {rootfs} is by now")
    } else {
        return Ok(());
    };
    let message = format!(
        "has a volume at {destination} that {what}; remove the container first, or choose another id"
    );
    Err(Fault::refused(ErrorKind::FailedPrecondition, message))
}

/// The wishes for volumes. The headers of the kernel are given unasked.
pub(super) fn of_volumes(request: &MountRequests) -> impl Iterator<Item = &MountRequest> {
    request.mounts.iter().filter(|wish| wish.kind != MountKind::UsrSrcLinuxHdr)
}

/// Refuses to put under an inner Docker and its like what cannot be under an overlay.
///
/// # Errors
/// `FailedPrecondition` where the data root is on a file system that can have no upper layer of an overlay, or loses its files.
pub(super) fn check_data_root(ground: &Ground<'_>, request: &MountRequests) -> Result<(), Fault> {
    let Some(wish) = of_volumes(request).find(|wish| wish.kind != MountKind::VarLibKubelet) else {
        return Ok(());
    };
    let data_root = ground.data_root;
    let found = ground.host.file_system(data_root).map_err(|source| Fault::Host {
        kind: ErrorKind::Internal,
        message: format!(
            "cannot be given volumes, for the file system of the data root {data_root} is not known"
        ),
        source,
    })?;
    let reason = match found.kind.as_str() {
        "overlay" => {
            "no overlay of an inner container engine can have its upper layer there, and it would copy whole images"
        }
        "tmpfs" | "ramfs" => {
            "what an inner container engine keeps there would fill the memory and be lost when the host goes down"
        }
        _ => return Ok(()),
    };
    let message = format!(
        "cannot be given a {} volume, for the data root {data_root} is on {}: {reason}; \
         choose one on ext4, xfs or btrfs (--data-root)",
        wish.kind, found.kind
    );
    Err(Fault::refused(ErrorKind::FailedPrecondition, message))
}

/// The path without what has no meaning in it, so that one written otherwise is the same.
fn plain(path: &AbsPath) -> AbsPath {
    AbsPath::new(path.as_path().components().collect::<PathBuf>()).unwrap_or_else(|_| path.clone())
}

/// A name that none of these volumes has.
fn new_name(kind: MountKind, taken: &[&[Volume]]) -> String {
    let mut number = 1u32;
    loop {
        let name = format!("{kind}-{number}");
        if !taken.iter().copied().flatten().any(|volume| volume.name == name) {
            return name;
        }
        number += 1;
    }
}
