//! What happens to a registered container: it becomes known better, pauses, goes on, stops, is removed.

use rusqlite::Connection;
use sysbox_core::{ContainerId, ErrorKind, Update};

use crate::{
    error::Fault,
    namespaces::Namespaces,
    record::ContainerState,
    register::{hold, refuse_host_root},
    registry::{self, Container, Mappings},
};

/// The container of that id.
///
/// # Errors
/// `NotFound`.
pub(crate) fn known(db: &Connection, id: &ContainerId) -> Result<Container, Fault> {
    registry::find(db, id)?.ok_or_else(|| {
        Fault::refused(ErrorKind::NotFound, "is not registered; register it first, or check its id")
    })
}

/// Takes over what is not known yet, and the shift.
///
/// # Errors
/// `NotFound`; `FailedPrecondition` when it has stopped or its mappings name ids that were given to another;
/// `InvalidArgument` when they name the host's root.
pub(crate) fn update(db: &Connection, request: &Update, namespaces: Namespaces) -> Result<(), Fault> {
    let mut container = known(db, &request.id)?;
    if container.state == ContainerState::Stopped {
        return Err(wrong_state(&container, "updated", "register it again first"));
    }
    refuse_host_root(&request.uid_mappings, &request.gid_mappings)?;
    let told = Mappings { uids: request.uid_mappings.clone(), gids: request.gid_mappings.clone() };
    container.mappings = container.mappings.or(&told);
    container.namespaces = Namespaces {
        user: container.namespaces.user.or(namespaces.user),
        net: container.namespaces.net.or(namespaces.net),
    };
    container.rootfs_shift = request.rootfs_shift;
    hold(db, container.userns, &container.mappings)?;
    registry::save(db, &container)
}

/// Notes that it has stopped. Its ids, mappings and shift stay for a restart.
///
/// # Errors
/// `NotFound`; `FailedPrecondition` when it has stopped already.
pub(crate) fn unregister(db: &Connection, id: &ContainerId) -> Result<(), Fault> {
    let mut container = known(db, id)?;
    if container.state == ContainerState::Stopped {
        return Err(wrong_state(&container, "unregistered", "remove it, or register it again"));
    }
    container.stop();
    registry::save(db, &container)
}

/// Forgets it, and releases its ids if it was the last that had them.
///
/// # Errors
/// `NotFound`; `FailedPrecondition` when it has not stopped.
pub(crate) fn remove(db: &Connection, id: &ContainerId) -> Result<(), Fault> {
    let container = known(db, id)?;
    if container.state != ContainerState::Stopped {
        return Err(wrong_state(&container, "removed", "stop it and unregister it first"));
    }
    registry::delete(db, id)?;
    registry::remove_if_unused(db, container.userns)
}

/// Notes that its processes are frozen.
///
/// # Errors
/// `NotFound`; `FailedPrecondition` when it is not running.
pub(crate) fn pause(db: &Connection, id: &ContainerId) -> Result<(), Fault> {
    change(db, id, ContainerState::Running, ContainerState::Paused, "paused")
}

/// Notes that its processes go on.
///
/// # Errors
/// `NotFound`; `FailedPrecondition` when it is not paused.
pub(crate) fn resume(db: &Connection, id: &ContainerId) -> Result<(), Fault> {
    change(db, id, ContainerState::Paused, ContainerState::Running, "resumed")
}

fn change(
    db: &Connection,
    id: &ContainerId,
    from: ContainerState,
    to: ContainerState,
    done: &str,
) -> Result<(), Fault> {
    let mut container = known(db, id)?;
    if container.state != from {
        return Err(wrong_state(&container, done, &format!("it must be {}", from.name())));
    }
    container.state = to;
    registry::save(db, &container)
}

fn wrong_state(container: &Container, done: &str, cure: &str) -> Fault {
    let state = container.state.name();
    Fault::refused(ErrorKind::FailedPrecondition, format!("is {state} and cannot be {done}; {cure}"))
}
