//! Owners, ACLs and file capabilities go to the host's ids and come back.

use std::{fs, os::unix::fs::MetadataExt};

use sysbox_core::{IdRange, tree::TreeIds};
use sysbox_host::{
    chown::IdKind,
    mirror::{MirrorError, Owners},
};

use super::support::*;

#[test]
fn ids_go_to_the_host_and_come_back_the_same() {
    on_each_file_system(|place| {
        let (source, target) = (place.source(), place.target());
        let capable = file(&source.join("capable"), "x", 0o4755, (0, 50));
        set_attribute(&capable, CAPABILITY, &capability(0));
        set_attribute(&capable, ACCESS_ACL, &acl(1000, 2000));
        let inner = directory(&source.join("directory"), 0o2755, (COUNT - 1, COUNT));
        set_attribute(&inner, DEFAULT_ACL, &acl(0, 70_000));
        symlink("x", &source.join("link"), (3, 4));
        let made = snapshot(&source);

        mirror_as(&source, &target, Owners::ToHost(ids()), None).expect("it can be mirrored");
        let owner = |name: &str| {
            let metadata = fs::symlink_metadata(target.join(name)).expect("it is there");
            (metadata.uid(), metadata.gid())
        };
        assert_eq!(owner("capable"), (UIDS, GIDS + 50));
        assert_eq!(owner("directory"), (UIDS + COUNT - 1, COUNT), "beyond the range it stays");
        assert_eq!(owner("link"), (UIDS + 3, GIDS + 4));
        let shifted = snapshot(&target);
        let attributes = &shifted[std::path::Path::new("capable")].attributes;
        assert_eq!(attributes[CAPABILITY], capability(UIDS));
        assert_eq!(attributes[ACCESS_ACL], acl(UIDS + 1000, GIDS + 2000));
        assert_eq!(attribute(&target.join("directory"), DEFAULT_ACL), Some(acl(UIDS, 70_000)));

        let again = mirror_as(&source, &target, Owners::ToHost(ids()), None).expect("it can be mirrored");
        assert!(!again.changed(), "{again:?}");

        // What the container has made goes back with the rest.
        file(&target.join("new"), "x", 0o644, (UIDS + 7, GIDS + 8));
        mirror_as(&target, &source, Owners::ToContainer(ids()), None).expect("it can be mirrored");
        let mut back = snapshot(&source);
        assert_eq!(back.remove(std::path::Path::new("new")).expect("it is there").owner, (7, 8));
        assert_same(&back, &made);
    });
}

#[test]
fn a_range_that_begins_below_its_size_is_refused_before_the_first_change() {
    require_root();
    let place = Place::tmpfs();
    file(&place.source().join("file"), "x", 0o644, (0, 0));
    let low = IdRange::new(1, 65_536).expect("valid");
    let owners = Owners::ToHost(TreeIds { uids: low, gids: ids().gids });
    let error = mirror_as(&place.source(), &place.target(), owners, None).expect_err("too low");
    assert!(matches!(error, MirrorError::RangeTooLow { kind: IdKind::User, range } if range == low));
    assert!(snapshot(&place.target()).is_empty());
}
