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
    Cgroup, PrivateMounts, Signals, binds, clone,
    rootfs::{self, Rootfs},
    special,
};
use crate::{
    bundle::Bundle,
    container::{Claim, Record},
    timings::Timings,
    wire_up::Wiring,
};

const WRONG_IDS: &str = "the manager gave ids that a system container cannot have";

/// What a container is made from, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ground<'a> {
    pub(crate) bundle: &'a Bundle,
    pub(crate) policy: Policy,
    pub(crate) claim: &'a Claim,
    pub(crate) wiring: &'a Wiring,
    pub(crate) mounts: &'a PrivateMounts,
    /// Whether special directories of the rootfs get volumes.
    pub(crate) with_volumes: bool,
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
    record: &mut Record,
    signals: &mut Signals,
    timings: &mut Timings,
) -> anyhow::Result<Prepared> {
    let Ground { bundle, policy, claim, wiring, mounts, .. } = ground;
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

    let rootfs = give_rootfs(sysbox, ground, record, &mut spec, ids, shift.rootfs, timings)?;
    signals.check()?;
    timings.step("attach bind mounts", || {
        binds::give(&mut spec, &bundle.dir, ids, shift.bind_mounts, host, mounts)
    })?;
    let cgroup = Cgroup::of(&claim.id, &spec)?;
    if let Some(linux) = spec.linux_mut() {
        linux.set_cgroups_path(Some(PathBuf::from(cgroup.path())));
    }
    Ok(Prepared { spec, ids, shift, _rootfs: rootfs })
}

/// Makes the owners in the rootfs right for these ids, gives it volumes, and attaches it where the spec says from then on.
fn give_rootfs(
    sysbox: &mut Sysbox,
    ground: Ground<'_>,
    record: &mut Record,
    spec: &mut Spec,
    ids: TreeIds,
    shift: ShiftType,
    timings: &mut Timings,
) -> anyhow::Result<Rootfs> {
    let Ground { bundle, claim, wiring, mounts, .. } = ground;
    let rootfs = &bundle.rootfs;
    let wants_clone = clone::is_wanted(sysbox, rootfs, shift, &wiring.host)?;
    let chowned_to = (shift == ShiftType::Chown && !wants_clone).then_some(ids);
    let taken = rootfs::take(ground, shift, chowned_to, timings)?;
    let mut clone = None;
    if wants_clone {
        clone = timings.step("clone the rootfs", || clone::make(sysbox, claim, record))?;
    }
    if ground.with_volumes {
        // Of the rootfs as it was made: a volume has owners of its own.
        timings.step("request volumes", || {
            special::prepare_sources(sysbox, spec, &bundle.dir, ids)?;
            special::add_volumes(sysbox, spec, rootfs, shift)
        })?;
        tracing::debug!(id = %claim.id, "the manager's entries for the rootfs (ReqFsState) are not asked for");
    }
    if clone.is_some()
        && !timings.step("chown the clone", || clone::chown(sysbox, claim, record, rootfs, ids))?
    {
        clone = None;
    }
    if clone.is_none() && shift == ShiftType::Chown {
        rootfs::chown(ground, ids, timings)?;
    }
    wiring.managers_bar.clear();
    let tree = clone.as_ref().unwrap_or(rootfs);
    let attached = timings.step("attach the rootfs", || rootfs::attach(mounts, tree, ids, shift))?;
    if let Some(root) = spec.root_mut() {
        root.set_path(attached.into());
    }
    Ok(taken)
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
