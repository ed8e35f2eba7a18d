//! Sources of bind mounts: each is mounted at a private place first, ID-mapped where that is decided and can be.
//!
//! libcontainer takes no ID-mapped mounts, and a source may be in a directory that the container's ids cannot walk through;
//! from the private place it is a plain bind mount.

use std::path::Path;

use anyhow::Context;
use oci_spec::runtime::Mount;
use sysbox::{
    AbsPath, Converted, HostPort, IdMappings, ShiftType,
    host::Feature,
    linux::{LinuxHost, UserNamespace, idmap},
    syscont::mounts::is_bind,
    tree::TreeIds,
};

use super::mounts::{PrivateMounts, Submounts, bind};

/// Mounts every source of a bind mount of a converted spec at a private place, and puts that place into the spec.
pub(super) fn give(
    converted: &mut Converted,
    host: &LinuxHost,
    mounts: &PrivateMounts,
) -> anyhow::Result<()> {
    let Converted { spec, ids, shift, skip_uid_shift, .. } = converted;
    let mut userns = None;
    let all = spec.mounts_mut().iter_mut().flatten();
    for mount in all.filter(|mount| is_bind(mount)) {
        let source = AbsPath::new(mount.source().clone().unwrap_or_default())
            .with_context(|| format!("the source of the bind mount at {:?}", mount.destination()))?;
        let target = mounts.make_target_for(source.as_path())?;
        let submounts = if has_option(mount, "rbind") { Submounts::Taken } else { Submounts::Left };
        let is_skipped = skip_uid_shift.iter().any(|path| mount.destination().starts_with(path));
        let shift = if is_skipped { ShiftType::NoShift } else { shift.bind_mounts };
        if !wants_idmap(&source, *ids, shift, host)?
            || !attach_idmapped(&source, &target, submounts, *ids, &mut userns)?
        {
            bind(&source, &target, submounts)?;
        }
        mount.set_source(Some(target.into()));
    }
    Ok(())
}

/// Whether a mount of a spec has an option, to the letter.
fn has_option(mount: &Mount, option: &str) -> bool {
    mount.options().iter().flatten().any(|set| set == option)
}

/// Whether the files of a source are the host's, and its mount can be ID-mapped.
fn wants_idmap(source: &AbsPath, ids: TreeIds, shift: ShiftType, host: &LinuxHost) -> anyhow::Result<bool> {
    let decided = matches!(shift, ShiftType::IdMappedMount | ShiftType::IdMappedMountOrShiftfs);
    if !decided || is_device(source.as_path())? {
        return Ok(false);
    }
    let owner = host.owner(source)?;
    if ids.uids.contains(owner.uid.0) || ids.gids.contains(owner.gid.0) {
        return Ok(false);
    }
    Ok(host.probe(&Feature::IdMappedMount(source.clone()))?.is_yes())
}

fn is_device(path: &Path) -> anyhow::Result<bool> {
    use std::os::unix::fs::FileTypeExt;
    let kind = path.metadata().with_context(|| format!("cannot look at {}", path.display()))?.file_type();
    Ok(kind.is_char_device() || kind.is_block_device())
}

/// Mounts a source ID-mapped; `false` when something mounted below it cannot be.
fn attach_idmapped(
    source: &AbsPath,
    target: &AbsPath,
    submounts: Submounts,
    ids: TreeIds,
    userns: &mut Option<UserNamespace>,
) -> anyhow::Result<bool> {
    let userns = match userns {
        Some(userns) => userns,
        None => {
            userns.insert(UserNamespace::new(&IdMappings::single(ids.uids)?, &IdMappings::single(ids.gids)?)?)
        }
    };
    if submounts == Submounts::Left {
        idmap::attach(source, target, userns)?;
        return Ok(true);
    }
    match idmap::attach_recursive(source, target, userns) {
        Ok(()) => Ok(true),
        Err(error) => {
            tracing::warn!(%source, %error, "bind mount is not ID-mapped; its files belong to nobody inside");
            Ok(false)
        }
    }
}
