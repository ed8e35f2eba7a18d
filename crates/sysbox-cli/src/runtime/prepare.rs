//! From a bundle to what libcontainer can run: the calls to the daemons and the changes to a copy of the spec, in the
//! order of a system container's life.

use std::{num::NonZeroU32, path::PathBuf};

use anyhow::{Context, bail};
use oci_spec::runtime::Spec;
use sysbox::{
    AbsPath, IdMappings, IdRange, ShiftType, Sysbox,
    blocking::wait,
    linux::mappings_at,
    session::check_uid_shifting,
    shift::{Decision, Policy},
    syscont,
    tree::TreeIds,
};

use super::{
    Cgroup, PrivateMounts, Signals, binds,
    rootfs::{self, Rootfs},
};
use crate::{bundle::Bundle, container::Claim, timings::Timings, wire_up::Wiring};

const WRONG_IDS: &str = "the manager gave ids that a system container cannot have";

/// What a container is made from, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ground<'a> {
    pub(crate) bundle: &'a Bundle,
    pub(crate) policy: Policy,
    pub(crate) claim: &'a Claim,
    pub(crate) wiring: &'a Wiring,
    pub(crate) mounts: &'a PrivateMounts,
}

/// A container that is ready to be created.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The converted spec; `root.path` is where the rootfs is attached.
    pub(crate) spec: Spec,
    /// The host's ids of the container.
    pub(crate) ids: TreeIds,
    /// How ids are shifted.
    pub(crate) shift: Decision,
    /// Keeps the rootfs locked.
    _rootfs: Rootfs,
}

/// Gets ids for a registered container, decides the shift, and attaches rootfs and bind mounts.
pub(crate) fn prepare(
    sysbox: &mut Sysbox,
    ground: Ground<'_>,
    signals: &mut Signals,
    timings: &mut Timings,
) -> anyhow::Result<Prepared> {
    let Ground { bundle, policy, claim, wiring, mounts } = ground;
    let host = &*wiring.host;
    let mut spec = bundle.spec.clone();
    syscont::complete_namespaces(&mut spec, sysbox.mgr.config().userns.as_ref(), host)?;
    syscont::complete_dev(&mut spec)?;
    let ids = timings.step("allocate ids", || ids(sysbox, &spec))?;
    syscont::set_mappings(&mut spec, ids)?;
    let decided =
        timings.step("decide the shift", || check_uid_shifting(&sysbox.mgr, &spec, host, policy))?;
    let shift = Decision { rootfs: without_shiftfs(decided.rootfs), ..decided };
    tracing::info!(id = %claim.id, uids = %ids.uids, gids = %ids.gids, rootfs = %shift.rootfs, binds = %shift.bind_mounts);
    signals.check()?;

    let rootfs = rootfs::give(ground, ids, shift.rootfs, timings)?;
    signals.check()?;
    timings.step("attach bind mounts", || {
        binds::give(&mut spec, &bundle.dir, ids, shift.bind_mounts, host, mounts)
    })?;
    if let Some(root) = spec.root_mut() {
        root.set_path(rootfs.attached.clone().into());
    }
    let cgroup = Cgroup::of(&claim.id, &spec)?;
    if let Some(linux) = spec.linux_mut() {
        linux.set_cgroups_path(Some(PathBuf::from(cgroup.path())));
    }
    Ok(Prepared { spec, ids, shift, _rootfs: rootfs })
}

/// The host's ids of the container: those of the user namespace that it joins, else the manager's if it mandates any, else
/// the spec's, else new ones.
fn ids(sysbox: &Sysbox, spec: &Spec) -> anyhow::Result<TreeIds> {
    if let Some(userns) = syscont::userns(spec)? {
        return joined_ids(spec, &userns);
    }
    let config = sysbox.mgr.config();
    if !config.uid_mappings.is_empty() {
        return Ok(syscont::tree_ids(&config.uid_mappings, &config.gid_mappings)?);
    }
    let (uids, gids) = syscont::given_mappings(spec)?;
    if !uids.is_empty() {
        return Ok(syscont::tree_ids(&uids, &gids)?);
    }
    let size = NonZeroU32::new(syscont::DEFAULT_SIZE).context("a container has ids")?;
    let subids = wait(sysbox.mgr.req_subid(size))?;
    let range = |first| IdMappings::single(IdRange::new(first, size.get())?);
    let (uids, gids) = (range(subids.uid.0), range(subids.gid.0));
    // A manager is not taken at its word: ids that it gives keep the rules of those that a spec gives.
    syscont::tree_ids(&uids.context(WRONG_IDS)?, &gids.context(WRONG_IDS)?).context(WRONG_IDS)
}

/// The host's ids of a user namespace that a container is to join.
///
/// libcontainer maps nothing in a namespace that is there already, so what its maps say counts, whatever the spec says.
pub(super) fn joined_ids(spec: &Spec, userns: &AbsPath) -> anyhow::Result<TreeIds> {
    let (uids, gids) = mappings_at(userns)?;
    let ids = syscont::tree_ids(&uids, &gids)
        .with_context(|| format!("user namespace {userns} cannot be joined"))?;
    let (named_uids, named_gids) = syscont::given_mappings(spec)?;
    for (named, actual) in [(named_uids, uids), (named_gids, gids)] {
        if !named.is_empty() && named.merged() != actual.merged() {
            bail!("user namespace {userns} has other id mappings than the spec; leave them out of the spec");
        }
    }
    Ok(ids)
}

/// This runtime mounts no shiftfs, which kernels from 6.3 on no longer have: it chowns there.
fn without_shiftfs(shift: ShiftType) -> ShiftType {
    if shift == ShiftType::Shiftfs {
        tracing::info!("the rootfs is chowned where Sysbox would mount shiftfs");
        return ShiftType::Chown;
    }
    shift
}
