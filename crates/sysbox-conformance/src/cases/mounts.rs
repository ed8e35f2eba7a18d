//! Mounts, shiftfs marks and entries for containers.

use sysbox_core::{
    ErrorKind, FsStateRequest, HostGid, HostUid, MgrPort, Mount, MountKind, MountRequest, MountRequests,
    MountToPrepare, MountsToPrepare, Operation, ShiftType, ShiftfsMark, ShiftfsMarks,
};

use super::{errors::unknown, life::path};
use crate::{
    Broken, Case, Outcome, World,
    case::{case, refused, same},
    world::container,
};

pub(super) static CASES: &[Case] = &[
    case!("mgr::mounts", each_wish_is_granted_by_a_bind_mount_at_its_destination, [Mgr, ReqMounts]),
    case!("mgr::mounts", without_a_wish_there_is_no_mount_of_a_special_directory, [Mgr, ReqMounts]),
    case!("mgr::mounts", each_kind_and_each_container_has_a_directory_of_its_own, [Mgr, ReqMounts]),
    case!("mgr::mounts", a_restarted_container_gets_the_mounts_that_it_had, [Mgr, ReqMounts]),
    case!("mgr::mounts", mounts_are_for_known_containers, [Mgr, ReqMounts]),
    case!("mgr::mounts", a_stopped_container_is_given_no_mounts, [Mgr, ReqMounts]),
    case!("mgr::mounts", a_paused_container_is_given_mounts, [Mgr, ReqMounts]),
    case!("mgr::mounts", files_are_shifted_only_to_ids_that_were_given, [Mgr, ReqMounts, Files]),
    case!("mgr::prep_mounts", sources_are_prepared_also_where_two_containers_use_one, [Mgr, PrepMounts]),
    case!("mgr::prep_mounts", sources_are_prepared_for_known_containers, [Mgr, PrepMounts]),
    case!("mgr::prep_mounts", nothing_is_prepared_for_a_stopped_container, [Mgr, PrepMounts]),
    case!("mgr::shiftfs", marks_that_are_new_are_made_and_told, [Mgr, ShiftfsMarks]),
    case!("mgr::shiftfs", marks_are_for_known_containers, [Mgr, ShiftfsMarks]),
    case!("mgr::shiftfs", a_stopped_container_is_given_no_marks, [Mgr, ShiftfsMarks]),
    case!("mgr::shiftfs", marks_are_new_again_after_a_restart, [Mgr, ShiftfsMarks]),
    case!("mgr::fs_state", entries_are_told_of_a_stopped_container_too, [Mgr, FsState]),
    case!("mgr::fs_state", entries_are_the_same_when_asked_again, [Mgr, FsState]),
    case!("mgr::fs_state", entries_are_for_known_containers, [Mgr, FsState]),
];

/// Wishes for every kind, without a shift.
pub(super) fn wishes(id: &str) -> MountRequests {
    let wish =
        |kind: MountKind| MountRequest { kind, destination: path(&format!("/var/lib/{}", kind.name())) };
    let kinds = MountKind::ALL.into_iter().filter(|kind| *kind != MountKind::UsrSrcLinuxHdr);
    MountRequests { id: container(id), rootfs_shift: ShiftType::NoShift, mounts: kinds.map(wish).collect() }
}

/// The mounts that were wished for, in the order of the wishes. A backend may add others, such as those of kernel headers.
pub(super) async fn granted(mgr: &dyn MgrPort, wishes: &MountRequests) -> Result<Vec<Mount>, Broken> {
    let mounts = mgr.req_mounts(wishes).await?;
    let of = |wish: &MountRequest| {
        let mut found = mounts.iter().filter(|mount| mount.destination == wish.destination);
        let missing = || Broken::new(format!("there is no mount at {}: {mounts:?}", wish.destination));
        let first = found.next().ok_or_else(missing)?;
        same("further mounts at one place", &found.count(), &0)?;
        Ok(first.clone())
    };
    wishes.mounts.iter().map(of).collect()
}

async fn each_wish_is_granted_by_a_bind_mount_at_its_destination(world: &mut World) -> Outcome {
    let (mgr, wishes) = (world.mgr()?, wishes("c"));
    mgr.register(&world.registration("c")?).await?;
    for mount in granted(&*mgr, &wishes).await? {
        same("the source is a path of the host", &mount.source.starts_with('/'), &true)?;
        same("the type", &mount.kind.as_str(), &"bind")?;
        same("the options", &mount.options, &vec!["rbind".to_owned(), "rprivate".to_owned()])?;
    }
    Ok(())
}

async fn without_a_wish_there_is_no_mount_of_a_special_directory(world: &mut World) -> Outcome {
    let (mgr, wishes) = (world.mgr()?, wishes("c"));
    mgr.register(&world.registration("c")?).await?;
    let mounts = mgr.req_mounts(&MountRequests { mounts: Vec::new(), ..wishes.clone() }).await?;
    let special = |mount: &&Mount| wishes.mounts.iter().any(|wish| wish.destination == mount.destination);
    same("a mount of a special directory", &mounts.iter().find(special), &None)
}

async fn each_kind_and_each_container_has_a_directory_of_its_own(world: &mut World) -> Outcome {
    let mgr = world.mgr()?;
    let mut sources = Vec::new();
    for id in ["one", "other"] {
        mgr.register(&world.registration(id)?).await?;
        sources.extend(granted(&*mgr, &wishes(id)).await?.into_iter().map(|mount| mount.source));
    }
    let all = sources.len();
    sources.sort_unstable();
    sources.dedup();
    same("how many directories there are", &sources.len(), &all)
}

async fn a_restarted_container_gets_the_mounts_that_it_had(world: &mut World) -> Outcome {
    let (mgr, request, wishes) = (world.mgr()?, world.registration("c")?, wishes("c"));
    mgr.register(&request).await?;
    let before = granted(&*mgr, &wishes).await?;
    mgr.unregister(&request.id).await?;
    mgr.register(&world.registration("new")?).await?;
    mgr.register(&request).await?;
    same("the mounts after a restart", &granted(&*mgr, &wishes).await?, &before)
}

async fn mounts_are_for_known_containers(world: &mut World) -> Outcome {
    unknown("nobody", Operation::ReqMounts, world.mgr()?.req_mounts(&wishes("nobody")).await)
}

fn to_prepare(world: &World, id: &str) -> Result<MountsToPrepare, Broken> {
    let mount = |source, exclusive| MountToPrepare { source, exclusive };
    let mounts = vec![mount(world.dir("alone")?, true), mount(world.dir("shared")?, false)];
    Ok(MountsToPrepare { id: container(id), uid: HostUid(231_072), gid: HostGid(331_072), mounts })
}

/// Two users of an exclusive source are warned of in a log.
async fn sources_are_prepared_also_where_two_containers_use_one(world: &mut World) -> Outcome {
    let mgr = world.mgr()?;
    for id in ["one", "other"] {
        mgr.register(&world.registration(id)?).await?;
        mgr.prep_mounts(&to_prepare(world, id)?).await?;
    }
    let nothing = MountsToPrepare { mounts: Vec::new(), ..to_prepare(world, "one")? };
    mgr.prep_mounts(&nothing).await?;
    Ok(())
}

async fn sources_are_prepared_for_known_containers(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, to_prepare(world, "nobody")?);
    unknown("nobody", Operation::PrepMounts, mgr.prep_mounts(&request).await)
}

async fn marks_that_are_new_are_made_and_told(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    let mark = |source, readonly| ShiftfsMark { source, readonly };
    let (one, other) = (mark(world.dir("one")?, true), mark(world.dir("other")?, false));
    let wish = |marks| ShiftfsMarks { id: container("c"), marks };
    same("the first", &mgr.req_shiftfs_mark(&wish(vec![one.clone()])).await?, &vec![one.clone()])?;
    let both = wish(vec![one, other.clone()]);
    same("the new one of two", &mgr.req_shiftfs_mark(&both).await?, &vec![other])?;
    same("those of none", &mgr.req_shiftfs_mark(&wish(Vec::new())).await?, &Vec::new())
}

async fn marks_are_for_known_containers(world: &mut World) -> Outcome {
    let marks = ShiftfsMarks { id: container("nobody"), marks: Vec::new() };
    unknown("nobody", Operation::ReqShiftfsMark, world.mgr()?.req_shiftfs_mark(&marks).await)
}

async fn entries_are_the_same_when_asked_again(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    let wish = FsStateRequest { id: request.id, rootfs: request.rootfs };
    let first = mgr.req_fs_state(&wish).await?;
    same("the entries", &mgr.req_fs_state(&wish).await?, &first)
}

async fn entries_are_for_known_containers(world: &mut World) -> Outcome {
    let request = FsStateRequest { id: container("nobody"), rootfs: path("/") };
    unknown("nobody", Operation::ReqFsState, world.mgr()?.req_fs_state(&request).await)
}

/// Not even where it wishes for none.
async fn a_stopped_container_is_given_no_mounts(world: &mut World) -> Outcome {
    let (mgr, request, wishes) = (world.mgr()?, world.registration("c")?, wishes("c"));
    mgr.register(&request).await?;
    mgr.unregister(&request.id).await?;
    refused("mounts", mgr.req_mounts(&wishes).await, ErrorKind::FailedPrecondition)?;
    let nothing = MountRequests { mounts: Vec::new(), ..wishes };
    refused("no mounts", mgr.req_mounts(&nothing).await, ErrorKind::FailedPrecondition)?;
    Ok(())
}

async fn a_paused_container_is_given_mounts(world: &mut World) -> Outcome {
    let (mgr, request, wishes) = (world.mgr()?, world.registration("c")?, wishes("c"));
    mgr.register(&request).await?;
    mgr.pause(&request.id).await?;
    let before = granted(&*mgr, &wishes).await?;
    mgr.resume(&request.id).await?;
    same("the mounts", &granted(&*mgr, &wishes).await?, &before)
}

async fn files_are_shifted_only_to_ids_that_were_given(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    for rootfs_shift in [ShiftType::Chown, ShiftType::Shiftfs] {
        let wishes = MountRequests { rootfs_shift, ..wishes("c") };
        let answer = mgr.req_mounts(&wishes).await;
        refused("mounts before any ids", answer, ErrorKind::FailedPrecondition)?;
    }
    Ok(())
}

async fn nothing_is_prepared_for_a_stopped_container(world: &mut World) -> Outcome {
    let (mgr, request, wishes) = (world.mgr()?, world.registration("c")?, to_prepare(world, "c")?);
    mgr.register(&request).await?;
    mgr.unregister(&request.id).await?;
    refused("sources", mgr.prep_mounts(&wishes).await, ErrorKind::FailedPrecondition)?;
    let nothing = MountsToPrepare { mounts: Vec::new(), ..wishes };
    refused("no sources", mgr.prep_mounts(&nothing).await, ErrorKind::FailedPrecondition)?;
    Ok(())
}

async fn a_stopped_container_is_given_no_marks(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    let mark = ShiftfsMark { source: world.dir("one")?, readonly: true };
    mgr.register(&request).await?;
    mgr.unregister(&request.id).await?;
    for marks in [vec![mark], Vec::new()] {
        let answer = mgr.req_shiftfs_mark(&ShiftfsMarks { id: container("c"), marks }).await;
        refused("marks", answer, ErrorKind::FailedPrecondition)?;
    }
    Ok(())
}

async fn marks_are_new_again_after_a_restart(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    let mark = ShiftfsMark { source: world.dir("one")?, readonly: true };
    let wish = ShiftfsMarks { id: container("c"), marks: vec![mark] };
    for _ in 0..2 {
        mgr.register(&request).await?;
        same("the marks", &mgr.req_shiftfs_mark(&wish).await?, &wish.marks)?;
        mgr.unregister(&request.id).await?;
    }
    Ok(())
}

async fn entries_are_told_of_a_stopped_container_too(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    let wish = FsStateRequest { id: request.id.clone(), rootfs: request.rootfs };
    let before = mgr.req_fs_state(&wish).await?;
    mgr.unregister(&request.id).await?;
    same("the entries", &mgr.req_fs_state(&wish).await?, &before)
}
