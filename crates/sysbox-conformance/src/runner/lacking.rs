//! Whether a backend that is said to lack something says so itself: the calls concerned are `Unimplemented`.

use std::{fmt::Debug, sync::Arc};

use sysbox_core::{
    AbsPath, ErrorKind, FsStateRequest, HostGid, HostUid, IdOffsets, MgrPort, MountKind, MountRequest,
    MountRequests, MountToPrepare, MountsToPrepare, PortError, Registration, ShiftType, ShiftfsMark,
    ShiftfsMarks,
};

use super::in_world;
use crate::{Ability, Broken, Harness, Outcome, World, case::refused};

/// Whether there are calls that it is a lack of.
pub(super) const fn can_be_checked(ability: Ability) -> bool {
    !matches!(
        ability,
        Ability::Restart | Ability::Capacity | Ability::AnyPath | Ability::AnyId | Ability::Relay
    )
}

/// Makes the calls concerned.
pub(super) fn check(harness: &Arc<dyn Harness>, ability: Ability) -> Outcome {
    in_world(harness, move |world| Box::pin(calls(world, ability)))
}

async fn calls(world: &mut World, ability: Ability) -> Outcome {
    let (ports, registration, directory) = (world.ports()?, world.registration("c")?, world.dir("there")?);
    match (ability, ports.mgr, ports.fs) {
        (Ability::Mgr, None, _) | (Ability::Fs, _, None) => Ok(()),
        (Ability::Mgr, Some(mgr), _) => undone("register", mgr.register(&registration).await),
        (Ability::Fs, _, Some(fs)) => undone("mountpoint", fs.mountpoint().await),
        (ability, Some(mgr), _) => of_mgr(&*mgr, ability, registration, directory).await,
        (_, None, _) => Err(Broken::new("there is no manager, which is a lack of its own")),
    }
}

/// The container is known, so that nothing else can be wrong with the call; and there is something to do.
async fn of_mgr(mgr: &dyn MgrPort, ability: Ability, registration: Registration, path: AbsPath) -> Outcome {
    mgr.register(&registration).await?;
    let id = registration.id;
    match ability {
        Ability::Remove => {
            mgr.unregister(&id).await?;
            undone("remove", mgr.remove(&id).await)
        }
        Ability::PrepMounts => {
            let mounts = vec![MountToPrepare { source: path, exclusive: false }];
            let (uid, gid) = (HostUid(1 << 30), HostGid(1 << 30));
            undone("prep_mounts", mgr.prep_mounts(&MountsToPrepare { id, uid, gid, mounts }).await)
        }
        Ability::ReqMounts => {
            let mounts = vec![MountRequest { kind: MountKind::VarLibDocker, destination: path }];
            let request = MountRequests { id, rootfs_shift: ShiftType::NoShift, mounts };
            undone("req_mounts", mgr.req_mounts(&request).await)
        }
        Ability::ShiftfsMarks => {
            let marks = vec![ShiftfsMark { source: path, readonly: true }];
            undone("req_shiftfs_mark", mgr.req_shiftfs_mark(&ShiftfsMarks { id, marks }).await)
        }
        Ability::FsState => {
            undone("req_fs_state", mgr.req_fs_state(&FsStateRequest { id, rootfs: path }).await)
        }
        Ability::CloneRootfs => {
            undone("clone_rootfs", mgr.clone_rootfs(&id).await)?;
            undone("chown_cloned_rootfs", mgr.chown_cloned_rootfs(&id, IdOffsets::default()).await)?;
            undone("revert_cloned_rootfs_chown", mgr.revert_cloned_rootfs_chown(&id).await)
        }
        other => Err(Broken::new(format!("no call tells that {other:?} is lacking"))),
    }
}

fn undone<T: Debug>(call: &str, answer: Result<T, PortError>) -> Outcome {
    refused(call, answer, ErrorKind::Unimplemented).map(drop)
}
