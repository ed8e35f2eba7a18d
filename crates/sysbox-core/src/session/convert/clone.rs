//! Step 5: a clone of a rootfs on overlayfs by the manager, whose owners are shifted without copying any file up.
//!
//! It only saves time and room, so where the manager cannot make one the rootfs is chowned itself.

use super::{ConvertError, Converting};
use crate::{
    AbsPath, ErrorKind, ShiftType,
    session::{Mgr, SessionError},
};

const WHY: &str = "its owners are to be changed, and as an overlay it would copy up each file whole for that";

impl Converting<'_> {
    /// Lets the manager clone the rootfs where that saves copying it, and puts the clone into the spec.
    pub(super) async fn clone_rootfs(
        &mut self,
        mgr: &mut Mgr,
        rootfs: &AbsPath,
        shift: ShiftType,
    ) -> Result<Option<AbsPath>, ConvertError> {
        if shift != ShiftType::Chown || !mgr.enabled() || self.config.no_rootfs_cloning {
            return Ok(None);
        }
        if !self.copies_up(rootfs)? {
            return Ok(None);
        }
        let clone = match mgr.clone_rootfs().await {
            // A manager in another mount namespace may have mounted it where nobody here sees it.
            Ok(clone) if self.is_overlay(&clone)? => clone,
            Ok(_) => return Ok(None),
            Err(error) if is_refusal(&error) => {
                self.refusals.push(error);
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(root) = self.spec.root_mut() {
            self.changes.note("root.path", WHY);
            root.set_path(clone.as_path().to_owned());
        }
        Ok(Some(clone))
    }

    /// Whether something is mounted there that copies up whole files when owners change.
    fn copies_up(&self, rootfs: &AbsPath) -> Result<bool, ConvertError> {
        let layers = self.host.overlay_layers(rootfs).map_err(|error| self.not_of_host(error))?;
        Ok(layers.is_some_and(|layers| !layers.has_option("metacopy=on")))
    }

    fn is_overlay(&self, path: &AbsPath) -> Result<bool, ConvertError> {
        Ok(self.host.overlay_layers(path).map_err(|error| self.not_of_host(error))?.is_some())
    }
}

/// Whether the manager answered, and that it cannot. Without an answer it is not known what it has done.
fn is_refusal(error: &SessionError) -> bool {
    let unanswered = |kind| {
        matches!(
            kind,
            ErrorKind::Unavailable | ErrorKind::DeadlineExceeded | ErrorKind::Cancelled | ErrorKind::NotFound
        )
    };
    error.port_error().is_some_and(|port| !unanswered(port.kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Operation, PortError};

    #[test]
    fn only_an_answer_is_a_refusal() {
        let error = |kind| SessionError::Call {
            operation: Operation::CloneRootfs,
            container: "c1".parse().expect("valid"),
            source: PortError::new(Operation::CloneRootfs, kind, "told"),
        };
        for kind in
            [ErrorKind::Unimplemented, ErrorKind::FailedPrecondition, ErrorKind::Unknown, ErrorKind::Internal]
        {
            assert!(is_refusal(&error(kind)), "{kind:?}");
        }
        for kind in [ErrorKind::Unavailable, ErrorKind::DeadlineExceeded, ErrorKind::NotFound] {
            assert!(!is_refusal(&error(kind)), "{kind:?}");
        }
    }
}
