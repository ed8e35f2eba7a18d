//! The fs daemon.

use std::time::{Duration, UNIX_EPOCH};

use sysbox_core::{ContainerData, ErrorKind, IdRange};

use super::values::Fill;
use crate::{
    Broken, Case, Outcome, World,
    case::{case, refused, same},
    world::{any_path, container, longest_id},
};

pub(super) static CASES: &[Case] = &[
    case!("fs::mountpoint", the_mountpoint_is_the_same_when_asked_again, [Fs]),
    case!("fs::pre_register", a_container_is_made_known_registered_told_of_and_forgotten, [Fs]),
    case!("fs::pre_register", a_known_container_cannot_be_made_known_again, [Fs]),
    case!("fs::pre_register", a_registered_container_cannot_be_made_known_again, [Fs]),
    case!("fs::pre_register", containers_may_share_a_network_namespace, [Fs]),
    case!("fs::register", a_container_must_be_known_before_it_is_registered, [Fs]),
    case!("fs::register", a_container_is_registered_once, [Fs]),
    case!("fs::register", every_field_may_hold_the_most_that_it_can, [Fs]),
    case!("fs::register", every_path_may_be_one_that_is_no_text, [Fs, AnyPath]),
    case!("fs::update", a_container_may_be_told_of_before_it_is_registered, [Fs]),
    case!("fs::update", a_container_may_be_told_of_again, [Fs]),
    case!("fs::update", a_container_must_be_known_to_be_told_of, [Fs]),
    case!("fs::unregister", a_container_that_is_known_and_no_more_can_be_forgotten, [Fs]),
    case!("fs::unregister", a_forgotten_container_is_not_known, [Fs]),
    case!("fs::unregister", a_forgotten_container_can_be_made_known_again, [Fs]),
    case!("fs::unregister", one_container_is_forgotten_and_others_are_not, [Fs]),
];

fn data(id: &str) -> ContainerData {
    ContainerData::new(container(id))
}

async fn the_mountpoint_is_the_same_when_asked_again(world: &mut World) -> Outcome {
    let fs = world.fs()?;
    let mountpoint = fs.mountpoint().await?;
    fs.pre_register(&data("c")).await?;
    same("the mount point", &fs.mountpoint().await?, &mountpoint)
}

async fn a_container_is_made_known_registered_told_of_and_forgotten(world: &mut World) -> Outcome {
    let (fs, plain) = (world.fs()?, data("c"));
    let range = |first| IdRange::new(first, 65_536).map_err(|_| Broken::new("no range"));
    fs.pre_register(&ContainerData { netns: Some(world.netns(0)?), ..plain.clone() }).await?;
    let (uids, gids) = (Some(range(231_072)?), Some(range(331_072)?));
    let (init_pid, hostname) = (i32::try_from(std::process::id()).ok(), Some("host".to_owned()));
    fs.register(&ContainerData { init_pid, hostname, uids, gids, ..plain.clone() }).await?;
    let created = UNIX_EPOCH.checked_add(Duration::from_secs(1_700_000_000));
    fs.update(&ContainerData { created, ..plain.clone() }).await?;
    fs.unregister(&plain).await?;
    Ok(())
}

async fn a_known_container_cannot_be_made_known_again(world: &mut World) -> Outcome {
    let (fs, data) = (world.fs()?, data("c"));
    fs.pre_register(&data).await?;
    refused("making it known again", fs.pre_register(&data).await, ErrorKind::AlreadyExists)?;
    fs.register(&data).await?;
    Ok(())
}

async fn a_registered_container_cannot_be_made_known_again(world: &mut World) -> Outcome {
    let (fs, data) = (world.fs()?, data("c"));
    fs.pre_register(&data).await?;
    fs.register(&data).await?;
    refused("making it known again", fs.pre_register(&data).await, ErrorKind::AlreadyExists)?;
    fs.unregister(&data).await?;
    Ok(())
}

async fn containers_may_share_a_network_namespace(world: &mut World) -> Outcome {
    let (fs, netns) = (world.fs()?, Some(world.netns(0)?));
    for id in ["one", "other"] {
        fs.pre_register(&ContainerData { netns: netns.clone(), ..data(id) }).await?;
        fs.register(&data(id)).await?;
    }
    fs.unregister(&data("one")).await?;
    fs.update(&data("other")).await?;
    Ok(())
}

async fn a_container_must_be_known_before_it_is_registered(world: &mut World) -> Outcome {
    let (fs, data) = (world.fs()?, data("c"));
    refused("a registration", fs.register(&data).await, ErrorKind::NotFound)?;
    fs.pre_register(&data).await?;
    Ok(())
}

async fn a_container_is_registered_once(world: &mut World) -> Outcome {
    let (fs, data) = (world.fs()?, data("c"));
    fs.pre_register(&data).await?;
    fs.register(&data).await?;
    refused("a second registration", fs.register(&data).await, ErrorKind::AlreadyExists)?;
    fs.update(&data).await?;
    Ok(())
}

async fn every_field_may_hold_the_most_that_it_can(world: &mut World) -> Outcome {
    let (fs, plain) = (world.fs()?, ContainerData::new(longest_id()));
    fs.pre_register(&ContainerData { netns: Some(world.netns(0)?), ..plain.clone() }).await?;
    fs.register(&ContainerData { netns: None, ..Fill::Full.data() }).await?;
    fs.update(&ContainerData { created: Fill::Full.data().created, ..plain.clone() }).await?;
    fs.unregister(&plain).await?;
    Ok(())
}

async fn every_path_may_be_one_that_is_no_text(world: &mut World) -> Outcome {
    let (fs, plain) = (world.fs()?, data("c"));
    fs.pre_register(&plain).await?;
    let (proc_ro_paths, proc_mask_paths) = (vec![any_path("ro")], vec![any_path("mask")]);
    fs.register(&ContainerData { proc_ro_paths, proc_mask_paths, ..plain }).await?;
    Ok(())
}

async fn a_container_may_be_told_of_before_it_is_registered(world: &mut World) -> Outcome {
    let (fs, data) = (world.fs()?, data("c"));
    fs.pre_register(&data).await?;
    fs.update(&data).await?;
    fs.register(&data).await?;
    Ok(())
}

async fn a_container_may_be_told_of_again(world: &mut World) -> Outcome {
    let (fs, data) = (world.fs()?, data("c"));
    fs.pre_register(&data).await?;
    fs.register(&data).await?;
    for _ in 0..2 {
        fs.update(&data).await?;
    }
    fs.unregister(&data).await?;
    Ok(())
}

async fn a_container_must_be_known_to_be_told_of(world: &mut World) -> Outcome {
    let (fs, data) = (world.fs()?, data("c"));
    refused("telling of it", fs.update(&data).await, ErrorKind::NotFound)?;
    refused("registering it after that", fs.register(&data).await, ErrorKind::NotFound)?;
    Ok(())
}

async fn a_container_that_is_known_and_no_more_can_be_forgotten(world: &mut World) -> Outcome {
    let (fs, data) = (world.fs()?, data("c"));
    fs.pre_register(&data).await?;
    fs.unregister(&data).await?;
    refused("registering it after that", fs.register(&data).await, ErrorKind::NotFound)?;
    Ok(())
}

async fn a_forgotten_container_is_not_known(world: &mut World) -> Outcome {
    let (fs, data) = (world.fs()?, data("c"));
    fs.pre_register(&data).await?;
    fs.register(&data).await?;
    fs.unregister(&data).await?;
    refused("forgetting it again", fs.unregister(&data).await, ErrorKind::NotFound)?;
    refused("telling of it", fs.update(&data).await, ErrorKind::NotFound)?;
    Ok(())
}

async fn a_forgotten_container_can_be_made_known_again(world: &mut World) -> Outcome {
    let (fs, data) = (world.fs()?, data("c"));
    for _ in 0..2 {
        fs.pre_register(&data).await?;
        fs.register(&data).await?;
        fs.unregister(&data).await?;
    }
    Ok(())
}

async fn one_container_is_forgotten_and_others_are_not(world: &mut World) -> Outcome {
    let fs = world.fs()?;
    for id in ["one", "other"] {
        fs.pre_register(&data(id)).await?;
    }
    fs.unregister(&data("one")).await?;
    fs.register(&data("other")).await?;
    refused("registering the other", fs.register(&data("one")).await, ErrorKind::NotFound)?;
    Ok(())
}
