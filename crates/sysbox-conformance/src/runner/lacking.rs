//! Whether a backend that is said to lack something says so itself: the calls concerned are `Unimplemented`, or refused with
//! the kind that the port's contract has for a host on which they cannot be done.

use std::{fmt::Debug, path::Path, sync::Arc};

use sysbox_core::{
    AbsPath, ContainerData, ErrorKind, FsStateRequest, HostGid, HostUid, MgrPort, MountKind, MountRequest,
    MountRequests, MountToPrepare, MountsToPrepare, PortError, Registration, ShiftType, ShiftfsMark,
    ShiftfsMarks, Update, session::Ports,
};

use super::in_world;
use crate::{
    Ability, Broken, Harness, Outcome, World,
    case::{refused, same},
    cases::{
        script::{Answers, Script},
        values::Fill,
    },
    world::{container, usual_ids_of},
};

/// Whether there are calls that it is a lack of.
pub(super) const fn can_be_checked(ability: Ability) -> bool {
    !matches!(ability, Ability::Capacity)
}

/// Makes the calls concerned.
pub(super) fn check(harness: &Arc<dyn Harness>, ability: Ability) -> Outcome {
    in_world(harness, move |world| Box::pin(calls(world, ability)))
}

async fn calls(world: &mut World, ability: Ability) -> Outcome {
    match ability {
        Ability::Restart => return forgets(world).await,
        Ability::Relay => return passes_nothing_on(world).await,
        Ability::AnyPath => return refuses(world, Fill::AnyPath).await,
        Ability::AnyId => return refuses(world, Fill::AnyId).await,
        _ => {}
    }
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
            forbidden("prep_mounts", mgr.prep_mounts(&MountsToPrepare { id, uid, gid, mounts }).await)
        }
        Ability::ReqMounts => {
            let mounts = vec![MountRequest { kind: MountKind::VarLibDocker, destination: path }];
            // One that takes all rights there are: owners are to be changed.
            mgr.alloc_subids(&usual_ids_of(&id)).await?;
            let request = MountRequests { id, rootfs_shift: ShiftType::Chown, mounts };
            forbidden("req_mounts", mgr.req_mounts(&request).await)
        }
        Ability::ShiftfsMarks => {
            let marks = vec![ShiftfsMark { source: path, readonly: true }];
            let wish = ShiftfsMarks { id, marks };
            impossible("req_shiftfs_mark", mgr.req_shiftfs_mark(&wish).await)?;
            // Where only the kernel lacks it, nothing can be done about no marks.
            match mgr.req_shiftfs_mark(&ShiftfsMarks { marks: Vec::new(), ..wish }).await {
                Ok(marks) => same("the marks", &marks, &Vec::new()),
                answer => undone("req_shiftfs_mark of none", answer),
            }
        }
        Ability::FsState => {
            undone("req_fs_state", mgr.req_fs_state(&FsStateRequest { id, rootfs: path }).await)
        }
        Ability::CloneRootfs => {
            impossible("clone_rootfs", mgr.clone_rootfs(&id).await)?;
            impossible("chown_cloned_rootfs", mgr.chown_cloned_rootfs(&id, Fill::Full.offsets()).await)?;
            impossible("revert_cloned_rootfs_chown", mgr.revert_cloned_rootfs_chown(&id).await)
        }
        Ability::Files => {
            let mounts = vec![MountRequest { kind: MountKind::VarLibKubelet, destination: path }];
            let request = MountRequests { id, rootfs_shift: ShiftType::NoShift, mounts };
            // One that gives no mounts has no files behind them either.
            let mounts = mgr.req_mounts(&request).await.unwrap_or_default();
            let is_there = mounts.iter().any(|mount| Path::new(&mount.source).is_dir());
            same("there is a directory behind a mount", &is_there, &false)
        }
        other => Err(Broken::new(format!("no call tells that {other:?} is lacking"))),
    }
}

/// A backend that cannot be restarted, or that knows nothing after that.
async fn forgets(world: &mut World) -> Outcome {
    let ports = world.ports()?;
    let (registration, data) = (world.registration("c")?, ContainerData::new(container("c")));
    if let Some(mgr) = &ports.mgr {
        mgr.register(&registration).await?;
    }
    if let Some(fs) = &ports.fs {
        fs.pre_register(&data).await?;
    }
    drop(ports);
    if world.restart().await.is_err() {
        return Ok(());
    }
    let Ports { mgr, fs, .. } = world.ports()?;
    let knows_container = match mgr {
        Some(mgr) => mgr.register(&registration).await.is_err(),
        None => true,
    };
    let is_pre_registered = match fs {
        Some(fs) => fs.pre_register(&data).await.is_err(),
        None => true,
    };
    same("everything is known after a restart", &(knows_container && is_pre_registered), &false)
}

/// A backend that makes no relay.
async fn passes_nothing_on(world: &mut World) -> Outcome {
    let relay = world.relay(Script::new(Answers::empty()).ports()).await;
    same("a relay is made", &relay.is_ok(), &false)
}

/// A backend that refuses some call with such a value in it as `InvalidArgument`. Others may be refused otherwise: the values are
/// of no container that is known.
async fn refuses(world: &mut World, fill: Fill) -> Outcome {
    let Ports { mgr, fs, .. } = world.ports()?;
    let mut refusals = Vec::new();
    if let Some(mgr) = mgr {
        let plain = world.registration("c")?;
        let Registration { uid_mappings, gid_mappings, .. } = fill.registration();
        let (rootfs, id) = (fill.path("rootfs"), &fill.id());
        refusals.extend([
            mgr.register(&Registration { rootfs, uid_mappings, gid_mappings, ..plain.clone() }).await.err(),
            mgr.update(&Update { id: plain.id, ..fill.update() }).await.err(),
            mgr.prep_mounts(&fill.mounts_to_prepare()).await.err(),
            mgr.req_mounts(&fill.mount_requests()).await.err(),
            mgr.req_shiftfs_mark(&fill.marks()).await.err(),
            mgr.req_fs_state(&fill.fs_state_request()).await.err(),
            mgr.chown_cloned_rootfs(id, fill.offsets()).await.err(),
        ]);
    }
    if let Some(fs) = fs {
        let data = fill.data();
        refusals.push(fs.pre_register(&data).await.err());
        refusals.push(fs.register(&data).await.err());
    }
    let kinds: Vec<_> = refusals.into_iter().flatten().map(|error| error.kind).collect();
    if kinds.contains(&ErrorKind::InvalidArgument) {
        return Ok(());
    }
    Err(Broken::new(format!("no call is refused as InvalidArgument for such values, only as {kinds:?}")))
}

/// Refused as `Unimplemented`, or as a thing that this host's kernel or this rootfs does not allow.
fn impossible<T: Debug>(call: &str, answer: Result<T, PortError>) -> Outcome {
    match answer {
        Err(error) if error.kind == ErrorKind::FailedPrecondition => Ok(()),
        answer => undone(call, answer),
    }
}

/// Refused as `Unimplemented`, or for want of the rights that it takes.
fn forbidden<T: Debug>(call: &str, answer: Result<T, PortError>) -> Outcome {
    match answer {
        Err(error) if error.kind == ErrorKind::PermissionDenied => Ok(()),
        answer => impossible(call, answer),
    }
}

fn undone<T: Debug>(call: &str, answer: Result<T, PortError>) -> Outcome {
    refused(call, answer, ErrorKind::Unimplemented).map(drop)
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use sysbox_core::{IdRange, Operation};

    use super::*;
    use crate::{BoxError, Model, Subject};

    /// The model, with as many ranges as this, which can do everything: what is said to lack is a lie.
    struct Able(u32);

    #[async_trait]
    impl Harness for Able {
        fn name(&self) -> &str {
            "able"
        }

        async fn fresh(&self) -> Result<Subject, BoxError> {
            let model = Arc::new(Model::new(IdRange::new(1 << 30, self.0 << 16)?));
            self.relay(Ports { mgr: Some(model.clone()), fs: Some(model), seccomp: None }).await
        }

        async fn restarted(&self, subject: Subject) -> Result<Subject, BoxError> {
            Ok(subject)
        }

        async fn relay(&self, ports: Ports) -> Result<Subject, BoxError> {
            Ok(Subject { ports, capacity: self.0, guard: Box::new(()) })
        }
    }

    #[test]
    fn what_can_be_done_is_no_lack() {
        use Ability::{
            AnyId, AnyPath, CloneRootfs, Fs, FsState, Mgr, PrepMounts, Relay, Remove, ReqMounts, Restart,
            ShiftfsMarks,
        };
        let harness: Arc<dyn Harness> = Arc::new(Able(4));
        let lies = [
            Mgr,
            Fs,
            Restart,
            AnyPath,
            AnyId,
            Relay,
            Remove,
            PrepMounts,
            ReqMounts,
            ShiftfsMarks,
            FsState,
            CloneRootfs,
        ];
        for lie in lies {
            assert!(can_be_checked(lie), "{lie:?}");
            assert!(check(&harness, lie).expect_err("it is able").is_seen(), "{lie:?}");
        }
    }

    #[test]
    fn a_backend_of_too_few_ranges_is_not_tried() {
        let harness: Arc<dyn Harness> = Arc::new(Able(3));
        let broken = check(&harness, Ability::Mgr).expect_err("three are too few");
        assert!(!broken.is_seen() && broken.to_string().contains("4 are needed"), "{broken}");
    }

    #[test]
    fn what_the_host_does_not_allow_is_a_lack() {
        let refused = |kind| Err::<(), _>(PortError::new(Operation::CloneRootfs, kind, "no overlay"));
        impossible("a clone", refused(ErrorKind::FailedPrecondition)).expect("no overlay");
        impossible("a clone", refused(ErrorKind::Unimplemented)).expect("no clones");
        impossible("a clone", refused(ErrorKind::Internal)).expect_err("a failure");
        undone("a removal", refused(ErrorKind::FailedPrecondition)).expect_err("it was tried");
    }
}
