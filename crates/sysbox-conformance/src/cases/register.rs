//! Making containers known.

use sysbox_core::{ContainerId, ErrorKind, IdMapping, IdMappings, Registration, ShiftType};

use super::life::{end, mappings, path, running, shifted, start, try_start};
use crate::{
    Broken, Case, Outcome, World,
    case::{case, refused, same},
    world::{any_path, container, longest_id, longest_path},
};

pub(super) static CASES: &[Case] = &[
    case!("mgr::register", a_new_container_is_told_nothing_of_others, [Mgr]),
    case!("mgr::register", a_registered_container_cannot_be_registered_again, [Mgr]),
    case!("mgr::register", a_paused_container_cannot_be_registered_again, [Mgr]),
    case!("mgr::register", a_refused_second_registration_changes_nothing, [Mgr]),
    case!("mgr::register", a_stopped_container_can_be_registered_again, [Mgr]),
    case!("mgr::register", a_restarted_container_is_told_its_mappings, [Mgr]),
    case!("mgr::register", a_restarted_container_is_told_its_shift, [Mgr]),
    case!("mgr::register", mappings_of_a_spec_are_kept_for_a_restart, [Mgr]),
    case!("mgr::register", a_container_without_mappings_is_told_none_after_a_restart, [Mgr]),
    case!("mgr::register", mappings_that_a_restart_names_are_taken_instead_of_the_earlier, [Mgr]),
    case!("mgr::register", mappings_to_the_hosts_root_are_refused, [Mgr]),
    case!("mgr::register", mappings_to_the_hosts_root_are_refused_whichever_extent_it_is_in, [Mgr]),
    case!("mgr::register", a_namespace_to_join_must_be_there, [Mgr]),
    case!("mgr::register", a_refused_container_is_not_known, [Mgr]),
    case!("mgr::register", the_longest_id_names_a_container, [Mgr]),
    case!("mgr::register", ids_that_differ_in_case_or_at_the_end_are_different_containers, [Mgr]),
    case!("mgr::register", the_longest_path_is_taken_for_a_rootfs, [Mgr]),
    case!("mgr::register", a_path_that_is_no_text_is_taken_for_a_rootfs, [Mgr, AnyPath]),
    case!("mgr::register", a_removed_container_is_a_new_one, [Mgr, Remove]),
];

async fn a_new_container_is_told_nothing_of_others(world: &mut World) -> Outcome {
    let mgr = world.mgr()?;
    start(&*mgr, &world.registration("other")?).await?;
    let config = mgr.register(&world.registration("c")?).await?;
    same("the user namespace to join", &config.userns, &None)?;
    same("user id mappings", &config.uid_mappings, &IdMappings::default())?;
    same("group id mappings", &config.gid_mappings, &IdMappings::default())?;
    same("the earlier shift", &config.rootfs_shift, &ShiftType::NoShift)
}

async fn a_registered_container_cannot_be_registered_again(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    refused("a second registration", mgr.register(&request).await, ErrorKind::AlreadyExists)?;
    Ok(())
}

async fn a_paused_container_cannot_be_registered_again(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    mgr.pause(&request.id).await?;
    refused("a second registration", mgr.register(&request).await, ErrorKind::AlreadyExists)?;
    mgr.resume(&request.id).await?;
    Ok(())
}

async fn a_refused_second_registration_changes_nothing(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    start(&*mgr, &request).await?;
    let again = Registration { uid_mappings: mappings(2_000_000_000, 7), ..request.clone() };
    refused("a second registration", mgr.register(&again).await, ErrorKind::AlreadyExists)?;
    mgr.unregister(&request.id).await?;
    let config = mgr.register(&request).await?;
    same("an id of the second registration", &config.uid_mappings.to_container(2_000_000_000), &None)?;
    same("the earlier shift", &config.rootfs_shift, &ShiftType::Chown)
}

async fn a_stopped_container_can_be_registered_again(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    for _ in 0..3 {
        mgr.register(&request).await?;
        mgr.unregister(&request.id).await?;
    }
    mgr.register(&request).await?;
    mgr.pause(&request.id).await?;
    Ok(())
}

async fn a_restarted_container_is_told_its_mappings(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    let subids = start(&*mgr, &request).await?;
    mgr.unregister(&request.id).await?;
    let config = mgr.register(&request).await?;
    let told = running(&request.id, subids)?;
    same("user id mappings", &config.uid_mappings, &told.uid_mappings)?;
    same("group id mappings", &config.gid_mappings, &told.gid_mappings)
}

async fn a_restarted_container_is_told_its_shift(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    for shift in ShiftType::ALL {
        mgr.update(&shifted(&request.id, shift)).await?;
        mgr.unregister(&request.id).await?;
        same("the earlier shift", &mgr.register(&request).await?.rootfs_shift, &shift)?;
    }
    Ok(())
}

async fn mappings_of_a_spec_are_kept_for_a_restart(world: &mut World) -> Outcome {
    let (mgr, plain) = (world.mgr()?, world.registration("c")?);
    let (uid_mappings, gid_mappings) = (mappings(2_000_000_000, 70_000), mappings(2_090_000_000, 80_000));
    let named = Registration {
        uid_mappings: uid_mappings.clone(),
        gid_mappings: gid_mappings.clone(),
        ..plain.clone()
    };
    mgr.register(&named).await?;
    mgr.unregister(&plain.id).await?;
    let config = mgr.register(&plain).await?;
    same("user id mappings", &config.uid_mappings, &uid_mappings)?;
    same("group id mappings", &config.gid_mappings, &gid_mappings)
}

async fn a_container_without_mappings_is_told_none_after_a_restart(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    mgr.unregister(&request.id).await?;
    let config = mgr.register(&request).await?;
    same("user id mappings", &config.uid_mappings, &IdMappings::default())?;
    same("the user namespace to join", &config.userns, &None)
}

async fn mappings_that_a_restart_names_are_taken_instead_of_the_earlier(world: &mut World) -> Outcome {
    let (mgr, plain) = (world.mgr()?, world.registration("c")?);
    let named = |first: u32| Registration {
        uid_mappings: mappings(first, 70_000),
        gid_mappings: mappings(first + 1_000_000, 80_000),
        ..plain.clone()
    };
    let (earlier, later) = (named(2_000_000_000), named(2_050_000_000));
    mgr.register(&earlier).await?;
    mgr.unregister(&plain.id).await?;
    mgr.register(&later).await?;
    mgr.unregister(&plain.id).await?;
    let config = mgr.register(&plain).await?;
    same("user id mappings", &config.uid_mappings, &later.uid_mappings)?;
    same("group id mappings", &config.gid_mappings, &later.gid_mappings)
}

async fn mappings_to_the_hosts_root_are_refused(world: &mut World) -> Outcome {
    let (mgr, plain) = (world.mgr()?, world.registration("c")?);
    let users = Registration { uid_mappings: mappings(0, 10), ..plain.clone() };
    refused("user 0 of the host", mgr.register(&users).await, ErrorKind::InvalidArgument)?;
    let groups = Registration { gid_mappings: mappings(0, 10), ..plain };
    refused("group 0 of the host", mgr.register(&groups).await, ErrorKind::InvalidArgument)?;
    Ok(())
}

async fn mappings_to_the_hosts_root_are_refused_whichever_extent_it_is_in(world: &mut World) -> Outcome {
    let (mgr, plain) = (world.mgr()?, world.registration("c")?);
    let extents = [IdMapping::new(0, 2_000_000_000, 10), IdMapping::new(10, 0, 1)];
    let extents: Vec<_> = extents.into_iter().flatten().collect();
    let no_mappings = |invalid| Broken::new(format!("two extents are no mappings: {invalid}"));
    let to_root = IdMappings::new(extents).map_err(no_mappings)?;
    same("how many extents there are", &to_root.as_slice().len(), &2)?;
    let users = Registration { uid_mappings: to_root.clone(), ..plain.clone() };
    refused("user 0 of the host", mgr.register(&users).await, ErrorKind::InvalidArgument)?;
    let groups = Registration { gid_mappings: to_root, ..plain };
    refused("group 0 of the host", mgr.register(&groups).await, ErrorKind::InvalidArgument)?;
    Ok(())
}

async fn a_namespace_to_join_must_be_there(world: &mut World) -> Outcome {
    let (mgr, plain) = (world.mgr()?, world.registration("c")?);
    let gone = Some(path("/nonexistent/namespace"));
    let user = Registration { userns: gone.clone(), ..plain.clone() };
    refused("no such user namespace", mgr.register(&user).await, ErrorKind::InvalidArgument)?;
    let net = Registration { netns: gone, ..plain };
    refused("no such network namespace", mgr.register(&net).await, ErrorKind::InvalidArgument)?;
    Ok(())
}

async fn a_refused_container_is_not_known(world: &mut World) -> Outcome {
    let (mgr, plain) = (world.mgr()?, world.registration("c")?);
    let request = Registration { uid_mappings: mappings(0, 10), ..plain.clone() };
    refused("user 0 of the host", mgr.register(&request).await, ErrorKind::InvalidArgument)?;
    refused("stopping it", mgr.unregister(&plain.id).await, ErrorKind::NotFound)?;
    mgr.register(&plain).await?;
    Ok(())
}

async fn the_longest_id_names_a_container(world: &mut World) -> Outcome {
    let (mgr, plain) = (world.mgr()?, world.registration("c")?);
    let request = Registration { id: longest_id(), ..plain };
    let subids = start(&*mgr, &request).await?;
    mgr.pause(&request.id).await?;
    mgr.resume(&request.id).await?;
    mgr.unregister(&request.id).await?;
    same("the ids after a restart", &try_start(&*mgr, &request).await?, &subids)
}

async fn ids_that_differ_in_case_or_at_the_end_are_different_containers(world: &mut World) -> Outcome {
    let (mgr, plain) = (world.mgr()?, world.registration("c")?);
    let mut longest = longest_id().to_string();
    let first = container(&longest);
    longest.replace_range(ContainerId::MAX_LEN - 1.., "z");
    for id in [container("web"), container("Web"), container("web."), first, container(&longest)] {
        mgr.register(&Registration { id, ..plain.clone() }).await?;
    }
    mgr.unregister(&container("Web")).await?;
    mgr.pause(&container("web")).await?;
    Ok(())
}

async fn the_longest_path_is_taken_for_a_rootfs(world: &mut World) -> Outcome {
    let (mgr, plain) = (world.mgr()?, world.registration("c")?);
    mgr.register(&Registration { rootfs: longest_path("rootfs"), ..plain }).await?;
    mgr.pause(&container("c")).await?;
    Ok(())
}

async fn a_path_that_is_no_text_is_taken_for_a_rootfs(world: &mut World) -> Outcome {
    let (mgr, plain) = (world.mgr()?, world.registration("c")?);
    mgr.register(&Registration { rootfs: any_path("rootfs"), ..plain }).await?;
    mgr.pause(&container("c")).await?;
    Ok(())
}

async fn a_removed_container_is_a_new_one(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    start(&*mgr, &request).await?;
    end(&*mgr, &request.id).await?;
    let config = mgr.register(&request).await?;
    same("user id mappings", &config.uid_mappings, &IdMappings::default())?;
    same("the earlier shift", &config.rootfs_shift, &ShiftType::NoShift)
}
