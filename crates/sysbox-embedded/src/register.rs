//! Making a container known: whose ids it will have, and what it is told.
//!
//! Ids belong to a user namespace. A container comes into that of a running container if it joins the same user namespace,
//! or the same network namespace without naming a user namespace; else it has one of its own, the earlier one after a
//! restart unless others run in it by now.

use std::{sync::Arc, time::SystemTime};

use rusqlite::Connection;
use sysbox_core::{ContainerConfig, ErrorKind, IdMappings, Registration, ShiftType};

use crate::{
    error::Fault,
    held::{self, IdKind},
    namespaces::{Namespace, Namespaces},
    pools::Pools,
    record::ContainerState,
    registry::{self, Container, Given, Mappings, UsernsNr},
};

/// Registers a container. `pools` gives the ids in force; they are asked for only where earlier ones might have to go.
/// `is_there` tells whether a namespace on record has not gone since: a container whose runtime died is on record as running.
///
/// # Errors
/// `AlreadyExists` when it is registered and has not stopped; see also [`hold`].
pub(crate) fn register(
    db: &Connection,
    request: &Registration,
    namespaces: Namespaces,
    now: SystemTime,
    config: ContainerConfig,
    pools: impl FnOnce() -> Result<Arc<Pools>, Fault>,
    is_there: impl Fn(&Namespace) -> bool,
) -> Result<ContainerConfig, Fault> {
    let mut earlier = registry::find(db, &request.id)?;
    match &earlier {
        Some(known) if known.state != ContainerState::Stopped => return Err(already_registered(known)),
        Some(known) if renew_if_taken(db, known, pools)? => earlier = registry::find(db, &request.id)?,
        _ => {}
    }
    let place = place(db, request, &namespaces, earlier.as_ref(), is_there)?;
    let mut container = Container {
        id: request.id.clone(),
        userns: place.userns,
        state: ContainerState::Running,
        starts: earlier.as_ref().map_or(0, |known| known.starts).saturating_add(1),
        registered: now,
        rootfs: request.rootfs.clone(),
        namespaces,
        mappings: place.mappings.clone(),
        rootfs_shift: earlier.as_ref().map_or(ShiftType::NoShift, |known| known.rootfs_shift),
    };
    let mut config = ContainerConfig { rootfs_shift: container.rootfs_shift, ..config };
    if place.tell {
        config = place.mappings.mandate(config);
    }
    if let Some(shared) = place.shared_userns {
        config.userns = Some(shared.path.clone());
        container.namespaces.user = Some(shared);
    }
    registry::save(db, &container)?;
    settle(db, &container, earlier.as_ref())?;
    Ok(config)
}

/// Whose ids a container has.
struct Place {
    userns: UsernsNr,
    mappings: Mappings,
    /// Whether the mappings are news to the runtime: those of another container or of an earlier run.
    tell: bool,
    /// The user namespace that it is to join without having asked for one.
    shared_userns: Option<Namespace>,
}

fn place(
    db: &Connection,
    request: &Registration,
    namespaces: &Namespaces,
    earlier: Option<&Container>,
    is_there: impl Fn(&Namespace) -> bool,
) -> Result<Place, Fault> {
    let runs = |container: &Container| {
        let Namespaces { user, net } = &container.namespaces;
        user.as_ref().or(net.as_ref()).is_some_and(&is_there)
    };
    let named = Mappings { uids: request.uid_mappings.clone(), gids: request.gid_mappings.clone() };
    if let Some(id) = namespaces.user.as_ref().and_then(|own| own.identity)
        && let Some(first) = registry::in_userns(db, id)?.into_iter().find(runs)
    {
        let mappings = named.or(&first.mappings);
        return Ok(Place { userns: first.userns, mappings, tell: true, shared_userns: None });
    }
    if namespaces.user.is_none()
        && let Some(id) = namespaces.net.as_ref().and_then(|own| own.identity)
        && let Some(first) = registry::in_netns(db, id)?.into_iter().find(runs)
    {
        let Container { userns, mappings, namespaces, .. } = first;
        return Ok(Place { userns, mappings, tell: true, shared_userns: namespaces.user });
    }
    match earlier {
        Some(known) if !registry::is_in_use(db, known.userns, &known.id)? => {
            let mappings = named.or(&known.mappings);
            Ok(Place { userns: known.userns, mappings, tell: true, shared_userns: None })
        }
        _ => {
            Ok(Place { userns: registry::new_userns(db)?, mappings: named, tell: false, shared_userns: None })
        }
    }
}

/// Holds the ids of its mappings, and releases what an earlier run held alone.
fn settle(db: &Connection, container: &Container, earlier: Option<&Container>) -> Result<(), Fault> {
    if let Some(known) = earlier {
        let moved = known.userns != container.userns;
        let remapped = known.mappings != container.mappings;
        if !moved && remapped && !registry::is_in_use(db, known.userns, &known.id)? {
            held::release_named(db, known.userns)?;
        }
        registry::remove_if_unused(db, known.userns)?;
    }
    hold(db, container.userns, &container.mappings)
}

/// Holds the host's ids of mappings for a user namespace.
///
/// # Errors
/// `FailedPrecondition` when one was given to another.
pub(crate) fn hold(db: &Connection, userns: UsernsNr, mappings: &Mappings) -> Result<(), Fault> {
    held::hold_named(db, IdKind::Uid, &mappings.uids, userns)?;
    held::hold_named(db, IdKind::Gid, &mappings.gids, userns)
}

/// Refuses mappings that make something inside be the host's root.
///
/// # Errors
/// `InvalidArgument` naming the extent.
pub(crate) fn refuse_host_root(uids: &IdMappings, gids: &IdMappings) -> Result<(), Fault> {
    for (kind, mappings) in [(IdKind::Uid, uids), (IdKind::Gid, gids)] {
        if let Some(extent) = mappings.as_slice().iter().find(|extent| extent.host().contains(0)) {
            let message = format!(
                "has {} id mapping {extent}, which gives it host id 0; map to ids of the host above 0",
                kind.name()
            );
            return Err(Fault::refused(ErrorKind::InvalidArgument, message));
        }
    }
    Ok(())
}

/// Forgets the ids of a stopped container if the host has come to use them otherwise, and says whether it did.
///
/// Stopped containers that share them lose them too; as long as one runs, nothing changes under it.
fn renew_if_taken(
    db: &Connection,
    known: &Container,
    pools: impl FnOnce() -> Result<Arc<Pools>, Fault>,
) -> Result<bool, Fault> {
    let Some(given) = registry::given(db, known.userns)? else { return Ok(false) };
    if registry::is_in_use(db, known.userns, &known.id)? || can_keep(given, &*pools()?) {
        return Ok(false);
    }
    tracing::warn!(container = %known.id, "its earlier ids are others' by now, it gets new ones");
    registry::forget_given(db, known.userns)?;
    registry::forget_mappings(db, known.userns)?;
    Ok(true)
}

fn can_keep(given: Given, pools: &Pools) -> bool {
    let keeps = |kind, range: Option<_>| range.is_none_or(|range| pools.of(kind).lets_keep(range));
    keeps(IdKind::Uid, given.uids()) && keeps(IdKind::Gid, given.gids())
}

fn already_registered(known: &Container) -> Fault {
    let message = format!(
        "is registered and {}; choose another id, or stop it and unregister it first",
        known.state.name()
    );
    Fault::refused(ErrorKind::AlreadyExists, message)
}
