//! What passes calls on, such as a transport: nothing is lost on the way, and callers do not get in each other's way.

use std::{error::Error, iter::successors, sync::Arc};

use sysbox_core::{ContainerData, ErrorKind, Operation, PortError, ShiftType, Update};

use super::{
    life::shifted,
    script::{Answers, Failure, Script},
    values::Fill,
};
use crate::{
    Broken, Case, Outcome, World,
    case::{case, refused, same},
    world::container,
};

pub(super) static CASES: &[Case] = &[
    case!("relay::mgr", every_field_of_a_registration_and_its_answer_arrives, [Mgr, Relay]),
    case!("relay::mgr", every_field_of_an_update_arrives, [Mgr, Relay]),
    case!("relay::mgr", every_kind_of_shift_arrives, [Mgr, Relay]),
    case!("relay::mgr", every_call_that_names_a_container_alone_arrives, [Mgr, Relay]),
    case!("relay::mgr", every_field_of_a_wish_for_ids_and_its_answer_arrives, [Mgr, Relay]),
    case!("relay::mgr", every_field_of_mounts_to_prepare_arrives, [Mgr, Relay]),
    case!("relay::mgr", every_field_of_a_wish_for_mounts_and_its_answer_arrives, [Mgr, Relay]),
    case!("relay::mgr", every_field_of_shiftfs_marks_and_their_answer_arrives, [Mgr, Relay]),
    case!("relay::mgr", every_field_of_a_wish_for_entries_and_its_answer_arrives, [Mgr, Relay]),
    case!("relay::mgr", the_path_of_a_clone_and_the_offsets_of_its_owners_arrive, [Mgr, Relay]),
    case!("relay::mgr", what_is_empty_arrives_as_nothing_else, [Mgr, Relay]),
    case!("relay::mgr", paths_that_are_no_text_arrive, [Mgr, Relay, AnyPath]),
    case!("relay::mgr", the_greatest_ids_arrive, [Mgr, Relay, AnyId]),
    case!("relay::fs", every_field_of_every_call_to_the_fs_daemon_arrives, [Fs, Relay]),
    case!("relay::fs", what_is_empty_arrives_at_the_fs_daemon_as_nothing_else, [Fs, Relay]),
    case!("relay::fs", paths_that_are_no_text_arrive_at_the_fs_daemon, [Fs, Relay, AnyPath]),
    case!("relay::fs", the_greatest_ids_arrive_at_the_fs_daemon, [Fs, Relay, AnyId]),
    case!("relay::errors", every_kind_of_failure_comes_back_with_its_message_and_its_causes, [Mgr, Relay]),
    case!("relay::errors", a_failure_of_any_call_to_the_manager_names_the_call, [Mgr, Relay]),
    case!("relay::errors", a_failure_of_any_call_to_the_fs_daemon_names_the_call, [Fs, Relay]),
    case!("relay::callers", a_call_that_takes_long_keeps_no_other_waiting, [Mgr, Relay]),
    case!("relay::callers", a_caller_that_goes_away_leaves_the_others_served, [Mgr, Relay]),
];

/// Puts the world's backend in front of a script.
async fn before(world: &mut World, answers: Answers) -> Result<Arc<Script>, Broken> {
    let script = Script::new(answers);
    world.relay(script.ports()).await?;
    Ok(script)
}

async fn registration(world: &mut World, fill: Fill) -> Outcome {
    let script = before(world, fill.answers()).await?;
    let answer = world.mgr()?.register(&fill.registration()).await?;
    script.heard(Operation::Register, &fill.registration())?;
    same("the answer", &answer, &fill.answers().config)
}

async fn update(world: &mut World, fill: Fill) -> Outcome {
    let script = before(world, fill.answers()).await?;
    world.mgr()?.update(&fill.update()).await?;
    script.heard(Operation::Update, &fill.update())
}

async fn container_alone(world: &mut World, fill: Fill) -> Outcome {
    let script = before(world, fill.answers()).await?;
    let (mgr, id) = (world.mgr()?, fill.id());
    mgr.unregister(&id).await?;
    script.heard(Operation::Unregister, &id)?;
    mgr.remove(&id).await?;
    script.heard(Operation::Remove, &id)?;
    mgr.pause(&id).await?;
    script.heard(Operation::Pause, &id)?;
    mgr.resume(&id).await?;
    script.heard(Operation::Resume, &id)?;
    mgr.revert_cloned_rootfs_chown(&id).await?;
    script.heard(Operation::RevertClonedRootfsChown, &id)
}

async fn subids(world: &mut World, fill: Fill) -> Outcome {
    let script = before(world, fill.answers()).await?;
    let answer = world.mgr()?.alloc_subids(&fill.subid_request()).await?;
    script.heard(Operation::AllocSubids, &fill.subid_request())?;
    same("the answer", &answer, &fill.answers().subids)
}

async fn mounts_to_prepare(world: &mut World, fill: Fill) -> Outcome {
    let script = before(world, fill.answers()).await?;
    world.mgr()?.prep_mounts(&fill.mounts_to_prepare()).await?;
    script.heard(Operation::PrepMounts, &fill.mounts_to_prepare())
}

async fn mount_requests(world: &mut World, fill: Fill) -> Outcome {
    let script = before(world, fill.answers()).await?;
    let answer = world.mgr()?.req_mounts(&fill.mount_requests()).await?;
    script.heard(Operation::ReqMounts, &fill.mount_requests())?;
    same("the number of mounts", &answer.len(), &fill.answers().mounts.len())?;
    answer.iter().zip(&fill.answers().mounts).try_for_each(|(found, sent)| same("a mount", found, sent))
}

async fn marks(world: &mut World, fill: Fill) -> Outcome {
    let script = before(world, fill.answers()).await?;
    let answer = world.mgr()?.req_shiftfs_mark(&fill.marks()).await?;
    script.heard(Operation::ReqShiftfsMark, &fill.marks())?;
    same("the answer", &answer, &fill.answers().marks)
}

async fn entries(world: &mut World, fill: Fill) -> Outcome {
    let script = before(world, fill.answers()).await?;
    let answer = world.mgr()?.req_fs_state(&fill.fs_state_request()).await?;
    script.heard(Operation::ReqFsState, &fill.fs_state_request())?;
    same("the answer", &answer, &fill.answers().entries)
}

async fn clone(world: &mut World, fill: Fill) -> Outcome {
    let script = before(world, fill.answers()).await?;
    let (mgr, id) = (world.mgr()?, fill.id());
    let answer = mgr.clone_rootfs(&id).await?;
    script.heard(Operation::CloneRootfs, &id)?;
    same("the answer", &answer, &fill.answers().path)?;
    mgr.chown_cloned_rootfs(&id, fill.offsets()).await?;
    script.heard(Operation::ChownClonedRootfs, &(id, fill.offsets()))
}

async fn fs_daemon(world: &mut World, fill: Fill) -> Outcome {
    let script = before(world, fill.answers()).await?;
    let (fs, data) = (world.fs()?, fill.data());
    let answer = fs.mountpoint().await?;
    script.heard(Operation::FsMountpoint, &())?;
    same("the mount point", &answer, &fill.answers().path)?;
    fs.pre_register(&data).await?;
    script.heard(Operation::FsPreRegister, &data)?;
    fs.register(&data).await?;
    script.heard(Operation::FsRegister, &data)?;
    fs.update(&data).await?;
    script.heard(Operation::FsUpdate, &data)?;
    fs.unregister(&data).await?;
    script.heard(Operation::FsUnregister, &data)
}

async fn every_manager_call(world: &mut World, fill: Fill) -> Outcome {
    registration(world, fill).await?;
    update(world, fill).await?;
    container_alone(world, fill).await?;
    subids(world, fill).await?;
    mounts_to_prepare(world, fill).await?;
    mount_requests(world, fill).await?;
    marks(world, fill).await?;
    entries(world, fill).await?;
    clone(world, fill).await
}

async fn every_field_of_a_registration_and_its_answer_arrives(world: &mut World) -> Outcome {
    registration(world, Fill::Full).await
}

async fn every_field_of_an_update_arrives(world: &mut World) -> Outcome {
    update(world, Fill::Full).await
}

async fn every_kind_of_shift_arrives(world: &mut World) -> Outcome {
    let script = before(world, Answers::empty()).await?;
    let mgr = world.mgr()?;
    for rootfs_shift in ShiftType::ALL {
        let request = Update { rootfs_shift, ..shifted(&container("c"), rootfs_shift) };
        mgr.update(&request).await?;
        script.heard(Operation::Update, &request)?;
    }
    Ok(())
}

async fn every_call_that_names_a_container_alone_arrives(world: &mut World) -> Outcome {
    container_alone(world, Fill::Full).await
}

async fn every_field_of_a_wish_for_ids_and_its_answer_arrives(world: &mut World) -> Outcome {
    subids(world, Fill::Full).await
}

async fn every_field_of_mounts_to_prepare_arrives(world: &mut World) -> Outcome {
    mounts_to_prepare(world, Fill::Full).await
}

async fn every_field_of_a_wish_for_mounts_and_its_answer_arrives(world: &mut World) -> Outcome {
    mount_requests(world, Fill::Full).await
}

async fn every_field_of_shiftfs_marks_and_their_answer_arrives(world: &mut World) -> Outcome {
    marks(world, Fill::Full).await
}

async fn every_field_of_a_wish_for_entries_and_its_answer_arrives(world: &mut World) -> Outcome {
    entries(world, Fill::Full).await
}

async fn the_path_of_a_clone_and_the_offsets_of_its_owners_arrive(world: &mut World) -> Outcome {
    clone(world, Fill::Full).await
}

async fn what_is_empty_arrives_as_nothing_else(world: &mut World) -> Outcome {
    every_manager_call(world, Fill::Empty).await
}

async fn paths_that_are_no_text_arrive(world: &mut World) -> Outcome {
    every_manager_call(world, Fill::AnyPath).await
}

async fn the_greatest_ids_arrive(world: &mut World) -> Outcome {
    every_manager_call(world, Fill::AnyId).await
}

async fn every_field_of_every_call_to_the_fs_daemon_arrives(world: &mut World) -> Outcome {
    fs_daemon(world, Fill::Full).await
}

async fn what_is_empty_arrives_at_the_fs_daemon_as_nothing_else(world: &mut World) -> Outcome {
    fs_daemon(world, Fill::Empty).await
}

async fn paths_that_are_no_text_arrive_at_the_fs_daemon(world: &mut World) -> Outcome {
    fs_daemon(world, Fill::AnyPath).await
}

async fn the_greatest_ids_arrive_at_the_fs_daemon(world: &mut World) -> Outcome {
    fs_daemon(world, Fill::AnyId).await
}

/// Every kind that a backend may answer with.
const KINDS: [ErrorKind; 16] = [
    ErrorKind::Cancelled,
    ErrorKind::Unknown,
    ErrorKind::InvalidArgument,
    ErrorKind::DeadlineExceeded,
    ErrorKind::NotFound,
    ErrorKind::AlreadyExists,
    ErrorKind::PermissionDenied,
    ErrorKind::ResourceExhausted,
    ErrorKind::FailedPrecondition,
    ErrorKind::Aborted,
    ErrorKind::OutOfRange,
    ErrorKind::Unimplemented,
    ErrorKind::Internal,
    ErrorKind::Unavailable,
    ErrorKind::DataLoss,
    ErrorKind::Unauthenticated,
];

fn failing(kind: ErrorKind) -> (Answers, Failure) {
    let failure = Failure {
        kind,
        message: "container c: \u{6587}\u{e9} 100% \"quoted\"\nand a second line".to_owned(),
        causes: vec!["the database is locked: \u{1f980}".to_owned(), "EAGAIN (os error 11)".to_owned()],
    };
    (Answers { failure: Some(failure.clone()), ..Answers::empty() }, failure)
}

async fn every_kind_of_failure_comes_back_with_its_message_and_its_causes(world: &mut World) -> Outcome {
    for kind in KINDS {
        let (answers, failure) = failing(kind);
        before(world, answers).await?;
        // A call that is not sent again, whatever its failure.
        let error = refused("a failing call", world.mgr()?.pause(&container("c")).await, kind)?;
        same("the message", &error.message, &failure.message)?;
        let first = error.source.as_deref().map(|source| source as &(dyn Error + 'static));
        let causes = successors(first, |&cause| cause.source()).map(ToString::to_string);
        same("the causes", &causes.collect(), &failure.causes)?;
    }
    Ok(())
}

async fn a_failure_of_any_call_to_the_manager_names_the_call(world: &mut World) -> Outcome {
    let (answers, _) = failing(ErrorKind::DataLoss);
    before(world, answers).await?;
    let (mgr, id, fill) = (world.mgr()?, container("c"), Fill::Empty);
    names(Operation::Register, mgr.register(&fill.registration()).await)?;
    names(Operation::Update, mgr.update(&fill.update()).await)?;
    names(Operation::Unregister, mgr.unregister(&id).await)?;
    names(Operation::Remove, mgr.remove(&id).await)?;
    names(Operation::AllocSubids, mgr.alloc_subids(&fill.subid_request()).await)?;
    names(Operation::PrepMounts, mgr.prep_mounts(&fill.mounts_to_prepare()).await)?;
    names(Operation::ReqMounts, mgr.req_mounts(&fill.mount_requests()).await)?;
    names(Operation::ReqShiftfsMark, mgr.req_shiftfs_mark(&fill.marks()).await)?;
    names(Operation::ReqFsState, mgr.req_fs_state(&fill.fs_state_request()).await)?;
    names(Operation::Pause, mgr.pause(&id).await)?;
    names(Operation::Resume, mgr.resume(&id).await)?;
    names(Operation::CloneRootfs, mgr.clone_rootfs(&id).await)?;
    names(Operation::ChownClonedRootfs, mgr.chown_cloned_rootfs(&id, fill.offsets()).await)?;
    names(Operation::RevertClonedRootfsChown, mgr.revert_cloned_rootfs_chown(&id).await)
}

async fn a_failure_of_any_call_to_the_fs_daemon_names_the_call(world: &mut World) -> Outcome {
    let (answers, _) = failing(ErrorKind::DataLoss);
    before(world, answers).await?;
    let (fs, data) = (world.fs()?, ContainerData::new(container("c")));
    names(Operation::FsMountpoint, fs.mountpoint().await)?;
    names(Operation::FsPreRegister, fs.pre_register(&data).await)?;
    names(Operation::FsRegister, fs.register(&data).await)?;
    names(Operation::FsUpdate, fs.update(&data).await)?;
    names(Operation::FsUnregister, fs.unregister(&data).await)
}

fn names<T: std::fmt::Debug>(operation: Operation, answer: Result<T, PortError>) -> Outcome {
    let error = refused(&format!("{operation:?}"), answer, ErrorKind::DataLoss)?;
    same("the call that the failure names", &error.operation, &operation)
}

async fn a_call_that_takes_long_keeps_no_other_waiting(world: &mut World) -> Outcome {
    let script = before(world, Answers { held: Some(Operation::Pause), ..Answers::empty() }).await?;
    let (mgr, id) = (world.mgr()?, container("c"));
    let mut slow = tokio::spawn({
        let (mgr, id) = (mgr.clone(), id.clone());
        async move { mgr.pause(&id).await }
    });
    script.held(&mut slow).await?;
    mgr.resume(&id).await?;
    mgr.unregister(&id).await?;
    same("the slow call is answered", &slow.is_finished(), &false)?;
    script.release();
    slow.await.map_err(|error| Broken::new(format!("the slow call: {error}")))??;
    Ok(())
}

async fn a_caller_that_goes_away_leaves_the_others_served(world: &mut World) -> Outcome {
    let script = before(world, Answers { held: Some(Operation::Pause), ..Answers::empty() }).await?;
    let (mgr, id) = (world.mgr()?, container("c"));
    for _ in 0..3 {
        let mut caller = tokio::spawn({
            let (mgr, id) = (mgr.clone(), id.clone());
            async move { mgr.pause(&id).await }
        });
        script.held(&mut caller).await?;
        caller.abort();
        let ended = caller.await;
        same("the caller went away", &ended.is_err_and(|error| error.is_cancelled()), &true)?;
        mgr.resume(&id).await?;
    }
    // Where the calls were carried on, an end of the backend would wait for them.
    script.release();
    Ok(())
}
