//! Where a script is played: what its names stand for on this host.

use std::{collections::BTreeMap, num::NonZeroU32, process};

use sysbox_core::{
    AbsPath, FsStateRequest, HostGid, HostUid, IdOffsets, MountRequest, MountRequests, MountToPrepare,
    MountsToPrepare, Registration, ShiftfsMark, ShiftfsMarks, SubidRequest, Update,
};

use super::{
    call::Call,
    pairs::Mapped,
    script::{Mark, MgrStep, Size, Space, Spaces, Who},
};
use crate::{Broken, World};

/// Directories for each container.
#[derive(Debug)]
pub(super) struct Scene(BTreeMap<Who, Dirs>);

#[derive(Debug)]
struct Dirs {
    rootfs: AbsPath,
    /// One beside it.
    source: AbsPath,
}

impl Scene {
    pub(super) fn new(world: &mut World) -> Result<Self, Broken> {
        let dirs = Who::ALL.into_iter().map(|who| {
            let source = world.dir(&format!("{}-source", who.0))?;
            Ok((who, Dirs { rootfs: world.clonable(who.0)?.rootfs, source }))
        });
        dirs.collect::<Result<_, Broken>>().map(Self)
    }

    /// The call of a step, with these mappings if it is one that has any; `None` where the step is none.
    pub(super) fn call(&self, step: MgrStep, Mapped { uids, gids }: Mapped) -> Result<Option<Call>, Broken> {
        Ok(Some(match step {
            MgrStep::Register { id, joins, .. } => Call::Register(Registration {
                id: id.id(),
                rootfs: self.of(id)?.rootfs.clone(),
                userns: user(joins)?,
                netns: net(joins)?,
                uid_mappings: uids,
                gid_mappings: gids,
            }),
            MgrStep::Update { id, runs_in, shift, .. } => Call::Update(Update {
                id: id.id(),
                userns: user(runs_in)?,
                netns: net(runs_in)?,
                uid_mappings: uids,
                gid_mappings: gids,
                rootfs_shift: shift,
            }),
            MgrStep::Unregister(who) => Call::Unregister(who.id()),
            MgrStep::Remove(who) => Call::Remove(who.id()),
            MgrStep::AllocSubids(who, size) => {
                Call::AllocSubids(SubidRequest { id: who.id(), size: size.number() })
            }
            MgrStep::PrepMounts(who) => {
                let mounts = vec![MountToPrepare { source: self.of(who)?.source.clone(), exclusive: true }];
                let (uid, gid) = (HostUid(FAR), HostGid(FAR));
                Call::PrepMounts(MountsToPrepare { id: who.id(), uid, gid, mounts })
            }
            MgrStep::ReqMounts(who, kinds) => {
                let request =
                    |kind| Ok(MountRequest { kind, destination: path(&format!("/var/lib/{kind}"))? });
                let mounts = kinds.into_iter().map(request).collect::<Result<_, Broken>>()?;
                Call::ReqMounts(MountRequests { id: who.id(), rootfs_shift: Default::default(), mounts })
            }
            MgrStep::ReqShiftfsMark(who, marks) => {
                let mark = |Mark { directory, readonly }| {
                    Ok(ShiftfsMark { source: self.of(directory)?.source.clone(), readonly })
                };
                let marks = marks.into_iter().map(mark).collect::<Result<_, Broken>>()?;
                Call::ReqShiftfsMark(ShiftfsMarks { id: who.id(), marks })
            }
            MgrStep::ReqFsState(who) => {
                Call::ReqFsState(FsStateRequest { id: who.id(), rootfs: self.of(who)?.rootfs.clone() })
            }
            MgrStep::Pause(who) => Call::Pause(who.id()),
            MgrStep::Resume(who) => Call::Resume(who.id()),
            MgrStep::CloneRootfs(who) => Call::CloneRootfs(who.id()),
            MgrStep::ChownClonedRootfs(who, by) => {
                let offset = by.into();
                Call::ChownClonedRootfs(who.id(), IdOffsets { uid: offset, gid: offset })
            }
            MgrStep::RevertClonedRootfsChown(who) => Call::RevertClonedRootfsChown(who.id()),
            MgrStep::Restart => return Ok(None),
        }))
    }

    fn of(&self, who: Who) -> Result<&Dirs, Broken> {
        self.0.get(&who).ok_or_else(|| Broken::new(format!("there is no directory for {who:?}")))
    }
}

/// An id far from those of the host's users.
const FAR: u32 = 1 << 30;

impl Size {
    pub(super) fn number(self) -> NonZeroU32 {
        const USUAL: NonZeroU32 = NonZeroU32::new(65_536).unwrap();
        match self {
            Self::One => NonZeroU32::MIN,
            Self::Usual => USUAL,
            Self::MoreThanThereAre => NonZeroU32::MAX,
        }
    }
}

fn user(spaces: Spaces) -> Result<Option<AbsPath>, Broken> {
    spaces.user.map(|space| namespace(space, ["user", "uts"])).transpose()
}

fn net(spaces: Spaces) -> Result<Option<AbsPath>, Broken> {
    spaces.net.map(|space| namespace(space, ["net", "ipc"])).transpose()
}

/// Both of a kind that are there for certain are this process's. A backend looks only at whether two are the same, so one of
/// another kind does for a second one.
fn namespace(space: Space, [first, second]: [&str; 2]) -> Result<AbsPath, Broken> {
    let process = process::id();
    path(&match space {
        Space::First => format!("/proc/{process}/ns/{first}"),
        Space::FirstByAnotherPath => format!("/proc/{process}/task/{process}/ns/{first}"),
        Space::Second => format!("/proc/{process}/ns/{second}"),
        Space::NotThere => format!("/proc/{process}/ns/none"),
    })
}

fn path(path: &str) -> Result<AbsPath, Broken> {
    AbsPath::new(path).map_err(|invalid| Broken::new(invalid.to_string()))
}
