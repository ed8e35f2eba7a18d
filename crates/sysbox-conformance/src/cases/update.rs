//! Telling what became known of containers.

use sysbox_core::{ErrorKind, IdMapping, IdMappings, MgrPort, Registration, ShiftType, Update};

use super::life::{USUAL, mappings, running, shifted, start};
use crate::{
    Broken, Case, Outcome, World,
    case::{case, refused, same},
    world::{any_path, longest_path},
};

pub(super) static CASES: &[Case] = &[
    case!("mgr::update", mappings_that_are_known_stay, [Mgr]),
    case!("mgr::update", the_shift_is_always_taken, [Mgr]),
    case!("mgr::update", the_same_again_changes_nothing, [Mgr]),
    case!("mgr::update", user_and_group_ids_become_known_each_by_themselves, [Mgr]),
    case!("mgr::update", as_many_extents_as_the_kernel_takes_are_kept_in_order, [Mgr]),
    case!("mgr::update", the_greatest_ids_are_kept, [Mgr, AnyId]),
    case!("mgr::update", a_stopped_container_cannot_be_updated, [Mgr]),
    case!("mgr::update", a_paused_container_can_be_updated, [Mgr]),
    case!("mgr::update", a_paused_container_stays_paused_when_it_is_updated, [Mgr]),
    case!("mgr::update", mappings_to_the_hosts_root_are_refused_here_too, [Mgr]),
    case!("mgr::update", a_refused_update_changes_nothing, [Mgr]),
    case!("mgr::update", a_namespace_may_be_gone_already, [Mgr]),
    case!("mgr::update", a_namespace_by_a_path_that_is_no_text_is_taken, [Mgr, AnyPath]),
];

/// What a container is told after a restart: user and group id mappings, and its shift.
async fn remembered(
    mgr: &dyn MgrPort,
    request: &Registration,
) -> Result<(IdMappings, IdMappings, ShiftType), Broken> {
    mgr.unregister(&request.id).await?;
    let config = mgr.register(request).await?;
    Ok((config.uid_mappings, config.gid_mappings, config.rootfs_shift))
}

async fn mappings_that_are_known_stay(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    let first = running(&request.id, start(&*mgr, &request).await?)?;
    let (uid_mappings, gid_mappings) = (mappings(2_000_000_000, USUAL), mappings(2_090_000_000, USUAL));
    mgr.update(&Update { uid_mappings, gid_mappings, ..first.clone() }).await?;
    let known = (first.uid_mappings, first.gid_mappings, first.rootfs_shift);
    same("what is known", &remembered(&*mgr, &request).await?, &known)
}

async fn the_shift_is_always_taken(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    for shift in [ShiftType::Chown, ShiftType::Shiftfs, ShiftType::NoShift, ShiftType::IdMappedMount] {
        mgr.update(&shifted(&request.id, ShiftType::Chown)).await?;
        mgr.update(&shifted(&request.id, shift)).await?;
        same("the shift", &remembered(&*mgr, &request).await?.2, &shift)?;
    }
    Ok(())
}

async fn the_same_again_changes_nothing(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    let update = running(&request.id, start(&*mgr, &request).await?)?;
    for _ in 0..2 {
        mgr.update(&update).await?;
    }
    let known = (update.uid_mappings, update.gid_mappings, update.rootfs_shift);
    same("what is known", &remembered(&*mgr, &request).await?, &known)
}

async fn user_and_group_ids_become_known_each_by_themselves(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    let (uids, gids) = (mappings(2_000_000_000, 70_000), mappings(2_090_000_000, 80_000));
    let nothing = shifted(&request.id, ShiftType::Chown);
    mgr.update(&Update { gid_mappings: gids.clone(), ..nothing.clone() }).await?;
    mgr.update(&Update { uid_mappings: uids.clone(), ..nothing.clone() }).await?;
    mgr.update(&nothing).await?;
    same("what is known", &remembered(&*mgr, &request).await?, &(uids, gids, ShiftType::Chown))
}

async fn as_many_extents_as_the_kernel_takes_are_kept_in_order(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    let extents = |first| most_extents(first).ok_or_else(|| Broken::new("340 extents are no mappings"));
    let (uids, gids) = (extents(2_000_000_000)?, extents(2_090_000_000)?);
    let nothing = shifted(&request.id, ShiftType::Chown);
    mgr.update(&Update { uid_mappings: uids.clone(), gid_mappings: gids.clone(), ..nothing }).await?;
    same("what is known", &remembered(&*mgr, &request).await?, &(uids, gids, ShiftType::Chown))
}

/// Extents of which no two can be merged, by falling ids.
pub(super) fn most_extents(first: u32) -> Option<IdMappings> {
    let count = u32::try_from(IdMappings::MAX_EXTENTS).ok()?;
    let extents = (0..count).rev().map(|nth| IdMapping::new(nth * 20, first + nth * 30, nth % 10 + 1));
    IdMappings::new(extents.collect::<Result<Vec<_>, _>>().ok()?).ok()
}

async fn the_greatest_ids_are_kept(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    let greatest = mappings(u32::MAX - USUAL, USUAL);
    let nothing = shifted(&request.id, ShiftType::Chown);
    mgr.update(&Update { uid_mappings: greatest.clone(), gid_mappings: greatest.clone(), ..nothing }).await?;
    same(
        "what is known",
        &remembered(&*mgr, &request).await?,
        &(greatest.clone(), greatest, ShiftType::Chown),
    )
}

async fn a_stopped_container_cannot_be_updated(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    mgr.unregister(&request.id).await?;
    let answer = mgr.update(&shifted(&request.id, ShiftType::Chown)).await;
    refused("an update of a stopped container", answer, ErrorKind::FailedPrecondition)?;
    same("the shift", &mgr.register(&request).await?.rootfs_shift, &ShiftType::NoShift)
}

async fn a_paused_container_can_be_updated(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    mgr.pause(&request.id).await?;
    mgr.update(&shifted(&request.id, ShiftType::Shiftfs)).await?;
    same("the shift", &remembered(&*mgr, &request).await?.2, &ShiftType::Shiftfs)
}

async fn a_paused_container_stays_paused_when_it_is_updated(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    mgr.pause(&request.id).await?;
    mgr.update(&shifted(&request.id, ShiftType::Shiftfs)).await?;
    refused("a second pause", mgr.pause(&request.id).await, ErrorKind::FailedPrecondition)?;
    mgr.resume(&request.id).await?;
    Ok(())
}

async fn mappings_to_the_hosts_root_are_refused_here_too(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    let nothing = shifted(&request.id, ShiftType::NoShift);
    let users = Update { uid_mappings: mappings(0, USUAL), ..nothing.clone() };
    refused("user 0 of the host", mgr.update(&users).await, ErrorKind::InvalidArgument)?;
    let groups = Update { gid_mappings: mappings(0, USUAL), ..nothing };
    refused("group 0 of the host", mgr.update(&groups).await, ErrorKind::InvalidArgument)?;
    Ok(())
}

async fn a_refused_update_changes_nothing(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    let update = shifted(&request.id, ShiftType::Chown);
    let update = Update { uid_mappings: mappings(2_000_000_000, 9), gid_mappings: mappings(0, 9), ..update };
    refused("group 0 of the host", mgr.update(&update).await, ErrorKind::InvalidArgument)?;
    let nothing = (IdMappings::default(), IdMappings::default(), ShiftType::NoShift);
    same("what is known", &remembered(&*mgr, &request).await?, &nothing)
}

async fn a_namespace_may_be_gone_already(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    let update = shifted(&request.id, ShiftType::Chown);
    let (userns, netns) = (Some(longest_path("userns")), Some(longest_path("netns")));
    mgr.update(&Update { userns, netns, ..update }).await?;
    same("the shift", &remembered(&*mgr, &request).await?.2, &ShiftType::Chown)
}

async fn a_namespace_by_a_path_that_is_no_text_is_taken(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    let update = shifted(&request.id, ShiftType::Chown);
    let (userns, netns) = (Some(any_path("userns")), Some(any_path("netns")));
    mgr.update(&Update { userns, netns, ..update }).await?;
    same("the shift", &remembered(&*mgr, &request).await?.2, &ShiftType::Chown)
}
