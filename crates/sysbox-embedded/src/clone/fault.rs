//! What it means for a call that owners could not be shifted, or a rootfs not be cloned.

use sysbox_core::{AbsPath, ErrorKind};
use sysbox_host::{chown::ChownError, overlay::clone::CloneError};

use crate::error::Fault;

/// The owners of a tree could not be shifted, or their record not be read.
pub(crate) fn chown_fault(path: &AbsPath, error: ChownError) -> Fault {
    let refused = |kind| {
        let message = format!("cannot have the owners of {path} shifted: {error}");
        Fault::refused(kind, message)
    };
    match error {
        ChownError::NotPrivileged => refused(ErrorKind::PermissionDenied),
        ChownError::Refused { .. } | ChownError::System { .. } | ChownError::NoThread { .. } => {
            Fault::files(format!("cannot have the owners of {path} shifted"), error)
        }
        _ => refused(ErrorKind::FailedPrecondition),
    }
}

/// A rootfs could not be cloned, or its clone not be shifted. `what` goes on after "container ID ".
pub(super) fn clone_fault(what: &'static str) -> impl FnOnce(CloneError) -> Fault {
    move |error| match error {
        CloneError::Host(error) => Fault::files(what, error),
        CloneError::Chown(ChownError::NotPrivileged) => {
            Fault::refused(ErrorKind::PermissionDenied, format!("{what}: {error}"))
        }
        CloneError::Chown(
            error @ (ChownError::Refused { .. } | ChownError::System { .. } | ChownError::NoThread { .. }),
        ) => Fault::files(what, error),
        error => Fault::refused(ErrorKind::FailedPrecondition, format!("{what}: {error}")),
    }
}
