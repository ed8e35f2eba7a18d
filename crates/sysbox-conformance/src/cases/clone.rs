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
    case!("mgr::clone", a_removed_container_has_no_clone, [Mgr, CloneRootfs, Remove]),
];

fn offsets() -> IdOffsets {
    IdOffsets { uid: IdOffset::from(231_072), gid: IdOffset::from(-7) }
}

async fn each_container_has_a_clone_of_its_own(world: &mut World) -> Outcome {
    let (mgr, one, other) = (world.mgr()?, world.registration("one")?, world.registration("other")?);
    mgr.register(&one).await?;
    mgr.register(&other).await?;
    let (first, second) = (mgr.clone_rootfs(&one.id).await?, mgr.clone_rootfs(&other.id).await?);
    same("two containers have one clone", &(first == second), &false)?;
    same("the clone is the rootfs itself", &(first == one.rootfs || second == other.rootfs), &false)
}

async fn the_owners_in_a_clone_are_shifted_and_back_any_number_of_times(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    mgr.clone_rootfs(&request.id).await?;
    for _ in 0..2 {
        mgr.chown_cloned_rootfs(&request.id, offsets()).await?;
        mgr.revert_cloned_rootfs_chown(&request.id).await?;
    }
    Ok(())
}

async fn a_rootfs_that_was_not_cloned_is_not_shifted(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    let answer = mgr.chown_cloned_rootfs(&request.id, offsets()).await;
    refused("a shift of no clone", answer, ErrorKind::FailedPrecondition)?;
    let answer = mgr.revert_cloned_rootfs_chown(&request.id).await;
    refused("a shift back of no clone", answer, ErrorKind::FailedPrecondition)?;
    Ok(())
}

async fn owners_that_are_shifted_are_not_shifted_again(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    mgr.clone_rootfs(&request.id).await?;
    mgr.chown_cloned_rootfs(&request.id, offsets()).await?;
    let answer = mgr.chown_cloned_rootfs(&request.id, offsets()).await;
    refused("a second shift", answer, ErrorKind::FailedPrecondition)?;
    mgr.revert_cloned_rootfs_chown(&request.id).await?;
    Ok(())
}

async fn owners_that_were_not_shifted_are_not_shifted_back(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
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
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    mgr.clone_rootfs(&request.id).await?;
    end(&*mgr, &request.id).await?;
    mgr.register(&request).await?;
    let answer = mgr.chown_cloned_rootfs(&request.id, offsets()).await;
    refused("a shift of no clone", answer, ErrorKind::FailedPrecondition)?;
    Ok(())
}
