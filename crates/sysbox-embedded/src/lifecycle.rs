//! What happens to a registered container: it becomes known better, pauses, goes on, stops, is removed.

use rusqlite::Connection;
use sysbox_core::{ContainerId, ErrorKind, Update};

use crate::{
    error::Fault,
    namespaces::Namespaces,
    record::ContainerState,
    register::{hold, refuse_host_root},
    registry::{self, Container, ContainerNr, Mappings},
};

/// The container of that id.
///
/// # Errors
/// `NotFound`.
pub(crate) fn known(db: &Connection, id: &ContainerId) -> Result<Container, Fault> {
    registry::find(db, id)?.ok_or_else(not_registered)
}

fn not_registered() -> Fault {
    Fault::refused(ErrorKind::NotFound, "is not registered; register it first, or check its id")
}

/// The number of the container of that id.
///
/// # Errors
/// `NotFound`.
pub(crate) fn number(db: &Connection, id: &ContainerId) -> Result<ContainerNr, Fault> {
    let number = registry::number(db, id)?;
    number.ok_or_else(not_registered)
}

/// The container of that id, which must not have stopped.
///
/// # Errors
/// `NotFound`; `FailedPrecondition` when it has stopped.
pub(crate) fn alive(db: &Connection, id: &ContainerId, done: &str) -> Result<Container, Fault> {
    let container = known(db, id)?;
    if container.state == ContainerState::Stopped {
        return Err(wrong_state(&container, done, "register it again first"));
    }
    Ok(container)
}

/// Takes over what is not known yet, and the shift.
///
/// # Errors
/// `NotFound`; `FailedPrecondition` when it has stopped or its mappings name ids that were given to another;
/// `InvalidArgument` when they name the host's root.
pub(crate) fn update(db: &Connection, request: &Update, namespaces: Namespaces) -> Result<(), Fault> {
    let mut container = alive(db, &request.id, "updated")?;
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

/// Checks that it may be removed.
///
/// # Errors
/// `NotFound`; `FailedPrecondition` when it has not stopped.
pub(crate) fn removable(db: &Connection, id: &ContainerId) -> Result<(), Fault> {
    let container = known(db, id)?;
    if container.state != ContainerState::Stopped {
        return Err(wrong_state(&container, "removed", "stop it and unregister it first"));
    }
    Ok(())
}

/// Checks that it may be paused.
///
/// # Errors
/// `NotFound`; `FailedPrecondition` when it is not running.
pub(crate) fn pausable(db: &Connection, id: &ContainerId) -> Result<(), Fault> {
    require(db, id, ContainerState::Running, "paused")
}

/// Checks that it may be resumed.
///
/// # Errors
/// `NotFound`; `FailedPrecondition` when it is not paused.
pub(crate) fn resumable(db: &Connection, id: &ContainerId) -> Result<(), Fault> {
    require(db, id, ContainerState::Paused, "resumed")
}

fn require(db: &Connection, id: &ContainerId, state: ContainerState, done: &str) -> Result<(), Fault> {
    let container = known(db, id)?;
    if container.state != state {
        return Err(wrong_state(&container, done, &format!("it must be {}", state.name())));
    }
    Ok(())
}

/// Notes what a container is doing.
pub(crate) fn note_state(db: &Connection, id: &ContainerId, state: ContainerState) -> Result<(), Fault> {
    let mut container = known(db, id)?;
    container.state = state;
    registry::save(db, &container)
}

fn wrong_state(container: &Container, done: &str, cure: &str) -> Fault {
    let state = container.state.name();
    Fault::refused(ErrorKind::FailedPrecondition, format!("is {state} and cannot be {done}; {cure}"))
}
