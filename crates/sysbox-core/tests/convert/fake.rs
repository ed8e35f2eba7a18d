//! A host, a manager and an fs daemon that answer what they are built with and count what they are asked, and a conversion with them.
//!
//! The bench and the fuzz target include this file too.

use std::{
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use oci_spec::runtime::Spec;
use pollster::block_on;
use sysbox_core::{
    AbsPath, ContainerConfig, ContainerData, ContainerId, Conversion, ConvertError, Converted, FsEntry,
    FsPort, FsStateRequest, HostError, HostGid, HostPort, HostUid, IdMappings, IdOffsets, IdRange, MgrPort,
    Mount, MountRequests, MountsToPrepare, Owner, PortError, Registration, ShiftfsMark, ShiftfsMarks,
    SubidRequest, Subids, Sysbox, Update,
    host::{Feature, FileSystem, KernelRelease, NamespaceId, OsRelease, OverlayLayers, Support},
    session::Ports,
    tree::TreeRecord,
};

/// Where a clone of the rootfs is mounted.
pub(crate) const CLONE: &str = "/var/lib/sysbox/rootfs/c1/top/merged";

/// Where sysbox-fs is mounted.
pub(crate) const EMULATED: &str = "/var/lib/sysboxfs";

/// The last capability of the fake kernel, CAP_CHECKPOINT_RESTORE.
pub(crate) const CAP_LAST_CAP: &str = "40";

/// Everything around a conversion.
#[derive(Clone, Debug)]
pub(crate) struct World {
    /// What the manager mandates.
    pub(crate) config: ContainerConfig,
    /// Whether there is a manager.
    pub(crate) mgr: bool,
    /// Whether there is an fs daemon.
    pub(crate) fs: bool,
    /// Whether rootfs are overlays, of which a clone can be made.
    pub(crate) overlay: bool,
    /// Paths that name the host's network, besides those of its processes.
    pub(crate) networks_of_host: Vec<AbsPath>,
    /// How the spec is converted.
    pub(crate) conversion: Conversion,
    /// How often a daemon was asked for something for a container that is registered.
    pub(crate) asked: Arc<AtomicUsize>,
}

impl World {
    /// A host with both daemons, whose manager mandates `config`.
    pub(crate) fn new(config: ContainerConfig) -> Self {
        let conversion =
            Conversion { seccomp_listener: Some(path("/run/sysbox/seccomp.sock")), ..Conversion::default() };
        Self {
            config,
            mgr: true,
            fs: true,
            overlay: true,
            networks_of_host: Vec::new(),
            conversion,
            asked: Arc::default(),
        }
    }

    /// Converts a spec of a container that is registered.
    pub(crate) fn convert(&self, spec: Spec) -> Result<Converted, ConvertError> {
        self.convert_in(self.sysbox(), spec)
    }

    /// Converts a spec of this container.
    pub(crate) fn convert_in(&self, mut sysbox: Sysbox, spec: Spec) -> Result<Converted, ConvertError> {
        let host = Host { overlay: self.overlay, networks: &self.networks_of_host };
        block_on(sysbox.convert_spec(spec, &host, &self.conversion))
    }

    /// A container that is registered where there is a manager.
    pub(crate) fn sysbox(&self) -> Sysbox {
        let mgr: Arc<dyn MgrPort> =
            Arc::new(Manager { config: self.config.clone(), asked: Arc::clone(&self.asked) });
        let fs: Arc<dyn FsPort> = Arc::new(Daemon { asked: Arc::clone(&self.asked) });
        let ports = Ports { mgr: self.mgr.then_some(mgr), fs: self.fs.then_some(fs), seccomp: None };
        let mut sysbox = Sysbox::new("c1".parse().expect("valid"), ports);
        if self.mgr {
            let any = serde_json::from_str(r#"{"ociVersion":"1.0.2","root":{"path":"/r"}}"#).expect("a spec");
            block_on(sysbox.mgr.register(&any)).expect("it takes everybody");
        }
        sysbox
    }
}

/// A path that is known to be one.
pub(crate) fn path(path: &str) -> AbsPath {
    AbsPath::new(path).expect("absolute")
}

#[derive(Debug)]
struct Host<'a> {
    overlay: bool,
    networks: &'a [AbsPath],
}

impl HostPort for Host<'_> {
    fn kernel_release(&self) -> Result<KernelRelease, HostError> {
        "6.8.0".parse().map_err(|e| HostError::new("read", "release", e))
    }

    fn os_release(&self) -> Result<OsRelease, HostError> {
        "ID=debian".parse().map_err(|e| HostError::new("read", "os-release", e))
    }

    fn sysctl(&self, name: &str) -> Result<Option<String>, HostError> {
        Ok((name == "kernel.cap_last_cap").then(|| CAP_LAST_CAP.to_owned()))
    }

    fn file_system(&self, _: &AbsPath) -> Result<FileSystem, HostError> {
        let kind = if self.overlay { "overlay" } else { "ext4" }.to_owned();
        Ok(FileSystem { kind, mount_point: path("/"), root: "/".into(), read_only: false })
    }

    fn overlay_layers(&self, mounted: &AbsPath) -> Result<Option<OverlayLayers>, HostError> {
        // A clone is an overlay that copies up owners alone.
        let options = if *mounted == path(CLONE) { vec!["metacopy=on".to_owned()] } else { Vec::new() };
        let layers = OverlayLayers { lower: Vec::new(), data: Vec::new(), upper: None, work: None, options };
        Ok(self.overlay.then_some(layers))
    }

    fn owner(&self, _: &AbsPath) -> Result<Owner, HostError> {
        Ok(Owner::new(0, 0))
    }

    fn namespace(&self, namespace: &AbsPath) -> Result<NamespaceId, HostError> {
        let of_processes_of_host = ["/proc/self/ns", "/proc/1/ns"];
        let is_of_host = self.networks.contains(namespace)
            || of_processes_of_host.iter().any(|folder| namespace.as_path().starts_with(folder));
        Ok(NamespaceId { dev: 4, ino: if is_of_host { 4_026_531_840 } else { 4_026_532_000 } })
    }

    fn id_mappings(&self, _: &AbsPath) -> Result<(IdMappings, IdMappings), HostError> {
        Ok((mappings(500_000), mappings(500_000)))
    }

    fn rootfs_file(&self, _: &AbsPath, _: &AbsPath) -> Result<Option<Vec<u8>>, HostError> {
        Ok(None)
    }

    fn rootfs_has_directory(&self, _: &AbsPath, _: &AbsPath) -> Result<bool, HostError> {
        Ok(false)
    }

    fn tree_record(&self, _: &AbsPath) -> Result<Option<TreeRecord>, HostError> {
        Ok(None)
    }

    fn probe(&self, _: &Feature) -> Result<Support, HostError> {
        Ok(Support::no("a fake has no kernel"))
    }
}

/// The mapping of a container whose ids of the host begin there.
pub(crate) fn mappings(first: u32) -> IdMappings {
    IdRange::new(first, 65_536).and_then(IdMappings::single).expect("valid")
}

#[derive(Debug)]
struct Manager {
    config: ContainerConfig,
    asked: Arc<AtomicUsize>,
}

impl Manager {
    fn count(&self) {
        self.asked.fetch_add(1, Relaxed);
    }
}

#[async_trait::async_trait]
impl MgrPort for Manager {
    async fn register(&self, _: &Registration) -> Result<ContainerConfig, PortError> {
        Ok(self.config.clone())
    }

    async fn update(&self, _: &Update) -> Result<(), PortError> {
        Ok(())
    }

    async fn unregister(&self, _: &ContainerId) -> Result<(), PortError> {
        Ok(())
    }

    async fn remove(&self, _: &ContainerId) -> Result<(), PortError> {
        Ok(())
    }

    async fn alloc_subids(&self, _: &SubidRequest) -> Result<Subids, PortError> {
        self.count();
        Ok(Subids { uid: HostUid(231_072), gid: HostGid(296_608) })
    }

    async fn prep_mounts(&self, _: &MountsToPrepare) -> Result<(), PortError> {
        self.count();
        Ok(())
    }

    /// What sysbox-mgr answers: a directory of its own for each wish, and the headers of the host's kernel.
    async fn req_mounts(&self, request: &MountRequests) -> Result<Vec<Mount>, PortError> {
        self.count();
        let mount = |source: String, destination: AbsPath, options: &[&str]| Mount {
            source,
            destination,
            kind: "bind".to_owned(),
            options: options.iter().map(|&option| option.to_owned()).collect(),
        };
        let own = request.mounts.iter().map(|wish| {
            let source = format!("/var/lib/sysbox/{}/{}", wish.kind, request.id);
            mount(source, wish.destination.clone(), &["rbind", "rprivate"])
        });
        let headers = "/usr/src/linux-headers-6.8.0";
        let headers = mount(headers.to_owned(), path(headers), &["ro", "rbind", "rprivate"]);
        Ok(own.chain([headers]).collect())
    }

    async fn req_shiftfs_mark(&self, _: &ShiftfsMarks) -> Result<Vec<ShiftfsMark>, PortError> {
        self.count();
        Ok(Vec::new())
    }

    async fn req_fs_state(&self, _: &FsStateRequest) -> Result<Vec<FsEntry>, PortError> {
        self.count();
        Ok(Vec::new())
    }

    async fn pause(&self, _: &ContainerId) -> Result<(), PortError> {
        Ok(())
    }

    async fn resume(&self, _: &ContainerId) -> Result<(), PortError> {
        Ok(())
    }

    async fn clone_rootfs(&self, _: &ContainerId) -> Result<AbsPath, PortError> {
        self.count();
        Ok(path(CLONE))
    }

    async fn chown_cloned_rootfs(&self, _: &ContainerId, _: IdOffsets) -> Result<(), PortError> {
        self.count();
        Ok(())
    }

    async fn revert_cloned_rootfs_chown(&self, _: &ContainerId) -> Result<(), PortError> {
        self.count();
        Ok(())
    }
}

#[derive(Debug)]
struct Daemon {
    asked: Arc<AtomicUsize>,
}

#[async_trait::async_trait]
impl FsPort for Daemon {
    async fn mountpoint(&self) -> Result<AbsPath, PortError> {
        self.asked.fetch_add(1, Relaxed);
        Ok(path(EMULATED))
    }

    async fn pre_register(&self, _: &ContainerData) -> Result<(), PortError> {
        Ok(())
    }

    async fn register(&self, _: &ContainerData) -> Result<(), PortError> {
        Ok(())
    }

    async fn update(&self, _: &ContainerData) -> Result<(), PortError> {
        Ok(())
    }

    async fn unregister(&self, _: &ContainerData) -> Result<(), PortError> {
        Ok(())
    }
}
