//! The daemon under attack.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use sysbox_core::{AbsPath, HostGid, HostUid, Subids, port::MockMgrPort};
use sysbox_transport::Listener;
use sysbox_transport_tarpc::{ClientOptions, ServerOptions, TarpcMgr, serve_mgr};
use tokio::sync::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;

use crate::served::{LONG, alloc};

/// Where the process is to serve, if it is the daemon.
const DIRECTORY: &str = "SYSBOX_TEST_SERVE_IN";

/// How long peers have for what they owe.
pub(crate) const HANDSHAKE: Duration = Duration::from_millis(400);

/// By how much the memory of the daemon may grow, whatever it is sent.
const GROWTH: usize = 64 << 20;

/// How soon others are served meanwhile. It takes 0.3 s at most where nothing else runs.
const PROMPT: Duration = Duration::from_secs(2);

/// One daemon at a time, so that none is slow because of another.
static TURN: Mutex<()> = Mutex::const_new(());

/// A daemon in a process of its own.
#[derive(Debug)]
pub(crate) struct Daemon {
    process: Child,
    pub(crate) socket: AbsPath,
    _dir: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Daemon {
    pub(crate) async fn start() -> Self {
        let turn = TURN.lock().await;
        let dir = tempfile::tempdir().expect("a directory");
        let run = dir.path().join("run");
        let process = Command::new(std::env::current_exe().expect("a path"))
            .args(["--exact", "daemon::the_daemon_of_the_other_tests", "--nocapture"])
            .env(DIRECTORY, &run)
            .stdout(Stdio::null())
            .spawn()
            .expect("started");
        let socket = AbsPath::new(run.join("s")).expect("absolute");
        let daemon = Self { process, socket, _dir: dir, _turn: turn };
        let began = Instant::now();
        while !daemon.socket.as_path().exists() {
            assert!(began.elapsed() < LONG, "the daemon does not come up");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        daemon
    }

    /// Attacks it and sees to it that others are served promptly all the while, and that nothing is left behind.
    pub(crate) async fn withstands(&mut self, attack: impl Future<Output = ()> + Send + 'static) {
        self.serves_someone_else().await;
        let (descriptors, memory) = (self.descriptors(), self.memory());
        let mut highest = memory;
        let attack = tokio::spawn(attack);
        loop {
            let over = attack.is_finished();
            self.serves_someone_else().await;
            highest = highest.max(self.memory());
            if over {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        attack.await.expect("the attack went as it should");
        let growth = highest.saturating_sub(memory);
        assert!(growth < GROWTH, "memory grew by {growth} bytes");
        let began = Instant::now();
        while self.descriptors() > descriptors {
            assert!(began.elapsed() < LONG, "{} descriptors, {descriptors} before", self.descriptors());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(self.process.try_wait().expect("a child").is_none(), "it lives");
    }

    async fn serves_someone_else(&self) {
        let began = Instant::now();
        let mgr = TarpcMgr::new(self.socket.clone(), ClientOptions::default());
        alloc(&mgr, "honest").await.expect("served");
        let took = began.elapsed();
        assert!(took < PROMPT, "another peer was served after {took:?}");
    }

    /// Lets it have so many more descriptors than it has, and no further ones.
    pub(crate) fn starve(&self, more: u64) {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        let limit = getrlimit(Resource::Nofile);
        let low = Rlimit { current: Some(self.descriptors() as u64 + more), ..limit };
        prlimit(pid, Resource::Nofile, low).expect("set");
    }

    fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.process.id())).expect("it lives").count()
    }

    /// Its resident memory, in bytes.
    pub(crate) fn memory(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("it lives");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
        resident.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// No test of its own.
#[test]
fn the_daemon_of_the_other_tests() {
    let Some(dir) = std::env::var_os(DIRECTORY) else { return };
    let mut port = MockMgrPort::new();
    port.expect_alloc_subids().returning(|_| Ok(Subids { uid: HostUid(65_536), gid: HostGid(65_536) }));
    let mut options = ServerOptions::default();
    options.handshake = HANDSHAKE;
    options.grace = Duration::from_millis(50);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let dir = AbsPath::new(std::path::PathBuf::from(dir)).expect("absolute");
        let listener = Listener::bind(&dir, "s").expect("bound");
        serve_mgr(std::sync::Arc::new(port), listener, &options, CancellationToken::new())
            .await
            .expect("served");
    });
}
