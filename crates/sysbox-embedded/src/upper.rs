//! The upper layer of a rootfs that was given ID-mapped by a runtime that chowns this layer, as sysbox-runc does.
//!
//! The runtime does so once, at the start, and leaves the way back to the manager: when the container pauses or stops. Until
//! then the tree bears no record; one is put on it with the first step of the way back.

use rusqlite::{Connection, OptionalExtension, Row};
use sysbox_core::{
    AbsPath, HostError, HostPort, IdMappings, IdRange, Owner, ShiftType, Update, tree::TreeIds,
};
use sysbox_host::{
    chown::{self, Progress},
    overlay,
};

use crate::{
    clone::chown_fault,
    error::Fault,
    ground::{Ground, Turn},
    progress::Work,
    registry::{ContainerNr, columns},
    step::step,
};

/// An upper layer, and the ids that its runtime has given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Upper {
    path: AbsPath,
    ids: TreeIds,
}

/// The upper layer of a container that is updated, if its runtime has chowned it.
pub(crate) fn of_update(host: &dyn HostPort, rootfs: &AbsPath, request: &Update) -> Option<Upper> {
    if request.rootfs_shift != ShiftType::IdMappedMount {
        return None;
    }
    let ids = TreeIds { uids: of_root(&request.uid_mappings)?, gids: of_root(&request.gid_mappings)? };
    let find = || {
        let Some(layers) = host.overlay_layers(rootfs)? else { return Ok(None) };
        let path = layers.upper.and_then(|upper| AbsPath::new(upper).ok());
        path.map(|path| Ok((host.owner(&path)?, path))).transpose()
    };
    let found = find().unwrap_or_else(|error: HostError| {
        tracing::warn!(container = %request.id, %rootfs, %error, "whether the upper layer was chowned is not known, it stays as it is");
        None
    });
    let (owner, path) = found?;
    (owner == ids.root() && !owner.is_root()).then_some(Upper { path, ids })
}

/// The host's ids from that of the container's root on.
fn of_root(mappings: &IdMappings) -> Option<IdRange> {
    mappings.as_slice().iter().find(|extent| extent.container().first() == 0).map(|extent| extent.host())
}

/// Remembers it.
pub(crate) fn remember(db: &Connection, container: ContainerNr, upper: &Upper) -> Result<(), Fault> {
    let statement = "INSERT OR REPLACE INTO upper (container, path, ids) VALUES (?1, ?2, ?3)";
    let row = (container, columns::path(&upper.path), columns::tree_ids(upper.ids));
    db.prepare_cached(statement)?.execute(row)?;
    Ok(())
}

/// Shifts its owners back.
pub(crate) fn unshift(ground: &Ground<'_>, turn: &Turn) -> Result<(), Fault> {
    let Some(Upper { path, ids }) = there(ground, turn)? else { return Ok(()) };
    let failed = |error| chown_fault(&path, error);
    if chown::record(&path).map_err(failed)?.is_none() {
        if owner(ground, &path)? != ids.root() {
            tracing::debug!(container = %turn.id, upper = %path, "the upper layer is as it was made");
            return refresh(ground, turn);
        }
        chown::adopt(&path, &turn.id, ids).map_err(failed)?;
        step("adopt the upper layer");
    }
    chown::revert_tree(&path, &|progress| tell(ground, turn, &path, progress)).map_err(failed)?;
    step("revert the upper layer");
    refresh(ground, turn)
}

/// Shifts its owners again. As long as they were not shifted back, there is nothing to do.
pub(crate) fn shift_again(ground: &Ground<'_>, turn: &Turn) -> Result<(), Fault> {
    let Some(Upper { path, ids }) = there(ground, turn)? else { return Ok(()) };
    let failed = |error| chown_fault(&path, error);
    if chown::record(&path).map_err(failed)?.is_none() && owner(ground, &path)? == ids.root() {
        tracing::debug!(container = %turn.id, upper = %path, "the upper layer is as its runtime has chowned it");
        return Ok(());
    }
    chown::shift_tree(&path, &turn.id, ids, &|progress| tell(ground, turn, &path, progress))
        .map_err(failed)?;
    step("shift the upper layer again");
    refresh(ground, turn)
}

/// Forgets it, unless it is out of reach: then it is shifted back when it is there.
pub(crate) fn forget(db: &Connection, container: ContainerNr) -> Result<(), Fault> {
    if find(db, container)?.is_some_and(|upper| !upper.path.as_path().is_dir()) {
        return Ok(());
    }
    db.prepare_cached("DELETE FROM upper WHERE container = ?1")?.execute([container])?;
    Ok(())
}

fn owner(ground: &Ground<'_>, path: &AbsPath) -> Result<Owner, Fault> {
    let owner = ground.host.owner(path);
    owner.map_err(|source| Fault::files(format!("cannot have the owners of {path} shifted"), source))
}

/// What is remembered, if it is still there.
fn there(ground: &Ground<'_>, turn: &Turn) -> Result<Option<Upper>, Fault> {
    let upper = ground.store.read(|db| find(db, turn.nr))?;
    Ok(upper.filter(|upper| upper.path.as_path().is_dir()))
}

fn find(db: &Connection, container: ContainerNr) -> Result<Option<Upper>, Fault> {
    let mut statement = db.prepare_cached("SELECT path, ids FROM upper WHERE container = ?1")?;
    let upper = |row: &Row<'_>| {
        let path = columns::path_of(row, 0)?;
        Ok(columns::tree_ids_of(row, 1)?.map(|ids| Upper { path, ids }))
    };
    Ok(statement.query_row([container], upper).optional()?.flatten())
}

/// Lets the rootfs see it, where it is still mounted.
fn refresh(ground: &Ground<'_>, turn: &Turn) -> Result<(), Fault> {
    let rootfs = ground.container(turn)?.rootfs;
    if !rootfs.as_path().exists() {
        return Ok(());
    }
    let failed =
        |source| Fault::files(format!("cannot have its rootfs {rootfs} see its upper layer"), source);
    overlay::refresh(&rootfs).map_err(failed)
}

fn tell(ground: &Ground<'_>, turn: &Turn, path: &AbsPath, progress: Progress) {
    ground.tell(turn, Work::Chown, path, progress.done, progress.total);
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use sysbox_core::{IdMapping, MockHostPort, host::OverlayLayers};

    use super::*;

    const SIZE: u32 = 65_536;

    fn host(upper: Option<&str>, owner: Owner) -> MockHostPort {
        let layers = OverlayLayers {
            lower: vec!["/lower".into()],
            data: Vec::new(),
            upper: upper.map(PathBuf::from),
            work: None,
            options: Vec::new(),
        };
        let mut host = MockHostPort::new();
        host.expect_overlay_layers().returning(move |_| Ok(Some(layers.clone())));
        host.expect_owner().returning(move |_| Ok(owner));
        host
    }

    fn found(host: &MockHostPort, rootfs_shift: ShiftType, first: u32) -> Option<Upper> {
        let extent = IdMapping::new(0, first, SIZE).expect("valid");
        let mappings = IdMappings::new([extent]).expect("one extent");
        let request = Update {
            id: "c".parse().expect("valid"),
            userns: None,
            netns: None,
            uid_mappings: mappings.clone(),
            gid_mappings: mappings,
            rootfs_shift,
        };
        of_update(host, &AbsPath::new("/rootfs").expect("absolute"), &request)
    }

    #[test]
    fn an_upper_layer_of_the_containers_root_was_chowned_by_its_runtime() {
        let root = Owner::new(SIZE, SIZE);
        let upper = found(&host(Some("/upper"), root), ShiftType::IdMappedMount, SIZE).expect("chowned");
        let range = IdRange::new(SIZE, SIZE).expect("valid");
        let path = AbsPath::new("/upper").expect("absolute");
        assert_eq!(upper, Upper { path, ids: TreeIds { uids: range, gids: range } });
    }

    #[test]
    fn no_other_upper_layer_was() {
        let (root, mapped) = (Owner::new(SIZE, SIZE), ShiftType::IdMappedMount);
        assert_eq!(found(&host(Some("/upper"), root), ShiftType::Chown, SIZE), None, "not ID-mapped");
        assert_eq!(found(&host(None, root), mapped, SIZE), None, "no upper layer");
        assert_eq!(found(&host(Some("/upper"), Owner::new(0, 0)), mapped, SIZE), None, "as made");
        assert_eq!(found(&host(Some("/upper"), Owner::new(SIZE, 0)), mapped, SIZE), None, "in part");
        assert_eq!(found(&host(Some("/upper"), Owner::new(0, 0)), mapped, 0), None, "the host's root");
        let mut host = MockHostPort::new();
        host.expect_overlay_layers().returning(|path| Err(HostError::new("ask", path.to_string(), "gone")));
        assert_eq!(found(&host, mapped, SIZE), None, "not known");
    }
}
