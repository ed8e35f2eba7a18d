//! What every step needs of a spec: `root`, `linux`, and paths that mean the same from everywhere.

use std::borrow::Cow;

use oci_spec::runtime::{Linux, LinuxNamespace, LinuxNamespaceType, Spec};

use super::{Settings, SpecError, given_mappings, mounts, require_namespaces, require_own_namespaces};
use crate::{AbsPath, HostPort};

/// Checks all that can be said of a spec without asking anybody but the host, and gives the settings that its container carries: it has
/// `root` and `linux`, the namespaces of a system container and none of the host's, places for its mounts, and mappings of ids, if it gives
/// any, that are mappings. Whether a system container can have them is another question, since a manager may mandate others
/// ([`own_ids`](super::own_ids)).
///
/// # Errors
/// [`SpecError`] naming the field and the rule.
pub fn check(spec: &Spec, host: &dyn HostPort) -> Result<Settings, SpecError> {
    let settings = Settings::read(spec.process().as_ref())?;
    rootfs(spec)?;
    linux(spec)?;
    require_namespaces(spec)?;
    require_own_namespaces(spec, host)?;
    mounts::check_destinations(spec)?;
    userns(spec)?;
    given_mappings(spec)?;
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
    let joined = namespaces.into_iter().flatten().find(|namespace| namespace.typ() == kind);
    joined.map_or(Ok(None), |namespace| joined_path(namespace, field))
}

/// The path of a namespace that is to be joined; none of one that is to be made.
pub(super) fn joined_path(
    namespace: &LinuxNamespace,
    field: impl Into<Cow<'static, str>>,
) -> Result<Option<AbsPath>, SpecError> {
    // Engines write an empty path for "a new one".
    let path = namespace.path().as_ref().filter(|path| !path.as_os_str().is_empty());
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
