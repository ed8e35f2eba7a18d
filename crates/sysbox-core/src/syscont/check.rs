//! What every step needs of a spec: `root`, `linux`, and paths that mean the same from everywhere.

use oci_spec::runtime::{Linux, LinuxNamespaceType, Spec};

use super::{Settings, SpecError, given_mappings, mounts, require_namespaces, tree_ids};
use crate::{AbsPath, HostPort};

/// The network namespaces of the host, as far as this process sees it: its own, and that of the first process.
const NETWORKS_OF_HOST: [&str; 2] = ["/proc/self/ns/net", "/proc/1/ns/net"];

/// Checks all that can be said of a spec without asking anybody but the host, and gives the settings that its container carries: it has
/// `root` and `linux`, the namespaces of a system container with a network that is not the host's, places for its mounts, and ids, if it names
/// any, that a system container can have.
///
/// # Errors
/// [`SpecError`] naming the field and the rule.
pub fn check(spec: &Spec, host: &dyn HostPort) -> Result<Settings, SpecError> {
    let settings = Settings::read(spec.process().as_ref())?;
    rootfs(spec)?;
    linux(spec)?;
    require_network_of_its_own(spec, host)?;
    require_namespaces(spec)?;
    mounts::check_destinations(spec)?;
    let (uids, gids) = given_mappings(spec)?;
    if !(uids.is_empty() && gids.is_empty()) && userns(spec)?.is_none() {
        tree_ids(&uids, &gids)?;
    }
    Ok(settings)
}

/// The root directory of a spec. A caller that read it from a bundle makes a relative path absolute first.
///
/// # Errors
/// [`SpecError`] when there is none or it is not absolute.
pub fn rootfs(spec: &Spec) -> Result<AbsPath, SpecError> {
    let root = spec
        .root()
        .as_ref()
        .ok_or_else(|| SpecError::missing("root", "a container needs a root file system"))?;
    AbsPath::new(root.path())
        .map_err(|e| SpecError::new("root.path", format!("{:?}", root.path()), e.to_string()))
}

/// The user namespace that a spec joins, if it joins one.
///
/// # Errors
/// [`SpecError`] when its path is not absolute.
pub fn userns(spec: &Spec) -> Result<Option<AbsPath>, SpecError> {
    namespace_path(spec, LinuxNamespaceType::User, "linux.namespaces[user].path")
}

/// The network namespace that a spec joins, if it joins one.
///
/// # Errors
/// [`SpecError`] when its path is not absolute.
pub fn netns(spec: &Spec) -> Result<Option<AbsPath>, SpecError> {
    namespace_path(spec, LinuxNamespaceType::Network, "linux.namespaces[network].path")
}

/// Checks that the network namespace that a spec joins, if it joins one, is not the host's: root inside would administer the
/// host's network.
///
/// # Errors
/// [`SpecError`] when it is the host's, cannot be looked at, or is no namespace.
pub fn require_network_of_its_own(spec: &Spec, host: &dyn HostPort) -> Result<(), SpecError> {
    const FIELD: &str = "linux.namespaces[network].path";
    let Some(path) = netns(spec)? else { return Ok(()) };
    let joined = host.namespace(&path).map_err(|e| {
        SpecError::new(FIELD, format!("{path}, which cannot be joined"), format!("{e}: {}", causes(&e)))
    })?;
    let is_of_host = |of_host: &str| {
        // The first process may be hidden from this one; then its network cannot be told to the container either.
        AbsPath::new(of_host).is_ok_and(|path| host.namespace(&path).is_ok_and(|id| id == joined))
    };
    if NETWORKS_OF_HOST.into_iter().any(is_of_host) {
        let rule = "that is the host's network, which a system container cannot share: \
                    leave the path out, or give that of another container";
        return Err(SpecError::new(FIELD, path.to_string(), rule));
    }
    Ok(())
}

/// The causes of an error, for a message that keeps none.
fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

pub(super) fn linux(spec: &Spec) -> Result<&Linux, SpecError> {
    spec.linux().as_ref().ok_or_else(|| {
        SpecError::missing("linux", "a system container is a Linux container: add namespaces there")
    })
}

fn namespace_path(
    spec: &Spec,
    kind: LinuxNamespaceType,
    field: &'static str,
) -> Result<Option<AbsPath>, SpecError> {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let path = namespaces
        .into_iter()
        .flatten()
        .find(|namespace| namespace.typ() == kind)
        .and_then(|namespace| namespace.path().as_ref())
        // Engines write an empty path for "a new one".
        .filter(|path| !path.as_os_str().is_empty());
    path.map(|path| AbsPath::new(path).map_err(|e| SpecError::new(field, format!("{path:?}"), e.to_string())))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MockHostPort;

    fn spec(json: &str) -> Spec {
        serde_json::from_str(json).expect("a spec")
    }

    #[test]
    fn a_spec_without_root_or_linux_is_refused_by_the_name_of_the_field() {
        let field = |json| check(&spec(json), &MockHostPort::new()).expect_err("incomplete").field;
        assert_eq!(field(r#"{"ociVersion":"1.0.2","linux":{}}"#), "root");
        assert_eq!(field(r#"{"ociVersion":"1.0.2","root":{"path":"/r"}}"#), "linux");
        assert_eq!(field(r#"{"ociVersion":"1.0.2","root":{"path":"r"},"linux":{}}"#), "root.path");
    }

    #[test]
    fn an_error_names_field_value_and_rule() {
        let error =
            rootfs(&spec(r#"{"ociVersion":"1.0.2","root":{"path":"rootfs"}}"#)).expect_err("relative");
        assert_eq!(
            error.to_string(),
            r#"spec field root.path is "rootfs"; path "rootfs" is relative; give it from the root on"#
        );
    }

    #[test]
    fn namespaces_to_join_are_found_by_type_and_an_empty_path_joins_none() {
        let spec = spec(
            r#"{"ociVersion":"1.0.2","linux":{"namespaces":[
                {"type":"user","path":"/proc/7/ns/user"},{"type":"network","path":""},{"type":"pid"}]}}"#,
        );
        assert_eq!(userns(&spec).expect("valid").map(|p| p.to_string()).as_deref(), Some("/proc/7/ns/user"));
        assert_eq!(netns(&spec), Ok(None));
    }
}
