//! The namespaces of a system container.

use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType, Spec};

use super::{Changes, SpecError};
use crate::{AbsPath, HostPort};

/// Namespaces that a spec must ask for: a system container without one of them would see the host's.
const REQUIRED: [(LinuxNamespaceType, &str); 5] = [
    (LinuxNamespaceType::Pid, "pid"),
    (LinuxNamespaceType::Ipc, "ipc"),
    (LinuxNamespaceType::Uts, "uts"),
    (LinuxNamespaceType::Mount, "mount"),
    (LinuxNamespaceType::Network, "network"),
];

/// Checks that a spec asks for the namespaces without which a system container would see the host's, and for none twice.
///
/// # Errors
/// [`SpecError`] naming those of pid, ipc, uts, mount and network that it does not ask for, or the one it has twice.
pub fn require_namespaces(spec: &Spec) -> Result<(), SpecError> {
    let namespaces = super::check::linux(spec)?.namespaces().as_deref().unwrap_or_default();
    for (nth, namespace) in namespaces.iter().enumerate() {
        // Who takes the first and who takes the last of two would not mean the same container.
        if has(&namespaces[..nth], namespace.typ()) {
            let found = format!("with {} twice", namespace.typ());
            return Err(SpecError::new("linux.namespaces", found, "each type can be given once"));
        }
    }
    let missing: Vec<_> =
        REQUIRED.into_iter().filter(|&(kind, _)| !has(namespaces, kind)).map(|(_, name)| name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(SpecError::new(
        "linux.namespaces",
        format!("without {}", missing.join(", ")),
        "a system container has pid, ipc, uts, mount and network namespaces of its own, not the host's: \
         without an engine's --network=host, --pid=host and the like they are there",
    ))
}

/// Adds the namespaces that make a container a system container: user, cgroup and, where the kernel has them, time.
///
/// A user namespace that the manager mandates takes the place of the spec's.
///
/// # Errors
/// [`SpecError`] as [`require_namespaces`] has it.
pub fn complete_namespaces(
    spec: &mut Spec,
    mandated_userns: Option<&AbsPath>,
    host: &dyn HostPort,
    changes: &mut Changes,
) -> Result<(), SpecError> {
    require_namespaces(spec)?;
    let mut namespaces = super::check::linux(spec)?.namespaces().clone().unwrap_or_default();
    if let Some(path) =
        mandated_userns.filter(|path| super::userns(spec).as_ref() != Ok(&Some((*path).clone())))
    {
        changes.note(
            "linux.namespaces[user]",
            "the manager has it join the user namespace of another container",
        );
        namespaces.retain(|namespace| namespace.typ() != LinuxNamespaceType::User);
        namespaces.push(namespace(LinuxNamespaceType::User, Some(path))?);
    }
    let has_time = || AbsPath::new("/proc/self/ns/time").is_ok_and(|path| host.namespace(&path).is_ok());
    for kind in [LinuxNamespaceType::User, LinuxNamespaceType::Cgroup, LinuxNamespaceType::Time] {
        if !has(&namespaces, kind) && (kind != LinuxNamespaceType::Time || has_time()) {
            let (field, reason) = why(kind);
            changes.note(field, reason);
            namespaces.push(namespace(kind, None)?);
        }
    }
    if let Some(linux) = spec.linux_mut() {
        linux.set_namespaces(Some(namespaces));
    }
    Ok(())
}

const fn why(kind: LinuxNamespaceType) -> (&'static str, &'static str) {
    match kind {
        LinuxNamespaceType::User => ("linux.namespaces[user]", "root inside is to be nobody outside"),
        LinuxNamespaceType::Time => {
            ("linux.namespaces[time]", "a system container has a clock of its own since boot")
        }
        _ => ("linux.namespaces[cgroup]", "a system container sees its own cgroup as the topmost"),
    }
}

fn has(namespaces: &[LinuxNamespace], kind: LinuxNamespaceType) -> bool {
    namespaces.iter().any(|namespace| namespace.typ() == kind)
}

fn namespace(kind: LinuxNamespaceType, path: Option<&AbsPath>) -> Result<LinuxNamespace, SpecError> {
    let mut builder = LinuxNamespaceBuilder::default().typ(kind);
    if let Some(path) = path {
        builder = builder.path(path.as_path());
    }
    builder.build().map_err(|e| SpecError::new("linux.namespaces", kind.to_string(), e.to_string()))
}

#[cfg(test)]
mod tests {
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
        complete_namespaces(&mut spec, Some(&mandated), &host(true), &mut Changes::default())
            .expect("complete");
        assert_eq!(super::super::userns(&spec), Ok(Some(mandated)));
    }
}
