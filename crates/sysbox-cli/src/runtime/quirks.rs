//! What engines write, and other runtimes take, but libcontainer does not: said in the words that it takes.

use std::path::Path;

use oci_spec::runtime::{Linux, Mount, Process, Spec};

/// Where a container finds the multiplexer of its own terminals, by a link that libcontainer makes.
pub(super) const PTMX: &str = "/dev/ptmx";

/// What other runtimes take beside the mount options of tmpfs(5): to copy into it what the rootfs has at its place, or not to.
const COPY_UP: &str = "tmpcopyup";
const NO_COPY_UP: &str = "notmpcopyup";

/// Where programs are, for who is not told.
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Makes a converted spec one that libcontainer takes.
pub(super) fn adapt(spec: &mut Spec) {
    spec.process_mut().iter_mut().for_each(|process| {
        no_new_privileges(process);
        search_path(process);
    });
    spec.linux_mut().iter_mut().for_each(|linux| {
        drop_ptmx(linux);
        propagation(linux);
    });
    spec.mounts_mut().iter_mut().flatten().for_each(|mount| {
        begin_empty(mount);
        links_not_followed(mount);
    });
}

/// Where it says `false`, libcontainer loads the seccomp filter only when the capabilities that this takes are gone.
fn no_new_privileges(process: &mut Process) {
    if process.no_new_privileges() == Some(false) {
        process.set_no_new_privileges(None);
    }
}

/// Libcontainer starts nothing without a search path, also where the program is named by its whole path.
fn search_path(process: &mut Process) {
    let mut variables = process.env().clone().unwrap_or_default();
    if !variables.iter().any(|variable| variable.starts_with("PATH=")) {
        variables.push(DEFAULT_PATH.to_owned());
        process.set_env(Some(variables));
    }
}

/// Libcontainer would bind the host's, and then fail to put its link there.
fn drop_ptmx(linux: &mut Linux) {
    if let Some(devices) = linux.devices_mut() {
        devices.retain(|device| device.path() != Path::new(PTMX));
    }
}

/// Libcontainer has no names for what takes in the mounts below; what it does by the others takes them in.
fn propagation(linux: &mut Linux) {
    let name = linux.rootfs_propagation().as_deref();
    if let Some(name @ ("rshared" | "rslave" | "rprivate" | "runbindable")) = name {
        let name = name.trim_start_matches('r').to_owned();
        linux.set_rootfs_propagation(Some(name));
    }
}

/// Libcontainer would hand what it does not know to the kernel, which refuses it.
fn begin_empty(mount: &mut Mount) {
    if mount.typ().as_deref() != Some("tmpfs") {
        return;
    }
    let Some(mut options) = mount.options().clone() else { return };
    if options.iter().any(|option| option == COPY_UP) {
        let destination = mount.destination().display();
        tracing::warn!(mount = %destination, "the tmpfs begins empty, as its option {COPY_UP} is not supported");
    }
    options.retain(|option| option != COPY_UP && option != NO_COPY_UP);
    mount.set_options(Some(options));
}

/// Libcontainer would leave out `nosymfollow`, and has a name only for what takes in the mounts below.
fn links_not_followed(mount: &mut Mount) {
    let Some(mut options) = mount.options().clone() else { return };
    options.retain(|option| option != "symfollow");
    for option in options.iter_mut().filter(|option| *option == "nosymfollow") {
        "rnosymfollow".clone_into(option);
    }
    mount.set_options(Some(options));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn adapted(mut spec: Value) -> Value {
        spec["ociVersion"] = "1.0.2".into();
        let mut spec = serde_json::from_value(spec).expect("a spec");
        adapt(&mut spec);
        serde_json::to_value(spec).expect("it was read from JSON")
    }

    #[test]
    fn a_tmpfs_loses_the_options_that_the_kernel_does_not_know_and_no_other_mount_does() {
        let mounts = |of_tmpfs: Value| {
            json!([
                { "destination": "/run", "type": "tmpfs", "source": "tmpfs", "options": of_tmpfs },
                { "destination": "/a", "type": "overlay", "source": "overlay", "options": ["tmpcopyup"] },
                { "destination": "/b", "type": "tmpfs", "source": "tmpfs" },
            ])
        };
        let spec = adapted(json!({ "mounts": mounts(json!(["rw", "tmpcopyup", "notmpcopyup", "nodev"])) }));
        assert_eq!(spec["mounts"], mounts(json!(["rw", "nodev"])));
    }

    #[test]
    fn a_mount_whose_links_are_not_followed_says_so_as_libcontainer_does() {
        let mounts = |options: Value| json!([{ "destination": "/a", "type": "bind", "source": "/a", "options": options }]);
        for (given, taken) in [
            (json!(["rbind", "nosymfollow", "ro"]), json!(["rbind", "rnosymfollow", "ro"])),
            (json!(["bind", "symfollow"]), json!(["bind"])),
        ] {
            assert_eq!(adapted(json!({ "mounts": mounts(given) }))["mounts"], mounts(taken));
        }
    }

    #[test]
    fn ptmx_is_not_among_the_devices_and_others_stay() {
        let device = |path: &str| json!({ "path": path, "type": "c", "major": 5, "minor": 2 });
        let linux = json!({ "devices": [device("/dev/fuse"), device("/dev/ptmx"), device("/dev/ptmx2")] });
        let spec = adapted(json!({ "linux": linux }));
        assert_eq!(spec["linux"]["devices"], json!([device("/dev/fuse"), device("/dev/ptmx2")]));
    }

    #[test]
    fn propagation_is_named_without_the_letter_for_recursive() {
        for (given, name) in [
            ("rshared", "shared"),
            ("rslave", "slave"),
            ("rprivate", "private"),
            ("runbindable", "unbindable"),
            ("private", "private"),
            ("really", "really"),
        ] {
            let spec = adapted(json!({ "linux": { "rootfsPropagation": given } }));
            assert_eq!(spec["linux"]["rootfsPropagation"], name, "{given}");
        }
    }

    #[test]
    fn a_search_path_is_given_to_who_has_none() {
        let env = |given: Value| {
            let user = json!({ "uid": 0, "gid": 0 });
            let spec = adapted(json!({ "process": { "cwd": "/", "user": user, "env": given } }));
            spec["process"]["env"].clone()
        };
        assert_eq!(env(json!(["A=1", "PATH=/bin"])), json!(["A=1", "PATH=/bin"]));
        assert_eq!(env(json!(["A=1", "MANPATH=/man"])), json!(["A=1", "MANPATH=/man", DEFAULT_PATH]));
        assert_eq!(env(Value::Null), json!([DEFAULT_PATH]));
    }

    #[test]
    fn new_privileges_are_forbidden_or_not_spoken_of() {
        let spec = |given: bool| {
            let user = json!({ "uid": 0, "gid": 0 });
            adapted(json!({ "process": { "cwd": "/", "user": user, "noNewPrivileges": given } }))
        };
        assert_eq!(spec(true)["process"]["noNewPrivileges"], true);
        assert_eq!(spec(false)["process"].get("noNewPrivileges"), None);
    }
}
