//! How the suite gets at backends.

use std::{any::Any, error::Error, fmt};

use async_trait::async_trait;
use sysbox_core::{AbsPath, session::Ports};

/// Why a harness could not make a backend.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Backends of one kind, for the suite.
///
/// [`fresh`](Self::fresh) is all that must be written; each case has a backend of its own.
#[async_trait]
pub trait Harness: Send + Sync {
    /// What the kind is called in reports, such as `embedded` or `embedded-over-grpc`.
    fn name(&self) -> &str;

    /// A backend that knows no container yet.
    ///
    /// # Errors
    /// Whatever keeps it from being made; the case fails with it.
    async fn fresh(&self) -> Result<Subject, BoxError>;

    /// What this kind cannot do, and why. Cases that need it are reported as not run, by name; that the calls concerned are
    /// really refused is checked.
    fn lacks(&self) -> Vec<Lack> {
        Vec::new()
    }

    /// The same backend after its process was ended and started anew. Where state is lost with the process, the kind lacks
    /// [`Ability::Restart`]; then this fails, or gives one that knows nothing.
    ///
    /// # Errors
    /// Whatever keeps it from being started.
    async fn restarted(&self, subject: Subject) -> Result<Subject, BoxError> {
        drop(subject);
        Err("this kind of backend cannot be restarted".into())
    }

    /// One of this kind that passes calls on to these ports, such as a transport with both its ends. The suite looks at what
    /// arrives there, field by field. A kind that does its work itself lacks [`Ability::Relay`], and this fails.
    ///
    /// # Errors
    /// Whatever keeps it from being made.
    async fn relay(&self, ports: Ports) -> Result<Subject, BoxError> {
        drop(ports);
        Err("this kind of backend passes no calls on".into())
    }

    /// A rootfs that this kind can clone, with what is in the directory `layer` in it. The directory `beside` is empty, on the
    /// same file system, and removed after the guard is dropped.
    ///
    /// It is `layer` itself where this is not written, which is for kinds that touch no files. A kind that clones overlays mounts
    /// one with `layer` as its lower layer and with its upper layer in `beside`, or lacks [`Ability::CloneRootfs`].
    ///
    /// # Errors
    /// Whatever keeps it from being made; the case fails with it.
    fn clonable(&self, layer: AbsPath, beside: &AbsPath) -> Result<Clonable, BoxError> {
        let _ = beside;
        Ok(Clonable { rootfs: layer, guard: Box::new(()) })
    }
}

/// A rootfs that can be cloned.
pub struct Clonable {
    /// Where it is.
    pub rootfs: AbsPath,
    /// What keeps it there, and unmounts it when it is dropped, after the backend.
    pub guard: Box<dyn Any + Send>,
}

impl fmt::Debug for Clonable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rootfs, guard: _ } = self;
        f.debug_struct("Clonable").field("rootfs", rootfs).finish_non_exhaustive()
    }
}

/// One backend.
pub struct Subject {
    /// What it answers by. A missing port is a lack of [`Ability::Mgr`] or [`Ability::Fs`].
    pub ports: Ports,
    /// How many ranges of 65,536 ids it can give, no more and no fewer: at least 4, and at most 64, for cases give all of them.
    /// Where the kind lacks [`Ability::Capacity`], it can give more than that. Ids below 65,536, and 100,000,000 from
    /// 2,000,000,000 on, must not be among them: the suite names such itself.
    pub capacity: u32,
    /// What keeps it alive, and cleans up when it is dropped.
    pub guard: Box<dyn Any + Send>,
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ports, capacity, guard: _ } = self;
        f.debug_struct("Subject").field("ports", ports).field("capacity", capacity).finish_non_exhaustive()
    }
}

/// Something that not every backend can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Ability {
    /// There is a manager.
    Mgr,
    /// There is an fs daemon.
    Fs,
    /// What is known outlives the process that knows it.
    Restart,
    /// Exactly [`Subject::capacity`] ranges of ids can be given. Whether a lack of it is true is not checked.
    Capacity,
    /// Paths that are no UTF-8 are taken, and not refused as `InvalidArgument`.
    AnyPath,
    /// Ids above 2147483647 are taken everywhere, and offsets as far, and not refused as `InvalidArgument`.
    AnyId,
    /// Calls are passed on to other ports: [`Harness::relay`].
    Relay,
    /// `MgrPort::remove`.
    Remove,
    /// `MgrPort::prep_mounts`.
    PrepMounts,
    /// `MgrPort::req_mounts`.
    ReqMounts,
    /// `MgrPort::req_shiftfs_mark`.
    ShiftfsMarks,
    /// `MgrPort::req_fs_state`.
    FsState,
    /// `MgrPort::clone_rootfs` and what follows it.
    CloneRootfs,
    /// There are files behind what is answered, on a file system that the suite sees too; and the suite is run by a root that may
    /// change owners.
    Files,
}

/// What a kind of backend cannot do, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lack {
    /// What it cannot do.
    pub ability: Ability,
    /// Why, to be read after "cannot:".
    pub reason: &'static str,
}
