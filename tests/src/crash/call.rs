//! The calls of the manager in a scene, each with the request that this scene makes.

use std::{fmt, num::NonZeroU32, str::FromStr};

use pollster::block_on;
use sysbox::{
    ErrorKind, FsStateRequest, HostGid, HostUid, IdMappings, IdOffset, IdOffsets, MgrPort, MountKind,
    MountRequest, MountRequests, MountToPrepare, MountsToPrepare, PortError, Registration, ShiftType,
    ShiftfsMark, ShiftfsMarks, SubidRequest, Update, embedded::EmbeddedMgr,
};

use super::place::{Place, SIZE, abs, chain};

/// A call, or a repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// `register`
    Register,
    /// `update` with this shift of the rootfs
    Update(ShiftType),
    /// `alloc_subids`
    AllocSubids,
    /// `prep_mounts` of the source
    PrepMounts,
    /// `req_mounts` with this shift of the rootfs: one directory with content, one without, one that is not there
    ReqMounts(ShiftType),
    /// `req_shiftfs_mark`, which kernels without shiftfs refuse
    ReqShiftfsMark,
    /// `req_fs_state`
    ReqFsState,
    /// `pause`
    Pause,
    /// `resume`
    Resume,
    /// `clone_rootfs`
    CloneRootfs,
    /// `chown_cloned_rootfs`
    ChownClone,
    /// `revert_cloned_rootfs_chown`
    RevertClone,
    /// `unregister`
    Unregister,
    /// `remove`
    Remove,
    /// No call of the port: `sysbox repair`
    Repair,
}

/// Why a call was refused or failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The name of the kind; `OpenError` where the data root could not be opened.
    pub kind: String,
    /// The message, with its causes.
    pub text: String,
}

/// The calls without a parameter, by name.
const NAMES: [(&str, Call); 13] = [
    ("register", Call::Register),
    ("alloc", Call::AllocSubids),
    ("prep_mounts", Call::PrepMounts),
    ("req_shiftfs_mark", Call::ReqShiftfsMark),
    ("req_fs_state", Call::ReqFsState),
    ("pause", Call::Pause),
    ("resume", Call::Resume),
    ("clone", Call::CloneRootfs),
    ("chown_clone", Call::ChownClone),
    ("revert_clone", Call::RevertClone),
    ("unregister", Call::Unregister),
    ("remove", Call::Remove),
    ("repair", Call::Repair),
];

/// The directories that volumes are asked for.
pub(crate) const VOLUMES: [(MountKind, &str); 3] = [
    (MountKind::VarLibDocker, "/var/lib/docker"),
    (MountKind::VarLibBuildkit, "/var/lib/buildkit"),
    (MountKind::VarLibKubelet, "/var/lib/kubelet"),
];

impl Call {
    /// Makes the call.
    ///
    /// # Errors
    /// As the port, and what a repair could not mend.
    pub fn make(self, place: &Place, mgr: &EmbeddedMgr) -> Result<(), Failure> {
        self.call(place, mgr).map_err(Failure::from)
    }

    fn call(self, place: &Place, mgr: &EmbeddedMgr) -> Result<(), PortError> {
        let id = place.id();
        match self {
            Self::Register => block_on(mgr.register(&registration(place))).map(drop),
            Self::Update(shift) => block_on(mgr.update(&update(place, shift))),
            Self::AllocSubids => {
                let size = NonZeroU32::new(SIZE).expect("not 0");
                block_on(mgr.alloc_subids(&SubidRequest { id, size })).map(drop)
            }
            Self::PrepMounts => block_on(mgr.prep_mounts(&mounts_to_prepare(place))),
            Self::ReqMounts(shift) => block_on(mgr.req_mounts(&mount_requests(place, shift))).map(drop),
            Self::ReqShiftfsMark => {
                let marks = vec![ShiftfsMark { source: abs(&place.rootfs()), readonly: false }];
                match block_on(mgr.req_shiftfs_mark(&ShiftfsMarks { id, marks })) {
                    // This is how it ends well here.
                    Err(refused) if refused.kind == ErrorKind::FailedPrecondition => Ok(()),
                    other => other.map(drop),
                }
            }
            Self::ReqFsState => {
                let rootfs = abs(&place.rootfs());
                block_on(mgr.req_fs_state(&FsStateRequest { id, rootfs })).map(drop)
            }
            Self::Pause => block_on(mgr.pause(&id)),
            Self::Resume => block_on(mgr.resume(&id)),
            Self::CloneRootfs => block_on(mgr.clone_rootfs(&id)).map(drop),
            Self::ChownClone => {
                let offset = IdOffset::new(i64::from(place.ids().first())).expect("an offset of ids");
                block_on(mgr.chown_cloned_rootfs(&id, IdOffsets { uid: offset, gid: offset }))
            }
            Self::RevertClone => block_on(mgr.revert_cloned_rootfs_chown(&id)),
            Self::Unregister => block_on(mgr.unregister(&id)),
            Self::Remove => block_on(mgr.remove(&id)),
            Self::Repair => {
                let repairs = mgr.repair().unwrap_or_else(|error| panic!("{}", chain(&error)));
                repairs.mended.into_iter().find_map(|mended| mended.failure).map_or(Ok(()), Err)
            }
        }
    }
}

impl From<PortError> for Failure {
    fn from(error: PortError) -> Self {
        Self { kind: format!("{:?}", error.kind), text: chain(&error) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.text)
    }
}

fn registration(place: &Place) -> Registration {
    Registration {
        id: place.id(),
        rootfs: abs(&place.rootfs()),
        userns: None,
        netns: None,
        uid_mappings: IdMappings::default(),
        gid_mappings: IdMappings::default(),
    }
}

fn update(place: &Place, rootfs_shift: ShiftType) -> Update {
    Update {
        id: place.id(),
        userns: None,
        netns: None,
        uid_mappings: place.mappings(),
        gid_mappings: place.mappings(),
        rootfs_shift,
    }
}

fn mounts_to_prepare(place: &Place) -> MountsToPrepare {
    let first = place.ids().first();
    let mounts = vec![MountToPrepare { source: abs(&place.source()), exclusive: false }];
    MountsToPrepare { id: place.id(), uid: HostUid(first), gid: HostGid(first), mounts }
}

fn mount_requests(place: &Place, rootfs_shift: ShiftType) -> MountRequests {
    let mounts = VOLUMES
        .map(|(kind, destination)| MountRequest { kind, destination: abs(destination.as_ref()) })
        .to_vec();
    MountRequests { id: place.id(), rootfs_shift, mounts }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Update(shift) => write!(f, "update:{}", shift.number()),
            Self::ReqMounts(shift) => write!(f, "req_mounts:{}", shift.number()),
            plain => {
                let name = NAMES.iter().find(|(_, call)| call == plain).map_or("?", |(name, _)| name);
                f.write_str(name)
            }
        }
    }
}

impl FromStr for Call {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some((_, call)) = NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(*call);
        }
        let unknown = || format!("{text:?} is no call");
        let (name, number) = text.split_once(':').ok_or_else(unknown)?;
        let number: u32 = number.parse().map_err(|_| unknown())?;
        let shift = ShiftType::try_from(number).map_err(|_| unknown())?;
        match name {
            "update" => Ok(Self::Update(shift)),
            "req_mounts" => Ok(Self::ReqMounts(shift)),
            _ => Err(unknown()),
        }
    }
}
