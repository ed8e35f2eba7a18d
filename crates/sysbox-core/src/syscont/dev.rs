//! `/dev` of a system container: a file system of its own, so that no device node is ever made in the rootfs.

use std::path::Path;

use oci_spec::runtime::{MountBuilder, Spec};

use super::SpecError;

const DEV: &str = "/dev";
const OPTIONS: [&str; 4] = ["nosuid", "strictatime", "mode=755", "size=65536k"];

/// Adds a tmpfs at `/dev` to a spec that mounts nothing there, before all other mounts.
///
/// # Errors
/// [`SpecError`] when the mount cannot be put into the spec.
pub fn complete_dev(spec: &mut Spec) -> Result<(), SpecError> {
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    if mounts.iter().any(|mount| mount.destination() == Path::new(DEV)) {
        return Ok(());
    }
    let dev = MountBuilder::default()
        .destination(DEV)
        .typ("tmpfs")
        .source("tmpfs")
        .options(OPTIONS.map(str::to_owned))
        .build()
        .map_err(|e| SpecError::new("mounts", DEV, e.to_string()))?;
    mounts.insert(0, dev);
    spec.set_mounts(Some(mounts));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destinations(spec: &Spec) -> Vec<&Path> {
        spec.mounts().iter().flatten().map(|mount| mount.destination().as_path()).collect()
    }

    fn completed(mounts: &str) -> Spec {
        let json = format!(r#"{{"ociVersion":"1.0.2","mounts":[{mounts}]}}"#);
        let mut spec = serde_json::from_str(&json).expect("a spec");
        complete_dev(&mut spec).expect("complete");
        spec
    }

    #[test]
    fn a_tmpfs_at_dev_is_added_before_what_is_mounted_below_it() {
        let spec = completed(r#"{"destination":"/dev/pts","type":"devpts","source":"devpts"}"#);
        assert_eq!(destinations(&spec), [Path::new("/dev"), Path::new("/dev/pts")]);
    }

    #[test]
    fn what_the_spec_mounts_at_dev_stays() {
        let spec = completed(r#"{"destination":"/dev/","type":"tmpfs","source":"mine"}"#);
        assert_eq!(destinations(&spec).len(), 1);
    }
}
