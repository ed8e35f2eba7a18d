//! Finding out what a host can do by doing it.
//!
//! Every probe works on what nobody else sees: detached mounts, or a mount namespace that ends with the probe's thread. So
//! nothing is left behind, even by a process that is killed. Only overlayfs and FUSE may be loaded as modules by being tried.

mod apparmor;
mod id_mapped;
mod kernel;
mod overlay;

use sysbox_core::{
    HostError, IdMappings, IdRange,
    host::{Feature, Support},
};

use crate::{LinuxHost, error::chain};

pub(crate) use id_mapped::IdMappedCache;

/// Answers [`HostPort::probe`](sysbox_core::HostPort::probe).
pub(crate) fn probe(host: &LinuxHost, feature: &Feature) -> Result<Support, HostError> {
    match feature {
        Feature::IdMappedMount(path) => id_mapped::mount(host, path.as_path()),
        Feature::IdMappedRootfs(path) => id_mapped::rootfs(host, path),
        Feature::OverlayOnIdMapped => overlay::on_id_mapped(),
        Feature::OverlayMetacopy => overlay::metacopy(),
        Feature::UserNamespaces => kernel::user_namespaces(),
        Feature::SeccompNotify => Ok(kernel::seccomp_notify()),
        Feature::Fuse => kernel::fuse(host),
        Feature::Shiftfs => kernel::shiftfs(host),
        Feature::AppArmorUserns => apparmor::user_namespaces(host),
        Feature::AppArmorFusermount3 => apparmor::fusermount3(host),
    }
}

/// The host's id of the container's root in [`probe_mapping`], far from those of accounts and containers.
const PROBE_ROOT: u32 = 0x7fff_0000;

/// A mapping that is good for a probe and nothing else: root alone.
#[expect(clippy::expect_used, reason = "the numbers stand here")]
fn probe_mapping() -> IdMappings {
    let host = IdRange::new(PROBE_ROOT, 1).expect("one id, below the greatest");
    IdMappings::single(host).expect("as many ids inside as on the host")
}

/// The answer no, with what went wrong and what mends it.
fn no(error: &dyn std::error::Error, cure: &str) -> Support {
    Support::No { reason: chain(error), cure: Some(cure.to_owned()) }
}
