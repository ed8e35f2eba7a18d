//! What the manager gives is taken where the spec has nothing, and known again by its mark.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::syscont::mounts::{
    OF_MANAGER,
    testing::{abs, bind, changed, destinations, is_mounted, mount, options, spec},
};

const MARK: &str = "annotations[org.sysbox.mounts-of-manager]";

fn given(destination: &str, source: &str) -> Mount {
    let options = ["rbind", "rprivate"].map(str::to_owned).to_vec();
    Mount { source: source.to_owned(), destination: abs(destination), kind: "bind".to_owned(), options }
}

/// The special directories of a container.
fn special(places: &[&str]) -> Vec<(MountKind, AbsPath)> {
    places.iter().zip(MountKind::ALL).map(|(at, kind)| (kind, abs(at))).collect()
}

fn add(spec: &mut Spec, given: Vec<Mount>, relaxed: bool) -> Vec<String> {
    let directories = special(&["/var/lib/docker", "/a", "/b", "/c"]);
    changed(|changes| add_of_manager(spec, given, &directories, relaxed, changes).expect("valid mounts"))
}

fn source<'a>(spec: &'a Spec, at: &str) -> Option<&'a str> {
    mount(spec, at).source().as_deref().and_then(Path::to_str)
}

#[test]
fn what_the_manager_gives_is_added_as_it_is_and_marked() {
    let mut spec = spec(json!({}));
    assert_eq!(
        add(&mut spec, vec![given("/var/lib/docker", "/v/d")], false),
        ["mounts[/var/lib/docker]", MARK]
    );
    assert_eq!(source(&spec, "/var/lib/docker"), Some("/v/d"));
    assert_eq!(mount(&spec, "/var/lib/docker").typ().as_deref(), Some("bind"));
    assert_eq!(options(&spec, "/var/lib/docker"), ["rbind", "rprivate"]);
    let annotations = spec.annotations().as_ref().expect("marked");
    assert_eq!(annotations.get(OF_MANAGER).map(String::as_str), Some(r#"{"/var/lib/docker":"/v/d"}"#));
}

#[test]
fn a_manager_that_gives_nothing_changes_nothing() {
    let mut spec = spec(json!({}));
    let before = spec.clone();
    assert_eq!(add(&mut spec, Vec::new(), false), [""; 0]);
    assert_eq!(spec, before);
}

#[test]
fn what_the_manager_gives_loses_to_a_mount_of_the_spec_at_the_same_destination_only() {
    let mut spec =
        spec(json!({ "mounts": [bind("/var/lib//docker/", "/of-user"), bind("/var", "/of-user")] }));
    let fields =
        add(&mut spec, vec![given("/var/lib/docker", "/v/d"), given("/var/lib/kubelet", "/v/k")], false);
    assert_eq!(fields, ["mounts[/var/lib/kubelet]", MARK]);
    assert_eq!(source(&spec, "/var/lib/docker"), Some("/of-user"));
}

#[test]
fn of_two_mounts_that_the_manager_gives_for_one_place_the_first_is_taken() {
    let mut spec = spec(json!({}));
    add(&mut spec, vec![given("/d", "/1"), given("/d/", "/2")], false);
    assert_eq!(source(&spec, "/d"), Some("/1"));
}

#[test]
fn in_a_read_only_rootfs_they_are_read_only_unless_the_manager_is_relaxed() {
    let root = json!({ "path": "/r", "readonly": true });
    for (relaxed, wanted) in [(false, vec!["rbind", "rprivate", "ro"]), (true, vec!["rbind", "rprivate"])] {
        let mut spec = spec(json!({ "root": root }));
        let answer = || vec![given("/var/lib/docker", "/v/d")];
        add(&mut spec, answer(), relaxed);
        assert_eq!(options(&spec, "/var/lib/docker"), wanted);
        assert_eq!(add(&mut spec, answer(), relaxed), [""; 0]);
    }
}

#[test]
fn the_same_answers_to_another_conversion_change_nothing() {
    let mut spec = spec(json!({ "mounts": [bind("/other", "/o")] }));
    let answer = || vec![given("/var/lib/docker", "/v/d"), given("/var/lib/kubelet", "/v/k")];
    add(&mut spec, answer(), false);
    let converted = spec.clone();
    assert_eq!(add(&mut spec, answer(), false), [""; 0]);
    assert_eq!(spec, converted);
}

#[test]
fn other_answers_to_another_conversion_replace_those_of_the_first_in_their_places() {
    let mut spec = spec(json!({}));
    add(&mut spec, vec![given("/a", "/old/a"), given("/b", "/old/b"), given("/c", "/c")], false);
    let fields = add(&mut spec, vec![given("/c", "/c"), given("/a", "/new/a")], false);
    assert_eq!(fields, ["mounts[/a]", "mounts[/b]", MARK]);
    assert_eq!(destinations(&spec), [Path::new("/a"), Path::new("/c")]);
    assert_eq!(source(&spec, "/a"), Some("/new/a"));
    assert_eq!(add(&mut spec, Vec::new(), false), ["mounts[/a]", "mounts[/c]", MARK]);
    assert!(spec.annotations().as_ref().is_some_and(HashMap::is_empty));
}

#[test]
fn a_mount_with_another_source_than_the_manager_gave_is_the_users_own() {
    let mut spec = spec(json!({}));
    add(&mut spec, vec![given("/a", "/of-manager")], false);
    spec.set_mounts(serde_json::from_value(json!([bind("/a", "/of-user")])).expect("mounts"));
    assert_eq!(add(&mut spec, vec![given("/a", "/of-manager")], false), [MARK]);
    assert_eq!(source(&spec, "/a"), Some("/of-user"));
}

#[test]
fn a_mark_counts_at_special_directories_and_where_the_manager_gives_something_and_nowhere_else() {
    let places = ["/a", "/proc", "/run", "/tmp", "/sys/kernel", "/etc/shadow", "/h"];
    let marks: BTreeMap<_, _> = places.map(|at| (at, "/s")).into();
    let marked = spec(json!({
        "annotations": { OF_MANAGER: serde_json::to_string(&marks).expect("text") },
        "mounts": places.map(|at| bind(at, "/s")),
    }));
    let mut converted = marked.clone();
    // What every system container has is no place for the manager's, even if it is said to be a special directory.
    let directories = special(&["/a", "/proc", "/run"]);
    let mut answer = |given| {
        changed(|changes| {
            add_of_manager(&mut converted, given, &directories, false, changes).expect("valid");
        })
    };
    assert_eq!(answer(vec![given("/h", "/headers")]), ["mounts[/a]", "mounts[/h]", MARK]);
    assert_eq!(answer(vec![given("/h", "/headers"), given("/run", "/x")]), [""; 0]);
    assert_eq!(destinations(&converted), places[1..].iter().map(Path::new).collect::<Vec<_>>());
    assert_eq!(source(&converted, "/h"), Some("/headers"));
    let mut unasked = marked.clone();
    let fields =
        changed(|changes| add_of_manager(&mut unasked, Vec::new(), &[], false, changes).expect("valid"));
    assert_eq!((fields, unasked), (Vec::new(), marked), "nobody is asked, so nothing of it goes");
}

#[test]
fn nothing_of_the_managers_is_mounted_where_a_conversion_mounts_something_itself() {
    let mut spec = spec(json!({}));
    let before = spec.clone();
    let answer = ["/run", "/tmp/", "/proc/sys", "/dev"].map(|at| given(at, "/v")).to_vec();
    assert_eq!(add(&mut spec, answer, false), [""; 0]);
    assert_eq!(spec.annotations(), before.annotations());
    assert!(destinations(&spec).is_empty());
}

#[test]
fn a_mark_that_is_none_marks_nothing() {
    for text in ["", "[]", "{", r#"{"/a":1}"#, r#"{"/a":{"/a":"/s"}}"#] {
        let mut spec = spec(json!({ "annotations": { OF_MANAGER: text }, "mounts": [bind("/a", "/s")] }));
        assert_eq!(add(&mut spec, Vec::new(), false), [""; 0], "{text}");
        assert!(is_mounted(&spec, "/a"));
    }
}

#[test]
fn a_manager_that_mounts_over_the_root_or_by_dotdot_is_refused_and_named() {
    for lie in ["/", "//", "/.", "/var/../..", "/var/.."] {
        let mut spec = spec(json!({}));
        let before = spec.clone();
        let answer = vec![given("/fine", "/f"), given(lie, "/evil")];
        let error = add_of_manager(&mut spec, answer, &[], false, &mut Changes::default()).expect_err(lie);
        assert_eq!((&*error.field, &*error.found), (&*format!("mounts[{lie}]"), "given by the manager"));
        assert_eq!(spec, before, "nothing of such an answer is taken");
    }
}
