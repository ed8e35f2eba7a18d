//! What a runtime keeps of the facades in its state file, ours and that of the Go runtime.

use serde::{Deserialize, Serialize};

use super::{
    Fs, Mgr, Ports, Sysbox, fs,
    mgr::{self, Rootfs},
};
use crate::{AbsPath, ContainerConfig, ContainerId, IdMapping, IdMappings, ShiftType};

#[cfg(test)]
mod tests;

const VERSION: u32 = 1;

/// The state of a [`Sysbox`], to be kept in a state file.
///
/// It is plain serde data of version 1. That of sysbox-runc, under `sys_mgr` and `sys_fs` of its state file, is read by
/// [`from_go_state`](Self::from_go_state).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    version: u32,
    id: String,
    mgr: MgrState,
    fs: FsState,
}

/// Why a state cannot be restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// It is not the JSON of a state.
    #[error("the state is not readable as JSON")]
    Json(#[from] serde_json::Error),
    /// It is of a later version of this library.
    #[error(
        "the state is of version {found}, this library knows version {VERSION}; use the program that wrote it"
    )]
    Version {
        /// Its version.
        found: u32,
    },
    /// A field holds what it cannot.
    #[error("field {field} of the state is not valid")]
    Field {
        /// The field.
        field: &'static str,
        /// The rule that is broken.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It speaks of a daemon for which no port was given.
    #[error(
        "the container was made with {daemon}, and no backend for it is given; choose the one it was made with"
    )]
    NoBackend {
        /// The daemon.
        daemon: &'static str,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct MgrState {
    enabled: bool,
    stage: MgrStage,
    config: ConfigState,
    cloned_rootfs: Option<String>,
    cloned_rootfs_chowned: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FsState {
    enabled: bool,
    stage: FsStage,
    mountpoint: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum MgrStage {
    New,
    Registered,
    Unregistered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum FsStage {
    New,
    PreRegistered,
    Registered,
}

/// A `ContainerConfig` with the names of the Go runtime, which our own state shares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ConfigState {
    alias_dns: bool,
    shiftfs_ok: bool,
    shiftfs_on_overlayfs_ok: bool,
    #[serde(rename = "IDMapMountOk")]
    idmap_mount_ok: bool,
    #[serde(rename = "OverlayfsOnIDMapMountOk")]
    overlayfs_on_idmap_mount_ok: bool,
    no_rootfs_cloning: bool,
    ignore_sysfs_chown: bool,
    allow_trusted_xattr: bool,
    honor_caps: bool,
    syscont_mode: bool,
    fsuid_map_fail_on_err: bool,
    no_shiftfs_on_fuse: bool,
    relaxed_read_only: bool,
    userns: String,
    uid_mappings: Option<Vec<MappingState>>,
    gid_mappings: Option<Vec<MappingState>>,
    rootfs_uid_shift_type: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct MappingState {
    #[serde(rename = "containerID")]
    container_id: u32,
    #[serde(rename = "hostID")]
    host_id: u32,
    size: u32,
}

#[derive(Deserialize)]
struct GoState {
    sys_mgr: GoMgr,
    sys_fs: GoFs,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GoMgr {
    active: bool,
    id: String,
    config: Option<ConfigState>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GoFs {
    active: bool,
    pre_reg: bool,
    reg: bool,
    mountpoint: String,
}

impl Snapshot {
    /// Reads the state file of the Go runtime (sysbox-runc): its `sys_mgr` and `sys_fs`; everything else is left alone.
    ///
    /// That file does not tell whether the rootfs was cloned.
    ///
    /// # Errors
    /// [`RestoreError::Json`] when the two are not there or not readable.
    pub fn from_go_state(json: &str) -> Result<Self, RestoreError> {
        let GoState { sys_mgr, sys_fs } = serde_json::from_str(json)?;
        let mgr = MgrState {
            enabled: sys_mgr.active,
            stage: if sys_mgr.active { MgrStage::Registered } else { MgrStage::New },
            config: sys_mgr.config.unwrap_or_else(|| ConfigState::of(&ContainerConfig::default())),
            cloned_rootfs: None,
            cloned_rootfs_chowned: false,
        };
        let stage = match (sys_fs.pre_reg, sys_fs.reg) {
            (_, true) => FsStage::Registered,
            (true, false) => FsStage::PreRegistered,
            (false, false) => FsStage::New,
        };
        let mountpoint = Some(sys_fs.mountpoint).filter(|path| !path.is_empty());
        let fs = FsState { enabled: sys_fs.active, stage, mountpoint };
        Ok(Self { version: VERSION, id: sys_mgr.id, mgr, fs })
    }
}

impl Sysbox {
    /// The state of both facades.
    pub fn snapshot(&self) -> Snapshot {
        let stage = match self.mgr.stage {
            mgr::Stage::New => MgrStage::New,
            mgr::Stage::Registered => MgrStage::Registered,
            mgr::Stage::Unregistered => MgrStage::Unregistered,
        };
        let text = |path: &AbsPath| path.to_string();
        let mgr = MgrState {
            enabled: self.mgr.enabled(),
            stage,
            config: ConfigState::of(self.mgr.config()),
            cloned_rootfs: self.mgr.cloned_rootfs().map(text),
            cloned_rootfs_chowned: self.mgr.is_cloned_rootfs_chowned(),
        };
        let stage = match self.fs.stage {
            fs::Stage::New => FsStage::New,
            fs::Stage::PreRegistered => FsStage::PreRegistered,
            fs::Stage::Registered => FsStage::Registered,
        };
        let fs = FsState { enabled: self.fs.enabled(), stage, mountpoint: self.fs.mountpoint().map(text) };
        Snapshot { version: VERSION, id: self.id().to_string(), mgr, fs }
    }

    /// The facades as they were when the snapshot was taken, over these backends.
    ///
    /// A daemon that the container was made without stays disabled, whatever ports are given.
    ///
    /// # Errors
    /// [`RestoreError`] when the snapshot is of a later version, a field is not valid, or a backend is missing.
    pub fn restore(snapshot: &Snapshot, ports: Ports) -> Result<Self, RestoreError> {
        if snapshot.version != VERSION {
            return Err(RestoreError::Version { found: snapshot.version });
        }
        let id: ContainerId = snapshot.id.parse().map_err(|e| field("id", e))?;
        let Snapshot { mgr, fs, .. } = snapshot;
        let mgr_port = given("sysbox-mgr", mgr.enabled, ports.mgr)?;
        let fs_port = given("sysbox-fs", fs.enabled, ports.fs)?;
        Ok(Self {
            mgr: Mgr {
                port: mgr_port,
                config: mgr.config.read()?,
                stage: match mgr.stage {
                    MgrStage::New => mgr::Stage::New,
                    MgrStage::Registered => mgr::Stage::Registered,
                    MgrStage::Unregistered => mgr::Stage::Unregistered,
                },
                rootfs: match path("cloned_rootfs", mgr.cloned_rootfs.as_deref())? {
                    None => Rootfs::Given,
                    Some(path) if mgr.cloned_rootfs_chowned => Rootfs::ClonedAndChowned(path),
                    Some(path) => Rootfs::Cloned(path),
                },
                id: id.clone(),
            },
            fs: Fs {
                seccomp: ports.seccomp.filter(|_| fs.enabled),
                port: fs_port,
                stage: match fs.stage {
                    FsStage::New => fs::Stage::New,
                    FsStage::PreRegistered => fs::Stage::PreRegistered,
                    FsStage::Registered => fs::Stage::Registered,
                },
                mountpoint: path("mountpoint", fs.mountpoint.as_deref())?,
                id,
            },
        })
    }
}

impl ConfigState {
    fn of(config: &ContainerConfig) -> Self {
        Self {
            alias_dns: config.alias_dns,
            shiftfs_ok: config.shiftfs_ok,
            shiftfs_on_overlayfs_ok: config.shiftfs_on_overlayfs_ok,
            idmap_mount_ok: config.idmap_mount_ok,
            overlayfs_on_idmap_mount_ok: config.overlayfs_on_idmap_mount_ok,
            no_rootfs_cloning: config.no_rootfs_cloning,
            ignore_sysfs_chown: config.ignore_sysfs_chown,
            allow_trusted_xattr: config.allow_trusted_xattr,
            honor_caps: config.honor_caps,
            syscont_mode: config.syscont_mode,
            fsuid_map_fail_on_err: config.fsuid_map_fail_on_err,
            no_shiftfs_on_fuse: config.no_shiftfs_on_fuse,
            relaxed_read_only: config.relaxed_read_only,
            userns: config.userns.as_ref().map(ToString::to_string).unwrap_or_default(),
            uid_mappings: MappingState::of(&config.uid_mappings),
            gid_mappings: MappingState::of(&config.gid_mappings),
            rootfs_uid_shift_type: config.rootfs_shift.number(),
        }
    }

    fn read(&self) -> Result<ContainerConfig, RestoreError> {
        let shift = ShiftType::try_from(self.rootfs_uid_shift_type);
        Ok(ContainerConfig {
            alias_dns: self.alias_dns,
            shiftfs_ok: self.shiftfs_ok,
            shiftfs_on_overlayfs_ok: self.shiftfs_on_overlayfs_ok,
            idmap_mount_ok: self.idmap_mount_ok,
            overlayfs_on_idmap_mount_ok: self.overlayfs_on_idmap_mount_ok,
            no_rootfs_cloning: self.no_rootfs_cloning,
            ignore_sysfs_chown: self.ignore_sysfs_chown,
            allow_trusted_xattr: self.allow_trusted_xattr,
            honor_caps: self.honor_caps,
            syscont_mode: self.syscont_mode,
            fsuid_map_fail_on_err: self.fsuid_map_fail_on_err,
            no_shiftfs_on_fuse: self.no_shiftfs_on_fuse,
            relaxed_read_only: self.relaxed_read_only,
            userns: path("Userns", Some(self.userns.as_str()).filter(|path| !path.is_empty()))?,
            uid_mappings: MappingState::read("UidMappings", self.uid_mappings.as_deref())?,
            gid_mappings: MappingState::read("GidMappings", self.gid_mappings.as_deref())?,
            rootfs_shift: shift.map_err(|e| field("RootfsUidShiftType", e))?,
        })
    }
}

impl MappingState {
    fn of(mappings: &IdMappings) -> Option<Vec<Self>> {
        let extents: Vec<_> = mappings
            .as_slice()
            .iter()
            .map(|extent| Self {
                container_id: extent.container().first(),
                host_id: extent.host().first(),
                size: extent.size(),
            })
            .collect();
        (!extents.is_empty()).then_some(extents)
    }

    fn read(name: &'static str, extents: Option<&[Self]>) -> Result<IdMappings, RestoreError> {
        let extents: Result<Vec<_>, _> = extents
            .unwrap_or_default()
            .iter()
            .map(|extent| IdMapping::new(extent.container_id, extent.host_id, extent.size))
            .collect();
        IdMappings::new(extents.map_err(|e| field(name, e))?).map_err(|e| field(name, e))
    }
}

fn field(field: &'static str, source: impl std::error::Error + Send + Sync + 'static) -> RestoreError {
    RestoreError::Field { field, source: Box::new(source) }
}

fn path(name: &'static str, path: Option<&str>) -> Result<Option<AbsPath>, RestoreError> {
    path.map(|path| AbsPath::new(path).map_err(|e| field(name, e))).transpose()
}

fn given<P>(daemon: &'static str, needed: bool, port: Option<P>) -> Result<Option<P>, RestoreError> {
    match (needed, port) {
        (true, None) => Err(RestoreError::NoBackend { daemon }),
        (needed, port) => Ok(port.filter(|_| needed)),
    }
}
