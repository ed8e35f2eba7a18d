//! The calls: one of each with a typical request, and the scripts that make them in an order that a backend accepts.

use std::{num::NonZeroU32, time::SystemTime};

use sysbox::{
    AbsPath, ContainerId, HostGid, HostUid, IdMappings, IdOffset, IdOffsets, IdRange, MountKind, PortError,
    ShiftType, ShiftfsMark,
    port::{
        ContainerData, FsPort, FsStateRequest, MgrPort, MountRequest, MountRequests, MountToPrepare,
        MountsToPrepare, Registration, ShiftfsMarks, SubidRequest, Update,
    },
};

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Register,
    Update,
    Unregister,
    Remove,
    AllocSubids,
    PrepMounts,
    ReqMounts,
    /// As [`ReqMounts`](Self::ReqMounts), of 1,000 mounts.
    ReqManyMounts,
    ReqShiftfsMark,
    ReqFsState,
    Pause,
    Resume,
    CloneRootfs,
    ChownClonedRootfs,
    RevertClonedRootfsChown,
    FsMountpoint,
    FsPreRegister,
    FsRegister,
    FsUpdate,
    FsUnregister,
}

/// What is timed as one.
#[derive(Debug)]
pub(crate) struct Timed {
    /// Its name in reports.
    pub(crate) name: &'static str,
    pub(crate) steps: &'static [Step],
}

/// Calls that leave the backend as it was; over and over the same.
#[derive(Debug)]
pub(crate) struct Script {
    /// What comes first and is not timed.
    pub(crate) before: &'static [Step],
    pub(crate) timed: &'static [Timed],
    /// What comes last and is not timed.
    pub(crate) after: &'static [Step],
    /// How often what is timed is repeated before it is another way's turn; the first time warms up.
    pub(crate) repeats: u32,
}

impl Step {
    /// Its name in reports.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Register => "mgr.register",
            Self::Update => "mgr.update",
            Self::Unregister => "mgr.unregister",
            Self::Remove => "mgr.remove",
            Self::AllocSubids => "mgr.alloc_subids",
            Self::PrepMounts => "mgr.prep_mounts",
            Self::ReqMounts => "mgr.req_mounts(1)",
            Self::ReqManyMounts => "mgr.req_mounts(1000)",
            Self::ReqShiftfsMark => "mgr.req_shiftfs_mark",
            Self::ReqFsState => "mgr.req_fs_state",
            Self::Pause => "mgr.pause",
            Self::Resume => "mgr.resume",
            Self::CloneRootfs => "mgr.clone_rootfs",
            Self::ChownClonedRootfs => "mgr.chown_cloned_rootfs",
            Self::RevertClonedRootfsChown => "mgr.revert_cloned_rootfs_chown",
            Self::FsMountpoint => "fs.mountpoint",
            Self::FsPreRegister => "fs.pre_register",
            Self::FsRegister => "fs.register",
            Self::FsUpdate => "fs.update",
            Self::FsUnregister => "fs.unregister",
        }
    }

    /// Makes the call.
    pub(crate) async fn call(
        self,
        mgr: &dyn MgrPort,
        fs: &dyn FsPort,
        requests: &Requests,
    ) -> Result<(), PortError> {
        let id = &requests.registration.id;
        match self {
            Self::Register => mgr.register(&requests.registration).await.map(drop),
            Self::Update => mgr.update(&requests.update).await,
            Self::Unregister => mgr.unregister(id).await,
            Self::Remove => mgr.remove(id).await,
            Self::AllocSubids => mgr.alloc_subids(&requests.subids).await.map(drop),
            Self::PrepMounts => mgr.prep_mounts(&requests.to_prepare).await,
            Self::ReqMounts => mgr.req_mounts(&requests.mount).await.map(drop),
            Self::ReqManyMounts => mgr.req_mounts(&requests.many_mounts).await.map(drop),
            Self::ReqShiftfsMark => mgr.req_shiftfs_mark(&requests.marks).await.map(drop),
            Self::ReqFsState => mgr.req_fs_state(&requests.fs_state).await.map(drop),
            Self::Pause => mgr.pause(id).await,
            Self::Resume => mgr.resume(id).await,
            Self::CloneRootfs => mgr.clone_rootfs(id).await.map(drop),
            Self::ChownClonedRootfs => mgr.chown_cloned_rootfs(id, requests.offsets).await,
            Self::RevertClonedRootfsChown => mgr.revert_cloned_rootfs_chown(id).await,
            Self::FsMountpoint => fs.mountpoint().await.map(drop),
            Self::FsPreRegister => fs.pre_register(&requests.data).await,
            Self::FsRegister => fs.register(&requests.data).await,
            Self::FsUpdate => fs.update(&requests.data).await,
            Self::FsUnregister => fs.unregister(&requests.data).await,
        }
    }
}

/// The name of a container's whole life in reports.
pub(crate) const LIFE: &str = "life of a container";

/// What is measured with one caller: each call, the whole life of a container, and a call of long messages by itself, for
/// after it the caches are full of its data.
pub(crate) const SCRIPTS: [Script; 3] = [
    Script { before: &[], timed: EACH, after: &[], repeats: 8 },
    Script { before: &[], timed: &[Timed { name: LIFE, steps: WHOLE_LIFE }], after: &[], repeats: 8 },
    Script {
        before: &[Step::Register],
        timed: &[one(Step::ReqManyMounts, &[Step::ReqManyMounts])],
        after: &[Step::Unregister, Step::Remove],
        repeats: 4,
    },
];

/// What is measured with many callers.
pub(crate) const WITH_MANY: [Step; 3] = [Step::AllocSubids, Step::ReqMounts, Step::ReqManyMounts];

const fn one(step: Step, steps: &'static [Step]) -> Timed {
    Timed { name: step.name(), steps }
}

macro_rules! each {
    ($($step:ident),+ $(,)?) => { &[$(one(Step::$step, &[Step::$step])),+] };
}

const EACH: &[Timed] = each![
    Register,
    AllocSubids,
    Update,
    PrepMounts,
    ReqMounts,
    ReqShiftfsMark,
    ReqFsState,
    CloneRootfs,
    ChownClonedRootfs,
    RevertClonedRootfsChown,
    Pause,
    Resume,
    Unregister,
    Remove,
    FsMountpoint,
    FsPreRegister,
    FsRegister,
    FsUpdate,
    FsUnregister,
];

const WHOLE_LIFE: &[Step] = &[
    Step::FsPreRegister,
    Step::Register,
    Step::AllocSubids,
    Step::ReqMounts,
    Step::Update,
    Step::FsRegister,
    Step::FsUpdate,
    Step::Pause,
    Step::Resume,
    Step::FsUnregister,
    Step::Unregister,
    Step::Remove,
];

/// The requests of one container, as long as a container engine's are.
#[derive(Debug)]
pub(crate) struct Requests {
    registration: Registration,
    update: Update,
    subids: SubidRequest,
    to_prepare: MountsToPrepare,
    mount: MountRequests,
    many_mounts: MountRequests,
    marks: ShiftfsMarks,
    fs_state: FsStateRequest,
    offsets: IdOffsets,
    data: ContainerData,
}

const SIZE: NonZeroU32 = NonZeroU32::new(65_536).unwrap();
const MANY: u32 = 1000;

impl Requests {
    /// The requests of the container of a number.
    pub(crate) fn of(number: usize) -> anyhow::Result<Self> {
        // 64 digits, as container engines name containers.
        let id: ContainerId = format!("{number:064x}").parse()?;
        let host_ids = IdRange::new(231_072, SIZE.get())?;
        let mappings = IdMappings::single(host_ids)?;
        let rootfs = AbsPath::new(format!("/var/lib/docker/overlay2/{id}/merged"))?;
        let volume = AbsPath::new(format!("/var/lib/docker/volumes/{id}/_data"))?;
        let rootfs_shift = ShiftType::IdMappedMount;
        let requests = |mounts| MountRequests { id: id.clone(), rootfs_shift, mounts };
        let offset = IdOffset::new(i64::from(host_ids.first()))?;
        Ok(Self {
            registration: Registration {
                id: id.clone(),
                rootfs: rootfs.clone(),
                userns: None,
                netns: None,
                uid_mappings: IdMappings::default(),
                gid_mappings: IdMappings::default(),
            },
            update: Update {
                id: id.clone(),
                userns: None,
                netns: None,
                uid_mappings: mappings.clone(),
                gid_mappings: mappings,
                rootfs_shift,
            },
            subids: SubidRequest { id: id.clone(), size: SIZE },
            to_prepare: MountsToPrepare {
                id: id.clone(),
                uid: HostUid(host_ids.first()),
                gid: HostGid(host_ids.first()),
                mounts: vec![MountToPrepare { source: volume.clone(), exclusive: false }],
            },
            mount: requests(vec![mount(0)?]),
            many_mounts: requests((0..MANY).map(mount).collect::<anyhow::Result<_>>()?),
            marks: ShiftfsMarks {
                id: id.clone(),
                marks: vec![ShiftfsMark { source: volume, readonly: false }],
            },
            fs_state: FsStateRequest { id: id.clone(), rootfs },
            offsets: IdOffsets { uid: offset, gid: offset },
            data: data(id, host_ids)?,
        })
    }
}

fn mount(number: u32) -> anyhow::Result<MountRequest> {
    let destination = match number {
        0 => AbsPath::new("/var/lib/docker")?,
        _ => AbsPath::new(format!("/var/lib/docker/{number}"))?,
    };
    Ok(MountRequest { kind: MountKind::VarLibDocker, destination })
}

fn data(id: ContainerId, host_ids: IdRange) -> anyhow::Result<ContainerData> {
    let paths = |paths: [&str; 2]| paths.map(AbsPath::new).into_iter().collect::<Result<Vec<_>, _>>();
    Ok(ContainerData {
        init_pid: Some(4321),
        hostname: Some("sysbox-bench".to_owned()),
        created: Some(SystemTime::UNIX_EPOCH),
        uids: Some(host_ids),
        gids: Some(host_ids),
        proc_ro_paths: paths(["/proc/bus", "/proc/fs"])?,
        proc_mask_paths: paths(["/proc/kcore", "/proc/keys"])?,
        ..ContainerData::new(id)
    })
}
