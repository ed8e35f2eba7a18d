//! What a flaw does, and the decorator that does it.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, Mutex, OnceLock, atomic::AtomicBool},
};

use sysbox_core::{
    AbsPath, ContainerConfig, ContainerData, ContainerId, ErrorKind, FsEntry, FsStateRequest, IdOffsets,
    Mount, MountRequests, MountsToPrepare, Operation, PortError, Registration, ShiftfsMark, SubidRequest,
    Subids, Update,
};

use super::{
    Flaw,
    habit::{Habit, Seen, Turn},
    spoil::{Known, Spoil},
};

/// The one thing that is done otherwise.
#[derive(Clone, Copy, Debug)]
pub(super) enum Break {
    /// A call that is refused with this kind is answered as if it was done.
    Masked(Operation, ErrorKind),
    /// A call that is refused with the first kind is refused with the second.
    Kind(Operation, ErrorKind, ErrorKind),
    /// A call is answered as done, and not made.
    Skipped(Operation),
    /// A call is made for another container.
    Id(Operation),
    Error(fn(&mut PortError)),
    Registration(fn(&mut Registration)),
    Config(fn(&mut ContainerConfig)),
    UpdateRequest(fn(&mut Update)),
    SubidRequest(fn(&mut SubidRequest)),
    Subids(fn(&mut Subids)),
    Preparation(fn(&mut MountsToPrepare)),
    MountRequests(fn(&mut MountRequests)),
    Mounts(fn(&mut Vec<Mount>)),
    /// Of the request.
    Marks(fn(&mut Vec<ShiftfsMark>)),
    /// Of the answer.
    MarksMade(fn(&mut Vec<ShiftfsMark>)),
    FsState(fn(&mut FsStateRequest)),
    Entries(fn(&mut Vec<FsEntry>)),
    Clone(fn(&mut AbsPath)),
    Offsets(fn(&mut IdOffsets)),
    Mountpoint(fn(&mut AbsPath)),
    /// Of one call to the fs daemon.
    Data(Operation, fn(&mut ContainerData)),
    /// Something that takes a memory.
    Habit(Habit),
    /// Something that is done to files.
    Spoil(Spoil),
}

/// A port with a flaw.
#[derive(Debug)]
pub(super) struct Flawed<P: ?Sized> {
    pub(super) port: Arc<P>,
    pub(super) breaks: Break,
    /// What was seen of containers through this, for habits.
    pub(super) seen: Mutex<BTreeMap<ContainerId, Seen>>,
    /// Whether a call is made, or one was.
    pub(super) busy: AtomicBool,
    /// Where files of containers are, for what is done to them.
    pub(super) known: Mutex<BTreeMap<ContainerId, Known>>,
    /// The ids that were given first.
    pub(super) first: OnceLock<Subids>,
}

impl<P: ?Sized> Flawed<P> {
    pub(super) fn new(flaw: Flaw, port: Arc<P>) -> Self {
        Self {
            port,
            breaks: flaw.breaks(),
            seen: Mutex::default(),
            known: Mutex::default(),
            busy: AtomicBool::new(false),
            first: OnceLock::new(),
        }
    }

    /// The container that a call is made for.
    pub(super) fn id(&self, operation: Operation, id: &ContainerId) -> ContainerId {
        let other =
            || format!("other-{id}").chars().take(ContainerId::MAX_LEN).collect::<String>().parse().ok();
        match self.breaks {
            Break::Id(broken) if broken == operation => other().unwrap_or_else(|| id.clone()),
            _ => id.clone(),
        }
    }

    /// The answer to a call that has nothing to answer.
    pub(super) async fn done(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<(), PortError>> + Send,
    ) -> Result<(), PortError> {
        match self.breaks {
            Break::Skipped(broken) if broken == operation => Ok(()),
            _ => {
                let turn = self.turn(operation)?;
                let answer = call.await;
                turn.into_iter().for_each(Turn::end);
                self.judged(operation, answer, || ())
            }
        }
    }

    /// The answer to a call; `instead` is that to one whose refusal is masked.
    pub(super) fn judged<T>(
        &self,
        operation: Operation,
        answer: Result<T, PortError>,
        instead: impl FnOnce() -> T,
    ) -> Result<T, PortError> {
        answer.or_else(|mut error| {
            match self.breaks {
                Break::Masked(broken, kind) if broken == operation && kind == error.kind => {
                    return Ok(instead());
                }
                Break::Kind(broken, kind, other) if broken == operation && kind == error.kind => {
                    error.kind = other
                }
                Break::Error(alter) => alter(&mut error),
                _ => {}
            }
            Err(error)
        })
    }
}

/// A path that was not answered.
#[expect(clippy::expect_used, reason = "a literal")]
pub(super) fn nowhere() -> AbsPath {
    AbsPath::new("/nowhere").expect("absolute")
}

/// The same with one thing altered, where the flaw is of that kind.
macro_rules! altered {
    ($self:ident, $kind:ident, $value:expr) => {{
        let mut value = $value;
        if let $crate::flaw::breaks::Break::$kind(alter) = $self.breaks {
            alter(&mut value);
        }
        value
    }};
}
pub(super) use altered;
