//! Flaws that take a memory of what was called before.

use std::{
    future::poll_fn,
    num::NonZeroU32,
    sync::{
        PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

use sysbox_core::{
    AbsPath, ContainerConfig, ContainerId, ErrorKind, FsEntry, FsStateRequest, HostGid, HostUid, IdMappings,
    IdOffsets, MgrPort, Mount, MountRequests, Operation, PortError, Registration, ShiftType, ShiftfsMark,
    ShiftfsMarks, SubidRequest, Subids, Update,
};

use super::breaks::{Break, Flawed, nowhere};

/// How many ids are given unasked.
const SOME: NonZeroU32 = NonZeroU32::new(65_536).unwrap();

/// What is done otherwise, depending on what was done before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Habit {
    /// Every answer about ids gives others than the one before.
    OtherIdsEachTime,
    /// All containers are given what the first was given.
    OneRangeForAll,
    /// A restarted container is given ids of another.
    OtherIdsAfterRestart,
    /// A restarted container is told no mappings.
    NoMappingsAfterRestart,
    /// A restarted container is told no shift.
    NoShiftAfterRestart,
    /// A restarted container has mounts of its own again.
    OtherMountsAfterRestart,
    /// A container that stops is removed.
    RemovedWhenStopped,
    /// A container that runs is stopped and removed.
    RemovedWhileRunning,
    /// A registration that is refused is made without its mappings and namespaces.
    RefusedAndYetRegistered,
    /// An update that is refused takes the shift.
    RefusedAndYetUpdated,
    /// Ids that cannot be given in that number are given in another.
    RefusedAndYetGiven,
    /// What was not known before is taken for known.
    SilentlyRegistered,
    /// Mappings that a restart names are ignored.
    RestartKeepsEarlierMappings,
    /// A paused container goes on when it is updated.
    UpdateResumes,
    /// A second update's namespaces are taken.
    UpdateOverwritesNamespaces,
    /// Owners that are shifted are shifted again.
    ShiftedTwice,
    /// Owners are shifted also while the container is paused.
    ShiftedWhilePaused,
    /// Owners that were shifted when the container stopped are so when it starts again.
    ShiftOutlivesStop,
    /// Owners that were shifted are not so after a pause.
    ShiftForgottenByPause,
    /// Owners that are shifted back while the container is paused are shifted again with it.
    RevertForgottenByResume,
    /// A clone is another one each time.
    OtherCloneEachTime,
    /// A stopped container is told no entries.
    NoEntriesWhenStopped,
    /// Mounts are given to one who has no ids, after it was given some.
    GivenIdsUnasked,
    /// A paused container is given no mounts.
    NoMountsWhenPaused,
    /// Marks that were told before a stop are not told after it.
    MarksOutliveStop,
    /// The mount point is another one each time.
    MountpointMoves,
    /// Only the first update is taken.
    OneUpdate,
    /// A call that has nothing to answer is refused while another is made.
    OneAtATime,
    /// The same, and for ever once a caller went away.
    StuckWhenAbandoned,
    /// A wish for ids takes others for a while, and for ever where its caller goes away.
    LeakWhenAbandoned,
    /// Containers of an earlier process are not known.
    ForgottenByProcess,
    /// Containers of an earlier process are given other ids.
    IdsForgottenByProcess,
    /// Containers of an earlier process are told nothing of what was.
    MappingsForgottenByProcess,
}

/// What was seen of one container.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    registered: u32,
    updated: u32,
    asked_for_ids: u32,
    asked_for_mounts: u32,
    asked_for_clone: u32,
    marked: u32,
    /// Whether its owners were asked to be shifted, in this run, and whether they were shifted back since a pause.
    shift: Option<IdOffsets>,
    paused: bool,
    stopped: bool,
}

/// That a call is made; others are refused meanwhile.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    busy: &'a AtomicBool,
    /// Whether it stays so when the call is not carried to its end.
    stays: bool,
}

impl Turn<'_> {
    /// The call was carried to its end.
    pub(super) fn end(mut self) {
        self.stays = false;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.busy.store(self.stays, Ordering::Release);
    }
}

impl<P: ?Sized> Flawed<P> {
    pub(super) fn turn(&self, operation: Operation) -> Result<Option<Turn<'_>>, PortError> {
        let stays = match self.breaks {
            Break::Habit(Habit::OneAtATime) => false,
            Break::Habit(Habit::StuckWhenAbandoned) => true,
            _ => return Ok(None),
        };
        if self.busy.swap(true, Ordering::AcqRel) {
            return Err(PortError::new(operation, ErrorKind::ResourceExhausted, "another call is made"));
        }
        Ok(Some(Turn { busy: &self.busy, stays }))
    }
}

impl<P: ?Sized> Flawed<P> {
    pub(super) fn has(&self, habit: Habit) -> bool {
        matches!(self.breaks, Break::Habit(broken) if broken == habit)
    }
}

impl Flawed<dyn MgrPort> {
    /// What was seen of a container so far; `note` adds to it.
    fn seen(&self, id: &ContainerId, note: impl FnOnce(&mut Seen)) -> Seen {
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = all.entry(id.clone()).or_default();
        let before = *seen;
        note(seen);
        before
    }

    fn is_forgotten(&self, id: &ContainerId) -> bool {
        self.has(Habit::ForgottenByProcess) && self.seen(id, |_| ()).registered == 0
    }

    pub(super) async fn habitual_register(
        &self,
        request: &Registration,
    ) -> Result<ContainerConfig, PortError> {
        let seen = self.seen(&request.id, |seen| seen.registered += 1);
        let mut request = request.clone();
        if self.has(Habit::RestartKeepsEarlierMappings) && seen.registered > 0 {
            (request.uid_mappings, request.gid_mappings) = Default::default();
        }
        let answer = self.port.register(&request).await;
        if self.has(Habit::RefusedAndYetRegistered) && answer.is_err() {
            let none = IdMappings::default;
            let (uid_mappings, gid_mappings) = (none(), none());
            let plain =
                Registration { userns: None, netns: None, uid_mappings, gid_mappings, ..request.clone() };
            let _ = self.port.register(&plain).await;
        }
        let mut config = answer?;
        self.seen(&request.id, |seen| seen.stopped = false);
        if let Some(offsets) = seen.shift.filter(|_| self.has(Habit::ShiftOutlivesStop)) {
            let _ = self.port.chown_cloned_rootfs(&request.id, offsets).await;
        }
        let forgets = self.has(Habit::MappingsForgottenByProcess) && seen.registered == 0;
        if forgets || seen.registered > 0 && self.has(Habit::NoMappingsAfterRestart) {
            (config.uid_mappings, config.gid_mappings) = Default::default();
        }
        if forgets || seen.registered > 0 && self.has(Habit::NoShiftAfterRestart) {
            config.rootfs_shift = ShiftType::NoShift;
        }
        Ok(config)
    }

    pub(super) async fn habitual_update(&self, request: &Update) -> Result<(), PortError> {
        let seen = self.seen(&request.id, |seen| seen.updated += 1);
        if self.has(Habit::OneUpdate) && seen.updated > 0 {
            return Ok(());
        }
        let names_any = request.userns.is_some() || request.netns.is_some();
        if self.has(Habit::UpdateOverwritesNamespaces) && seen.updated > 0 && names_any {
            // What a restart does not keep.
            let _ = self.port.unregister(&request.id).await;
            self.register_silently(&request.id).await;
        }
        let answer = self.port.update(request).await;
        if self.has(Habit::UpdateResumes) {
            let _ = self.port.resume(&request.id).await;
        }
        if self.has(Habit::RefusedAndYetUpdated) && answer.is_err() {
            let none = IdMappings::default;
            let (uid_mappings, gid_mappings) = (none(), none());
            let _ = self.port.update(&Update { uid_mappings, gid_mappings, ..request.clone() }).await;
        }
        answer
    }

    pub(super) async fn habitual_unregister(&self, id: &ContainerId) -> Result<(), PortError> {
        if self.is_forgotten(id) {
            let message = format!("container {id} is not registered");
            return Err(PortError::new(Operation::Unregister, ErrorKind::NotFound, message));
        }
        self.port.unregister(id).await?;
        self.seen(id, |seen| (seen.stopped, seen.paused) = (true, false));
        if self.has(Habit::RemovedWhenStopped) { self.port.remove(id).await } else { Ok(()) }
    }

    pub(super) async fn habitual_remove(&self, id: &ContainerId) -> Result<(), PortError> {
        if self.has(Habit::RemovedWhileRunning) {
            let _ = self.port.unregister(id).await;
        }
        self.port.remove(id).await
    }

    pub(super) async fn habitual_alloc(&self, request: &SubidRequest) -> Result<Subids, PortError> {
        if self.has(Habit::SilentlyRegistered) {
            self.register_silently(&request.id).await;
        }
        let seen = self.seen(&request.id, |seen| seen.asked_for_ids += 1);
        if self.has(Habit::LeakWhenAbandoned) {
            self.take_for_a_while(request, seen.asked_for_ids).await;
        }
        let answer = self.port.alloc_subids(request).await;
        if self.has(Habit::RefusedAndYetGiven) && answer.is_err() {
            let _ = self.port.alloc_subids(&SubidRequest { size: NonZeroU32::MIN, ..request.clone() }).await;
        }
        let given = answer?;
        let others = self.has(Habit::OtherIdsEachTime) && seen.asked_for_ids > 0
            || self.has(Habit::OtherIdsAfterRestart) && seen.registered > 1
            || self.has(Habit::IdsForgottenByProcess) && seen.registered == 0;
        Ok(match others {
            true => {
                Subids { uid: HostUid(given.uid.0 ^ 0x0100_0000), gid: HostGid(given.gid.0 ^ 0x0100_0000) }
            }
            false if self.has(Habit::OneRangeForAll) => self.first_given(given),
            false => given,
        })
    }

    /// Those that the first of all containers was given.
    fn first_given(&self, given: Subids) -> Subids {
        *self.first.get_or_init(|| given)
    }

    async fn register_silently(&self, id: &ContainerId) {
        let none = IdMappings::default;
        let (uid_mappings, gid_mappings) = (none(), none());
        let rootfs = nowhere();
        let request =
            Registration { id: id.clone(), rootfs, userns: None, netns: None, uid_mappings, gid_mappings };
        let _ = self.port.register(&request).await;
    }

    /// Takes as many ids for another container, of a name of its own each time.
    async fn take_for_a_while(&self, request: &SubidRequest, nth: u32) {
        let Ok(id) = format!("leak-{nth}-{}", request.id).parse::<ContainerId>() else { return };
        self.register_silently(&id).await;
        let _ = self.port.alloc_subids(&SubidRequest { id: id.clone(), ..request.clone() }).await;
        let mut polls = 0;
        poll_fn(|context| {
            polls += 1;
            context.waker().wake_by_ref();
            if polls > 20 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        let _ = self.port.unregister(&id).await;
        let _ = self.port.remove(&id).await;
    }

    pub(super) async fn habitual_shift(&self, id: &ContainerId, offsets: IdOffsets) -> Result<(), PortError> {
        if self.has(Habit::ShiftedTwice) {
            let _ = self.port.revert_cloned_rootfs_chown(id).await;
        }
        let seen = self.seen(id, |seen| seen.shift = Some(offsets));
        if seen.paused && self.has(Habit::ShiftedWhilePaused) {
            self.port.resume(id).await?;
            let answer = self.port.chown_cloned_rootfs(id, offsets).await;
            self.port.pause(id).await?;
            return answer;
        }
        self.port.chown_cloned_rootfs(id, offsets).await
    }

    pub(super) async fn habitual_pause(&self, id: &ContainerId) -> Result<(), PortError> {
        if self.has(Habit::ShiftForgottenByPause) {
            let _ = self.port.revert_cloned_rootfs_chown(id).await;
        }
        self.port.pause(id).await?;
        self.seen(id, |seen| seen.paused = true);
        Ok(())
    }

    pub(super) async fn habitual_resume(&self, id: &ContainerId) -> Result<(), PortError> {
        self.port.resume(id).await?;
        let seen = self.seen(id, |seen| seen.paused = false);
        if let Some(offsets) = seen.shift.filter(|_| self.has(Habit::RevertForgottenByResume)) {
            let _ = self.port.chown_cloned_rootfs(id, offsets).await;
        }
        Ok(())
    }

    pub(super) async fn habitual_clone(&self, id: &ContainerId) -> Result<AbsPath, PortError> {
        let seen = self.seen(id, |seen| seen.asked_for_clone += 1);
        let path = self.port.clone_rootfs(id).await?;
        Ok(if self.has(Habit::OtherCloneEachTime) && seen.asked_for_clone > 0 { nowhere() } else { path })
    }

    pub(super) async fn habitual_marks(&self, request: &ShiftfsMarks) -> Result<Vec<ShiftfsMark>, PortError> {
        let seen = self.seen(&request.id, |seen| seen.marked += 1);
        let marks = self.port.req_shiftfs_mark(request).await?;
        let outlived = self.has(Habit::MarksOutliveStop) && seen.registered > 1 && seen.marked > 0;
        Ok(if outlived { Vec::new() } else { marks })
    }

    pub(super) async fn habitual_entries(&self, request: &FsStateRequest) -> Result<Vec<FsEntry>, PortError> {
        if self.has(Habit::NoEntriesWhenStopped) && self.seen(&request.id, |_| ()).stopped {
            let message = format!("container {} is stopped", request.id);
            return Err(PortError::new(Operation::ReqFsState, ErrorKind::FailedPrecondition, message));
        }
        self.port.req_fs_state(request).await
    }

    pub(super) async fn habitual_mounts(&self, request: &MountRequests) -> Result<Vec<Mount>, PortError> {
        let seen = self.seen(&request.id, |seen| seen.asked_for_mounts += 1);
        if self.has(Habit::NoMountsWhenPaused) && seen.paused {
            let message = format!("container {} is paused", request.id);
            return Err(PortError::new(Operation::ReqMounts, ErrorKind::FailedPrecondition, message));
        }
        if self.has(Habit::GivenIdsUnasked) {
            let _ = self.port.alloc_subids(&SubidRequest { id: request.id.clone(), size: SOME }).await;
        }
        let mut mounts = self.port.req_mounts(request).await?;
        if self.has(Habit::OtherMountsAfterRestart) && seen.asked_for_mounts > 0 {
            mounts.iter_mut().for_each(|mount| mount.source.push_str("-again"));
        }
        Ok(mounts)
    }
}
