//! The id mappings of a system container: one extent for users and one for groups, each from container id 0 on.

use std::num::NonZeroU32;

use oci_spec::runtime::{LinuxIdMapping, LinuxIdMappingBuilder, Spec};

use super::{Changes, SpecError};
use crate::{IdMapping, IdMappings, IdRange, Subids, tree::TreeIds};

/// How many ids a system container has unless it asks for others: what a whole distribution uses.
pub const DEFAULT_SIZE: u32 = 65_536;

/// The host's first id of a container that no manager gives ids to, as in Sysbox.
pub const DEFAULT_HOST_ID: u32 = 231_072;

const WHY: &str = "root inside is nobody outside: the container's ids are a range of the host's";
const UIDS: &str = "linux.uidMappings";
const GIDS: &str = "linux.gidMappings";
const HOSTS_ROOT: &str = "the host's id 0 cannot be mapped: the container's root would be the host's";

/// The user and group id mappings that a spec gives; empty where it gives none.
///
/// # Errors
/// [`SpecError`] when an extent is empty or overflows, two overlap, or there are too many.
pub fn given_mappings(spec: &Spec) -> Result<(IdMappings, IdMappings), SpecError> {
    let Some(linux) = spec.linux() else { return Ok(Default::default()) };
    Ok((read(UIDS, linux.uid_mappings().as_deref())?, read(GIDS, linux.gid_mappings().as_deref())?))
}

fn read(field: &'static str, extents: Option<&[LinuxIdMapping]>) -> Result<IdMappings, SpecError> {
    let extents = extents.unwrap_or_default();
    let checked: Result<Vec<_>, _> = extents
        .iter()
        .map(|extent| {
            IdMapping::new(extent.container_id(), extent.host_id(), extent.size())
                .map_err(|e| SpecError::new(field, shown(extent), e.to_string()))
        })
        .collect();
    IdMappings::new(checked?)
        .map_err(|e| SpecError::new(field, format!("a list of {} extents", extents.len()), e.to_string()))
}

fn shown(extent: &LinuxIdMapping) -> String {
    format!(
        "{{containerID: {}, hostID: {}, size: {}}}",
        extent.container_id(),
        extent.host_id(),
        extent.size()
    )
}

/// Checks that mappings are those of a system container, and gives the host's ids in them.
///
/// They must merge into one extent that starts at container id 0, maps at least 65536 ids and does not touch the host's
/// id 0. User and group ids of the host may differ.
///
/// # Errors
/// [`SpecError`] naming the field and the rule that is broken; one of the two lists missing is an error too.
pub fn tree_ids(uids: &IdMappings, gids: &IdMappings) -> Result<TreeIds, SpecError> {
    Ok(TreeIds { uids: single_extent(UIDS, uids)?, gids: single_extent(GIDS, gids)? })
}

fn single_extent(field: &'static str, mappings: &IdMappings) -> Result<IdRange, SpecError> {
    let merged = mappings.merged();
    let shown = || {
        let extents: Vec<_> = merged.as_slice().iter().map(ToString::to_string).collect();
        if extents.is_empty() { "empty".to_owned() } else { extents.join(", ") }
    };
    let &[extent] = merged.as_slice() else {
        return Err(SpecError::new(
            field,
            shown(),
            "a system container has one contiguous mapping of each kind",
        ));
    };
    let broken = if extent.container().first() != 0 {
        "the mapping of a system container starts at container id 0"
    } else if extent.host().contains(0) {
        HOSTS_ROOT
    } else if extent.size() < DEFAULT_SIZE {
        "a system container needs at least 65536 ids"
    } else {
        return Ok(extent.host());
    };
    Err(SpecError::new(field, shown(), broken))
}

/// The host's ids of a container that a manager gives `size` of each kind. It is not taken at its word: they keep the rules of
/// those that a spec gives.
///
/// # Errors
/// [`SpecError`] when ids are beyond the greatest, or are the host's root.
pub(crate) fn given_ids(first: Subids, size: NonZeroU32) -> Result<TreeIds, SpecError> {
    let range = |field: &'static str, first: u32| {
        let refused = |rule: String| SpecError::new(field, format!("0 -> {first}, size {size}"), rule);
        match IdRange::new(first, size.get()) {
            Ok(range) if range.contains(0) => Err(refused(HOSTS_ROOT.to_owned())),
            range => range.map_err(|error| refused(error.to_string())),
        }
    };
    Ok(TreeIds { uids: range(UIDS, first.uid.0)?, gids: range(GIDS, first.gid.0)? })
}

/// The host's ids that a spec gives a container in a user namespace of its own; none where it gives none or joins one.
///
/// # Errors
/// [`SpecError`] when they are not those of a system container ([`tree_ids`]), or are no mappings.
pub fn own_ids(spec: &Spec) -> Result<Option<TreeIds>, SpecError> {
    let (uids, gids) = given_mappings(spec)?;
    if uids.is_empty() && gids.is_empty() || super::userns(spec)?.is_some() {
        return Ok(None);
    }
    tree_ids(&uids, &gids).map(Some)
}

/// The host's ids of a container that its spec has join a user namespace with these mappings. Nothing is mapped in a namespace that is
/// there already, so they are what counts; what the spec says must be the same.
///
/// # Errors
/// [`SpecError`] when they are not those of a system container, or the spec has others.
pub fn joined_ids(spec: &Spec, uids: &IdMappings, gids: &IdMappings) -> Result<TreeIds, SpecError> {
    let ids = tree_ids(uids, gids)?;
    let (named_uids, named_gids) = given_mappings(spec)?;
    for (field, named, actual) in [(UIDS, named_uids, uids), (GIDS, named_gids, gids)] {
        if !named.is_empty() && named.merged() != actual.merged() {
            let rule = "the user namespace that it joins has others; leave them out of the spec";
            return Err(SpecError::new(field, format!("a list of {} extents", named.as_slice().len()), rule));
        }
    }
    Ok(ids)
}

/// Puts mappings into a spec, in place of those it has.
///
/// # Errors
/// [`SpecError`] when the spec has no `linux`.
pub fn set_mappings(spec: &mut Spec, ids: TreeIds, changes: &mut Changes) -> Result<(), SpecError> {
    super::check::linux(spec)?;
    let (uids, gids) = (vec![extent(UIDS, ids.uids)?], vec![extent(GIDS, ids.gids)?]);
    let Some(linux) = spec.linux_mut() else { return Ok(()) };
    if linux.uid_mappings().as_ref() != Some(&uids) {
        changes.note(UIDS, WHY);
        linux.set_uid_mappings(Some(uids));
    }
    if linux.gid_mappings().as_ref() != Some(&gids) {
        changes.note(GIDS, WHY);
        linux.set_gid_mappings(Some(gids));
    }
    Ok(())
}

fn extent(field: &'static str, host: IdRange) -> Result<LinuxIdMapping, SpecError> {
    LinuxIdMappingBuilder::default()
        .container_id(0u32)
        .host_id(host.first())
        .size(host.count())
        .build()
        .map_err(|e| SpecError::new(field, host.to_string(), e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mappings(extents: &[(u32, u32, u32)]) -> IdMappings {
        IdMappings::new(extents.iter().map(|&(c, h, n)| IdMapping::new(c, h, n).expect("valid")))
            .expect("valid")
    }

    fn rule(extents: &[(u32, u32, u32)]) -> String {
        let good = mappings(&[(0, 231_072, 65_536)]);
        tree_ids(&mappings(extents), &good).expect_err("not a system container's").rule
    }

    #[test]
    fn a_system_container_has_one_extent_from_0_on_of_65536_ids_without_the_hosts_root() {
        assert!(rule(&[(0, 0, 65_536)]).contains("host's id 0"));
        assert!(rule(&[(1, 231_072, 65_536)]).contains("starts at container id 0"));
        assert!(rule(&[(0, 231_072, 65_535)]).contains("at least 65536"));
        assert!(rule(&[(0, 231_072, 65_536), (65_536, 400_000, 1)]).contains("one contiguous"));
        assert!(rule(&[]).contains("one contiguous"));
    }

    #[test]
    fn contiguous_extents_count_as_one_and_group_ids_may_be_others() {
        let uids = mappings(&[(0, 231_072, 1000), (1000, 232_072, 64_536)]);
        let gids = mappings(&[(0, 500_000, 70_000)]);
        let ids = tree_ids(&uids, &gids).expect("a system container's");
        assert_eq!(
            (ids.uids, ids.gids),
            ("231072:65536".parse().expect("valid"), "500000:70000".parse().expect("valid"))
        );
    }

    #[test]
    fn broken_extents_of_a_spec_are_named_with_their_numbers() {
        let spec = |extents: &str| -> Spec {
            serde_json::from_str(&format!(
                r#"{{"ociVersion":"1.0.2","linux":{{"uidMappings":[{extents}]}}}}"#
            ))
            .expect("a spec")
        };
        for (extents, rule) in [
            (r#"{"containerID":0,"hostID":7,"size":0}"#, "size 0"),
            (r#"{"containerID":0,"hostID":4294967290,"size":10}"#, "goes beyond"),
            (r#"{"containerID":0,"hostID":7,"size":9},{"containerID":5,"hostID":100,"size":9}"#, "overlap"),
        ] {
            let error = given_mappings(&spec(extents)).expect_err(extents);
            assert_eq!(error.field, "linux.uidMappings");
            assert!(error.rule.contains(rule), "{error}");
        }
    }

    #[test]
    fn mappings_set_in_a_spec_are_read_back() {
        let mut spec: Spec = serde_json::from_str(r#"{"ociVersion":"1.0.2","linux":{}}"#).expect("a spec");
        let range: IdRange = "231072:65536".parse().expect("valid");
        let ids = TreeIds { uids: range, gids: range };
        set_mappings(&mut spec, ids, &mut Changes::default()).expect("has linux");
        let (uids, gids) = given_mappings(&spec).expect("valid");
        assert_eq!(tree_ids(&uids, &gids), Ok(ids));
    }
}
