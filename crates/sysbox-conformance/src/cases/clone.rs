//! Clones of a rootfs.

use sysbox_core::{ErrorKind, IdOffset, IdOffsets};

use super::life::end;
use crate::{
    Case, Outcome, World,
    case::{case, refused, same},
};

pub(super) static CASES: &[Case] = &[
    case!("mgr::clone", each_container_has_a_clone_of_its_own, [Mgr, CloneRootfs]),
    case!("mgr::clone", the_owners_in_a_clone_are_shifted_and_back_any_number_of_times, [Mgr, CloneRootfs]),
    case!("mgr::clone", a_rootfs_that_was_not_cloned_is_not_shifted, [Mgr, CloneRootfs]),
    case!("mgr::clone", owners_that_are_shifted_are_not_shifted_again, [Mgr, CloneRootfs]),
    case!("mgr::clone", owners_that_were_not_shifted_are_not_shifted_back, [Mgr, CloneRootfs]),
    case!(
        "mgr::clone",
        owners_are_shifted_to_ids_of_the_host_that_are_not_the_containers_own,
        [Mgr, CloneRootfs]
    ),
    case!("mgr::clone", a_clone_is_the_same_when_asked_for_again_and_after_a_restart, [Mgr, CloneRootfs]),
    case!("mgr::clone", a_stopped_container_is_given_no_clone, [Mgr, CloneRootfs]),
    case!("mgr::clone", the_owners_in_a_clone_are_not_shifted_after_a_stop, [Mgr, CloneRootfs]),
    case!("mgr::clone", the_owners_in_a_clone_of_a_paused_container_are_not_shifted, [Mgr, CloneRootfs]),
    case!("mgr::clone", owners_that_are_shifted_are_so_after_a_pause, [Mgr, CloneRootfs]),
    case!("mgr::clone", owners_that_are_shifted_back_during_a_pause_stay_so, [Mgr, CloneRootfs]),
    case!("mgr::clone", a_removed_container_has_no_clone, [Mgr, CloneRootfs, Remove]),
];

/// By how much cases shift user ids, and group ids.
pub(super) const UID: u32 = 231_072;
pub(super) const GID: u32 = 331_072;

/// The offsets that lead there.
pub(super) fn offsets() -> IdOffsets {
    offset_by(UID.into(), GID.into())
}

/// # Panics
/// When an offset is none; the suite's own are.
#[expect(clippy::expect_used, reason = "the suite's own offsets, all literals")]
fn offset_by(uid: i64, gid: i64) -> IdOffsets {
    let offset = |number| IdOffset::new(number).expect("within the range of ids");
    IdOffsets { uid: offset(uid), gid: offset(gid) }
}

async fn each_container_has_a_clone_of_its_own(world: &mut World) -> Outcome {
    let (mgr, one, other) = (world.mgr()?, world.clonable("one")?, world.clonable("other")?);
    mgr.register(&one).await?;
    mgr.register(&other).await?;
    let (first, second) = (mgr.clone_rootfs(&one.id).await?, mgr.clone_rootfs(&other.id).await?);
    same("two containers have one clone", &(first == second), &false)?;
    same("the clone is the rootfs itself", &(first == one.rootfs || second == other.rootfs), &false)
}

async fn the_owners_in_a_clone_are_shifted_and_back_any_number_of_times(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.clonable("c")?);
    mgr.register(&request).await?;
    mgr.clone_rootfs(&request.id).await?;
    for _ in 0..2 {
        mgr.chown_cloned_rootfs(&request.id, offsets()).await?;
        mgr.revert_cloned_rootfs_chown(&request.id).await?;
    }
    Ok(())
}

async fn a_rootfs_that_was_not_cloned_is_not_shifted(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.clonable("c")?);
    mgr.register(&request).await?;
    let answer = mgr.chown_cloned_rootfs(&request.id, offsets()).await;
    refused("a shift of no clone", answer, ErrorKind::FailedPrecondition)?;
    let answer = mgr.revert_cloned_rootfs_chown(&request.id).await;
    refused("a shift back of no clone", answer, ErrorKind::FailedPrecondition)?;
    Ok(())
}

async fn owners_that_are_shifted_are_not_shifted_again(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.clonable("c")?);
    mgr.register(&request).await?;
    mgr.clone_rootfs(&request.id).await?;
    mgr.chown_cloned_rootfs(&request.id, offsets()).await?;
    let answer = mgr.chown_cloned_rootfs(&request.id, offsets()).await;
    refused("a second shift", answer, ErrorKind::FailedPrecondition)?;
    mgr.revert_cloned_rootfs_chown(&request.id).await?;
    Ok(())
}

async fn owners_that_were_not_shifted_are_not_shifted_back(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.clonable("c")?);
    mgr.register(&request).await?;
    mgr.clone_rootfs(&request.id).await?;
    let answer = mgr.revert_cloned_rootfs_chown(&request.id).await;
    refused("a shift back before any", answer, ErrorKind::FailedPrecondition)?;
    mgr.chown_cloned_rootfs(&request.id, offsets()).await?;
    mgr.revert_cloned_rootfs_chown(&request.id).await?;
    let answer = mgr.revert_cloned_rootfs_chown(&request.id).await;
    refused("a second shift back", answer, ErrorKind::FailedPrecondition)?;
    Ok(())
}

async fn a_removed_container_has_no_clone(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.clonable("c")?);
    mgr.register(&request).await?;
    mgr.clone_rootfs(&request.id).await?;
    end(&*mgr, &request.id).await?;
    mgr.register(&request).await?;
    let answer = mgr.chown_cloned_rootfs(&request.id, offsets()).await;
    refused("a shift of no clone", answer, ErrorKind::FailedPrecondition)?;
    Ok(())
}

/// What is refused changes nothing: the right offsets are taken after that.
async fn owners_are_shifted_to_ids_of_the_host_that_are_not_the_containers_own(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.clonable("c")?);
    mgr.register(&request).await?;
    mgr.clone_rootfs(&request.id).await?;
    let (uid, gid) = (i64::from(UID), i64::from(GID));
    for (uid, gid) in [(0, gid), (uid, 0), (-7, gid), (uid, -7), (65_535, gid), (uid, 65_535), (0, 0)] {
        let answer = mgr.chown_cloned_rootfs(&request.id, offset_by(uid, gid)).await;
        refused(&format!("a shift by {uid} and {gid}"), answer, ErrorKind::InvalidArgument)?;
    }
    let beyond = mgr.chown_cloned_rootfs(&request.id, offset_by(4_294_967_000, gid)).await;
    refused("a shift beyond the last id", beyond, ErrorKind::InvalidArgument)?;
    mgr.chown_cloned_rootfs(&request.id, offset_by(65_536, 65_536)).await?;
    Ok(())
}

async fn a_clone_is_the_same_when_asked_for_again_and_after_a_restart(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.clonable("c")?);
    mgr.register(&request).await?;
    let clone = mgr.clone_rootfs(&request.id).await?;
    same("the clone", &mgr.clone_rootfs(&request.id).await?, &clone)?;
    mgr.unregister(&request.id).await?;
    mgr.register(&request).await?;
    same("the clone after a restart", &mgr.clone_rootfs(&request.id).await?, &clone)
}

async fn a_stopped_container_is_given_no_clone(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.clonable("c")?);
    mgr.register(&request).await?;
    mgr.unregister(&request.id).await?;
    refused("a clone", mgr.clone_rootfs(&request.id).await, ErrorKind::FailedPrecondition)?;
    mgr.register(&request).await?;
    mgr.clone_rootfs(&request.id).await?;
    mgr.unregister(&request.id).await?;
    refused("a clone", mgr.clone_rootfs(&request.id).await, ErrorKind::FailedPrecondition)?;
    let answer = mgr.chown_cloned_rootfs(&request.id, offsets()).await;
    refused("a shift", answer, ErrorKind::FailedPrecondition)?;
    let answer = mgr.revert_cloned_rootfs_chown(&request.id).await;
    refused("a shift back", answer, ErrorKind::FailedPrecondition)?;
    Ok(())
}

async fn the_owners_in_a_clone_are_not_shifted_after_a_stop(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.clonable("c")?);
    mgr.register(&request).await?;
    mgr.clone_rootfs(&request.id).await?;
    mgr.chown_cloned_rootfs(&request.id, offsets()).await?;
    mgr.unregister(&request.id).await?;
    mgr.register(&request).await?;
    mgr.clone_rootfs(&request.id).await?;
    let answer = mgr.revert_cloned_rootfs_chown(&request.id).await;
    refused("a shift back", answer, ErrorKind::FailedPrecondition)?;
    mgr.chown_cloned_rootfs(&request.id, offsets()).await?;
    Ok(())
}

async fn the_owners_in_a_clone_of_a_paused_container_are_not_shifted(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.clonable("c")?);
    mgr.register(&request).await?;
    mgr.clone_rootfs(&request.id).await?;
    mgr.pause(&request.id).await?;
    let answer = mgr.chown_cloned_rootfs(&request.id, offsets()).await;
    refused("a shift", answer, ErrorKind::FailedPrecondition)?;
    mgr.resume(&request.id).await?;
    mgr.chown_cloned_rootfs(&request.id, offsets()).await?;
    Ok(())
}

async fn owners_that_are_shifted_are_so_after_a_pause(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.clonable("c")?);
    mgr.register(&request).await?;
    mgr.clone_rootfs(&request.id).await?;
    mgr.chown_cloned_rootfs(&request.id, offsets()).await?;
    mgr.pause(&request.id).await?;
    mgr.resume(&request.id).await?;
    let answer = mgr.chown_cloned_rootfs(&request.id, offsets()).await;
    refused("a second shift", answer, ErrorKind::FailedPrecondition)?;
    mgr.revert_cloned_rootfs_chown(&request.id).await?;
    Ok(())
}

async fn owners_that_are_shifted_back_during_a_pause_stay_so(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.clonable("c")?);
    mgr.register(&request).await?;
    mgr.clone_rootfs(&request.id).await?;
    mgr.chown_cloned_rootfs(&request.id, offsets()).await?;
    mgr.pause(&request.id).await?;
    mgr.revert_cloned_rootfs_chown(&request.id).await?;
    mgr.resume(&request.id).await?;
    let answer = mgr.revert_cloned_rootfs_chown(&request.id).await;
    refused("a second shift back", answer, ErrorKind::FailedPrecondition)?;
    mgr.chown_cloned_rootfs(&request.id, offsets()).await?;
    Ok(())
}
