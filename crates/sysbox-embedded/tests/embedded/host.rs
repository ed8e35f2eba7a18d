//! A host that answers what the embedded manager asks.

use std::{fs, os::unix::fs::MetadataExt, sync::Arc};

use sysbox_core::{
    AbsPath, HostError, HostPort, MockHostPort,
    host::{NamespaceId, Support},
};

/// A host that can do everything, in its first boot. Its namespaces are those of the kernel.
pub(crate) fn host() -> Arc<dyn HostPort> {
    let mut host = MockHostPort::new();
    host.expect_sysctl().returning(|_| Ok(Some("first-boot".to_owned())));
    host.expect_kernel_release().returning(|| Ok("6.18.0".parse().expect("a release")));
    host.expect_probe().returning(|_| Ok(Support::Yes));
    host.expect_overlay_layers().returning(|_| Ok(None));
    host.expect_namespace().returning(namespace);
    Arc::new(host)
}

/// What a path names: its device and inode.
pub(crate) fn namespace(path: &AbsPath) -> Result<NamespaceId, HostError> {
    let file =
        fs::metadata(path).map_err(|error| HostError::new("find namespace", path.to_string(), error))?;
    Ok(NamespaceId { dev: file.dev(), ino: file.ino() })
}
