//! From a bundle to what libcontainer can run: the spec is converted, and what it names is made ready, in the order of a system
//! container's life.

use std::path::PathBuf;

use anyhow::Context;
use oci_spec::runtime::Spec;
use sysbox::{
    AbsPath, Conversion, ConvertError, Converted, ErrorKind, Operation, SessionError, ShiftType, Sysbox,
    blocking::wait,
    session::SpecialDirectories,
    shift::{Decision, Policy},
    tree::TreeIds,
};

use super::{
    Cgroup, PrivateMounts, Signals, binds, clone, fs_state, mount_points, quirks,
    rootfs::{self, Rootfs},
};
use crate::{
    bundle::Bundle,
    container::{Claim, Record},
    timings::Timings,
    wire_up::Wiring,
};

/// What a container is made from, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ground<'a> {
    pub(crate) bundle: &'a Bundle,
    pub(crate) policy: Policy,
    pub(crate) claim: &'a Claim,
    pub(crate) wiring: &'a Wiring,
    pub(crate) mounts: &'a PrivateMounts,
    /// Whether special directories get volumes.
    pub(crate) special_directories: SpecialDirectories,
    /// Where the descriptor of a seccomp filter is taken, if anybody takes it.
    pub(crate) seccomp_listener: Option<&'a AbsPath>,
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

/// Converts the spec of a registered container, and attaches its rootfs and bind mounts.
pub(crate) fn prepare(
    sysbox: &mut Sysbox,
    ground: Ground<'_>,
    record: &mut Record,
    signals: &mut Signals,
    timings: &mut Timings,
) -> anyhow::Result<Prepared> {
    let Ground { bundle, claim, wiring, mounts, .. } = ground;
    let taken = rootfs::take(ground, timings)?;
    clone::expect(sysbox, &bundle.rootfs, &wiring.host, claim, record)?;
    let mut converted = timings.step("convert the spec", || convert(sysbox, ground))?;
    converted.shift.rootfs = without_shiftfs(converted.shift.rootfs);
    let Converted { ids, shift, .. } = converted;
    tracing::info!(id = %claim.id, uids = %ids.uids, gids = %ids.gids, rootfs = %shift.rootfs, binds = %shift.bind_mounts);
    signals.check()?;

    let attached = give_rootfs(sysbox, ground, record, &mut converted, &taken, timings)?;
    signals.check()?;
    timings.step("attach bind mounts", || binds::give(&mut converted, &wiring.host, mounts))?;
    let mut spec = converted.spec;
    let cgroup = Cgroup::of(&claim.id, &spec)?;
    if let Some(linux) = spec.linux_mut() {
        linux.set_cgroups_path(Some(PathBuf::from(cgroup.path())));
    }
    if let Some(root) = spec.root_mut() {
        root.set_path(attached.into());
    }
    quirks::adapt(&mut spec);
    Ok(Prepared { spec, ids, shift, _rootfs: taken })
}

/// Converts a copy of the spec. That asks the manager for ids, a clone, and volumes.
fn convert(sysbox: &mut Sysbox, ground: Ground<'_>) -> anyhow::Result<Converted> {
    let Ground { bundle, policy, wiring, special_directories, seccomp_listener, .. } = ground;
    let seccomp_listener = seccomp_listener.cloned();
    let conversion = Conversion { policy, special_directories, seccomp_listener };
    let converted = wait(sysbox.convert_spec(bundle.spec.clone(), &*wiring.host, &conversion));
    let converted = converted.map_err(|error| {
        let is_refused = is_refusal_of_volumes(&error);
        let error = anyhow::Error::new(error);
        if is_refused { error.context("it gets no volumes; --no-volumes runs it without") } else { error }
    })?;
    converted.refusals.iter().for_each(clone::tell_refusal);
    for change in &converted.changes {
        tracing::debug!(field = %change.field, reason = change.reason, "changed for a system container");
    }
    Ok(converted)
}

/// Whether the manager has looked at it and says that it cannot have volumes as things are.
fn is_refusal_of_volumes(error: &ConvertError) -> bool {
    matches!(error, ConvertError::Session(SessionError::Call { operation: Operation::ReqMounts, source, .. })
        if source.kind == ErrorKind::FailedPrecondition)
}

/// Makes the owners in the rootfs right for its ids, attaches it, and gives where.
fn give_rootfs(
    sysbox: &mut Sysbox,
    ground: Ground<'_>,
    record: &mut Record,
    converted: &mut Converted,
    taken: &Rootfs,
    timings: &mut Timings,
) -> anyhow::Result<AbsPath> {
    let Ground { bundle, claim, wiring, mounts, .. } = ground;
    let (rootfs, ids, shift) = (&bundle.rootfs, converted.ids, converted.shift.rootfs);
    if shift == ShiftType::Chown {
        rootfs::take_alone(ground, taken)?;
    }
    timings.step("make mount points", || complete_rootfs(sysbox, ground, record, converted))?;
    let mut clone = converted.clone.as_ref();
    if clone.is_some()
        && !timings.step("chown the clone", || clone::chown(sysbox, claim, record, rootfs, ids))?
    {
        clone = None;
    }
    if clone.is_none() {
        clone::is_none(claim, record)?;
        if shift == ShiftType::Chown {
            rootfs::chown(ground, ids, timings)?;
        }
    }
    wiring.managers_bar.clear();
    let tree = clone.unwrap_or(rootfs);
    timings
        .step("attach the rootfs", || rootfs::attach(mounts, tree, ids, shift))
        .with_context(|| format!("cannot attach rootfs {tree}"))
}

/// Makes in the rootfs, or its clone, what it lacks, while that has the owners with which it was made.
fn complete_rootfs(
    sysbox: &Sysbox,
    ground: Ground<'_>,
    record: &mut Record,
    converted: &mut Converted,
) -> anyhow::Result<()> {
    let tree = mount_points::Tree::open(converted.clone.as_ref().unwrap_or(&ground.bundle.rootfs))?;
    mount_points::adopt(ground, record)?;
    fs_state::make(sysbox, ground, record, converted, &tree)?;
    mount_points::make(ground, record, converted, &tree)
}

/// This runtime mounts no shiftfs, which kernels from 6.3 on no longer have: it chowns there.
fn without_shiftfs(shift: ShiftType) -> ShiftType {
    if shift == ShiftType::Shiftfs {
        tracing::info!("the rootfs is chowned where Sysbox would mount shiftfs");
        return ShiftType::Chown;
    }
    shift
}
