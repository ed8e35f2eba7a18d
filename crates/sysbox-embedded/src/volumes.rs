//! Volumes: directories of the data root that stand behind special directories of a container, such as Docker's data root.
//!
//! What the rootfs has at such a place is copied into the volume when it is made, and what the volume has is copied back when
//! its container pauses or stops. So a commit of the rootfs has it all, and a restart finds it as it was.
//!
//! - **Whole or not at all.** A volume has a row only when it is whole; a directory without one is nobody's.
//! - **Of one rootfs.** A volume belongs to the rootfs that it was filled from ([`identity`]), and is copied into no other at its path.
//! - **Kept.** A volume goes with its container's removal, and with nothing else. A copy back that cannot be made leaves it.
//! - **On record.** How its owners are on disk is told by its own record ([`ownership`]), whatever was broken off.

mod fill;
mod identity;
mod ownership;
mod plan;
mod rootfs;
mod rows;
mod sync_out;

use std::{fs, io, path::Path, time::SystemTime};

use rusqlite::Connection;
use sysbox_core::{AbsPath, ErrorKind, Mount, MountRequests};

use self::{identity::Identity, plan::Plan, rootfs::Rootfs, rows::Volume};
use crate::{
    error::Fault,
    files::{Intent, below, make_dir},
    ground::{Ground, Turn},
    headers, lifecycle,
    record::VolumeRecord,
    registry::ContainerNr,
    remove,
};

pub(crate) use self::sync_out::{sync_out, sync_out_late};

/// Gives the mounts behind special directories, and makes and fills the volumes that are not there yet. The headers of the
/// kernel, and what goes with them, are given in every answer.
///
/// # Errors
/// `NotFound`; `FailedPrecondition` when the container has stopped, has no ids where they are needed, or its rootfs or the data
/// root cannot have volumes; and whatever keeps one from being made. No volume was made then.
pub(crate) fn request(ground: &Ground<'_>, request: &MountRequests) -> Result<Vec<Mount>, Fault> {
    let mut mounts = if plan::of_volumes(request).next().is_some() {
        volumes(ground, request)?
    } else {
        ground.store.read(|db| lifecycle::alive(db, &request.id, "given mounts").map(drop))?;
        Vec::new()
    };
    mounts.extend(headers::mounts(ground.host, Path::new("/"))?);
    Ok(mounts)
}

/// Removes what a call has made that did not come to its end.
pub(crate) fn discard_unlisted(ground: &Ground<'_>, turn: &Turn) -> Result<(), Fault> {
    let listed = ground.store.read(|db| rows::all(db, turn.nr))?;
    let all = directory(turn)?;
    let failed = |source| Fault::files(format!("cannot have its volumes in {all} looked at"), source);
    let entries = match fs::read_dir(&all) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        if !listed.iter().any(|volume| name == *volume.name) {
            let path = AbsPath::new(all.as_path().join(&name));
            let path = path.map_err(|source| Fault::files(format!("cannot have {all} tidied"), source))?;
            remove::discard(ground, &path)?;
        }
    }
    Ok(())
}

/// The volumes of a container whose directory is `dir`.
pub(crate) fn list(
    db: &Connection,
    container: ContainerNr,
    dir: &AbsPath,
) -> Result<Vec<VolumeRecord>, Fault> {
    let all = below(dir, DIRECTORY)?;
    let record = |volume: Volume| {
        let path = below(&all, &volume.name)?;
        Ok(VolumeRecord { kind: volume.kind, destination: volume.destination, path, synced: volume.synced })
    };
    rows::all(db, container)?.into_iter().map(record).collect()
}

/// The directory of volumes in a container's own.
const DIRECTORY: &str = "volumes";

/// Where the volumes of a container are.
fn directory(turn: &Turn) -> Result<AbsPath, Fault> {
    turn.dir.join(DIRECTORY)
}

/// What was done about a volume.
enum Done {
    /// It was made, and it and the rootfs were the same at this time.
    Made(Option<SystemTime>),
    /// It was there.
    Aligned,
}

fn volumes(ground: &Ground<'_>, request: &MountRequests) -> Result<Vec<Mount>, Fault> {
    let turn = ground.turn(&request.id)?;
    plan::check_data_root(ground, request)?;
    let rootfs = ground.container(&turn)?.rootfs;
    let (mounted, now) = (rootfs::is_mounted(&rootfs), Identity::of(&rootfs));
    let identity = now.filter(|_| !mounted);
    let begin = |db: &Connection| Plan::new(db, &turn, request, now);
    let effects = |plan: &Plan| make_whole(ground, &turn, plan);
    let finish = |db: &Connection, plan: &Plan, done: &(Vec<Done>, Vec<Mount>)| {
        plan::check_again(db, &turn, plan)?;
        for (volume, done) in plan.volumes.iter().zip(&done.0) {
            let synced = match done {
                Done::Made(synced) => *synced,
                Done::Aligned => volume.synced,
            };
            let (start, shift) = (plan.start, plan.ownership.shift);
            let given = Volume { synced, start, shift, mounted, identity, ..volume.clone() };
            rows::save(db, turn.nr, &given)?;
        }
        Ok(())
    };
    let (_, mounts) = ground.carry_out(&turn, Intent::ReqMounts, begin, effects, finish)?;
    Ok(mounts)
}

/// Makes the volumes that are not there, and brings the others in line.
fn make_whole(ground: &Ground<'_>, turn: &Turn, plan: &Plan) -> Result<(Vec<Done>, Vec<Mount>), Fault> {
    let all = directory(turn)?;
    make_dir(&all)?;
    discard_unlisted(ground, turn)?;
    let paths = plan.volumes.iter().map(|volume| below(&all, &volume.name));
    let paths = paths.collect::<Result<Vec<_>, _>>()?;
    // One on record may have been lost with the power of the host.
    let is_there = |path: &AbsPath| path.as_path().is_dir();
    let rootfs = if paths.iter().all(is_there) { None } else { Some(Rootfs::filling(&plan.rootfs)?) };
    let (mut done, mut mounts) = (Vec::new(), Vec::new());
    for (volume, path) in plan.volumes.iter().zip(&paths) {
        done.push(match &rootfs {
            Some(rootfs) if !is_there(path) => {
                Done::Made(fill::make(ground, turn, plan.ownership, rootfs, volume, &all)?)
            }
            _ => {
                fill::align(ground, turn, plan.ownership, volume.shift, path)?;
                Done::Aligned
            }
        });
        mounts.push(mount(path, &volume.destination)?);
    }
    Ok((done, mounts))
}

fn mount(source: &AbsPath, destination: &AbsPath) -> Result<Mount, Fault> {
    let text = source.as_path().to_str().ok_or_else(|| {
        let message =
            format!("cannot be given the volume {source}, for its path is no text; choose another data root");
        Fault::refused(ErrorKind::FailedPrecondition, message)
    })?;
    Ok(Mount {
        source: text.to_owned(),
        destination: destination.clone(),
        kind: "bind".to_owned(),
        options: ["rbind", "rprivate"].map(str::to_owned).into(),
    })
}
