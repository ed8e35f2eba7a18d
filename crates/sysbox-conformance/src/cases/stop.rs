//! Pausing, stopping and removing containers.

use sysbox_core::ErrorKind;

use super::life::{end, start, try_start};
use crate::{
    Case, Outcome, World,
    case::{case, refused, same},
};

pub(super) static CASES: &[Case] = &[
    case!("mgr::pause", a_running_container_pauses_and_goes_on, [Mgr]),
    case!("mgr::pause", a_paused_container_cannot_be_paused, [Mgr]),
    case!("mgr::pause", a_stopped_container_cannot_be_paused, [Mgr]),
    case!("mgr::pause", a_running_container_cannot_be_resumed, [Mgr]),
    case!("mgr::pause", a_stopped_container_cannot_be_resumed, [Mgr]),
    case!("mgr::pause", a_container_that_was_paused_when_it_stopped_restarts_running, [Mgr]),
    case!("mgr::pause", one_container_pauses_and_others_do_not, [Mgr]),
    case!("mgr::unregister", a_stopped_container_cannot_be_stopped, [Mgr]),
    case!("mgr::unregister", a_paused_container_can_be_stopped, [Mgr]),
    case!("mgr::unregister", a_stopped_container_is_still_known, [Mgr]),
    case!("mgr::remove", a_running_container_cannot_be_removed, [Mgr, Remove]),
    case!("mgr::remove", a_paused_container_cannot_be_removed, [Mgr, Remove]),
    case!("mgr::remove", a_removed_container_is_not_known, [Mgr, Remove]),
    case!("mgr::remove", what_a_removed_container_had_is_had_by_others, [Mgr, Remove, Capacity]),
];

async fn a_running_container_pauses_and_goes_on(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    for _ in 0..2 {
        mgr.pause(&request.id).await?;
        mgr.resume(&request.id).await?;
    }
    Ok(())
}

async fn a_paused_container_cannot_be_paused(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    mgr.pause(&request.id).await?;
    refused("a second pause", mgr.pause(&request.id).await, ErrorKind::FailedPrecondition)?;
    mgr.resume(&request.id).await?;
    Ok(())
}

async fn a_stopped_container_cannot_be_paused(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    mgr.unregister(&request.id).await?;
    refused("a pause", mgr.pause(&request.id).await, ErrorKind::FailedPrecondition)?;
    Ok(())
}

async fn a_running_container_cannot_be_resumed(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    refused("a resume", mgr.resume(&request.id).await, ErrorKind::FailedPrecondition)?;
    mgr.pause(&request.id).await?;
    mgr.resume(&request.id).await?;
    refused("a second resume", mgr.resume(&request.id).await, ErrorKind::FailedPrecondition)?;
    Ok(())
}

async fn a_stopped_container_cannot_be_resumed(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    mgr.pause(&request.id).await?;
    mgr.unregister(&request.id).await?;
    refused("a resume", mgr.resume(&request.id).await, ErrorKind::FailedPrecondition)?;
    Ok(())
}

async fn a_container_that_was_paused_when_it_stopped_restarts_running(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    mgr.pause(&request.id).await?;
    mgr.unregister(&request.id).await?;
    mgr.register(&request).await?;
    mgr.pause(&request.id).await?;
    Ok(())
}

async fn one_container_pauses_and_others_do_not(world: &mut World) -> Outcome {
    let (mgr, one, other) = (world.mgr()?, world.registration("one")?, world.registration("other")?);
    mgr.register(&one).await?;
    mgr.register(&other).await?;
    mgr.pause(&one.id).await?;
    refused("a resume", mgr.resume(&other.id).await, ErrorKind::FailedPrecondition)?;
    mgr.unregister(&other.id).await?;
    mgr.resume(&one.id).await?;
    Ok(())
}

async fn a_stopped_container_cannot_be_stopped(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    mgr.unregister(&request.id).await?;
    refused("stopping it again", mgr.unregister(&request.id).await, ErrorKind::FailedPrecondition)?;
    Ok(())
}

async fn a_paused_container_can_be_stopped(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    mgr.pause(&request.id).await?;
    mgr.unregister(&request.id).await?;
    Ok(())
}

/// Known and stopped, which is another answer than that to one that is not known.
async fn a_stopped_container_is_still_known(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    let subids = start(&*mgr, &request).await?;
    mgr.unregister(&request.id).await?;
    refused("a pause", mgr.pause(&request.id).await, ErrorKind::FailedPrecondition)?;
    same("its ids after a restart", &try_start(&*mgr, &request).await?, &subids)
}

async fn a_running_container_cannot_be_removed(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    refused("removing it", mgr.remove(&request.id).await, ErrorKind::FailedPrecondition)?;
    mgr.unregister(&request.id).await?;
    Ok(())
}

async fn a_paused_container_cannot_be_removed(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    mgr.pause(&request.id).await?;
    refused("removing it", mgr.remove(&request.id).await, ErrorKind::FailedPrecondition)?;
    mgr.resume(&request.id).await?;
    Ok(())
}

async fn a_removed_container_is_not_known(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    start(&*mgr, &request).await?;
    end(&*mgr, &request.id).await?;
    refused("removing it again", mgr.remove(&request.id).await, ErrorKind::NotFound)?;
    refused("stopping it", mgr.unregister(&request.id).await, ErrorKind::NotFound)?;
    refused("pausing it", mgr.pause(&request.id).await, ErrorKind::NotFound)?;
    Ok(())
}

async fn what_a_removed_container_had_is_had_by_others(world: &mut World) -> Outcome {
    let (mgr, capacity) = (world.mgr()?, world.capacity()?);
    for n in 0..capacity {
        start(&*mgr, &world.registration(&format!("c{n}"))?).await?;
    }
    let late = world.registration("late")?;
    refused("one more range", try_start(&*mgr, &late).await, ErrorKind::ResourceExhausted)?;
    end(&*mgr, &world.registration("c0")?.id).await?;
    mgr.unregister(&late.id).await?;
    try_start(&*mgr, &late).await?;
    Ok(())
}
