//! Both facades of a container over the backend, through processes that come and go.

use sysbox_core::{ContainerData, ErrorKind, Registration, SessionError, Snapshot, Sysbox};

use super::{
    clone::offsets,
    facade::{info, spec},
    life::{end, running, start},
};
use crate::{
    Broken, Case, Outcome, World,
    case::{case, refused, same},
    world::{container, usual_ids_of},
};

pub(super) static CASES: &[Case] = &[
    case!("facade::sysbox", a_container_is_torn_down_from_any_point_and_again, [Mgr, Fs]),
    case!("facade::sysbox", a_container_restored_from_its_state_goes_on, [Mgr, Fs]),
    case!("facade::sysbox", a_container_is_torn_down_after_it_was_restored, [Mgr, Fs]),
    case!("facade::sysbox", a_clone_is_shifted_back_when_its_container_is_torn_down, [Mgr, Fs, CloneRootfs]),
    case!("facade::sysbox", a_purge_leaves_nothing, [Mgr, Fs, Remove]),
    case!("facade::sysbox", a_purge_needs_no_memory, [Mgr, Fs, Remove]),
    case!("facade::sysbox", a_purge_of_what_is_known_nowhere_is_done, [Mgr, Fs, Remove]),
    case!("facade::sysbox", a_restarted_container_goes_on_with_its_ids, [Mgr, Fs]),
];

/// Does the first steps of making a container: all four of them, or fewer.
async fn bring_up(mut sysbox: Sysbox, request: &Registration, steps: usize) -> Result<Sysbox, Broken> {
    let spec = spec(request)?;
    if steps > 0 {
        sysbox.mgr.register(&spec).await?;
    }
    if steps > 1 {
        sysbox.fs.get_config().await?;
        sysbox.fs.pre_register(&spec).await?;
    }
    if steps > 2 {
        let subids = sysbox.mgr.req_subid(usual_ids_of(&request.id).size).await?;
        let told = running(&request.id, subids)?;
        sysbox.mgr.update(None, None, told.uid_mappings, told.gid_mappings, told.rootfs_shift).await?;
    }
    if steps > 3 {
        sysbox.fs.register(&info()).await?;
    }
    Ok(sysbox)
}

async fn a_container_is_torn_down_from_any_point_and_again(world: &mut World) -> Outcome {
    let (ports, request) = (world.ports()?, world.registration("c")?);
    for steps in 0..=4 {
        let mut sysbox = bring_up(Sysbox::new(container("c"), ports.clone()), &request, steps).await?;
        sysbox.teardown().await?;
        sysbox.teardown().await?;
    }
    let answer = world.mgr()?.pause(&request.id).await;
    refused("a pause of what was torn down", answer, ErrorKind::FailedPrecondition)?;
    let answer = world.fs()?.update(&ContainerData::new(request.id)).await;
    refused("telling of what was torn down", answer, ErrorKind::NotFound)?;
    Ok(())
}

/// What another process makes of the state that this one has written.
fn restored(sysbox: &Sysbox, world: &World) -> Result<Sysbox, Broken> {
    let no_json = |error| Broken::new(format!("the state is no JSON: {error}"));
    let json = serde_json::to_string(&sysbox.snapshot()).map_err(no_json)?;
    let snapshot: Snapshot = serde_json::from_str(&json).map_err(no_json)?;
    let restored = Sysbox::restore(&snapshot, world.ports()?)?;
    same("the state of what was restored", &restored.snapshot(), &snapshot)?;
    Ok(restored)
}

async fn a_container_restored_from_its_state_goes_on(world: &mut World) -> Outcome {
    let (ports, request) = (world.ports()?, world.registration("c")?);
    let made = bring_up(Sysbox::new(container("c"), ports), &request, 2).await?;
    let mut sysbox = restored(&made, world)?;
    sysbox.fs.register(&info()).await?;
    let subids = sysbox.mgr.req_subid(usual_ids_of(&request.id).size).await?;
    let sysbox = restored(&sysbox, world)?;
    sysbox.fs.send_creation_time(std::time::UNIX_EPOCH).await?;
    sysbox.mgr.pause().await?;
    let sysbox = restored(&sysbox, world)?;
    sysbox.mgr.resume().await?;
    same("the ids", &sysbox.mgr.req_subid(usual_ids_of(&request.id).size).await?, &subids)
}

async fn a_container_is_torn_down_after_it_was_restored(world: &mut World) -> Outcome {
    let (ports, request) = (world.ports()?, world.registration("c")?);
    let made = bring_up(Sysbox::new(container("c"), ports), &request, 4).await?;
    let mut sysbox = restored(&made, world)?;
    sysbox.teardown().await?;
    let sysbox = restored(&sysbox, world)?;
    let answer = sysbox.mgr.pause().await;
    same("a pause is refused unasked", &matches!(answer, Err(SessionError::NotRegistered { .. })), &true)?;
    let answer = world.mgr()?.unregister(&request.id).await;
    refused("stopping it again", answer, ErrorKind::FailedPrecondition)?;
    Ok(())
}

async fn a_clone_is_shifted_back_when_its_container_is_torn_down(world: &mut World) -> Outcome {
    let (ports, request) = (world.ports()?, world.clonable("c")?);
    let mut sysbox = bring_up(Sysbox::new(container("c"), ports), &request, 4).await?;
    let clone = sysbox.mgr.clone_rootfs().await?;
    sysbox.mgr.chown_cloned_rootfs(offsets()).await?;
    let mut sysbox = restored(&sysbox, world)?;
    same("the clone", &sysbox.mgr.cloned_rootfs(), &Some(&clone))?;
    sysbox.teardown().await?;
    same("its owners are shifted", &sysbox.mgr.is_cloned_rootfs_chowned(), &false)
}

async fn a_purge_leaves_nothing(world: &mut World) -> Outcome {
    let (ports, request) = (world.ports()?, world.registration("c")?);
    let mut sysbox = bring_up(Sysbox::new(container("c"), ports), &request, 4).await?;
    sysbox.teardown().await?;
    sysbox.purge().await?;
    sysbox.purge().await?;
    refused("stopping it", world.mgr()?.unregister(&request.id).await, ErrorKind::NotFound)?;
    let answer = world.fs()?.unregister(&ContainerData::new(request.id)).await;
    refused("forgetting it", answer, ErrorKind::NotFound)?;
    Ok(())
}

/// A process that was killed has written down nothing of what it had done.
async fn a_purge_needs_no_memory(world: &mut World) -> Outcome {
    let (ports, request) = (world.ports()?, world.registration("c")?);
    let killed = bring_up(Sysbox::new(container("c"), ports.clone()), &request, 4).await?;
    drop(killed);
    Sysbox::new(container("c"), ports).purge().await?;
    refused("stopping it", world.mgr()?.unregister(&request.id).await, ErrorKind::NotFound)?;
    let answer = world.fs()?.unregister(&ContainerData::new(request.id)).await;
    refused("forgetting it", answer, ErrorKind::NotFound)?;
    Ok(())
}

async fn a_purge_of_what_is_known_nowhere_is_done(world: &mut World) -> Outcome {
    let (mgr, other) = (world.mgr()?, world.registration("other")?);
    start(&*mgr, &other).await?;
    Sysbox::new(container("c"), world.ports()?).purge().await?;
    end(&*mgr, &other.id).await?;
    Ok(())
}

async fn a_restarted_container_goes_on_with_its_ids(world: &mut World) -> Outcome {
    let (ports, request) = (world.ports()?, world.registration("c")?);
    let mut sysbox = bring_up(Sysbox::new(container("c"), ports.clone()), &request, 4).await?;
    let first = sysbox.mgr.req_subid(usual_ids_of(&request.id).size).await?;
    sysbox.teardown().await?;
    let sysbox = bring_up(Sysbox::new(container("c"), ports), &request, 4).await?;
    let config = sysbox.mgr.config();
    same("user id mappings", &config.uid_mappings, &running(&request.id, first)?.uid_mappings)?;
    same("ids", &sysbox.mgr.req_subid(usual_ids_of(&request.id).size).await?, &first)
}
