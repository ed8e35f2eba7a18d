//! Whose user namespace and ids containers have that share namespaces.

use sysbox_core::{ErrorKind, MgrPort, Registration, ShiftType, Subids, Update};

use super::life::{USUAL, disjoint, end, ids, running, shifted, start, try_start};
use crate::{
    Broken, Case, Outcome, World,
    case::{case, refused, same},
    world::{Passing, usual_ids_of},
};

pub(super) static CASES: &[Case] = &[
    case!("mgr::sharing", a_container_in_the_same_network_namespace_is_told_the_firsts_user_namespace, [Mgr]),
    case!("mgr::sharing", a_container_in_the_same_network_namespace_has_the_firsts_ids, [Mgr]),
    case!("mgr::sharing", a_network_namespace_joined_at_registration_counts_too, [Mgr]),
    case!("mgr::sharing", a_namespace_is_the_same_by_any_path, [Mgr]),
    case!("mgr::sharing", a_container_in_another_network_namespace_shares_nothing, [Mgr]),
    case!("mgr::sharing", a_container_that_gives_another_user_namespace_shares_nothing, [Mgr]),
    case!("mgr::sharing", containers_that_join_the_same_user_namespace_share_its_ids, [Mgr]),
    case!("mgr::sharing", a_user_namespace_told_by_an_update_counts_too, [Mgr]),
    case!("mgr::sharing", namespaces_that_are_known_stay, [Mgr]),
    case!("mgr::sharing", shared_ids_are_of_one_size, [Mgr]),
    case!("mgr::sharing", a_stopped_container_shares_with_nobody, [Mgr]),
    case!("mgr::sharing", a_container_whose_namespace_is_gone_shares_with_nobody, [Mgr]),
    case!("mgr::sharing", a_restarted_container_has_no_ids_of_those_that_run_on, [Mgr]),
    case!("mgr::sharing", the_others_keep_the_ids_when_the_first_is_removed, [Mgr, Remove, Capacity]),
];

/// A container that runs in the first network namespace and the first user namespace.
async fn first(mgr: &dyn MgrPort, first: &First) -> Result<Subids, Broken> {
    let subids = start(mgr, &first.request).await?;
    mgr.update(&first.namespaces).await?;
    Ok(subids)
}

struct First {
    request: Registration,
    namespaces: Update,
}

impl First {
    fn new(world: &World) -> Result<Self, Broken> {
        let request = world.registration("first")?;
        let nothing = shifted(&request.id, ShiftType::Chown);
        let (userns, netns) = (Some(world.userns(0)?), Some(world.netns(0)?));
        Ok(Self { request, namespaces: Update { userns, netns, ..nothing } })
    }
}

/// A container that joins the first network namespace.
fn joining(world: &World, id: &str) -> Result<Registration, Broken> {
    Ok(Registration { netns: Some(world.netns(0)?), ..world.registration(id)? })
}

async fn a_container_in_the_same_network_namespace_is_told_the_firsts_user_namespace(
    world: &mut World,
) -> Outcome {
    let (mgr, one, second) = (world.mgr()?, First::new(world)?, joining(world, "second")?);
    let update = running(&one.request.id, first(&*mgr, &one).await?)?;
    let config = mgr.register(&second).await?;
    same("the user namespace to join", &config.userns, &one.namespaces.userns)?;
    same("user id mappings", &config.uid_mappings, &update.uid_mappings)?;
    same("group id mappings", &config.gid_mappings, &update.gid_mappings)
}

async fn a_container_in_the_same_network_namespace_has_the_firsts_ids(world: &mut World) -> Outcome {
    let (mgr, one, second) = (world.mgr()?, First::new(world)?, joining(world, "second")?);
    let ids = first(&*mgr, &one).await?;
    same("shared ids", &try_start(&*mgr, &second).await?, &ids)
}

async fn a_network_namespace_joined_at_registration_counts_too(world: &mut World) -> Outcome {
    let (mgr, one, second) = (world.mgr()?, joining(world, "one")?, joining(world, "second")?);
    let ids = start(&*mgr, &one).await?;
    let config = mgr.register(&second).await?;
    same("user id mappings", &config.uid_mappings, &running(&one.id, ids)?.uid_mappings)?;
    same("shared ids", &mgr.alloc_subids(&usual_ids_of(&second.id)).await?, &ids)
}

async fn a_namespace_is_the_same_by_any_path(world: &mut World) -> Outcome {
    let (mgr, one) = (world.mgr()?, First::new(world)?);
    let ids = first(&*mgr, &one).await?;
    let second =
        Registration { netns: Some(world.netns_by_another_path()?), ..world.registration("second")? };
    let config = mgr.register(&second).await?;
    same("the user namespace to join", &config.userns, &one.namespaces.userns)?;
    same("shared ids", &mgr.alloc_subids(&usual_ids_of(&second.id)).await?, &ids)
}

async fn a_container_in_another_network_namespace_shares_nothing(world: &mut World) -> Outcome {
    let (mgr, one) = (world.mgr()?, First::new(world)?);
    let ids = first(&*mgr, &one).await?;
    let other = Registration { netns: Some(world.netns(1)?), ..world.registration("other")? };
    let config = mgr.register(&other).await?;
    same("the user namespace to join", &config.userns, &None)?;
    same("there are user id mappings", &!config.uid_mappings.is_empty(), &false)?;
    disjoint(&[ids, mgr.alloc_subids(&usual_ids_of(&other.id)).await?], USUAL)
}

async fn a_container_that_gives_another_user_namespace_shares_nothing(world: &mut World) -> Outcome {
    let (mgr, one) = (world.mgr()?, First::new(world)?);
    let ids = first(&*mgr, &one).await?;
    let other = Registration { userns: Some(world.userns(1)?), ..joining(world, "other")? };
    let config = mgr.register(&other).await?;
    same("the user namespace to join", &config.userns, &None)?;
    same("there are user id mappings", &!config.uid_mappings.is_empty(), &false)?;
    disjoint(&[ids, mgr.alloc_subids(&usual_ids_of(&other.id)).await?], USUAL)
}

async fn containers_that_join_the_same_user_namespace_share_its_ids(world: &mut World) -> Outcome {
    let (mgr, userns) = (world.mgr()?, Some(world.userns(0)?));
    let [one, other] = [world.registration("one")?, world.registration("other")?]
        .map(|plain| Registration { userns: userns.clone(), ..plain });
    let ids = start(&*mgr, &one).await?;
    let config = mgr.register(&other).await?;
    same("user id mappings", &config.uid_mappings, &running(&one.id, ids)?.uid_mappings)?;
    same("shared ids", &mgr.alloc_subids(&usual_ids_of(&other.id)).await?, &ids)
}

async fn a_user_namespace_told_by_an_update_counts_too(world: &mut World) -> Outcome {
    let (mgr, one) = (world.mgr()?, First::new(world)?);
    let ids = first(&*mgr, &one).await?;
    let other = Registration { userns: Some(world.userns(0)?), ..world.registration("other")? };
    same("shared ids", &try_start(&*mgr, &other).await?, &ids)
}

async fn namespaces_that_are_known_stay(world: &mut World) -> Outcome {
    let (mgr, one, second) = (world.mgr()?, First::new(world)?, joining(world, "second")?);
    let ids = first(&*mgr, &one).await?;
    let (userns, netns) = (Some(world.userns(1)?), Some(world.netns(1)?));
    let other = Registration { netns: netns.clone(), ..world.registration("other")? };
    mgr.update(&Update { userns, netns, ..one.namespaces.clone() }).await?;
    same("the user namespace to join", &mgr.register(&second).await?.userns, &one.namespaces.userns)?;
    same("shared ids", &mgr.alloc_subids(&usual_ids_of(&second.id)).await?, &ids)?;
    same("the user namespace of another network", &mgr.register(&other).await?.userns, &None)
}

async fn shared_ids_are_of_one_size(world: &mut World) -> Outcome {
    let (mgr, one, second) = (world.mgr()?, First::new(world)?, joining(world, "second")?);
    first(&*mgr, &one).await?;
    mgr.register(&second).await?;
    let answer = mgr.alloc_subids(&ids(&second.id, 2 * USUAL)).await;
    refused("another size than the first's", answer, ErrorKind::InvalidArgument)?;
    Ok(())
}

async fn a_stopped_container_shares_with_nobody(world: &mut World) -> Outcome {
    let (mgr, one, second) = (world.mgr()?, First::new(world)?, joining(world, "second")?);
    let ids = first(&*mgr, &one).await?;
    mgr.unregister(&one.request.id).await?;
    same("the user namespace to join", &mgr.register(&second).await?.userns, &None)?;
    disjoint(&[ids, mgr.alloc_subids(&usual_ids_of(&second.id)).await?], USUAL)
}

/// A runtime that is killed tells nobody that its container has stopped.
async fn a_container_whose_namespace_is_gone_shares_with_nobody(world: &mut World) -> Outcome {
    let (mgr, mut one, second) = (world.mgr()?, First::new(world)?, joining(world, "second")?);
    let process = Passing::start()?;
    one.namespaces.userns = Some(process.userns()?);
    let ids = first(&*mgr, &one).await?;
    process.end()?;
    let config = mgr.register(&second).await?;
    same("the user namespace to join", &config.userns, &None)?;
    same("there are user id mappings", &!config.uid_mappings.is_empty(), &false)?;
    disjoint(&[ids, mgr.alloc_subids(&usual_ids_of(&second.id)).await?], USUAL)
}

async fn a_restarted_container_has_no_ids_of_those_that_run_on(world: &mut World) -> Outcome {
    let (mgr, one, second) = (world.mgr()?, First::new(world)?, joining(world, "second")?);
    let ids = first(&*mgr, &one).await?;
    mgr.register(&second).await?;
    mgr.unregister(&one.request.id).await?;
    let config = mgr.register(&one.request).await?;
    same("there are user id mappings", &!config.uid_mappings.is_empty(), &false)?;
    disjoint(&[ids, mgr.alloc_subids(&usual_ids_of(&one.request.id)).await?], USUAL)?;
    same("the second's ids", &mgr.alloc_subids(&usual_ids_of(&second.id)).await?, &ids)
}

async fn the_others_keep_the_ids_when_the_first_is_removed(world: &mut World) -> Outcome {
    let (mgr, one, second) = (world.mgr()?, First::new(world)?, joining(world, "second")?);
    let ids = first(&*mgr, &one).await?;
    mgr.register(&second).await?;
    end(&*mgr, &one.request.id).await?;
    same("kept ids", &mgr.alloc_subids(&usual_ids_of(&second.id)).await?, &ids)?;
    for n in 1..world.capacity()? {
        start(&*mgr, &world.registration(&format!("c{n}"))?).await?;
    }
    let late = world.registration("late")?;
    refused("shared ids", try_start(&*mgr, &late).await, ErrorKind::ResourceExhausted)?;
    end(&*mgr, &second.id).await?;
    mgr.alloc_subids(&usual_ids_of(&late.id)).await?;
    Ok(())
}
