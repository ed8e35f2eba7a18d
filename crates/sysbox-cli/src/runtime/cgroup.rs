//! The cgroup of a container, in every hierarchy that the host has (v1, hybrid or v2).

mod walk;

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use oci_spec::runtime::Spec;
use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};
use sysbox::{ContainerId, syscont::SpecError};

use super::signals::wait_readable;
use walk::Open;

const ROOT: &str = "/sys/fs/cgroup";

/// As many processes of a container are waited for singly, the first ones of it: descriptors are few.
const MOST_WAITED_FOR: usize = 256;

/// How long processes get to end after SIGKILL. One that takes longer sleeps in the kernel and would for ever.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it is waited for one of them before it is looked what is left.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A cgroup by its path from the root of each hierarchy: never the root itself, and nothing that leads out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cgroup {
    path: String,
}

impl Cgroup {
    /// The cgroup that a spec asks for, or one named after the container.
    ///
    /// # Errors
    /// [`SpecError`] when `linux.cgroupsPath` is not a plain path: it could lead out of the hierarchy.
    pub(crate) fn of(id: &ContainerId, spec: &Spec) -> Result<Self, SpecError> {
        let given = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_ref());
        let Some(given) = given.filter(|path| !path.as_os_str().is_empty()) else {
            return Ok(Self::named_after(id));
        };
        let refused = |rule| SpecError::new("linux.cgroupsPath", format!("{given:?}"), rule);
        Self::parse(given.to_str().ok_or_else(|| refused("it must be UTF-8"))?).map_err(refused)
    }

    /// The cgroup of a container whose spec asks for none.
    pub(crate) fn named_after(id: &ContainerId) -> Self {
        Self { path: format!("/sysbox-{id}") }
    }

    /// The cgroup with this path.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub(crate) fn parse(path: &str) -> Result<Self, &'static str> {
        if path.contains(':') {
            return Err(
                "it must be a path such as /mine/web-1; the form of the systemd driver is not known here",
            );
        }
        let relative = path.trim_start_matches('/').trim_end_matches('/');
        let plain = |part: &str| !matches!(part, "" | "." | "..");
        if !relative.split('/').all(plain) {
            return Err("it must name a cgroup of its own, without . and ..");
        }
        Ok(Self { path: format!("/{relative}") })
    }

    /// The path from the root of each hierarchy.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Whether it is this one or one below it.
    pub(crate) fn holds(&self, other: &Self) -> bool {
        let rest = other.path.strip_prefix(&self.path);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The first of the cgroups on the way to it that is in no hierarchy yet, itself at the latest.
    pub(crate) fn topmost_missing(&self) -> anyhow::Result<Self> {
        for (end, _) in self.path.match_indices('/').skip(1) {
            let ancestor = Self { path: self.path[..end].to_owned() };
            if ancestor.dirs()?.is_empty() {
                return Ok(ancestor);
            }
        }
        Ok(self.clone())
    }

    /// Makes it, in one hierarchy, so that nobody else can have it: what is in it is the container's from then on.
    ///
    /// # Errors
    /// When it is there already.
    pub(crate) fn claim(&self) -> anyhow::Result<()> {
        if let Some(dir) = self.dirs()?.first() {
            bail!(
                "cgroup {} is there already; a container needs one of its own, see linux.cgroupsPath",
                dir.display()
            );
        }
        let root = hierarchies()?
            .into_iter()
            .min()
            .context("the host has no cgroups at /sys/fs/cgroup; mount them")?;
        let dir = self.dir_in(&root);
        let made = dir.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::create_dir(&dir));
        made.with_context(|| format!("cannot make cgroup {}", dir.display()))
    }

    /// Ends every process in it, frozen ones too, and waits until they are gone.
    pub(crate) fn kill(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        // One that has left its cgroup has not ended yet, and libcontainer would take it to be alive. The kernel has the first process
        // of a container end after all others.
        let seen = self.pids()?.into_iter().take(MOST_WAITED_FOR).filter_map(open);
        let seen: Vec<OwnedFd> = seen.collect();
        self.kill_at_once()?;
        loop {
            let pids = self.pids()?;
            if pids.is_empty() {
                for process in &seen {
                    wait_readable(process, deadline)?;
                }
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!(
                    "processes {pids:?} of cgroup {} do not end; see what they wait for with ps",
                    self.path
                );
            }
            for pid in &pids {
                end(*pid)?;
            }
            // Only now: one that would freeze the others again ends itself.
            self.thaw()?;
            // The first is the one that all others end with, if there is such a one.
            if let Some(first) = pids.first() {
                wait_for_end(*first, deadline.min(Instant::now() + LOOK_AGAIN))?;
            }
        }
    }

    /// Ends every process in it where v2 is mounted, in one go: one that makes cgroups faster than they can be visited too.
    fn kill_at_once(&self) -> anyhow::Result<()> {
        for dir in self.dirs()? {
            let file = OpenOptions::new().write(true).open(dir.join("cgroup.kill"));
            if let Err(error) = file.and_then(|mut file| file.write_all(b"1")) {
                tracing::trace!(dir = %dir.display(), %error, "its processes are ended one by one");
            }
        }
        Ok(())
    }

    /// Removes it and the cgroups below it from every hierarchy, and those above it up to `topmost` that have no others.
    pub(crate) fn remove(&self, topmost: &Self) -> anyhow::Result<()> {
        for dir in self.dirs()? {
            self.remove_dir(&dir)?;
        }
        self.remove_above(topmost)
    }

    /// Removes it where nothing is in it, and those above it as [`Self::remove`] does.
    pub(crate) fn remove_empty(&self, topmost: &Self) -> anyhow::Result<()> {
        self.remove_where_empty()?;
        self.remove_above(topmost)
    }

    fn remove_above(&self, topmost: &Self) -> anyhow::Result<()> {
        let mut path = self.path.as_str();
        while let Some((above, _)) = path.rsplit_once('/').filter(|_| path != topmost.path) {
            path = above;
            (Self { path: path.to_owned() }).remove_where_empty()?;
        }
        Ok(())
    }

    fn remove_where_empty(&self) -> anyhow::Result<()> {
        for dir in self.dirs()? {
            if let Err(error) = fs::remove_dir(&dir) {
                tracing::debug!(dir = %dir.display(), %error, "another container needs it");
            }
        }
        Ok(())
    }

    /// Removes one of its directories and what is below it. The kernel may need a moment after the last process has ended; and one
    /// that libcontainer was making when it was killed may come to join only now, and would wait in it for ever.
    fn remove_dir(&self, dir: &Path) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match walk::remove(dir) {
                Err(e) if e.kind() == io::ErrorKind::ResourceBusy && Instant::now() < deadline => {
                    self.kill()?;
                    std::thread::sleep(Duration::from_millis(1));
                }
                outcome => {
                    return outcome.with_context(|| format!("cannot remove cgroup {}", dir.display()));
                }
            }
        }
    }

    fn pids(&self) -> anyhow::Result<BTreeSet<i32>> {
        let mut pids = BTreeSet::new();
        self.visit(|cgroup| {
            let text = match cgroup.read("cgroup.procs") {
                // In a threaded one; its processes are those of one above it, which is not (cgroup-v2.rst, "Threads").
                Err(e) if e.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) => return Ok(()),
                text => text?,
            };
            pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
            Ok(())
        })?;
        Ok(pids)
    }

    /// Lets frozen processes go on, since a frozen one does not end.
    pub(super) fn thaw(&self) -> anyhow::Result<()> {
        self.visit(|cgroup| {
            for (file, value) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
                if let Err(error) = cgroup.write(file, value) {
                    tracing::trace!(file, %error, "not a freezer");
                }
            }
            Ok(())
        })
    }

    /// Visits it and those below it, in every hierarchy.
    fn visit(&self, mut visit: impl FnMut(&Open) -> io::Result<()>) -> anyhow::Result<()> {
        for dir in self.dirs()? {
            walk::visit(&dir, &mut visit)
                .with_context(|| format!("cannot look into cgroup {}", dir.display()))?;
        }
        Ok(())
    }

    /// Its directory in the hierarchy with this root.
    pub(super) fn dir_in(&self, root: &Path) -> PathBuf {
        root.join(self.path.trim_start_matches('/'))
    }

    /// Its directories, one for each hierarchy in which it is.
    fn dirs(&self) -> anyhow::Result<Vec<PathBuf>> {
        let roots =
            hierarchies().with_context(|| format!("cannot look for cgroup {} in {ROOT}", self.path))?;
        Ok(roots.iter().map(|root| self.dir_in(root)).filter(|dir| dir.is_dir()).collect())
    }
}

/// Whether the host has cgroup v2 alone.
pub(super) fn is_unified() -> bool {
    Path::new(ROOT).join("cgroup.controllers").exists()
}

/// The roots of the host's cgroup hierarchies.
pub(super) fn hierarchies() -> io::Result<Vec<PathBuf>> {
    let root = Path::new(ROOT);
    if is_unified() {
        return Ok(vec![root.to_owned()]);
    }
    let mut roots = fs::read_dir(root)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    // `cpu` may be a link to `cpu,cpuacct`.
    roots.retain(|dir| dir.is_dir() && !dir.is_symlink());
    Ok(roots)
}

/// Sends a process the signal that ends it.
fn end(pid: i32) -> anyhow::Result<()> {
    let Some(pid) = Pid::from_raw(pid) else { return Ok(()) };
    match kill_process(pid, Signal::KILL) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(e) => Err(e).with_context(|| format!("cannot end process {pid:?}")),
    }
}

fn open(pid: i32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()
}

/// Waits until a process has ended, or until the deadline.
fn wait_for_end(pid: i32, deadline: Instant) -> anyhow::Result<()> {
    let Some(pid) = Pid::from_raw(pid) else { return Ok(()) };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => wait_readable(&pidfd, deadline).map(drop).map_err(Into::into),
        Err(Errno::SRCH) => Ok(()),
        Err(e) => Err(e).with_context(|| format!("cannot open process {pid:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: Option<&str>) -> Result<String, SpecError> {
        let linux = path.map_or_else(String::new, |path| format!(r#""cgroupsPath":"{path}""#));
        let spec = serde_json::from_str(&format!(r#"{{"ociVersion":"1.0.2","linux":{{{linux}}}}}"#))
            .expect("a spec");
        Cgroup::of(&"c1".parse().expect("valid"), &spec).map(|cgroup| cgroup.path().to_owned())
    }

    #[test]
    fn a_container_has_the_cgroup_of_its_spec_or_one_of_its_name() {
        assert_eq!(of(None).as_deref(), Ok("/sysbox-c1"));
        assert_eq!(of(Some("")).as_deref(), Ok("/sysbox-c1"));
        assert_eq!(of(Some("/a/b/")).as_deref(), Ok("/a/b"));
        assert_eq!(of(Some("a/b")).as_deref(), Ok("/a/b"));
    }

    #[test]
    fn a_cgroup_holds_itself_and_what_is_below_it() {
        let cgroup = |path| Cgroup::parse(path).expect("plain");
        assert!(cgroup("/a").holds(&cgroup("/a")) && cgroup("/a").holds(&cgroup("/a/b")));
        assert!(!cgroup("/a").holds(&cgroup("/ab")) && !cgroup("/a/b").holds(&cgroup("/a")));
    }

    #[test]
    fn the_topmost_missing_cgroup_is_the_first_that_must_be_made() {
        let cgroup = Cgroup::parse("/certainly-not-there/b/c").expect("plain");
        assert_eq!(cgroup.topmost_missing().expect("readable").path(), "/certainly-not-there");
    }

    #[test]
    fn a_path_that_could_lead_out_of_the_hierarchy_is_refused() {
        for path in ["/", "//", "/..", "/a/../../b", "a//b", "./a", "system.slice:docker:x"] {
            assert_eq!(of(Some(path)).expect_err(path).field, "linux.cgroupsPath");
        }
    }
}
