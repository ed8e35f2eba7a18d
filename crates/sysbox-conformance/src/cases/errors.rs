//! What failures tell.

use std::fmt::Debug;

use sysbox_core::{ContainerData, ErrorKind, Operation, PortError, ShiftType};

use super::{
    clone::offsets,
    life::{ids, shifted},
};
use crate::{
    Broken, Case, Outcome, World,
    case::{case, refused, same},
    world::container,
};

pub(super) static CASES: &[Case] = &[
    case!("mgr::errors", a_container_that_is_not_known_is_not_found, [Mgr]),
    case!("mgr::errors", a_container_that_is_not_known_cannot_be_removed, [Mgr, Remove]),
    case!("mgr::errors", a_rootfs_of_a_container_that_is_not_known_is_not_found, [Mgr, CloneRootfs]),
    case!("mgr::errors", a_refusal_names_the_call_and_the_container, [Mgr]),
    case!("fs::errors", a_container_that_is_not_known_to_the_fs_daemon_is_not_found, [Fs]),
    case!("fs::errors", a_refusal_of_the_fs_daemon_names_the_call_and_the_container, [Fs]),
];

/// Requires that a container is not found by a call.
pub(super) fn unknown<T: Debug>(id: &str, operation: Operation, answer: Result<T, PortError>) -> Outcome {
    names(id, operation, ErrorKind::NotFound, answer)
}

fn names<T: Debug>(id: &str, operation: Operation, kind: ErrorKind, answer: Result<T, PortError>) -> Outcome {
    let error = refused(&format!("{operation:?}"), answer, kind)?;
    same("the call that the failure names", &error.operation, &operation)?;
    if error.message.contains(id) {
        return Ok(());
    }
    Err(Broken::new(format!("the failure does not name container {id}: {error}")))
}

async fn a_container_that_is_not_known_is_not_found(world: &mut World) -> Outcome {
    let (mgr, id) = (world.mgr()?, container("nobody-9"));
    mgr.register(&world.registration("somebody")?).await?;
    unknown("nobody-9", Operation::Update, mgr.update(&shifted(&id, ShiftType::NoShift)).await)?;
    unknown("nobody-9", Operation::AllocSubids, mgr.alloc_subids(&ids(&id, 1)).await)?;
    unknown("nobody-9", Operation::Pause, mgr.pause(&id).await)?;
    unknown("nobody-9", Operation::Resume, mgr.resume(&id).await)?;
    unknown("nobody-9", Operation::Unregister, mgr.unregister(&id).await)
}

async fn a_container_that_is_not_known_cannot_be_removed(world: &mut World) -> Outcome {
    unknown("nobody-9", Operation::Remove, world.mgr()?.remove(&container("nobody-9")).await)
}

async fn a_rootfs_of_a_container_that_is_not_known_is_not_found(world: &mut World) -> Outcome {
    let (mgr, id) = (world.mgr()?, container("nobody-9"));
    unknown("nobody-9", Operation::CloneRootfs, mgr.clone_rootfs(&id).await)?;
    let answer = mgr.chown_cloned_rootfs(&id, offsets()).await;
    unknown("nobody-9", Operation::ChownClonedRootfs, answer)?;
    unknown("nobody-9", Operation::RevertClonedRootfsChown, mgr.revert_cloned_rootfs_chown(&id).await)
}

async fn a_refusal_names_the_call_and_the_container(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("some-9")?);
    let (id, state) = (&request.id, ErrorKind::FailedPrecondition);
    mgr.register(&request).await?;
    mgr.alloc_subids(&ids(id, 1)).await?;
    names("some-9", Operation::Register, ErrorKind::AlreadyExists, mgr.register(&request).await)?;
    names("some-9", Operation::Resume, state, mgr.resume(id).await)?;
    let other_size = mgr.alloc_subids(&ids(id, 2)).await;
    names("some-9", Operation::AllocSubids, ErrorKind::InvalidArgument, other_size)?;
    mgr.unregister(id).await?;
    names("some-9", Operation::Pause, state, mgr.pause(id).await)?;
    names("some-9", Operation::Unregister, state, mgr.unregister(id).await)?;
    names("some-9", Operation::Update, state, mgr.update(&shifted(id, ShiftType::NoShift)).await)
}

async fn a_container_that_is_not_known_to_the_fs_daemon_is_not_found(world: &mut World) -> Outcome {
    let (fs, data) = (world.fs()?, ContainerData::new(container("nobody-9")));
    unknown("nobody-9", Operation::FsRegister, fs.register(&data).await)?;
    unknown("nobody-9", Operation::FsUpdate, fs.update(&data).await)?;
    unknown("nobody-9", Operation::FsUnregister, fs.unregister(&data).await)
}

async fn a_refusal_of_the_fs_daemon_names_the_call_and_the_container(world: &mut World) -> Outcome {
    let (fs, data, kind) = (world.fs()?, ContainerData::new(container("some-9")), ErrorKind::AlreadyExists);
    fs.pre_register(&data).await?;
    names("some-9", Operation::FsPreRegister, kind, fs.pre_register(&data).await)?;
    fs.register(&data).await?;
    names("some-9", Operation::FsRegister, kind, fs.register(&data).await)
}
