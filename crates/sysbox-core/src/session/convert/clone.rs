//! Step 5: a clone of a rootfs on overlayfs by the manager, whose owners are shifted without copying any file up.
//!
//! It only saves time and room, so where the manager cannot make one the rootfs is chowned itself.

use super::{ConvertError, Converting};
use crate::{AbsPath, ShiftType, session::Mgr};

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
            Ok(_) => {
                mgr.forget_clone();
                return Ok(None);
            }
            Err(error) if error.is_refusal() => {
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
        Ok(layers.is_some_and(|layers| layers.copies_up_whole_files()))
    }

    fn is_overlay(&self, path: &AbsPath) -> Result<bool, ConvertError> {
        Ok(self.host.overlay_layers(path).map_err(|error| self.not_of_host(error))?.is_some())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pollster::block_on;

    use crate::{
        AbsPath, ContainerConfig, Conversion, HostUid, MockHostPort, MockMgrPort, Owner, Subids, Sysbox,
        host::{FileSystem, NamespaceId, OverlayLayers},
        session::{Ports, SpecialDirectories},
        shift::Policy,
    };

    fn path(path: &str) -> AbsPath {
        AbsPath::new(path).expect("absolute")
    }

    /// A host on which the rootfs `/r` is an overlay, and so are clones where these are seen.
    fn host(sees_clones: bool) -> MockHostPort {
        let mut host = MockHostPort::new();
        host.expect_sysctl().returning(|_| Ok(Some("40".to_owned())));
        host.expect_tree_record().returning(|_| Ok(None));
        host.expect_owner().returning(|_| Ok(Owner::new(0, 0)));
        host.expect_namespace().returning(|_| Ok(NamespaceId { dev: 4, ino: 1 }));
        host.expect_file_system().returning(|_| {
            let (kind, root) = ("overlay".to_owned(), "/".into());
            Ok(FileSystem { kind, mount_point: path("/r"), root, read_only: false })
        });
        host.expect_overlay_layers().returning(move |place| {
            let (lower, data, options) = (Vec::new(), Vec::new(), Vec::new());
            let layers = OverlayLayers { lower, data, upper: None, work: None, options };
            Ok((sees_clones || *place == path("/r")).then_some(layers))
        });
        host
    }

    fn convert(host: &MockHostPort) -> (Sysbox, Option<AbsPath>) {
        let mut mgr = MockMgrPort::new();
        mgr.expect_register().returning(|_| Ok(ContainerConfig::default()));
        let ids = Subids { uid: HostUid(300_000), gid: crate::HostGid(300_000) };
        mgr.expect_alloc_subids().returning(move |_| Ok(ids));
        mgr.expect_clone_rootfs().times(1).returning(|_| Ok(path("/clone")));
        let spec = serde_json::json!({
            "ociVersion": "1.0.2", "root": { "path": "/r" },
            "linux": { "namespaces": [
                { "type": "pid" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" }, { "type": "network" }
            ] },
        });
        let spec: oci_spec::runtime::Spec = serde_json::from_value(spec).expect("a spec");
        let ports = Ports { mgr: Some(Arc::new(mgr)), ..Ports::default() };
        let mut sysbox = Sysbox::new("c1".parse().expect("valid"), ports);
        block_on(sysbox.mgr.register(&spec)).expect("registered");
        let special_directories = SpecialDirectories::Left;
        let conversion =
            Conversion { policy: Policy::Reference, special_directories, ..Conversion::default() };
        let clone = block_on(sysbox.convert_spec(spec, host, &conversion)).expect("converted").clone;
        (sysbox, clone)
    }

    #[test]
    fn a_rootfs_is_cloned_for_the_facade_too_only_where_the_clone_is_used() {
        for (sees_clones, used) in [(true, Some(path("/clone"))), (false, None)] {
            let (sysbox, clone) = convert(&host(sees_clones));
            assert_eq!((clone.as_ref(), sysbox.mgr.cloned_rootfs()), (used.as_ref(), used.as_ref()));
            assert_eq!(sysbox.mgr.is_rootfs_cloned(), used.is_some());
        }
    }
}
