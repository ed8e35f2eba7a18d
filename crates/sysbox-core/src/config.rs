//! What the manager mandates for a container.

use crate::{mapping::IdMappings, path::AbsPath, shift::ShiftType};

/// The answer to a registration: how the manager wants this container to be run.
///
/// The default is what a runtime assumes before it has asked: `alias_dns`, `allow_trusted_xattr` and `syscont_mode` on,
/// everything else off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerConfig {
    /// Give the container a DNS server alias where the engine put one on loopback.
    pub alias_dns: bool,
    /// The host has shiftfs.
    pub shiftfs_ok: bool,
    /// The host's shiftfs works on overlayfs.
    pub shiftfs_on_overlayfs_ok: bool,
    /// The host has ID-mapped mounts.
    pub idmap_mount_ok: bool,
    /// The host's overlayfs works on ID-mapped layers.
    pub overlayfs_on_idmap_mount_ok: bool,
    /// Never clone a rootfs that must be chowned.
    pub no_rootfs_cloning: bool,
    /// Let a chown of sysfs inside fail silently.
    pub ignore_sysfs_chown: bool,
    /// Let `trusted.overlay.*` extended attributes be set inside.
    pub allow_trusted_xattr: bool,
    /// Give the process the capabilities of the spec instead of all.
    pub honor_caps: bool,
    /// Convert the spec into that of a system container.
    pub syscont_mode: bool,
    /// Let calls fail whose caller has an fsuid without a mapping.
    pub fsuid_map_fail_on_err: bool,
    /// Do not use shiftfs on FUSE.
    pub no_shiftfs_on_fuse: bool,
    /// With a read-only rootfs, keep system-container mounts writable.
    pub relaxed_read_only: bool,
    /// The user namespace to join (one shared with another container), if any.
    pub userns: Option<AbsPath>,
    /// User id mappings to use (of a shared user namespace or of an earlier run), if any.
    pub uid_mappings: IdMappings,
    /// Group id mappings to use, if any.
    pub gid_mappings: IdMappings,
    /// How the rootfs was shifted in an earlier run; [`ShiftType::NoShift`] says nothing.
    pub rootfs_shift: ShiftType,
}

impl Default for ContainerConfig {
    fn default() -> Self {
        Self {
            alias_dns: true,
            allow_trusted_xattr: true,
            syscont_mode: true,
            shiftfs_ok: false,
            shiftfs_on_overlayfs_ok: false,
            idmap_mount_ok: false,
            overlayfs_on_idmap_mount_ok: false,
            no_rootfs_cloning: false,
            ignore_sysfs_chown: false,
            honor_caps: false,
            fsuid_map_fail_on_err: false,
            no_shiftfs_on_fuse: false,
            relaxed_read_only: false,
            userns: None,
            uid_mappings: IdMappings::default(),
            gid_mappings: IdMappings::default(),
            rootfs_shift: ShiftType::NoShift,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_dns_alias_trusted_xattr_and_system_container_mode_are_on_and_nothing_else() {
        let on =
            |config: &ContainerConfig| (config.alias_dns, config.allow_trusted_xattr, config.syscont_mode);
        let config = ContainerConfig::default();
        assert_eq!(on(&config), (true, true, true));
        let rest =
            ContainerConfig { alias_dns: false, allow_trusted_xattr: false, syscont_mode: false, ..config };
        assert!(!format!("{rest:?}").contains("true"));
        assert!(rest.userns.is_none() && rest.uid_mappings.is_empty() && rest.gid_mappings.is_empty());
    }
}
