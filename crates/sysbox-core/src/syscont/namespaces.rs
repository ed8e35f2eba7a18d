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

/// The namespaces that a spec can join by a path, save the user namespace, whose ids tell whether it is the host's; with their names in
/// `/proc/PID/ns`.
const JOINED: [(LinuxNamespaceType, &str, &str); 7] = [
    (LinuxNamespaceType::Pid, "pid", "pid"),
    (LinuxNamespaceType::Ipc, "ipc", "ipc"),
    (LinuxNamespaceType::Uts, "uts", "uts"),
    (LinuxNamespaceType::Mount, "mount", "mnt"),
    (LinuxNamespaceType::Network, "network", "net"),
    (LinuxNamespaceType::Cgroup, "cgroup", "cgroup"),
    (LinuxNamespaceType::Time, "time", "time"),
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

/// Checks that no namespace that a spec joins is the host's: neither this process's, nor the first one's. In the host's network root inside
/// would administer that, among the host's processes it would see them, and so on.
///
/// # Errors
/// [`SpecError`] when one is the host's, or cannot be told from it.
pub fn require_own_namespaces(spec: &Spec, host: &dyn HostPort) -> Result<(), SpecError> {
    for namespace in super::check::linux(spec)?.namespaces().iter().flatten() {
        let Some(&(_, name, file)) = JOINED.iter().find(|(kind, ..)| *kind == namespace.typ()) else {
            continue;
        };
        let field = || format!("linux.namespaces[{name}].path");
        let Some(path) = super::check::joined_path(namespace, field())? else { continue };
        let look_at = |looked_at: &AbsPath| {
            host.namespace(looked_at).map_err(|error| {
                let found = format!("{path}, which cannot be told from the host's");
                SpecError::new(field(), found, with_causes(&error))
            })
        };
        let of = |process: &str| {
            AbsPath::new(["/proc/", process, "/ns/", file].concat())
                .map_err(|error| SpecError::new(field(), path.to_string(), error.to_string()))
        };
        let joined = look_at(&path)?;
        // The first process may be hidden from this one; then what it has cannot be told.
        let is_of_first = host.namespace(&of("1")?).is_ok_and(|of_first| of_first == joined);
        if is_of_first || look_at(&of("self")?)? == joined {
            let rule = format!(
                "that is the host's {name} namespace, which a system container cannot share: \
                 leave the path out, or give that of another container"
            );
            return Err(SpecError::new(field(), path.to_string(), rule));
        }
    }
    Ok(())
}

/// An error and its causes, for a message that keeps none.
fn with_causes(error: &dyn std::error::Error) -> String {
    let errors = std::iter::successors(Some(error), |error| error.source());
    errors.map(ToString::to_string).collect::<Vec<_>>().join(": ")
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
mod tests;
