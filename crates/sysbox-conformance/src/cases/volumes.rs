//! What is in the directories behind mounts, whose it is, and when it is in the rootfs.

use std::path::PathBuf;

use sysbox_core::{MgrPort, MountKind, MountRequest, MountRequests, Registration, ShiftType, Subids, Update};

use super::{
    files::{Owners, belongs, change, delete, is_gone, make, mode_of, reads},
    life::{path, running, start},
    mounts::{granted, wishes},
};
use crate::{
    Broken, Case, Outcome, World,
    case::{case, same},
};

pub(super) static CASES: &[Case] = &[
    case!("mgr::volumes", a_volume_has_what_the_rootfs_had, [Mgr, ReqMounts, Files]),
    case!("mgr::volumes", what_is_kept_in_a_volume_is_in_the_rootfs_after_a_stop, [Mgr, ReqMounts, Files]),
    case!("mgr::volumes", what_is_kept_in_a_volume_is_in_the_rootfs_during_a_pause, [Mgr, ReqMounts, Files]),
    case!("mgr::volumes", a_volume_is_as_it_was_left_after_a_restart, [Mgr, ReqMounts, Files]),
    case!("mgr::volumes", a_volume_is_as_it_was_left_when_it_is_asked_for_again, [Mgr, ReqMounts, Files]),
    case!("mgr::volumes", volumes_of_docker_and_containerd_are_closed_to_others, [Mgr, ReqMounts, Files]),
    case!("mgr::volumes", owners_are_kept_where_they_are_mapped, [Mgr, ReqMounts, Files]),
    case!("mgr::volumes", owners_are_shifted_where_the_shift_is_by_chown, [Mgr, ReqMounts, Files]),
    case!("mgr::volumes", owners_are_shifted_where_the_shift_is_by_shiftfs, [Mgr, ReqMounts, Files]),
    case!("mgr::volumes", owners_in_a_volume_are_kept_without_a_shift, [Mgr, ReqMounts, Files]),
    case!("mgr::volumes", a_removed_container_has_no_volumes, [Mgr, ReqMounts, Files, Remove]),
];

const DESTINATION: &str = "/var/lib/docker";

/// A container that runs and has a volume.
struct Scene {
    request: Registration,
    wishes: MountRequests,
    given: Subids,
    /// Where the volume is, and the directory of the rootfs that it stands for.
    volume: PathBuf,
    inside: PathBuf,
}

impl Scene {
    async fn new(world: &mut World, rootfs_shift: ShiftType) -> Result<Self, Broken> {
        let (mgr, request) = (world.mgr()?, world.registration("c")?);
        let inside = request.rootfs.as_path().join(&DESTINATION[1..]);
        make(inside.join("kept"), "as made", (0, 0))?;
        make(inside.join("deep/below"), "as made", (1000, 1001))?;
        make(inside.join("in the way"), "as made", (0, 0))?;
        let given = start(&*mgr, &request).await?;
        mgr.update(&Update { rootfs_shift, ..running(&request.id, given)? }).await?;
        let wish = MountRequest { kind: MountKind::VarLibDocker, destination: path(DESTINATION) };
        let wishes = MountRequests { id: request.id.clone(), rootfs_shift, mounts: vec![wish] };
        let volume = volume(&*mgr, &wishes).await?;
        Ok(Self { request, wishes, given, volume, inside })
    }

    /// Does in the volume what a container may do there, as these of the host.
    fn keep(&self, owners: Owners) -> Outcome {
        make(self.volume.join("new"), "by the container", owners)?;
        make(self.volume.join("deep/new"), "by the container", owners)?;
        change(self.volume.join("kept"), "changed")?;
        delete(self.volume.join("in the way"))
    }

    /// Requires all of that in a directory.
    fn is_kept_in(directory: &std::path::Path) -> Outcome {
        reads(directory.join("new"), "by the container")?;
        reads(directory.join("deep/new"), "by the container")?;
        reads(directory.join("deep/below"), "as made")?;
        reads(directory.join("kept"), "changed")?;
        is_gone(directory.join("in the way"))
    }

    /// Requires the owners in the volume to be as made but for being shifted by this, and in the rootfs to be as made: both as
    /// it was filled, and as the container left it.
    async fn shifts_by(&self, world: &mut World, root: Owners, by: Owners) -> Outcome {
        let inside = |(uid, gid): Owners| (uid + by.0, gid + by.1);
        belongs(&self.volume, root)?;
        belongs(self.volume.join("kept"), inside((0, 0)))?;
        belongs(self.volume.join("deep/below"), inside((1000, 1001)))?;
        self.keep(inside((7, 8)))?;
        world.mgr()?.unregister(&self.request.id).await?;
        belongs(self.inside.join("kept"), (0, 0))?;
        belongs(self.inside.join("deep/below"), (1000, 1001))?;
        belongs(self.inside.join("new"), (7, 8))?;
        belongs(self.inside.join("deep/new"), (7, 8))
    }

    const fn host_root(&self) -> Owners {
        (self.given.uid.0, self.given.gid.0)
    }
}

async fn volume(mgr: &dyn MgrPort, wishes: &MountRequests) -> Result<PathBuf, Broken> {
    let mount = granted(mgr, wishes).await?.into_iter().next();
    mount.map(|mount| mount.source.into()).ok_or_else(|| Broken::new("nothing was wished for"))
}

async fn a_volume_has_what_the_rootfs_had(world: &mut World) -> Outcome {
    let scene = Scene::new(world, ShiftType::IdMappedMount).await?;
    for file in ["kept", "deep/below", "in the way"] {
        reads(scene.volume.join(file), "as made")?;
        reads(scene.inside.join(file), "as made")?;
    }
    Ok(())
}

async fn what_is_kept_in_a_volume_is_in_the_rootfs_after_a_stop(world: &mut World) -> Outcome {
    let scene = Scene::new(world, ShiftType::IdMappedMount).await?;
    scene.keep((0, 0))?;
    world.mgr()?.unregister(&scene.request.id).await?;
    Scene::is_kept_in(&scene.inside)
}

async fn what_is_kept_in_a_volume_is_in_the_rootfs_during_a_pause(world: &mut World) -> Outcome {
    let scene = Scene::new(world, ShiftType::IdMappedMount).await?;
    scene.keep((0, 0))?;
    world.mgr()?.pause(&scene.request.id).await?;
    Scene::is_kept_in(&scene.inside)?;
    Scene::is_kept_in(&scene.volume)
}

async fn a_volume_is_as_it_was_left_after_a_restart(world: &mut World) -> Outcome {
    let (mgr, scene) = (world.mgr()?, Scene::new(world, ShiftType::IdMappedMount).await?);
    scene.keep((0, 0))?;
    mgr.unregister(&scene.request.id).await?;
    mgr.register(&scene.request).await?;
    same("the volume", &volume(&*mgr, &scene.wishes).await?, &scene.volume)?;
    Scene::is_kept_in(&scene.volume)
}

async fn a_volume_is_as_it_was_left_when_it_is_asked_for_again(world: &mut World) -> Outcome {
    let (mgr, scene) = (world.mgr()?, Scene::new(world, ShiftType::IdMappedMount).await?);
    scene.keep((0, 0))?;
    same("the volume", &volume(&*mgr, &scene.wishes).await?, &scene.volume)?;
    Scene::is_kept_in(&scene.volume)
}

async fn volumes_of_docker_and_containerd_are_closed_to_others(world: &mut World) -> Outcome {
    let (mgr, wishes) = (world.mgr()?, wishes("c"));
    mgr.register(&world.registration("c")?).await?;
    for (wish, mount) in wishes.mounts.iter().zip(granted(&*mgr, &wishes).await?) {
        let closed = matches!(wish.kind, MountKind::VarLibDocker | MountKind::VarLibContainerdOvfs);
        let mode = if closed { 0o700 } else { 0o755 };
        same(
            &format!("the mode of {}", wish.kind),
            &format!("{:o}", mode_of(&mount.source)?),
            &format!("{mode:o}"),
        )?;
    }
    Ok(())
}

async fn owners_are_kept_where_they_are_mapped(world: &mut World) -> Outcome {
    let scene = Scene::new(world, ShiftType::IdMappedMount).await?;
    scene.shifts_by(world, (0, 0), (0, 0)).await
}

async fn owners_are_shifted_where_the_shift_is_by_chown(world: &mut World) -> Outcome {
    let scene = Scene::new(world, ShiftType::Chown).await?;
    scene.shifts_by(world, scene.host_root(), scene.host_root()).await
}

async fn owners_are_shifted_where_the_shift_is_by_shiftfs(world: &mut World) -> Outcome {
    let scene = Scene::new(world, ShiftType::Shiftfs).await?;
    scene.shifts_by(world, scene.host_root(), scene.host_root()).await
}

async fn owners_in_a_volume_are_kept_without_a_shift(world: &mut World) -> Outcome {
    let scene = Scene::new(world, ShiftType::NoShift).await?;
    scene.shifts_by(world, scene.host_root(), (0, 0)).await
}

async fn a_removed_container_has_no_volumes(world: &mut World) -> Outcome {
    let (mgr, scene) = (world.mgr()?, Scene::new(world, ShiftType::IdMappedMount).await?);
    mgr.unregister(&scene.request.id).await?;
    reads(scene.volume.join("kept"), "as made")?;
    mgr.remove(&scene.request.id).await?;
    is_gone(&scene.volume)?;
    reads(scene.inside.join("kept"), "as made")
}
