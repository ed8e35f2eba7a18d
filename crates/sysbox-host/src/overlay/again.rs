//! Another overlay over the layers of a mounted one, the upper layer too.
//!
//! It needs a work directory of its own: an overlay that is mounted removes and remakes `work` in the one that it is given, and one that
//! works there already could from then on neither copy up nor remove a thing. It lies in the work directory of the mounted
//! overlay, which must be on the mount of the upper layer.

use std::{
    fs,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use sysbox_core::{AbsPath, HostError, host::OverlayLayers};

use super::{Mounted, context, mounted_at, refresh};
use crate::{error::failed, remove::remove_tree};

/// For what another overlay is there. There is one for each purpose at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A container has it, ID-mapped.
    IdMapped,
    /// It is written to for a moment.
    Writing,
}

impl Purpose {
    fn work(self, work: &Path) -> PathBuf {
        work.join(match self {
            Self::IdMapped => "sysbox-id-mapped",
            Self::Writing => "sysbox-writing",
        })
    }
}

/// The layers with an empty work directory for this purpose, if they have any. Who had it before is gone.
pub(super) fn with_own_work(layers: &OverlayLayers, purpose: Purpose) -> Result<OverlayLayers, HostError> {
    let Some(work) = &layers.work else { return Ok(layers.clone()) };
    let own = purpose.work(work);
    remove_work(&own)?;
    fs::create_dir(&own).map_err(failed("make the work directory", own.display()))?;
    Ok(OverlayLayers { work: Some(own), ..layers.clone() })
}

/// Removes the work directory for a purpose. The overlay that had it must be gone.
pub(super) fn remove_own_work(layers: &OverlayLayers, purpose: Purpose) -> Result<(), HostError> {
    layers.work.as_ref().map_or(Ok(()), |work| remove_work(&purpose.work(work)))
}

fn remove_work(path: &Path) -> Result<(), HostError> {
    let path = AbsPath::new(path).map_err(failed("remove", path.display()))?;
    remove_tree(&path).map(drop)
}

/// Another overlay over the layers of a mounted one, attached nowhere. It goes when this is dropped, and the mounted one sees then
/// what was written through it.
#[derive(Debug)]
pub struct Again {
    mount: Option<OwnedFd>,
    path: AbsPath,
    of: AbsPath,
    layers: OverlayLayers,
}

impl Again {
    /// One of the overlay mounted exactly at `path`; `None` where no overlay is, or it has no upper layer.
    ///
    /// What is written through it lands in the upper layer also where the mounted one cannot write any more, since others have
    /// mounted a further overlay with its work directory, as runtimes do. Two at once of one overlay must not be.
    ///
    /// # Errors
    /// When the kernel takes no second overlay (`index=on`), or the caller is not root.
    pub fn open(path: &AbsPath) -> Result<Option<Self>, HostError> {
        let Some(Mounted { layers, attributes }) =
            mounted_at(path)?.filter(|found| found.layers.upper.is_some())
        else {
            return Ok(None);
        };
        let mount = context::create(&with_own_work(&layers, Purpose::Writing)?, attributes)?;
        let by_descriptor = format!("/proc/self/fd/{}", mount.as_raw_fd());
        let root = AbsPath::new(by_descriptor).map_err(failed("open again the overlay at", path))?;
        Ok(Some(Self { mount: Some(mount), path: root, of: path.clone(), layers }))
    }

    /// The path of its root directory in this process, as long as this lives.
    pub const fn path(&self) -> &AbsPath {
        &self.path
    }
}

impl Drop for Again {
    fn drop(&mut self) {
        drop(self.mount.take());
        let tidied = remove_own_work(&self.layers, Purpose::Writing).and_then(|()| refresh(&self.of));
        if let Err(error) = tidied {
            tracing::warn!(overlay = %self.of, %error, reason = %error.source, "an overlay is not as fresh as it should be");
        }
    }
}
