//! A data root of its own for a test, with a range of ids that no other test uses.
//!
//! Every container of a test is on a site, so whatever has the site's ids, its name or its directory is the test's.
//!
//! Which backend its commands use is said by the environment variable `SYSBOX_TEST_BACKEND`: `embedded`, which is the default,
//! or `grpc` or `tarpc`, and then each site has a daemon of its own. So the same tests run over every backend.

use std::{
    collections::BTreeSet,
    env, fs,
    ops::Range,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use rustix::process::Pid;
use serde_json::Value;
use sysbox::{
    AbsPath, IdRange,
    embedded::{Config, EmbeddedMgr, SubidSource},
    linux::LinuxHost,
};
use tempfile::TempDir;

use crate::{
    bundle::Bundle,
    daemon::{Daemon, Transport},
    ground::open_to_all,
    leftovers::{cgroups, entries, mounts},
    proc::{end, processes_of, that_stay},
    program::{Outcome, binary, finish, require_root},
};

/// How many ids a container gets.
const SLOT: u32 = 65_536;

/// Ranges of this size that one test program may use; several programs may run at a time.
const SLOTS: u32 = 128;

/// The first range that the next site of this program gets.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A data root. When it is dropped, its containers are ended and it is removed.
#[derive(Debug)]
pub struct Site {
    dir: TempDir,
    /// What the name of every container of the site begins with, and of no other.
    name: String,
    ids: Range<u32>,
    /// What its daemons speak.
    transport: Transport,
    /// The daemon that answers, where the backend is one.
    daemon: Option<Daemon>,
}

impl Site {
    /// A site with ids for this many containers, over the backend that the environment names. Its data root is not there yet.
    ///
    /// # Panics
    /// When not root, or when the environment names no backend.
    pub fn new(containers: u32) -> Self {
        let site = Self::embedded(containers);
        match env::var("SYSBOX_TEST_BACKEND").as_deref() {
            Err(_) | Ok("embedded") => site,
            Ok("grpc") => site.with_daemon(Transport::Grpc),
            Ok("tarpc") => site.with_daemon(Transport::Tarpc),
            Ok(other) => {
                panic!("SYSBOX_TEST_BACKEND is {other:?}, which is none of embedded, grpc and tarpc")
            }
        }
    }

    /// A site over the embedded backend, for what only this has.
    ///
    /// # Panics
    /// When not root.
    pub fn embedded(containers: u32) -> Self {
        require_root();
        let slot = NEXT.fetch_add(containers, Ordering::Relaxed);
        assert!(slot + containers <= SLOTS, "a test program has ids for {SLOTS} containers");
        // From 268,435,456 on, far from the ids of accounts and below those that other tools take unasked.
        let first = (4096 + process::id() % 64 * SLOTS + slot) * SLOT;
        let dir = TempDir::with_prefix("sysbox-site-").expect("a temporary directory");
        open_to_all(dir.path());
        let name = format!("e2e-{}-{slot}-", process::id());
        Self { dir, name, ids: first..first + containers * SLOT, transport: Transport::Grpc, daemon: None }
    }

    /// The same over a daemon of its own.
    #[must_use]
    pub fn with_daemon(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self.start_daemon();
        self
    }

    /// Starts the daemon, which had ended or is ended now, on the same data.
    pub fn start_daemon(&mut self) -> &Daemon {
        // Two cannot listen on one socket.
        self.daemon = None;
        let (dir, data) = (self.dir.path().join("run"), self.dir.path().join("manager"));
        let arguments = ["--data-root", path(&data), "--subid-range", &self.range_argument()];
        self.daemon.insert(Daemon::start(self.transport, &dir, &arguments))
    }

    /// Takes the daemon away, to see what happens without.
    ///
    /// # Panics
    /// When there is none.
    pub fn take_daemon(&mut self) -> Daemon {
        self.daemon.take().expect("the site has a daemon")
    }

    /// The URL of the daemon, if there is one.
    pub fn backend(&self) -> Option<String> {
        self.daemon.as_ref().map(Daemon::url)
    }

    /// A directory of the test's own, removed with the site.
    pub fn dir(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(&path).expect("made");
        path
    }

    /// The data root.
    pub fn data_root(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The host's ids of this site's containers.
    pub fn ids(&self) -> Range<u32> {
        self.ids.clone()
    }

    /// The id of a container of this site: no other site has one of this name.
    pub fn id(&self, name: &str) -> String {
        format!("{}{name}", self.name)
    }

    /// A command of the binary with this site's data root, backend and ids. It reads nothing.
    pub fn command(&self, command: &str) -> Command {
        let mut program = self.command_without_range(command);
        match self.backend() {
            Some(url) => program.args(["--backend", &url]),
            None => program.args(["--subid-range", &self.range_argument()]),
        };
        program
    }

    fn range_argument(&self) -> String {
        format!("{}:{}", self.ids.start, self.ids.len())
    }

    /// A command of the binary with this site's data root, and ids by the host's files.
    pub fn command_without_range(&self, command: &str) -> Command {
        let mut program = Command::new(binary());
        program.arg(command).arg("--data-root").arg(self.data_root()).stdin(Stdio::null());
        program.env_remove("SYSBOX_BACKEND").env_remove("SYSBOX_LOG");
        program
    }

    /// `sysbox run` of a bundle.
    pub fn run(&self, bundle: &Bundle, id: &str) -> Command {
        let mut program = self.command("run");
        program.arg("--bundle").arg(bundle.dir()).arg(id);
        program
    }

    /// `sysbox delete`, by force.
    pub fn delete(&self, id: &str) -> Outcome {
        finish(self.command("delete").args(["--force", id]))
    }

    /// `sysbox list`, as JSON.
    ///
    /// # Panics
    /// When it fails or prints something else.
    #[track_caller]
    pub fn list(&self) -> Vec<Value> {
        let text = finish(self.command("list").args(["--format", "json"])).success();
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("not a list in JSON ({e}): {text}"))
    }

    /// The row of a container in the list.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn row(&self, id: &str) -> Value {
        let rows = self.list();
        let row = rows.iter().find(|row| row["id"] == id);
        row.unwrap_or_else(|| panic!("{id} is not listed: {rows:?}")).clone()
    }

    /// Fails, telling all that is left, unless nothing is: no process, mount, cgroup, directory, row or range.
    ///
    /// # Panics
    /// When something is.
    #[track_caller]
    pub fn assert_nothing_left(&self, when: &str) {
        let left = self.left();
        assert!(left.is_empty(), "{when}, these are left:\n  {}", left.join("\n  "));
    }

    fn left(&self) -> Vec<String> {
        // Processes first: one that is about to end may still hold, or make, the rest.
        let mut left = that_stay(self.processes());
        left.extend(mounts(&[&self.word(), "/run/sysbox-runtime"]));
        left.extend(cgroups(&self.name));
        for data in BTreeSet::from([self.data_root(), self.managers_data()]) {
            left.extend(
                ["containers", "files", "trash"].into_iter().flat_map(|dir| entries(&data.join(dir))),
            );
        }
        left.extend(entries(Path::new("/run/sysbox-runtime")));
        left.extend(self.list().iter().map(|row| format!("row of list {row}")));
        if self.managers_data().exists() {
            left.extend(self.known_to_the_manager());
        }
        left
    }

    /// The processes of this site's containers and runtimes.
    fn processes(&self) -> Vec<Pid> {
        let daemon = self.daemon.as_ref().map(Daemon::pid);
        processes_of(&self.ids, &self.word()).into_iter().filter(|pid| Some(*pid) != daemon).collect()
    }

    fn managers_data(&self) -> PathBuf {
        if self.daemon.is_some() { self.dir.path().join("manager") } else { self.data_root() }
    }

    /// The embedded manager on the data of this site, or of its daemon.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub fn manager(&self) -> EmbeddedMgr {
        let mut config = Config::new(AbsPath::new(self.managers_data()).expect("absolute"));
        config.subids = SubidSource::Range(self.range());
        EmbeddedMgr::open(config, Arc::new(LinuxHost::default())).expect("the data root is sound")
    }

    fn known_to_the_manager(&self) -> Vec<String> {
        let manager = self.manager();
        let rows = manager
            .list()
            .expect("readable")
            .into_iter()
            .map(|record| format!("row of the manager {record:?}"));
        let pools = manager.subid_pools().expect("readable");
        let ranges = [("user", pools.uids.used), ("group", pools.gids.used)];
        let ranges = ranges.into_iter().filter(|(_, used)| *used > 0);
        rows.chain(ranges.map(|(kind, used)| format!("{used} ranges of {kind} ids in use"))).collect()
    }

    fn range(&self) -> IdRange {
        IdRange::new(self.ids.start, self.ids.end - self.ids.start).expect("not empty")
    }

    /// What is on the command line of every process that was started for this site.
    fn word(&self) -> String {
        self.dir.path().display().to_string()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // Where nothing is left, as after a test that passed, nothing is done.
        let containers = fs::read_dir(self.data_root().join("containers")).into_iter().flatten().flatten();
        for container in containers {
            let mut delete = self.command("delete");
            delete.args(["--force".as_ref(), container.file_name().as_os_str()]);
            // What it cannot do is tried below.
            let _ = delete.stdout(Stdio::null()).status();
        }
        end(self.processes());
        for cgroup in cgroups(&self.name).iter().rev().filter_map(|line| line.strip_prefix("cgroup ")) {
            let _ = fs::remove_dir(cgroup);
        }
    }
}

/// A path as text.
///
/// # Panics
/// When it is not UTF-8.
pub fn path(path: &Path) -> &str {
    path.to_str().expect("temporary directories have plain names")
}
