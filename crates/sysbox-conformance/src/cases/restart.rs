//! What outlives the process of a backend.

use sysbox_core::{
    ContainerData, ErrorKind, MountKind, MountRequest, MountRequests, Registration, ShiftType, Update,
};

use super::{
    clone::offsets,
    life::{USUAL, disjoint, end, path, running, shifted, start, try_start},
};
use crate::{
    Case, Outcome, World,
    case::{case, refused, same},
    world::{container, usual_ids_of},
};

pub(super) static CASES: &[Case] = &[
    case!("mgr::restart", a_registered_container_is_known, [Mgr, Restart]),
    case!("mgr::restart", a_paused_container_is_paused, [Mgr, Restart]),
    case!("mgr::restart", a_stopped_container_is_stopped, [Mgr, Restart]),
    case!("mgr::restart", a_removed_container_stays_unknown, [Mgr, Remove, Restart]),
    case!("mgr::restart", a_container_keeps_its_ids_from_others, [Mgr, Restart]),
    case!("mgr::restart", mappings_and_shift_are_kept, [Mgr, Restart]),
    case!("mgr::restart", namespaces_are_kept, [Mgr, Restart]),
    case!("mgr::restart", mounts_are_kept, [Mgr, ReqMounts, Restart]),
    case!("mgr::restart", a_clone_is_kept, [Mgr, CloneRootfs, Restart]),
    case!("fs::restart", a_container_is_known_to_the_fs_daemon, [Fs, Restart]),
];

async fn a_registered_container_is_known(world: &mut World) -> Outcome {
    let request = world.registration("c")?;
    world.mgr()?.register(&request).await?;
    world.restart().await?;
    let mgr = world.mgr()?;
    refused("a second registration", mgr.register(&request).await, ErrorKind::AlreadyExists)?;
    mgr.pause(&request.id).await?;
    mgr.unregister(&request.id).await?;
    Ok(())
}

async fn a_paused_container_is_paused(world: &mut World) -> Outcome {
    let request = world.registration("c")?;
    world.mgr()?.register(&request).await?;
    world.mgr()?.pause(&request.id).await?;
    world.restart().await?;
    refused("a second pause", world.mgr()?.pause(&request.id).await, ErrorKind::FailedPrecondition)?;
    world.mgr()?.resume(&request.id).await?;
    Ok(())
}

async fn a_stopped_container_is_stopped(world: &mut World) -> Outcome {
    let request = world.registration("c")?;
    world.mgr()?.register(&request).await?;
    world.mgr()?.unregister(&request.id).await?;
    world.restart().await?;
    let mgr = world.mgr()?;
    refused("stopping it again", mgr.unregister(&request.id).await, ErrorKind::FailedPrecondition)?;
    mgr.register(&request).await?;
    Ok(())
}

async fn a_removed_container_stays_unknown(world: &mut World) -> Outcome {
    let request = world.registration("c")?;
    start(&*world.mgr()?, &request).await?;
    end(&*world.mgr()?, &request.id).await?;
    world.restart().await?;
    refused("stopping it", world.mgr()?.unregister(&request.id).await, ErrorKind::NotFound)?;
    Ok(())
}

async fn a_container_keeps_its_ids_from_others(world: &mut World) -> Outcome {
    let (one, other) = (world.registration("one")?, world.registration("other")?);
    let ids = start(&*world.mgr()?, &one).await?;
    world.restart().await?;
    let mgr = world.mgr()?;
    same("its ids", &mgr.alloc_subids(&usual_ids_of(&one.id)).await?, &ids)?;
    disjoint(&[ids, try_start(&*mgr, &other).await?], USUAL)
}

async fn mappings_and_shift_are_kept(world: &mut World) -> Outcome {
    let request = world.registration("c")?;
    let update = running(&request.id, start(&*world.mgr()?, &request).await?)?;
    world.restart().await?;
    world.mgr()?.unregister(&request.id).await?;
    world.restart().await?;
    let config = world.mgr()?.register(&request).await?;
    same("user id mappings", &config.uid_mappings, &update.uid_mappings)?;
    same("group id mappings", &config.gid_mappings, &update.gid_mappings)?;
    same("the shift", &config.rootfs_shift, &update.rootfs_shift)
}

async fn namespaces_are_kept(world: &mut World) -> Outcome {
    let (mgr, first, second) = (world.mgr()?, world.registration("first")?, world.registration("second")?);
    let ids = start(&*mgr, &first).await?;
    let (userns, netns) = (Some(world.userns(0)?), Some(world.netns(0)?));
    let nothing = shifted(&first.id, ShiftType::Chown);
    mgr.update(&Update { userns: userns.clone(), netns: netns.clone(), ..nothing }).await?;
    drop(mgr);
    world.restart().await?;
    let mgr = world.mgr()?;
    let config = mgr.register(&Registration { netns, ..second.clone() }).await?;
    same("the user namespace to join", &config.userns, &userns)?;
    same("shared ids", &mgr.alloc_subids(&usual_ids_of(&second.id)).await?, &ids)
}

async fn mounts_are_kept(world: &mut World) -> Outcome {
    let request = world.registration("c")?;
    let wish = MountRequest { kind: MountKind::VarLibDocker, destination: path("/var/lib/docker") };
    let wishes = MountRequests { id: container("c"), rootfs_shift: ShiftType::Chown, mounts: vec![wish] };
    start(&*world.mgr()?, &request).await?;
    let before = world.mgr()?.req_mounts(&wishes).await?;
    world.mgr()?.unregister(&request.id).await?;
    world.restart().await?;
    world.mgr()?.register(&request).await?;
    same("the mounts", &world.mgr()?.req_mounts(&wishes).await?, &before)
}

async fn a_clone_is_kept(world: &mut World) -> Outcome {
    let request = world.clonable("c")?;
    world.mgr()?.register(&request).await?;
    world.mgr()?.clone_rootfs(&request.id).await?;
    world.mgr()?.chown_cloned_rootfs(&request.id, offsets()).await?;
    world.restart().await?;
    world.mgr()?.revert_cloned_rootfs_chown(&request.id).await?;
    Ok(())
}

async fn a_container_is_known_to_the_fs_daemon(world: &mut World) -> Outcome {
    let data = ContainerData::new(container("c"));
    world.fs()?.pre_register(&data).await?;
    world.restart().await?;
    let fs = world.fs()?;
    refused("making it known again", fs.pre_register(&data).await, ErrorKind::AlreadyExists)?;
    fs.register(&data).await?;
    Ok(())
}
