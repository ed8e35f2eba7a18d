//! A container's cgroups as its own: its root can make others below them, as systemd and Docker in a container do.
//!
//! What is given away is what the kernel's documentation names (cgroup-v2.rst, "Delegation"), so limits on the container itself
//! stay the host's.

use std::{
    fs, io,
    os::unix::fs::lchown,
    path::{Path, PathBuf},
};

use anyhow::Context;
use oci_spec::runtime::{LinuxBlockIo, LinuxResources, Spec};
use sysbox::{Owner, tree::TreeIds};

use super::{Cgroup, cgroup::hierarchies};

/// The controllers that libcontainer knows. It puts a container into their hierarchies, and leaves others alone.
const BY_LIBCONTAINER: [&str; 12] = [
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
];

/// The files of a cgroup by which processes and controllers are spread over those below it; `tasks` is v1's `cgroup.threads`.
const FILES: [&str; 4] = ["cgroup.procs", "cgroup.threads", "cgroup.subtree_control", "tasks"];

/// Makes a container while this process is in the container's cgroup of each hierarchy that libcontainer leaves alone: v1's
/// `name=systemd` for one, and v2's beside v1's.
///
/// What a container sees of a hierarchy begins where its first process is when it gets its cgroup namespace
/// (`cgroup_namespaces(7)`), so it would be too late to move that process afterwards.
pub(super) fn within<T>(cgroup: &Cgroup, make: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let places = places(cgroup)?;
    let made = places.iter().try_for_each(Place::enter).and_then(|()| make());
    // One that was not entered can be left too.
    let left = places.iter().try_for_each(Place::leave);
    let made = made?;
    left.map(|()| made)
}

/// Gives the container's cgroups to its root.
pub(super) fn delegate(cgroup: &Cgroup, ids: TreeIds, spec: &Spec) -> anyhow::Result<()> {
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    for hierarchy in hierarchies()?.iter().filter(|hierarchy| !is_limited_alone(hierarchy, resources)) {
        let dir = cgroup.dir_in(hierarchy);
        if !holds_below(&dir) {
            continue;
        }
        give(&dir, ids.root())?;
        FILES.iter().try_for_each(|file| give(&dir.join(file), ids.root()))?;
    }
    Ok(())
}

/// Gives a file of a cgroup away, if the cgroup is in that hierarchy and has the file.
fn give(path: &Path, owner: Owner) -> anyhow::Result<()> {
    match lchown(path, Some(owner.uid.0), Some(owner.gid.0)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome.with_context(|| format!("cannot give {} to the container's root", path.display())),
    }
}

/// Whether the container has limits in a hierarchy that would not hold in cgroups below its own. These of v1 do not.
fn is_limited_alone(hierarchy: &Path, resources: Option<&LinuxResources>) -> bool {
    let is_of = |controllers: &[&str]| {
        let name = hierarchy.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.split(',').any(|controller| controllers.contains(&controller))
    };
    resources.is_some_and(|resources| {
        resources.block_io().as_ref().is_some_and(throttles) && is_of(&["blkio"])
            || resources.network().is_some() && is_of(&["net_cls", "net_prio"])
    })
}

/// Whether what is used below a cgroup counts for it too. Of v1's memory that is for its root to say, and the default until Linux 5.11
/// is that it does not (cgroup-v1/memory.rst, "Hierarchy support").
fn holds_below(dir: &Path) -> bool {
    fs::read_to_string(dir.join("memory.use_hierarchy")).map_or(true, |text| text.trim() != "0")
}

fn throttles(limits: &LinuxBlockIo) -> bool {
    let devices = [
        limits.throttle_read_bps_device(),
        limits.throttle_write_bps_device(),
        limits.throttle_read_iops_device(),
        limits.throttle_write_iops_device(),
    ];
    devices.iter().any(|devices| devices.as_ref().is_some_and(|devices| !devices.is_empty()))
}

/// Where the container and this process are in a hierarchy.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    hierarchy: PathBuf,
    containers: PathBuf,
    own: PathBuf,
}

impl Place {
    fn enter(&self) -> anyhow::Result<()> {
        let dir = self.containers.display();
        fs::create_dir_all(&self.containers).with_context(|| format!("cannot make cgroup {dir}"))?;
        move_to(&self.containers).with_context(|| format!("cannot enter cgroup {dir}"))
    }

    /// Goes back; to one above it if that was removed when nobody was in it, as systemd does with scopes.
    fn leave(&self) -> anyhow::Result<()> {
        let ways = self.own.ancestors().take_while(|dir| dir.starts_with(&self.hierarchy));
        let mut outcome = Ok(());
        for dir in ways {
            outcome = move_to(dir);
            if outcome.is_ok() {
                break;
            }
        }
        outcome.with_context(|| format!("cannot leave cgroup {}", self.containers.display()))
    }
}

/// Moves this process.
fn move_to(dir: &Path) -> io::Result<()> {
    fs::write(dir.join("cgroup.procs"), "0")
}

/// The hierarchies that libcontainer leaves alone.
fn places(cgroup: &Cgroup) -> anyhow::Result<Vec<Place>> {
    let own =
        fs::read_to_string("/proc/self/cgroup").context("cannot see in which cgroups this process is")?;
    let places = hierarchies()?.into_iter().filter_map(|hierarchy| place(hierarchy, cgroup, &own));
    Ok(places.collect())
}

/// The place in a hierarchy that is mounted at a directory of its name; `own` is `/proc/PID/cgroup` (`cgroups(7)`).
fn place(hierarchy: PathBuf, cgroup: &Cgroup, own: &str) -> Option<Place> {
    let fields = own.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let mut others =
        fields.filter(|(controllers, _)| !controllers.split(',').any(|name| BY_LIBCONTAINER.contains(&name)));
    let (_, path) = others.find(|(controllers, _)| match *controllers {
        "" => hierarchy.ends_with("unified"),
        controllers => hierarchy.ends_with(controllers.strip_prefix("name=").unwrap_or(controllers)),
    })?;
    let own = hierarchy.join(path.trim_start_matches('/'));
    Some(Place { containers: cgroup.dir_in(&hierarchy), own, hierarchy })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str =
        "5:name=systemd:/user.slice/s.scope\n4:misc:/\n3:cpu,cpuacct:/a\n2:pids:/\n0::/user:1\n";

    fn place_in(hierarchy: &str, own: &str) -> Option<(String, String)> {
        let cgroup = Cgroup::parse("/a/c1").expect("plain");
        place(PathBuf::from(hierarchy), &cgroup, own)
            .map(|place| (place.containers.display().to_string(), place.own.display().to_string()))
    }

    #[test]
    fn the_places_are_those_that_libcontainer_leaves_alone() {
        let place = |containers: &str, own: &str| Some((containers.to_owned(), own.to_owned()));
        assert_eq!(place_in("/c/systemd", HYBRID), place("/c/systemd/a/c1", "/c/systemd/user.slice/s.scope"));
        assert_eq!(place_in("/c/unified", HYBRID), place("/c/unified/a/c1", "/c/unified/user:1"));
        assert_eq!(place_in("/c/misc", HYBRID), place("/c/misc/a/c1", "/c/misc/"));
        for hierarchy in ["/c/cpu,cpuacct", "/c/pids", "/c/not-mounted-there"] {
            assert_eq!(place_in(hierarchy, HYBRID), None, "{hierarchy}");
        }
    }

    #[test]
    fn there_is_none_on_a_host_with_v2_alone() {
        assert_eq!(place_in("/sys/fs/cgroup", "0::/user.slice\n"), None);
    }

    #[test]
    fn what_limits_the_container_alone_is_not_given_to_it() {
        let is_kept = |hierarchy: &str, resources: &str| {
            let resources: LinuxResources = serde_json::from_str(resources).expect("resources");
            is_limited_alone(Path::new(hierarchy), Some(&resources))
        };
        let device = r#"[{"major":8,"minor":0,"rate":1024}]"#;
        for kind in ["ReadBps", "WriteBps", "ReadIOPS", "WriteIOPS"] {
            let resources = format!(r#"{{"blockIO":{{"throttle{kind}Device":{device}}}}}"#);
            assert!(is_kept("/c/blkio", &resources), "{kind}");
            assert!(!is_kept("/c/memory", &resources) && !is_kept("/sys/fs/cgroup", &resources), "{kind}");
        }
        let network = r#"{"network":{"classID":1}}"#;
        assert!(is_kept("/c/net_cls,net_prio", network) && !is_kept("/c/blkio", network));
        assert!(!is_kept("/c/blkio", r#"{"blockIO":{"weight":10,"throttleReadBpsDevice":[]}}"#));
        assert!(!is_limited_alone(Path::new("/c/blkio"), None));
    }

    #[test]
    fn memory_that_is_not_counted_for_those_above_is_not_given_to_the_container() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(holds_below(dir.path()), "v2, or another hierarchy");
        for (text, holds) in [("0\n", false), ("1\n", true)] {
            fs::write(dir.path().join("memory.use_hierarchy"), text).expect("written");
            assert_eq!(holds_below(dir.path()), holds, "{text}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_needs_no_owner() {
        let dir = tempfile::tempdir().expect("a directory");
        give(&dir.path().join("tasks"), Owner::new(1, 1)).expect("nothing to give");
    }
}
