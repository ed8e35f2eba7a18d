//! The record of a container: what must be known to clean up after it, written before anything is done.

use anyhow::anyhow;
use serde::{Deserialize, Serialize};
use sysbox::{BackendUrl, ContainerId};

use super::ProcessId;
use crate::{bundle::Bundle, runtime::Cgroup};

const VERSION: u32 = 1;

/// What whoever comes next needs to undo everything that was done for a container.
///
/// It is written before the first change, and again before whatever cannot be told from what is there: that a cgroup is the container's,
/// that the manager may have a clone, which mount points were made. Else how far things came is not in it: cleaning up looks at what is
/// there (cgroup, tree record, the manager's answer), so no step can be missed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    version: u32,
    pub(crate) id: String,
    /// The URL of the backend that it was made with.
    pub(crate) backend: String,
    pub(crate) bundle: String,
    pub(crate) rootfs: String,
    /// Device and inode of the rootfs.
    pub(crate) rootfs_identity: (u64, u64),
    /// Its cgroup, from the root of each hierarchy.
    cgroups_path: String,
    /// The topmost cgroup that was made for it, itself or one above it.
    cgroups_made: String,
    /// Whether it was made, so that what is in it is the container's.
    pub(crate) cgroups_claimed: bool,
    /// Whether the manager has a clone of the rootfs, or was about to make one: then it is who shifts the rootfs back.
    #[serde(default)]
    pub(crate) cloned: bool,
    /// What was made in the rootfs so that something can be mounted there, or was about to be; what is in another comes before it.
    #[serde(default)]
    made: Vec<Made>,
    /// When it was made, in seconds since 1970.
    pub(crate) created: u64,
    /// The process that works on it and waits for it.
    pub(crate) runtime: ProcessId,
    /// The private mount namespace of that process, by its inode.
    pub(crate) mount_namespace: u64,
    /// Its init process.
    pub(crate) init: Option<ProcessId>,
    /// What it was given, once it has an init process.
    pub(crate) given: Option<Given>,
}

/// Something that was made in a rootfs and holds nothing yet, by its path from there on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Made {
    /// A directory.
    Directory(String),
    /// A regular file.
    File(String),
    /// A symbolic link.
    Link { path: String, target: String },
}

/// The ids of a container, to be shown; the manager is who knows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Given {
    /// The host's user ids, first-last.
    pub(crate) uids: String,
    /// The host's group ids, first-last.
    pub(crate) gids: String,
    /// How its rootfs is shifted.
    pub(crate) shift: String,
}

/// What a container is doing, by its processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// Its runtime is at work, it has no init process yet or none any more: it is being made or cleaned up.
    Creating,
    /// Its init process runs.
    Running,
    /// Its runtime has ended without cleaning up; `delete` or the next `run` does it.
    Stopped,
    /// Its runtime has ended, its init process has not.
    Orphaned,
}

impl Made {
    /// Where it is, from the rootfs on.
    pub(crate) fn path(&self) -> &str {
        match self {
            Self::Directory(path) | Self::File(path) | Self::Link { path, .. } => path,
        }
    }
}

impl Record {
    /// The record of a container that this process is about to make.
    pub(crate) fn new(
        id: &ContainerId,
        backend: &BackendUrl,
        bundle: &Bundle,
        cgroup: &Cgroup,
        runtime: ProcessId,
        mount_namespace: u64,
        created: u64,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            version: VERSION,
            id: id.to_string(),
            backend: backend.to_string(),
            bundle: bundle.dir.to_string(),
            rootfs: bundle.rootfs.to_string(),
            rootfs_identity: bundle.rootfs_identity,
            cgroups_path: cgroup.path().to_owned(),
            cgroups_made: cgroup.topmost_missing()?.path().to_owned(),
            cgroups_claimed: false,
            cloned: false,
            made: Vec::new(),
            created,
            runtime,
            mount_namespace,
            init: None,
            given: None,
        })
    }

    /// Its cgroup, and the topmost one that was made for it.
    ///
    /// # Errors
    /// When a path in it is not one that a record is made with.
    pub(crate) fn cgroups(&self) -> anyhow::Result<(Cgroup, Cgroup)> {
        let parse = |path: &str| {
            Cgroup::parse(path)
                .map_err(|rule| anyhow!("the record of container {} has cgroup {path:?}; {rule}", self.id))
        };
        Ok((parse(&self.cgroups_path)?, parse(&self.cgroups_made)?))
    }

    /// What was made in the rootfs, in the order in which it can be removed.
    pub(crate) fn made(&self) -> &[Made] {
        &self.made
    }

    /// Notes what is about to be made in the rootfs; tells whether any of it is new.
    pub(crate) fn note_made(&mut self, mut made: Vec<Made>) -> bool {
        made.retain(|made| !self.made.contains(made));
        let is_new = !made.is_empty();
        self.made.extend(made);
        // The path of a directory is less than those of all that is in it.
        self.made.sort_by(|a, b| b.path().cmp(a.path()));
        self.made.dedup();
        is_new
    }

    /// Whether this version of the program can read it.
    pub(crate) const fn is_known_version(&self) -> bool {
        self.version == VERSION
    }

    /// What the container is doing.
    pub(crate) fn status(&self) -> Status {
        let init = self.init.is_some_and(ProcessId::is_alive);
        match (init, self.runtime.is_alive()) {
            (true, true) => Status::Running,
            (true, false) => Status::Orphaned,
            (false, true) => Status::Creating,
            (false, false) => Status::Stopped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_removed_from_the_bottom_and_noted_once() {
        let made = |path: &str| Made::Directory(path.to_owned());
        let mut record = record();
        assert!(record.note_made(vec![made("/var"), made("/var/lib"), made("/var"), made("/usr")]));
        assert!(record.note_made(vec![made("/var/lib"), Made::File("/var/lib/file".to_owned())]));
        assert!(!record.note_made(vec![made("/usr")]));
        let paths: Vec<_> = record.made().iter().map(Made::path).collect();
        assert_eq!(paths, ["/var/lib/file", "/var/lib", "/var", "/usr"]);
    }

    #[test]
    fn a_record_without_what_was_made_can_be_read() {
        let mut json = serde_json::to_value(record()).expect("plain data");
        json.as_object_mut().expect("an object").remove("made").expect("it is there");
        assert_eq!(serde_json::from_value::<Record>(json).expect("readable"), record());
    }

    fn record() -> Record {
        let this = ProcessId::current().expect("in /proc");
        Record {
            version: VERSION,
            id: "c1".to_owned(),
            backend: "embedded:".to_owned(),
            bundle: "/b".to_owned(),
            rootfs: "/b/rootfs".to_owned(),
            rootfs_identity: (1, 2),
            cgroups_path: "/c1".to_owned(),
            cgroups_made: "/c1".to_owned(),
            cgroups_claimed: false,
            cloned: false,
            made: Vec::new(),
            created: 0,
            runtime: this,
            mount_namespace: 1,
            init: None,
            given: None,
        }
    }
}
