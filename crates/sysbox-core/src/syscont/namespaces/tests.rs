//! Which namespaces a container must ask for, which it may not join, and which it gets.

use super::*;
use crate::{HostError, MockHostPort, host::NamespaceId};

const FIVE: &str = r#"{"type":"pid"},{"type":"ipc"},{"type":"uts"},{"type":"mount"},{"type":"network"}"#;

fn spec(namespaces: &str) -> Spec {
    serde_json::from_str(&format!(
        r#"{{"ociVersion":"1.0.2","root":{{"path":"/r"}},"linux":{{"namespaces":[{namespaces}]}}}}"#
    ))
    .expect("a spec")
}

fn host(time: bool) -> MockHostPort {
    let mut host = MockHostPort::new();
    host.expect_namespace().returning(move |path| {
        if time {
            Ok(NamespaceId { dev: 4, ino: 1 })
        } else {
            Err(HostError::new("identify", path.to_string(), std::io::Error::from_raw_os_error(2)))
        }
    });
    host
}

fn kinds(spec: &Spec) -> Vec<String> {
    let linux = spec.linux().as_ref().expect("there");
    linux.namespaces().iter().flatten().map(|namespace| namespace.typ().to_string()).collect()
}

#[test]
fn user_cgroup_and_time_are_added_where_absent() {
    let mut spec = spec(FIVE);
    complete_namespaces(&mut spec, None, &host(true), &mut Changes::default()).expect("complete");
    assert_eq!(kinds(&spec), ["pid", "ipc", "uts", "mnt", "net", "user", "cgroup", "time"]);
    let once = spec.clone();
    complete_namespaces(&mut spec, None, &host(true), &mut Changes::default()).expect("complete");
    assert_eq!(spec, once, "what is there is not added again");
}

#[test]
fn time_is_not_added_where_the_kernel_has_none() {
    let mut spec = spec(FIVE);
    complete_namespaces(&mut spec, None, &host(false), &mut Changes::default()).expect("complete");
    assert_eq!(kinds(&spec), ["pid", "ipc", "uts", "mnt", "net", "user", "cgroup"]);
}

#[test]
fn required_namespaces_that_are_missing_are_all_named() {
    let error = complete_namespaces(
        &mut spec(r#"{"type":"pid"},{"type":"mount"}"#),
        None,
        &host(true),
        &mut Changes::default(),
    )
    .expect_err("incomplete");
    assert_eq!(
        (error.field.as_ref(), error.found.as_str()),
        ("linux.namespaces", "without ipc, uts, network")
    );
}

#[test]
fn a_type_that_is_given_twice_is_refused() {
    let twice = format!(r#"{FIVE},{{"type":"user"}},{{"type":"user","path":"/proc/1/ns/user"}}"#);
    let error = require_namespaces(&spec(&twice)).expect_err("twice");
    assert_eq!((error.field.as_ref(), error.found.as_str()), ("linux.namespaces", "with user twice"));
}

#[test]
fn the_managers_user_namespace_takes_the_place_of_the_specs() {
    let mut spec = spec(&format!(r#"{FIVE},{{"type":"user","path":"/proc/1/ns/user"}}"#));
    let mandated = AbsPath::new("/proc/7/ns/user").expect("absolute");
    complete_namespaces(&mut spec, Some(&mandated), &host(true), &mut Changes::default()).expect("complete");
    assert_eq!(super::super::userns(&spec), Ok(Some(mandated)));
}

/// A host whose first process is hidden, or has other namespaces than this process.
fn host_with_first(is_hidden: bool) -> MockHostPort {
    let mut host = MockHostPort::new();
    host.expect_namespace().returning(move |path| {
        let path = path.to_string();
        let ino = match path.as_str() {
            "/n/of-self" => 1,
            "/n/of-first" => 2,
            "/n/of-another" => 3,
            of_self if of_self.starts_with("/proc/self/ns/") => 1,
            of_first if of_first.starts_with("/proc/1/ns/") && !is_hidden => 2,
            _ => return Err(HostError::new("identify", path, std::io::Error::from_raw_os_error(13))),
        };
        Ok(NamespaceId { dev: 4, ino })
    });
    host
}

fn joining(kind: &str, path: &str) -> Spec {
    spec(&format!(r#"{{"type":"{kind}","path":"{path}"}}"#))
}

#[test]
fn no_namespace_of_the_hosts_is_joined_neither_this_processs_nor_the_first_ones() {
    for (_, kind, _) in JOINED {
        for path in ["/n/of-self", "/n/of-first"] {
            let error =
                require_own_namespaces(&joining(kind, path), &host_with_first(false)).expect_err(kind);
            assert_eq!((&*error.field, &*error.found), (&*format!("linux.namespaces[{kind}].path"), path));
            assert!(error.rule.contains(&format!("the host's {kind} namespace")), "{error}");
        }
        for path in ["/n/of-another", ""] {
            assert_eq!(
                require_own_namespaces(&joining(kind, path), &host_with_first(false)),
                Ok(()),
                "{kind}"
            );
        }
    }
}

#[test]
fn each_namespace_is_compared_with_the_hosts_of_its_own_type() {
    for (_, kind, file) in JOINED {
        let mut host = MockHostPort::new();
        host.expect_namespace().returning(move |path| {
            let is_of_host = path.as_path().ends_with(file) || path.as_path().ends_with("joined");
            Ok(NamespaceId { dev: 4, ino: if is_of_host { 1 } else { 2 } })
        });
        require_own_namespaces(&joining(kind, "/n/joined"), &host).expect_err(kind);
    }
}

#[test]
fn where_the_first_process_is_hidden_namespaces_are_compared_with_this_processs() {
    let host = host_with_first(true);
    assert_eq!(require_own_namespaces(&joining("ipc", "/n/of-first"), &host), Ok(()));
    require_own_namespaces(&joining("ipc", "/n/of-self"), &host).expect_err("the host's");
}

#[test]
fn a_namespace_that_cannot_be_told_from_the_hosts_is_not_joined() {
    let mut blind = MockHostPort::new();
    blind.expect_namespace().returning(|path| match path.to_string().as_str() {
        "/n/of-another" => Ok(NamespaceId { dev: 4, ino: 3 }),
        other => Err(HostError::new("identify", other, std::io::Error::from_raw_os_error(13))),
    });
    for (host, path) in [(blind, "/n/of-another"), (host_with_first(false), "/n/gone")] {
        let error = require_own_namespaces(&joining("uts", path), &host).expect_err("not told");
        assert_eq!(error.field, "linux.namespaces[uts].path");
        assert!(error.found.starts_with(path) && error.rule.ends_with("(os error 13)"), "{error}");
    }
}

#[test]
fn an_error_without_a_cause_is_told_without_a_colon() {
    assert_eq!(with_causes(&SpecError::new("a", "b", "c")), "spec field a is b; c");
}

#[test]
fn a_path_that_is_not_absolute_is_refused_by_its_type() {
    let error =
        require_own_namespaces(&joining("time", "ns/time"), &host_with_first(false)).expect_err("relative");
    assert_eq!(error.field, "linux.namespaces[time].path");
}
