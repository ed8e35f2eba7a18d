//! The host as anybody can ask it.

use sysbox::{
    AbsPath, HostError, HostPort, IdMappings, Owner,
    host::{Feature, FileSystem, KernelRelease, NamespaceId, OsRelease, OverlayLayers, Support},
    linux::LinuxHost,
    tree::TreeRecord,
};

/// This host, without what takes root to be asked. That is about how ids are shifted, which no spec tells.
#[derive(Debug, Default)]
pub(super) struct PreviewHost(LinuxHost);

impl HostPort for PreviewHost {
    fn tree_record(&self, _: &AbsPath) -> Result<Option<TreeRecord>, HostError> {
        Ok(None)
    }

    fn probe(&self, _: &Feature) -> Result<Support, HostError> {
        Ok(Support::no("nothing is tried for a preview"))
    }

    fn kernel_release(&self) -> Result<KernelRelease, HostError> {
        self.0.kernel_release()
    }

    fn os_release(&self) -> Result<OsRelease, HostError> {
        self.0.os_release()
    }

    fn sysctl(&self, name: &str) -> Result<Option<String>, HostError> {
        self.0.sysctl(name)
    }

    fn file_system(&self, path: &AbsPath) -> Result<FileSystem, HostError> {
        self.0.file_system(path)
    }

    fn overlay_layers(&self, path: &AbsPath) -> Result<Option<OverlayLayers>, HostError> {
        self.0.overlay_layers(path)
    }

    fn owner(&self, path: &AbsPath) -> Result<Owner, HostError> {
        self.0.owner(path)
    }

    fn namespace(&self, path: &AbsPath) -> Result<NamespaceId, HostError> {
        self.0.namespace(path)
    }

    fn id_mappings(&self, userns: &AbsPath) -> Result<(IdMappings, IdMappings), HostError> {
        self.0.id_mappings(userns)
    }

    fn rootfs_file(&self, rootfs: &AbsPath, path: &AbsPath) -> Result<Option<Vec<u8>>, HostError> {
        self.0.rootfs_file(rootfs, path)
    }

    fn rootfs_has_directory(&self, rootfs: &AbsPath, path: &AbsPath) -> Result<bool, HostError> {
        self.0.rootfs_has_directory(rootfs, path)
    }
}
