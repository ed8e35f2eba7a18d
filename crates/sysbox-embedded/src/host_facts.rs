//! What the host is and can do, asked once per boot and remembered in the database: a probe mounts things and takes
//! milliseconds, and each of a container's processes would need it.

use rusqlite::{Connection, OptionalExtension};
use sysbox_core::{AbsPath, ContainerConfig, HostPort, host::Feature};

use crate::error::{Fault, OpenError};

/// Names one boot of one kernel (`random(4)`, `uname(2)`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Boot(String);

impl Boot {
    pub(crate) fn of(host: &dyn HostPort) -> Result<Self, OpenError> {
        let ask = || Ok((host.sysctl("kernel.random.boot_id")?, host.kernel_release()?));
        let (id, kernel) = ask().map_err(|source| OpenError::Host { source })?;
        // Without a boot id, every boot of a kernel looks the same.
        Ok(Self(format!("{} {kernel}", id.unwrap_or_default())))
    }

    #[cfg(test)]
    pub(crate) fn named(name: &str) -> Self {
        Self(name.to_owned())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the host can do for the owners of files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shifting {
    idmap: Option<bool>,
    overlay_on_idmap: Option<bool>,
    shiftfs: Option<bool>,
}

impl Shifting {
    /// What was found before, in this boot.
    pub(crate) fn remembered(db: &Connection) -> Result<Self, Fault> {
        let known = |feature| -> Result<Option<bool>, rusqlite::Error> {
            let query = "SELECT works FROM probe WHERE feature = ?1";
            db.query_row(query, [feature], |row| row.get(0)).optional()
        };
        Ok(Self {
            idmap: known(IDMAP)?,
            overlay_on_idmap: known(OVERLAY_ON_IDMAP)?,
            shiftfs: known(SHIFTFS)?,
        })
    }

    /// Tries what is not known. A host that cannot be asked counts as one that cannot do it, for this once.
    #[must_use]
    pub(crate) fn completed(self, host: &dyn HostPort, data_root: &AbsPath) -> Self {
        let probe = |feature: Feature| match host.probe(&feature) {
            Ok(support) => Some(support.is_yes()),
            Err(error) => {
                tracing::warn!(%feature, %error, "a feature of the host could not be tried, it is not used");
                None
            }
        };
        Self {
            idmap: self.idmap.or_else(|| probe(Feature::IdMappedMount(data_root.clone()))),
            overlay_on_idmap: self.overlay_on_idmap.or_else(|| probe(Feature::OverlayOnIdMapped)),
            shiftfs: self.shiftfs.or_else(|| probe(Feature::Shiftfs)),
        }
    }

    /// Writes down what is known.
    pub(crate) fn remember(self, db: &Connection) -> Result<(), Fault> {
        let found = [(IDMAP, self.idmap), (OVERLAY_ON_IDMAP, self.overlay_on_idmap), (SHIFTFS, self.shiftfs)];
        for (feature, works) in found {
            if let Some(works) = works {
                db.prepare_cached("INSERT OR IGNORE INTO probe VALUES (?1, ?2)")?
                    .execute((feature, works))?;
            }
        }
        Ok(())
    }

    /// The configuration of a container on this host.
    pub(crate) fn config(self) -> ContainerConfig {
        let shiftfs = self.shiftfs.unwrap_or(false);
        ContainerConfig {
            idmap_mount_ok: self.idmap.unwrap_or(false),
            overlayfs_on_idmap_mount_ok: self.overlay_on_idmap.unwrap_or(false),
            shiftfs_ok: shiftfs,
            // Ubuntu's shiftfs, the only one there was in a released kernel, works on overlayfs.
            shiftfs_on_overlayfs_ok: shiftfs,
            ..ContainerConfig::default()
        }
    }
}

const IDMAP: &str = "id-mapped mount";
const OVERLAY_ON_IDMAP: &str = "overlay on id-mapped layers";
const SHIFTFS: &str = "shiftfs";
