//! The top overlay: the bottom, and over it the upper layer of the rootfs.
//!
//! It stays mounted beside the place where it is shown when the owners are shifted back, as a paused container goes on with it
//! later: what it has in memory then is true again once they are shifted to the same ids.

use std::{fs, io, path::PathBuf};

use sysbox_core::host::OverlayLayers;

use super::{CloneError, Memory, OverlayClone, Rootfs, make_dir};
use crate::{
    error::failed,
    idmap::move_to,
    overlay::{self, context},
};

impl OverlayClone {
    /// Shows the top where the clone is attached. The owners in both upper layers are shifted.
    pub(super) fn show_top(&self, rootfs: &Rootfs, memory: &Memory) -> Result<(), CloneError> {
        let top = &self.layers.top;
        if overlay::mounted_at(top)?.is_some() {
            overlay::refresh(top)?;
        } else {
            let layers = OverlayLayers {
                lower: vec![self.layers.bottom.clone().into()],
                data: Vec::new(),
                work: Some(new_work(memory)?),
                ..rootfs.layers().clone()
            };
            move_to(context::create(&layers, rootfs.attributes())?, top)?;
        }
        self.show(top)
    }
}

/// Makes a work directory that no overlay has used: an overlay removes what another one, of the same rootfs in another mount
/// namespace, works in.
fn new_work(memory: &Memory) -> Result<PathBuf, CloneError> {
    let works = memory.works()?;
    make_dir(&works, 0o700)?;
    let mut candidates = (0u32..).map(|nth| works.as_path().join(nth.to_string()));
    let made = candidates.find_map(|work| match fs::create_dir(&work) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => None,
        made => Some(made.map(|()| work)),
    });
    let made = made.unwrap_or_else(|| Err(io::ErrorKind::QuotaExceeded.into()));
    Ok(made.map_err(failed("make a work directory in", works))?)
}
