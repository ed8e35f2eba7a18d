//! Gathers the facts for the shift decision. Go: `CheckUidShifting`.

use oci_spec::runtime::Spec;

use super::Mgr;
use crate::{
    HostError, HostGid, HostPort, HostUid, IdMappings,
    host::Feature,
    shift::{Decision, Facts, Policy, decide},
    syscont::{self, SpecError},
};

/// The facts for the shift decision could not be gathered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShiftingError {
    /// The spec has no root directory, or no mapping of container id 0.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The host could not be asked.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// Decides how the rootfs and the bind mounts of a container are to be shifted.
///
/// The owner of the rootfs is the one that is on record with it, where a shift was recorded; so a rootfs whose shift was not
/// undone is not taken for one that never needed it. `spec` is the one with the container's id mappings in it.
///
/// # Errors
/// [`ShiftingError`] when the spec lacks what is needed or the host cannot be asked.
#[doc(alias = "CheckUidShifting")]
pub fn check_uid_shifting(
    mgr: &Mgr,
    spec: &Spec,
    host: &dyn HostPort,
    policy: Policy,
) -> Result<Decision, ShiftingError> {
    let rootfs = syscont::rootfs(spec)?;
    let (uids, gids) = syscont::given_mappings(spec)?;
    let rootfs_owner = match host.tree_record(&rootfs)? {
        Some(record) => record.from,
        None => host.owner(&rootfs)?,
    };
    let config = mgr.config();
    let mut facts = Facts {
        previous: config.rootfs_shift,
        rootfs_owner,
        root_uid: HostUid(host_id_of_root("linux.uidMappings", &uids)?),
        root_gid: HostGid(host_id_of_root("linux.gidMappings", &gids)?),
        rootfs_on_overlayfs: host.file_system(&rootfs)?.is_overlay(),
        rootfs_can_be_idmapped: false,
        idmap_mount_ok: config.idmap_mount_ok,
        overlayfs_on_idmap_mount_ok: config.overlayfs_on_idmap_mount_ok,
        shiftfs_ok: config.shiftfs_ok,
        shiftfs_on_overlayfs_ok: config.shiftfs_on_overlayfs_ok,
    };
    // Only asked where it can matter: the answer takes the kernel a mount.
    if policy == Policy::PreferIdMapped && facts.rootfs_needs_shift() {
        facts.rootfs_can_be_idmapped = host.probe(&Feature::IdMappedRootfs(rootfs))?.is_yes();
    }
    Ok(decide(policy, &facts))
}

fn host_id_of_root(field: &'static str, mappings: &IdMappings) -> Result<u32, SpecError> {
    let missing =
        || SpecError::new(field, "without container id 0", "the container's root needs an id on the host");
    mappings.to_host(0).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        AbsPath, ContainerConfig, MockHostPort, Owner, ShiftType,
        host::{FileSystem, Support},
        tree::{TreeIds, TreePhase, TreeRecord},
    };

    fn mgr(config: ContainerConfig) -> Mgr {
        Mgr { config, ..Mgr::new("c1".parse().expect("valid"), None) }
    }

    fn idmap_ok() -> ContainerConfig {
        ContainerConfig {
            idmap_mount_ok: true,
            overlayfs_on_idmap_mount_ok: true,
            ..ContainerConfig::default()
        }
    }

    fn spec(mappings: &str) -> Spec {
        serde_json::from_str(&format!(
            r#"{{"ociVersion":"1.0.2","root":{{"path":"/r"}},"linux":{{"uidMappings":[{mappings}],"gidMappings":[{mappings}]}}}}"#
        ))
        .expect("a spec")
    }

    const MAPPED: &str = r#"{"containerID":0,"hostID":231072,"size":65536}"#;

    fn host(kind: &'static str, owner: u32, record: Option<TreeRecord>) -> MockHostPort {
        let mut host = MockHostPort::new();
        host.expect_tree_record().returning(move |_| Ok(record.clone()));
        host.expect_owner().returning(move |_| Ok(Owner::new(owner, owner)));
        host.expect_file_system().returning(move |_| {
            let root = || AbsPath::new("/").expect("absolute");
            Ok(FileSystem { kind: kind.to_owned(), mount_point: root(), root: "/".into(), read_only: false })
        });
        host
    }

    #[test]
    fn by_reference_a_rootfs_on_ext4_is_chowned_and_the_host_is_not_probed() {
        let decision =
            check_uid_shifting(&mgr(idmap_ok()), &spec(MAPPED), &host("ext4", 0, None), Policy::Reference);
        assert_eq!(
            decision.expect("decided"),
            Decision { rootfs: ShiftType::Chown, bind_mounts: ShiftType::IdMappedMount }
        );
    }

    #[test]
    fn with_preference_the_very_rootfs_is_probed() {
        for (answer, expected) in
            [(Support::Yes, ShiftType::IdMappedMount), (Support::no("nfs cannot"), ShiftType::Chown)]
        {
            let mut host = host("nfs4", 0, None);
            host.expect_probe().times(1).returning(move |feature| {
                assert_eq!(*feature, Feature::IdMappedRootfs(AbsPath::new("/r").expect("absolute")));
                Ok(answer.clone())
            });
            let decision = check_uid_shifting(&mgr(idmap_ok()), &spec(MAPPED), &host, Policy::PreferIdMapped);
            assert_eq!(decision.expect("decided").rootfs, expected);
        }
    }

    #[test]
    fn a_rootfs_whose_shift_is_on_record_still_needs_it_whatever_its_owner_is_now() {
        let range = "231072:65536".parse().expect("valid");
        let record = TreeRecord {
            container: "c0".parse().expect("valid"),
            from: Owner::new(0, 0),
            ids: TreeIds { uids: range, gids: range },
            phase: TreePhase::Shifting,
        };
        let host = host("ext4", 231_072, Some(record));
        let decision = check_uid_shifting(&mgr(idmap_ok()), &spec(MAPPED), &host, Policy::Reference);
        assert_eq!(decision.expect("decided").rootfs, ShiftType::Chown);
    }

    #[test]
    fn a_rootfs_that_the_containers_root_owns_needs_no_shift() {
        let host = host("ext4", 231_072, None);
        let decision = check_uid_shifting(&mgr(idmap_ok()), &spec(MAPPED), &host, Policy::PreferIdMapped);
        assert_eq!(decision.expect("decided").rootfs, ShiftType::NoShift);
    }

    #[test]
    fn a_spec_without_a_mapping_of_container_id_0_is_refused() {
        for mappings in ["", r#"{"containerID":1,"hostID":231072,"size":65536}"#] {
            let error = check_uid_shifting(
                &mgr(idmap_ok()),
                &spec(mappings),
                &host("ext4", 0, None),
                Policy::Reference,
            );
            assert!(
                matches!(error, Err(ShiftingError::Spec(SpecError { field, .. })) if field == "linux.uidMappings")
            );
        }
    }
}
