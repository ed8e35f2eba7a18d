//! Giving ids.

use sysbox_core::{ErrorKind, HostGid, HostUid, Registration, ShiftType, Subids};

use super::life::{USUAL, all_from, disjoint, end, ids, running, shifted, start, try_start};
use crate::{
    Broken, Case, Outcome, World,
    case::{case, refused, same},
    world::{container, usual_ids_of},
};

pub(super) static CASES: &[Case] = &[
    case!("mgr::subids", containers_have_ids_of_their_own, [Mgr]),
    case!("mgr::subids", asking_again_gives_the_same, [Mgr]),
    case!("mgr::subids", a_restart_gives_the_same, [Mgr]),
    case!("mgr::subids", a_container_that_stopped_keeps_its_ids_from_others, [Mgr]),
    case!("mgr::subids", another_size_is_refused_and_the_first_kept, [Mgr]),
    case!("mgr::subids", a_range_is_as_long_as_was_asked_for, [Mgr, Capacity]),
    case!("mgr::subids", one_id_can_be_asked_for, [Mgr]),
    case!("mgr::subids", more_ids_than_there_are_are_not_given, [Mgr]),
    case!("mgr::subids", every_range_is_given_and_no_more, [Mgr, Capacity]),
    case!("mgr::subids", a_range_that_is_not_given_takes_nothing, [Mgr, Capacity]),
    case!("mgr::subids", a_stopped_container_releases_nothing, [Mgr, Capacity]),
    case!("mgr::subids", a_removed_container_releases_its_ids, [Mgr, Remove, Capacity]),
    case!("mgr::subids", ids_that_were_given_cannot_be_named_by_another, [Mgr]),
    case!("mgr::subids", ids_that_a_spec_names_are_given_to_nobody, [Mgr, Remove, Capacity]),
];

async fn containers_have_ids_of_their_own(world: &mut World) -> Outcome {
    let (mgr, count) = (world.mgr()?, world.capacity()?.min(8));
    let mut given = Vec::new();
    for n in 0..count {
        given.push(start(&*mgr, &world.registration(&format!("c{n}"))?).await?);
    }
    disjoint(&given, USUAL)
}

async fn asking_again_gives_the_same(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    let first = try_start(&*mgr, &request).await?;
    same("a second answer", &mgr.alloc_subids(&usual_ids_of(&request.id)).await?, &first)?;
    mgr.update(&running(&request.id, first)?).await?;
    mgr.pause(&request.id).await?;
    same("a third answer", &mgr.alloc_subids(&usual_ids_of(&request.id)).await?, &first)
}

async fn a_restart_gives_the_same(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    let first = try_start(&*mgr, &request).await?;
    for _ in 0..3 {
        mgr.unregister(&request.id).await?;
        same("ids after a restart", &try_start(&*mgr, &request).await?, &first)?;
    }
    Ok(())
}

async fn a_container_that_stopped_keeps_its_ids_from_others(world: &mut World) -> Outcome {
    let (mgr, stopped) = (world.mgr()?, world.registration("stopped")?);
    let mut given = vec![start(&*mgr, &stopped).await?];
    mgr.unregister(&stopped.id).await?;
    for n in 1..world.capacity()?.min(4) {
        given.push(start(&*mgr, &world.registration(&format!("c{n}"))?).await?);
    }
    disjoint(&given, USUAL)
}

async fn another_size_is_refused_and_the_first_kept(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    let first = try_start(&*mgr, &request).await?;
    for size in [USUAL - 1, USUAL + 1, 1] {
        let answer = mgr.alloc_subids(&ids(&request.id, size)).await;
        refused("another size", answer, ErrorKind::InvalidArgument)?;
    }
    same("the ids", &mgr.alloc_subids(&usual_ids_of(&request.id)).await?, &first)
}

/// What is left after one of double length is one range less than without it.
async fn a_range_is_as_long_as_was_asked_for(world: &mut World) -> Outcome {
    let (mgr, capacity, request) = (world.mgr()?, world.capacity()?, world.registration("long")?);
    mgr.register(&request).await?;
    let long = mgr.alloc_subids(&ids(&request.id, 2 * USUAL)).await?;
    let mut given = Vec::new();
    for n in 2..capacity {
        given.push(try_start(&*mgr, &world.registration(&format!("c{n}"))?).await?);
    }
    let one_more = world.registration("one-more")?;
    refused("one more range", try_start(&*mgr, &one_more).await, ErrorKind::ResourceExhausted)?;
    let half = |subids: Subids| Subids {
        uid: HostUid(subids.uid.0.saturating_add(USUAL)),
        gid: HostGid(subids.gid.0.saturating_add(USUAL)),
    };
    given.extend([long, half(long)]);
    disjoint(&given, USUAL)
}

async fn one_id_can_be_asked_for(world: &mut World) -> Outcome {
    let (mgr, one, other) = (world.mgr()?, world.registration("one")?, world.registration("other")?);
    mgr.register(&one).await?;
    mgr.register(&other).await?;
    let given = [mgr.alloc_subids(&ids(&one.id, 1)).await?, mgr.alloc_subids(&ids(&other.id, 1)).await?];
    disjoint(&given, 1)
}

async fn more_ids_than_there_are_are_not_given(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    let answer = mgr.alloc_subids(&ids(&request.id, u32::MAX)).await;
    refused("all ids that there can be", answer, ErrorKind::ResourceExhausted)?;
    mgr.alloc_subids(&usual_ids_of(&request.id)).await?;
    Ok(())
}

async fn every_range_is_given_and_no_more(world: &mut World) -> Outcome {
    let (mgr, capacity) = (world.mgr()?, world.capacity()?);
    let mut given = Vec::new();
    for n in 0..capacity {
        given.push(start(&*mgr, &world.registration(&format!("c{n}"))?).await?);
    }
    disjoint(&given, USUAL)?;
    let late = try_start(&*mgr, &world.registration("late")?).await;
    refused("one more range", late, ErrorKind::ResourceExhausted)?;
    Ok(())
}

async fn a_range_that_is_not_given_takes_nothing(world: &mut World) -> Outcome {
    let (mgr, capacity, greedy) = (world.mgr()?, world.capacity()?, world.registration("greedy")?);
    for n in 1..capacity {
        start(&*mgr, &world.registration(&format!("c{n}"))?).await?;
    }
    mgr.register(&greedy).await?;
    let answer = mgr.alloc_subids(&ids(&greedy.id, 2 * USUAL)).await;
    refused("two ranges where one is left", answer, ErrorKind::ResourceExhausted)?;
    let last = world.registration("last")?;
    try_start(&*mgr, &last).await?;
    let answer = mgr.alloc_subids(&usual_ids_of(&greedy.id)).await;
    refused("one more range", answer, ErrorKind::ResourceExhausted)?;
    Ok(())
}

async fn a_stopped_container_releases_nothing(world: &mut World) -> Outcome {
    let (mgr, capacity) = (world.mgr()?, world.capacity()?);
    for n in 0..capacity {
        let request = world.registration(&format!("c{n}"))?;
        start(&*mgr, &request).await?;
        mgr.unregister(&request.id).await?;
    }
    let late = try_start(&*mgr, &world.registration("late")?).await;
    refused("one more range", late, ErrorKind::ResourceExhausted)?;
    Ok(())
}

async fn a_removed_container_releases_its_ids(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    for _ in 0..=world.capacity()? {
        start(&*mgr, &request).await?;
        end(&*mgr, &request.id).await?;
    }
    Ok(())
}

async fn ids_that_were_given_cannot_be_named_by_another(world: &mut World) -> Outcome {
    let (mgr, plain) = (world.mgr()?, world.registration("thief")?);
    let given = start(&*mgr, &world.registration("holder")?).await?;
    // One id before those that were given, and the first of them.
    let overlapping = |first: u32| all_from(first.saturating_sub(1), 2);
    let users = Registration { uid_mappings: overlapping(given.uid.0)?, ..plain.clone() };
    refused("another's user ids", mgr.register(&users).await, ErrorKind::FailedPrecondition)?;
    let groups = Registration { gid_mappings: overlapping(given.gid.0)?, ..plain.clone() };
    refused("another's group ids", mgr.register(&groups).await, ErrorKind::FailedPrecondition)?;
    mgr.register(&plain).await?;
    let answer = mgr.update(&running(&plain.id, given)?).await;
    refused("another's ids in an update", answer, ErrorKind::FailedPrecondition)?;
    mgr.update(&shifted(&plain.id, ShiftType::Chown)).await?;
    Ok(())
}

async fn ids_that_a_spec_names_are_given_to_nobody(world: &mut World) -> Outcome {
    let (mgr, capacity) = (world.mgr()?, world.capacity()?);
    let all = all_ranges(world, capacity).await?;
    let plain = world.registration("named")?;
    let named = Registration { uid_mappings: all_from(all[0].uid.0, USUAL)?, ..plain };
    mgr.register(&named).await?;
    let same_ids = Registration { id: container("same"), ..named.clone() };
    mgr.register(&same_ids).await?;
    for n in 1..capacity {
        try_start(&*mgr, &world.registration(&format!("c{n}"))?).await?;
    }
    let late = world.registration("late")?;
    refused("the named ids", try_start(&*mgr, &late).await, ErrorKind::ResourceExhausted)?;
    end(&*mgr, &named.id).await?;
    let answer = mgr.alloc_subids(&usual_ids_of(&late.id)).await;
    refused("ids that one names still", answer, ErrorKind::ResourceExhausted)?;
    end(&*mgr, &same_ids.id).await?;
    mgr.alloc_subids(&usual_ids_of(&late.id)).await?;
    Ok(())
}

/// Every range that the backend has, none of them held any more.
async fn all_ranges(world: &mut World, capacity: u32) -> Result<Vec<Subids>, Broken> {
    let mgr = world.mgr()?;
    let mut all = Vec::new();
    for n in 0..capacity {
        all.push(start(&*mgr, &world.registration(&format!("all{n}"))?).await?);
    }
    for n in 0..capacity {
        end(&*mgr, &container(&format!("all{n}"))).await?;
    }
    Ok(all)
}
