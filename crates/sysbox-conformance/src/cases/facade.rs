//! The facades over the backend: what a runtime meets.

use std::{fmt::Debug, time::UNIX_EPOCH};

use oci_spec::runtime::Spec;
use sysbox_core::{
    AbsPath, ContainerData, ErrorKind, Fs, FsRegInfo, HostGid, HostUid, IdMapping, IdMappings, IdRange, Mgr,
    Operation, Registration, SessionError, Sysbox, session::Ports,
};

use super::{
    clone::offsets,
    life::{mappings, path, running, start, try_start},
    script::{Answers, Script},
};
use crate::{
    Broken, Case, Outcome, World,
    case::{case, refused, same},
    world::{container, usual_ids_of},
};

pub(super) static CASES: &[Case] = &[
    case!("facade::mgr", a_second_registration_is_refused_unasked_and_one_after_a_stop_is_not, [Mgr]),
    case!("facade::mgr", the_namespaces_and_mappings_of_a_spec_are_told, [Mgr]),
    case!("facade::mgr", what_is_mandated_is_kept, [Mgr]),
    case!("facade::mgr", stopping_what_another_stopped_or_removed_is_done, [Mgr]),
    case!("facade::mgr", removing_a_container_twice_is_done, [Mgr, Remove]),
    case!("facade::mgr", a_running_container_is_not_removed, [Mgr, Remove]),
    case!("facade::mgr", the_clone_and_the_state_of_its_owners_are_remembered, [Mgr, CloneRootfs]),
    case!("facade::fs", calls_to_the_fs_daemon_are_made_in_order, [Fs]),
    case!("facade::fs", a_forgotten_container_begins_anew, [Fs]),
    case!("facade::fs", forgetting_what_another_forgot_is_done, [Fs]),
    case!("facade::fs", the_mountpoint_is_remembered, [Fs]),
    case!("relay::facade", the_manager_is_told_what_a_spec_says, [Mgr, Relay]),
    case!("relay::facade", the_fs_daemon_is_told_what_a_runtime_knows, [Fs, Relay]),
];

/// The spec of a container, with these namespaces and extents of user ids and of group ids.
pub(super) fn spec(request: &Registration) -> Result<Spec, Broken> {
    let namespace = |kind: &str, joined: &Option<AbsPath>| match joined {
        Some(joined) => serde_json::json!({ "type": kind, "path": joined.as_path() }),
        None => serde_json::json!({ "type": kind }),
    };
    let extents = |mappings: &IdMappings| -> serde_json::Value {
        let extent = |extent: &IdMapping| {
            let (inside, host) = (extent.container().first(), extent.host().first());
            serde_json::json!({ "containerID": inside, "hostID": host, "size": extent.size() })
        };
        mappings.as_slice().iter().map(extent).collect()
    };
    let spec = serde_json::json!({
        "ociVersion": "1.0.2",
        "root": { "path": request.rootfs.as_path() },
        "linux": {
            "namespaces": [namespace("user", &request.userns), namespace("network", &request.netns)],
            "uidMappings": extents(&request.uid_mappings),
            "gidMappings": extents(&request.gid_mappings),
        },
    });
    serde_json::from_value(spec).map_err(|error| Broken::new(format!("no spec: {error}")))
}

/// The registration with the fs daemon of a container like any other.
pub(super) fn info() -> FsRegInfo {
    FsRegInfo {
        hostname: Some("host".to_owned()),
        pid: 4711,
        uid: HostUid(231_072),
        gid: HostGid(331_072),
        id_size: 65_536,
        proc_ro_paths: vec![path("/proc/sys")],
        proc_mask_paths: vec![path("/proc/kcore")],
    }
}

/// Requires a facade to refuse a call in this way.
fn denied<T: Debug>(
    what: &str,
    answer: Result<T, SessionError>,
    expected: impl FnOnce(&SessionError) -> bool,
) -> Outcome {
    match answer {
        Err(error) if expected(&error) => Ok(()),
        answer => Err(Broken::new(format!("{what}: {answer:?}"))),
    }
}

async fn a_second_registration_is_refused_unasked_and_one_after_a_stop_is_not(world: &mut World) -> Outcome {
    let request = world.registration("c")?;
    let (mut mgr, spec) = (Mgr::new(container("c"), Some(world.mgr()?)), spec(&request)?);
    mgr.register(&spec).await?;
    let answer = mgr.register(&spec).await.cloned();
    denied("a second registration", answer, |error| matches!(error, SessionError::AlreadyRegistered { .. }))?;
    mgr.unregister().await?;
    mgr.unregister().await?;
    mgr.register(&spec).await?;
    same("it is registered", &mgr.is_registered(), &true)
}

async fn the_namespaces_and_mappings_of_a_spec_are_told(world: &mut World) -> Outcome {
    let (port, netns, userns) = (world.mgr()?, Some(world.netns(0)?), Some(world.userns(0)?));
    let (uid_mappings, gid_mappings) = (mappings(2_000_000_000, 70_000), mappings(2_090_000_000, 80_000));
    let plain = world.registration("first")?;
    let first =
        Registration { userns: userns.clone(), netns: netns.clone(), uid_mappings, gid_mappings, ..plain };
    Mgr::new(container("first"), Some(port.clone())).register(&spec(&first)?).await?;
    let second = Registration { netns, ..world.registration("second")? };
    let mut mgr = Mgr::new(container("second"), Some(port));
    let config = mgr.register(&spec(&second)?).await?;
    same("the user namespace to join", &config.userns, &userns)?;
    same("user id mappings", &config.uid_mappings, &first.uid_mappings)?;
    same("group id mappings", &config.gid_mappings, &first.gid_mappings)
}

async fn what_is_mandated_is_kept(world: &mut World) -> Outcome {
    let (port, request) = (world.mgr()?, world.registration("c")?);
    let subids = start(&*port, &request).await?;
    port.unregister(&request.id).await?;
    let mut mgr = Mgr::new(container("c"), Some(port));
    let told = mgr.register(&spec(&request)?).await?.clone();
    same("what is kept", mgr.config(), &told)?;
    same("user id mappings", &mgr.config().uid_mappings, &running(&request.id, subids)?.uid_mappings)?;
    same("ids", &mgr.req_subid(usual_ids_of(&request.id).size).await?, &subids)
}

async fn stopping_what_another_stopped_or_removed_is_done(world: &mut World) -> Outcome {
    let (port, request) = (world.mgr()?, world.registration("c")?);
    let mut mgr = Mgr::new(container("c"), Some(port.clone()));
    mgr.register(&spec(&request)?).await?;
    port.unregister(&request.id).await?;
    mgr.unregister().await?;
    same("it is registered", &mgr.is_registered(), &false)
}

async fn removing_a_container_twice_is_done(world: &mut World) -> Outcome {
    let (port, request) = (world.mgr()?, world.registration("c")?);
    let mut mgr = Mgr::new(container("c"), Some(port.clone()));
    mgr.register(&spec(&request)?).await?;
    mgr.unregister().await?;
    mgr.remove().await?;
    mgr.remove().await?;
    refused("stopping it", port.unregister(&request.id).await, ErrorKind::NotFound)?;
    Ok(())
}

async fn a_running_container_is_not_removed(world: &mut World) -> Outcome {
    let (port, request) = (world.mgr()?, world.registration("c")?);
    try_start(&*port, &request).await?;
    let answer = Mgr::new(container("c"), Some(port)).remove().await;
    denied("removing it", answer, |error| {
        error.port_error().is_some_and(|error| error.kind == ErrorKind::FailedPrecondition)
    })
}

async fn the_clone_and_the_state_of_its_owners_are_remembered(world: &mut World) -> Outcome {
    let (request, offsets) = (world.clonable("c")?, offsets());
    let mut mgr = Mgr::new(container("c"), Some(world.mgr()?));
    mgr.register(&spec(&request)?).await?;
    let answer = mgr.chown_cloned_rootfs(offsets).await;
    denied("a shift before", answer, |error| matches!(error, SessionError::RootfsNotCloned { .. }))?;
    let clone = mgr.clone_rootfs().await?;
    same("the clone", &mgr.cloned_rootfs(), &Some(&clone))?;
    let answer = mgr.revert_cloned_rootfs_chown().await;
    denied("a shift back before", answer, |error| matches!(error, SessionError::RootfsNotChowned { .. }))?;
    mgr.chown_cloned_rootfs(offsets).await?;
    same("its owners are shifted", &mgr.is_cloned_rootfs_chowned(), &true)?;
    same("a second clone", &mgr.clone_rootfs().await?, &clone)?;
    same("its owners are shifted", &mgr.is_cloned_rootfs_chowned(), &true)?;
    mgr.revert_cloned_rootfs_chown().await?;
    same("its owners are shifted", &mgr.is_cloned_rootfs_chowned(), &false)
}

async fn calls_to_the_fs_daemon_are_made_in_order(world: &mut World) -> Outcome {
    let (mut fs, spec) = (Fs::new(container("c"), Some(world.fs()?), None), spec(&world.registration("c")?)?);
    let early = fs.register(&info()).await;
    denied("a registration", early, |error| matches!(error, SessionError::NotPreRegistered { .. }))?;
    fs.pre_register(&spec).await?;
    let again = fs.pre_register(&spec).await;
    denied("a second time", again, |error| matches!(error, SessionError::AlreadyPreRegistered { .. }))?;
    let early = fs.send_creation_time(UNIX_EPOCH).await;
    denied("a time", early, |error| matches!(error, SessionError::CreationTimeBeforeRegister { .. }))?;
    fs.register(&info()).await?;
    let again = fs.register(&info()).await;
    denied("a second time", again, |error| matches!(error, SessionError::AlreadyRegistered { .. }))?;
    fs.send_creation_time(UNIX_EPOCH).await?;
    fs.unregister().await?;
    Ok(())
}

async fn a_forgotten_container_begins_anew(world: &mut World) -> Outcome {
    let (mut fs, spec) = (Fs::new(container("c"), Some(world.fs()?), None), spec(&world.registration("c")?)?);
    fs.unregister().await?;
    fs.pre_register(&spec).await?;
    fs.register(&info()).await?;
    fs.unregister().await?;
    fs.unregister().await?;
    fs.pre_register(&spec).await?;
    fs.unregister().await?;
    same("it is registered", &fs.is_registered(), &false)
}

async fn forgetting_what_another_forgot_is_done(world: &mut World) -> Outcome {
    let (port, spec) = (world.fs()?, spec(&world.registration("c")?)?);
    let mut fs = Fs::new(container("c"), Some(port.clone()), None);
    fs.pre_register(&spec).await?;
    port.unregister(&ContainerData::new(container("c"))).await?;
    fs.unregister().await?;
    Ok(())
}

async fn the_mountpoint_is_remembered(world: &mut World) -> Outcome {
    let port = world.fs()?;
    let ports = Ports { fs: Some(port.clone()), ..Ports::default() };
    let mut sysbox = Sysbox::new(container("c"), ports);
    same("before it was asked for", &sysbox.fs.mountpoint(), &None)?;
    let told = sysbox.fs.get_config().await?.clone();
    same("what is remembered", &sysbox.fs.mountpoint(), &Some(&told))?;
    same("what the daemon says", &port.mountpoint().await?, &told)
}

async fn the_manager_is_told_what_a_spec_says(world: &mut World) -> Outcome {
    let script = Script::new(Answers::empty());
    world.relay(script.ports()).await?;
    let (uid_mappings, gid_mappings) = (mappings(2_000_000_000, 70_000), mappings(2_090_000_000, 80_000));
    let (userns, netns) = (Some(path("/proc/1/ns/user")), Some(path("/proc/1/ns/net")));
    let plain = world.registration("c")?;
    let request = Registration { userns, netns, uid_mappings, gid_mappings, ..plain };
    Mgr::new(container("c"), Some(world.mgr()?)).register(&spec(&request)?).await?;
    script.heard(Operation::Register, &request)
}

async fn the_fs_daemon_is_told_what_a_runtime_knows(world: &mut World) -> Outcome {
    let script = Script::new(Answers::empty());
    world.relay(script.ports()).await?;
    let mut fs = Fs::new(container("c"), Some(world.fs()?), None);
    let netns = Some(path("/proc/1/ns/net"));
    let request = Registration { netns: netns.clone(), ..world.registration("c")? };
    let nothing = ContainerData::new(container("c"));
    fs.pre_register(&spec(&request)?).await?;
    script.heard(Operation::FsPreRegister, &ContainerData { netns, ..nothing.clone() })?;
    let FsRegInfo { hostname, pid, uid, gid, id_size, proc_ro_paths, proc_mask_paths } = info();
    let (uids, gids) = (IdRange::new(uid.0, id_size).ok(), IdRange::new(gid.0, id_size).ok());
    let init_pid = Some(pid);
    let told =
        ContainerData { init_pid, hostname, uids, gids, proc_ro_paths, proc_mask_paths, ..nothing.clone() };
    fs.register(&info()).await?;
    script.heard(Operation::FsRegister, &told)?;
    fs.send_creation_time(UNIX_EPOCH).await?;
    script.heard(Operation::FsUpdate, &ContainerData { created: Some(UNIX_EPOCH), ..nothing.clone() })?;
    fs.unregister().await?;
    script.heard(Operation::FsUnregister, &nothing)
}
