//! Mounts that the manager answers with.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

use oci_spec::runtime::{Mount as SpecMount, Spec};

use super::{
    list::{field, leads_up},
    mark::Marks,
    places::can_be_given,
    read_only::Access,
};
use crate::{
    AbsPath, Mount, MountKind,
    syscont::{Changes, SpecError},
};

const GIVEN: &str = "the manager keeps for the container what is there";

/// Adds the mounts that the manager gave, save where the spec mounts something itself, or a conversion may. In a read-only rootfs they
/// are read-only, unless the manager is relaxed about it. Those of an earlier conversion at these special directories go if the
/// manager does not give them again; elsewhere they are the spec's own then.
///
/// # Errors
/// [`SpecError`] of a mount that is given for `/` or by a path with `..`.
pub fn add_of_manager(
    spec: &mut Spec,
    mut given: Vec<Mount>,
    directories: &[(MountKind, AbsPath)],
    relaxed: bool,
    changes: &mut Changes,
) -> Result<(), SpecError> {
    given.iter().try_for_each(|mount| check(mount.destination.as_path()))?;
    given.retain(|mount| can_be_given(mount.destination.as_path()));
    let access = Access::of_rootfs(spec, relaxed);
    let special = directories.iter().map(|(_, directory)| directory.as_path());
    let places: HashSet<&Path> =
        given.iter().map(|mount| mount.destination.as_path()).chain(special).collect();
    let earlier = Marks::read(spec, |place| places.contains(place));
    if given.is_empty() && earlier.is_empty() {
        return Ok(());
    }
    let mounts = spec.mounts_mut().get_or_insert_default();
    let of_manager = without_those_of_spec(given, mounts, &earlier, access);
    let marks = Marks::of(&of_manager);
    replace(mounts, of_manager, &earlier, changes);
    marks.write(spec, changes);
    Ok(())
}

fn check(destination: &Path) -> Result<(), SpecError> {
    let rule = if destination == Path::new("/") {
        "nothing may be mounted over the rootfs"
    } else if leads_up(destination) {
        "a mount is at the place that its path names, without `..`"
    } else {
        return Ok(());
    };
    Err(SpecError::new(field(destination), "given by the manager", rule))
}

/// What the manager gives for places where the spec mounts nothing itself, once for each place.
fn without_those_of_spec(
    given: Vec<Mount>,
    mounts: &[SpecMount],
    earlier: &Marks,
    access: Access,
) -> Vec<SpecMount> {
    let of_spec = mounts.iter().filter(|mount| !earlier.has(mount));
    let of_spec: HashSet<&Path> = of_spec.map(|mount| mount.destination().as_path()).collect();
    let mut taken: HashSet<PathBuf> = HashSet::new();
    let mut of_manager: Vec<SpecMount> = given.into_iter().map(|mount| for_spec(mount, access)).collect();
    of_manager.retain(|mount| {
        let destination = mount.destination();
        !of_spec.contains(destination.as_path()) && taken.insert(destination.clone())
    });
    of_manager
}

/// Puts the mounts of the manager into the places of those of an earlier conversion, or behind all others.
fn replace(mounts: &mut Vec<SpecMount>, of_manager: Vec<SpecMount>, earlier: &Marks, changes: &mut Changes) {
    let destination = |mount: &SpecMount| mount.destination().clone();
    let mut missing: HashMap<PathBuf, usize> =
        of_manager.iter().enumerate().map(|(n, mount)| (destination(mount), n)).collect();
    mounts.retain_mut(|mount| {
        if !earlier.has(mount) {
            return true;
        }
        let again = missing.remove(mount.destination()).and_then(|n| of_manager.get(n));
        match again {
            Some(again) if again == mount => return true,
            Some(again) => {
                again.clone_into(mount);
                changes.note(field(mount.destination()), GIVEN);
            }
            None => {
                changes.note(field(mount.destination()), "the manager gave it once, and does not any more")
            }
        }
        again.is_some()
    });
    for mount in of_manager.into_iter().filter(|mount| missing.contains_key(mount.destination())) {
        changes.note(field(mount.destination()), GIVEN);
        mounts.push(mount);
    }
}

/// A mount that the manager gives, for a spec.
fn for_spec(mount: Mount, access: Access) -> SpecMount {
    let Mount { source, destination, kind, options } = mount;
    let mut mount = SpecMount::default();
    mount
        .set_destination(destination.into())
        .set_typ(Some(kind))
        .set_source(Some(source.into()))
        .set_options(Some(options));
    access.give_to_mount_of_manager(&mut mount);
    mount
}

#[cfg(test)]
mod tests;
