//! An OCI bundle as it is given. It is read and checked here, and never changed.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use oci_spec::runtime::Spec;
use sysbox::{
    AbsPath, HostPort, InvalidPath,
    syscont::{self, SpecError, mounts::is_bind},
};

/// A bundle whose spec can be run as a system container, as far as can be told without changing anything.
#[derive(Clone, Debug)]
pub(crate) struct Bundle {
    /// The directory.
    pub(crate) dir: AbsPath,
    /// The spec, with all paths absolute, those of `root` and of bind mounts' sources without symbolic links.
    pub(crate) spec: Spec,
    /// The root directory.
    pub(crate) rootfs: AbsPath,
    /// Its device and inode: a path can name another directory in another mount namespace.
    pub(crate) rootfs_identity: (u64, u64),
}

/// Why a bundle cannot be run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BundleError {
    #[error("cannot read {}; a bundle is a directory with a config.json, give it with --bundle", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} is not an OCI runtime spec", path.display())]
    NotASpec { path: PathBuf, source: serde_json::Error },
    #[error("{} breaks a rule", path.display())]
    Spec { path: PathBuf, source: SpecError },
    #[error("the bundle has no usable path")]
    Path(#[from] InvalidPath),
}

impl Bundle {
    /// Reads and checks the bundle in a directory.
    pub(crate) fn load(dir: &Path, host: &dyn HostPort) -> Result<Self, BundleError> {
        let path = dir.join("config.json");
        let unreadable = |source| BundleError::Unreadable { path: path.clone(), source };
        let dir = AbsPath::new(fs::canonicalize(dir).map_err(unreadable)?)?;
        let text = fs::read(&path).map_err(unreadable)?;
        let spec: Spec = serde_json::from_slice(&text)
            .map_err(|source| BundleError::NotASpec { path: path.clone(), source })?;
        Self::checked(dir, spec, host).map_err(|source| BundleError::Spec { path, source })
    }

    /// Checks a spec whose relative paths are below `dir`.
    pub(crate) fn checked(dir: AbsPath, mut spec: Spec, host: &dyn HostPort) -> Result<Self, SpecError> {
        let rootfs = resolve_rootfs(&dir, &mut spec)?;
        resolve_sources(&dir, &mut spec)?;
        resolve_destinations(&mut spec);
        syscont::check(&spec, host)?;
        // A manager may mandate others, but who writes these means them.
        syscont::own_ids(&spec)?;
        if spec.process().is_none() {
            return Err(SpecError::new("process", "missing", "a container to be run needs a process"));
        }
        let identity = fs::metadata(&rootfs).map(|rootfs| (rootfs.dev(), rootfs.ino()));
        let rootfs_identity =
            identity.map_err(|e| SpecError::new("root.path", format!("{rootfs}"), e.to_string()))?;
        Ok(Self { dir, spec, rootfs, rootfs_identity })
    }
}

/// Makes the source of every bind mount absolute, without symbolic links.
fn resolve_sources(dir: &AbsPath, spec: &mut Spec) -> Result<(), SpecError> {
    for (nth, mount) in spec.mounts_mut().iter_mut().flatten().enumerate().filter(|(_, mount)| is_bind(mount))
    {
        let field = format!("mounts[{nth}].source");
        let rule = "a bind mount is of a file or directory, absolute or below the bundle";
        let Some(given) = mount.source() else { return Err(SpecError::new(field, "missing", rule)) };
        let found = fs::canonicalize(dir.as_path().join(given))
            .map_err(|e| SpecError::new(field, format!("{given:?}"), format!("{rule}: {e}")))?;
        mount.set_source(Some(found));
    }
    Ok(())
}

/// Makes the destination of every mount one from the container's root on, as the specification reads a relative one.
fn resolve_destinations(spec: &mut Spec) {
    for mount in spec.mounts_mut().iter_mut().flatten() {
        let given = mount.destination();
        if given.is_relative() && !given.as_os_str().is_empty() {
            mount.set_destination(Path::new("/").join(given));
        }
    }
}

/// Makes `root.path` absolute and checks that a directory is there.
fn resolve_rootfs(dir: &AbsPath, spec: &mut Spec) -> Result<AbsPath, SpecError> {
    let Some(root) = spec.root_mut() else { return syscont::rootfs(spec) };
    let given = root.path().clone();
    let refused = |rule: String| SpecError::new("root.path", format!("{given:?}"), rule);
    if given.as_os_str().is_empty() {
        return Err(refused("it must be a directory, absolute or below the bundle".to_owned()));
    }
    let path = fs::canonicalize(dir.as_path().join(&given))
        .map_err(|e| refused(format!("it must be a directory, absolute or below the bundle: {e}")))?;
    if given.is_relative() && !path.starts_with(dir) {
        return Err(refused(format!(
            "a relative path must stay below the bundle, this one is {}",
            path.display()
        )));
    }
    if !path.is_dir() {
        return Err(refused("it must be a directory, and is none".to_owned()));
    }
    if path.to_str().is_none() {
        return Err(refused(format!("its whole path, {}, must be UTF-8; rename it", path.display())));
    }
    root.set_path(path);
    syscont::rootfs(spec)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;
    use sysbox::linux::LinuxHost;

    fn bundle(config: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("rootfs")).expect("made");
        fs::write(dir.path().join("file"), "").expect("made");
        fs::write(dir.path().join("config.json"), config).expect("made");
        dir
    }

    fn load(dir: &Path) -> Result<Bundle, BundleError> {
        Bundle::load(dir, &LinuxHost::default())
    }

    const NAMESPACES: &str =
        r#"{"type":"pid"},{"type":"ipc"},{"type":"uts"},{"type":"mount"},{"type":"network"}"#;

    fn config(root: &str, rest: &str) -> String {
        format!(
            r#"{{"ociVersion":"1.0.2","root":{{"path":"{root}"}},"process":{{"cwd":"/","args":["sh"],"user":{{"uid":0,"gid":0}}}},"linux":{{"namespaces":[{NAMESPACES}]{rest}}}}}"#
        )
    }

    fn refusal(config: &str) -> SpecError {
        let dir = bundle(config);
        match load(dir.path()) {
            Err(BundleError::Spec { source, .. }) => source,
            other => panic!("not refused by a rule: {other:?}"),
        }
    }

    #[test]
    fn a_relative_rootfs_is_found_below_the_bundle() {
        let dir = bundle(&config("rootfs", ""));
        let bundle = load(dir.path()).expect("valid");
        assert_eq!(bundle.rootfs.as_path(), dir.path().join("rootfs"));
    }

    #[test]
    fn a_rootfs_that_is_missing_a_file_or_outside_the_bundle_is_refused() {
        for root in ["nowhere", "file", "..", "/nowhere/at/all", ""] {
            assert_eq!(refusal(&config(root, "")).field, "root.path", "{root:?}");
        }
    }

    #[test]
    fn a_relative_destination_is_from_the_containers_root_on() {
        let mounts = |destination: &str| {
            let mounts =
                format!(r#","mounts":[{{"destination":"{destination}","type":"tmpfs","source":"t"}}]}}"#);
            bundle(
                &config("rootfs", "")
                    .strip_suffix('}')
                    .map(|open| open.to_owned() + &mounts)
                    .expect("an object"),
            )
        };
        let loaded = load(mounts("a/b").path()).expect("valid");
        let mount = &loaded.spec.mounts().as_ref().expect("one")[0];
        assert_eq!(mount.destination(), Path::new("/a/b"));
        assert!(load(mounts("").path()).is_err());
    }

    #[test]
    fn a_rootfs_whose_path_is_no_text_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let odd = dir.path().join(std::ffi::OsStr::from_bytes(b"odd\xff"));
        fs::create_dir_all(odd.join("rootfs")).expect("made");
        fs::write(odd.join("config.json"), config("rootfs", "")).expect("made");
        let Err(BundleError::Spec { source, .. }) = load(&odd) else { panic!("not refused") };
        assert!(source.field == "root.path" && source.to_string().contains("UTF-8"), "{source}");
    }

    #[test]
    fn missing_parts_are_named() {
        assert_eq!(refusal(r#"{"ociVersion":"1.0.2","linux":{}}"#).field, "root");
        assert_eq!(refusal(r#"{"ociVersion":"1.0.2","root":{"path":"rootfs"}}"#).field, "linux");
        let no_namespaces = r#"{"ociVersion":"1.0.2","root":{"path":"rootfs"},"linux":{}}"#;
        assert_eq!(refusal(no_namespaces).field, "linux.namespaces");
        assert_eq!(refusal(&config("rootfs", "").replace("process", "other")).field, "process");
    }

    #[test]
    fn mappings_that_no_system_container_can_have_are_refused() {
        let mapped = |extents: &str| {
            config("rootfs", &format!(r#","uidMappings":[{extents}],"gidMappings":[{extents}]"#))
        };
        for extents in [
            r#"{"containerID":0,"hostID":0,"size":65536}"#,
            r#"{"containerID":0,"hostID":4294967290,"size":65536}"#,
            r#"{"containerID":0,"hostID":9,"size":65536},{"containerID":9,"hostID":99999999,"size":9}"#,
            r#"{"containerID":0,"hostID":65536,"size":9}"#,
        ] {
            assert_eq!(refusal(&mapped(extents)).field, "linux.uidMappings", "{extents}");
        }
    }

    #[test]
    fn a_directory_without_a_readable_config_is_no_bundle() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(matches!(load(dir.path()), Err(BundleError::Unreadable { .. })));
        assert!(matches!(load(&dir.path().join("nowhere")), Err(BundleError::Unreadable { .. })));
        assert!(matches!(load(bundle("{").path()), Err(BundleError::NotASpec { .. })));
    }
}
