//! Why the state cannot be used, and how every failure inside becomes the error of a call.

use std::{error::Error, io, path::PathBuf, time::Duration};

use rustix::io::Errno;
use sysbox_core::{ContainerId, ErrorKind, HostError, Operation, PortError};

use crate::{accounts::AccountFileError, files::Intent};

type Cause = Box<dyn Error + Send + Sync>;

/// The manager's database cannot be opened or used. Every call can meet this: each uses the files as they are then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The host does not say which kernel runs since when.
    #[error("the host cannot be asked for its kernel and boot")]
    Host {
        /// What was asked.
        #[source]
        source: HostError,
    },
    /// The data root cannot be made, or nothing can be made in it.
    #[error("data root {} cannot be used; make it writable or choose another directory", path.display())]
    DataRoot {
        /// The directory, or the file in it.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Others could change the state.
    #[error("data root {} can be written by others (mode {mode:o}); run chmod 0700 on it or choose another directory", path.display())]
    DataRootOpen {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another user could change the state.
    #[error("data root {} belongs to user {owner} and not to us; choose another directory", path.display())]
    DataRootOfAnother {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// The database was corrupt. It is out of the way now.
    #[error(
        "database {} is corrupt; it was kept as {}, and the next call begins with no container known: \
         stop what still runs first, for its ids can be given to others then", file.display(), kept.display()
    )]
    Corrupt {
        /// The database.
        file: PathBuf,
        /// Where it is now.
        kept: PathBuf,
        /// What SQLite found.
        source: rusqlite::Error,
    },
    /// The database is corrupt and still in its place.
    #[error(
        "database {} is corrupt and could not be moved out of the way; stop what uses it and move it by hand, \
         after that no container is known", file.display()
    )]
    CorruptInPlace {
        /// The database.
        file: PathBuf,
        /// Why it could not be moved.
        source: io::Error,
    },
    /// A later version wrote the database.
    #[error(
        "database {} has version {found}, this program knows versions up to {known}; use the newer program",
        file.display()
    )]
    TooNew {
        /// The database.
        file: PathBuf,
        /// Its version.
        found: i64,
        /// The latest version that is known here.
        known: i64,
    },
    /// Another process kept the database locked.
    #[error(
        "database {} was locked by another process for {} s; try again, and see which process hangs if that fails too",
        file.display(), waited.as_secs()
    )]
    Locked {
        /// The database.
        file: PathBuf,
        /// How long it was waited for.
        waited: Duration,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The files that are kept beside the database cannot be worked on.
    #[error("the data root {message}")]
    Files {
        /// What it cannot have done.
        message: String,
        /// What the kernel said, if it was the kernel.
        #[source]
        source: Option<Cause>,
    },
    /// SQLite failed for another reason.
    #[error("database {} cannot be used; check the space and the health of its disk", file.display())]
    Database {
        /// The database.
        file: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

impl OpenError {
    /// Never `FailedPrecondition`: by that a call says in which state the container is, and here nothing was looked at.
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Corrupt { .. } | Self::CorruptInPlace { .. } => ErrorKind::DataLoss,
            Self::Locked { .. } => ErrorKind::Unavailable,
            Self::Database { source, .. } if is(source, rusqlite::ErrorCode::DiskFull) => {
                ErrorKind::ResourceExhausted
            }
            Self::Files { source, .. } => {
                source.as_ref().map_or(ErrorKind::Internal, |cause| kind_of(&**cause))
            }
            Self::Host { .. }
            | Self::DataRoot { .. }
            | Self::DataRootOpen { .. }
            | Self::DataRootOfAnother { .. }
            | Self::TooNew { .. }
            | Self::Database { .. } => ErrorKind::Internal,
        }
    }

    /// What lies under it: the text of the error itself stands in the message of the call that met it.
    fn into_cause(self) -> Option<Cause> {
        match self {
            Self::Host { source } => Some(source.into()),
            Self::DataRoot { source, .. } | Self::CorruptInPlace { source, .. } => Some(source.into()),
            Self::Corrupt { source, .. } | Self::Locked { source, .. } | Self::Database { source, .. } => {
                Some(source.into())
            }
            Self::Files { source, .. } => source,
            Self::DataRootOpen { .. } | Self::DataRootOfAnother { .. } | Self::TooNew { .. } => None,
        }
    }
}

/// What went wrong within a call, before it is known which call and container it was.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The call breaks a rule. The message goes on after "container ID ".
    Refused { kind: ErrorKind, message: String },
    /// The host did not answer about something that the call named.
    Host { kind: ErrorKind, message: String, source: HostError },
    /// The files of a container, or of the data root, cannot be worked on. The message goes on after "container ID ".
    Files { message: String, source: Cause },
    /// An account file cannot be used.
    Accounts(AccountFileError),
    /// The database cannot be used.
    State(OpenError),
    /// A statement failed; the store makes [`Fault::State`] of it.
    Sqlite(rusqlite::Error),
}

impl Fault {
    pub(crate) fn refused(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::Refused { kind, message: message.into() }
    }

    pub(crate) fn files(message: impl Into<String>, source: impl Into<Cause>) -> Self {
        Self::Files { message: message.into(), source: source.into() }
    }

    /// The same, but not of the kind that says that the container is in the wrong state for the call. Of `unregister` that says
    /// that it has stopped, and callers take it as done.
    #[must_use]
    pub(crate) fn whatever_its_state(self) -> Self {
        match self {
            Self::Refused { kind: ErrorKind::FailedPrecondition, message } => {
                Self::Refused { kind: ErrorKind::Internal, message }
            }
            fault => fault,
        }
    }

    /// The same, met when an earlier call was to be finished or undone: no answer to the one that was made now.
    #[must_use]
    pub(crate) fn while_mending(self, intent: Intent) -> Self {
        let whole = |message: String| {
            let left = intent.words();
            format!(
                "was left {left}, and mending that failed: {message}; remove the cause and run `sysbox repair`"
            )
        };
        match self.whatever_its_state() {
            Self::Refused { kind, message } => Self::Refused { kind, message: whole(message) },
            Self::Host { kind, message, source } => Self::Host { kind, message: whole(message), source },
            Self::Files { message, source } => Self::Files { message: whole(message), source },
            fault @ (Self::Accounts(_) | Self::State(_) | Self::Sqlite(_)) => fault,
        }
    }

    /// Whether something is used up.
    pub(crate) const fn is_exhaustion(&self) -> bool {
        matches!(self, Self::Refused { kind: ErrorKind::ResourceExhausted, .. })
    }

    pub(crate) fn into_port_error(self, operation: Operation, id: &ContainerId) -> PortError {
        let error =
            |kind, message: &str| PortError::new(operation, kind, format!("container {id} {message}"));
        match self {
            Self::Refused { kind, message } => error(kind, &message),
            Self::Host { kind, message, source } => error(kind, &message).with_source(source),
            Self::Files { message, source } => {
                let told = error(kind_of(&*source), &message);
                PortError { source: Some(source), ..told }
            }
            Self::Accounts(fault) => {
                let told = error(ErrorKind::FailedPrecondition, &format!("cannot be given ids: {fault}"));
                PortError { source: fault.into_cause(), ..told }
            }
            Self::State(fault) => {
                let told = error(fault.kind(), &format!("is not served: {fault}"));
                PortError { source: fault.into_cause(), ..told }
            }
            Self::Sqlite(source) => {
                error(ErrorKind::Internal, "is not served: a statement failed").with_source(source)
            }
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<OpenError> for Fault {
    fn from(error: OpenError) -> Self {
        Self::State(error)
    }
}

impl From<AccountFileError> for Fault {
    fn from(error: AccountFileError) -> Self {
        Self::Accounts(error)
    }
}

/// What kind of failure the system's error, somewhere in a chain of causes, is.
fn kind_of(cause: &(dyn Error + 'static)) -> ErrorKind {
    match errno_of(cause) {
        Some(Errno::NOSPC | Errno::DQUOT | Errno::MFILE | Errno::NFILE) => ErrorKind::ResourceExhausted,
        Some(Errno::PERM | Errno::ACCESS) => ErrorKind::PermissionDenied,
        _ => ErrorKind::Internal,
    }
}

/// The system's error, somewhere in a chain of causes. A refusal that is not the kernel's has none.
pub(crate) fn errno_of(error: &(dyn Error + 'static)) -> Option<Errno> {
    let mut next = Some(error);
    while let Some(error) = next {
        let errno = error.downcast_ref::<Errno>().copied();
        let errno = errno.or_else(|| Errno::from_io_error(error.downcast_ref::<io::Error>()?));
        if errno.is_some() {
            return errno;
        }
        next = error.source();
    }
    None
}

/// Whether SQLite failed for this reason.
pub(crate) fn is(error: &rusqlite::Error, code: rusqlite::ErrorCode) -> bool {
    error.sqlite_error_code() == Some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(fault: Fault) -> ErrorKind {
        fault.into_port_error(Operation::Unregister, &"c1".parse().expect("valid")).kind
    }

    #[test]
    fn what_keeps_a_call_from_the_state_does_not_say_that_the_container_is_in_the_wrong_one() {
        let path = PathBuf::from("/data");
        let read_only = || io::Error::from_raw_os_error(Errno::ROFS.raw_os_error());
        let wrong_state = || Fault::refused(ErrorKind::FailedPrecondition, "is stopped");
        for fault in [
            OpenError::DataRoot { path: path.clone(), source: read_only() }.into(),
            OpenError::DataRootOpen { path: path.clone(), mode: 0o777 }.into(),
            OpenError::DataRootOfAnother { path: path.clone(), owner: 7 }.into(),
            OpenError::TooNew { file: path, found: 2, known: 1 }.into(),
            OpenError::Files { message: "is read-only".into(), source: Some(read_only().into()) }.into(),
            Fault::files("cannot be worked on", read_only()),
            wrong_state().whatever_its_state(),
            wrong_state().while_mending(Intent::Stop),
        ] {
            assert_eq!(kind(fault), ErrorKind::Internal);
        }
        assert_eq!(kind(wrong_state()), ErrorKind::FailedPrecondition);
        let gone = Fault::refused(ErrorKind::NotFound, "is not registered");
        assert_eq!(kind(gone.whatever_its_state()), ErrorKind::NotFound);
    }
}
