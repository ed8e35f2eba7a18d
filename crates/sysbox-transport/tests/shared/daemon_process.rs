//! A daemon in a process of its own, so that it can be killed and stopped: a second copy of the test program.
//!
//! Such a program has a test that calls [`serve_if_told`] and nothing else.
#![allow(dead_code, reason = "each test program uses its part of it")]

use std::{
    io::{BufRead, BufReader, Lines, Read, Write},
    os::unix::net::UnixListener,
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, set_parent_process_death_signal, waitpid};
use sysbox_core::{AbsPath, ContainerConfig, HostGid, HostUid, Subids, port::MockMgrPort};
use sysbox_transport::{Listener, Offloaded, ServerOptions};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use crate::subject::{GREETING, serve_mgr};

/// Tells the second copy where to serve, and how.
const DIRECTORY: &str = "SYSBOX_TEST_SERVE_IN";
const ROLE: &str = "SYSBOX_TEST_SERVE_AS";

/// Answers at once.
pub(crate) const ANSWERS: &str = "answers";
/// Says "begun" and never answers, except to `pause`.
pub(crate) const HOLDS: &str = "holds";
/// Lets each connection in, reads the first request, and closes it.
pub(crate) const LOSES: &str = "loses";

/// A running daemon, killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts it and waits until it listens.
    pub(crate) fn start(dir: &AbsPath, role: &str, test: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", test, "--nocapture"])
            .envs([(DIRECTORY, dir.as_path().as_os_str()), (ROLE, role.as_ref())])
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let said = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut process = Self { child, said };
        process.until("listening");
        process
    }

    /// Waits until it says a word.
    pub(crate) fn until(&mut self, word: &str) {
        let heard = self.said.by_ref().map_while(Result::ok).any(|line| line.contains(word));
        assert!(heard, "the daemon ended without saying {word:?}");
    }

    /// Stops it as by SIGSTOP, and waits until it stands still.
    pub(crate) fn freeze(&self) {
        kill_process(self.pid(), Signal::STOP).expect("sent");
        waitpid(Some(self.pid()), WaitOptions::UNTRACED).expect("a child").expect("it stopped");
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        kill_process(self.pid(), Signal::CONT).expect("sent");
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    /// With SIGKILL.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where daemons serve, one after another: the directory, and the socket in it.
pub(crate) fn place() -> (TempDir, AbsPath, AbsPath) {
    let dir = tempfile::tempdir().expect("a directory");
    let run = AbsPath::new(dir.path().join("run")).expect("absolute");
    let socket = AbsPath::new(run.as_path().join("s")).expect("absolute");
    (dir, run, socket)
}

/// A runtime that is driven during calls only.
pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Is a daemon until it is killed, in the second copy of the program.
pub(crate) fn serve_if_told() {
    let (Some(dir), Some(role)) = (std::env::var_os(DIRECTORY), std::env::var_os(ROLE)) else { return };
    set_parent_process_death_signal(Some(Signal::KILL)).expect("set");
    let dir = AbsPath::new(dir).expect("absolute");
    if role == LOSES { lose(&dir) } else { serve(&dir, role == HOLDS) }
}

fn serve(dir: &AbsPath, holds: bool) {
    let hold = move || {
        if holds {
            println!("begun");
            std::thread::sleep(std::time::Duration::MAX);
        }
    };
    let mut port = MockMgrPort::new();
    port.expect_pause().returning(|_| Ok(()));
    port.expect_alloc_subids().returning(move |_| {
        hold();
        Ok(Subids { uid: HostUid(7), gid: HostGid(9) })
    });
    port.expect_register().returning(move |_| {
        hold();
        Ok(ContainerConfig::default())
    });
    let port = Arc::new(Offloaded::new(Arc::new(port)));
    runtime().block_on(async {
        let listener = Listener::bind(dir, "s").expect("bound");
        println!("listening");
        serve_mgr(port, listener, &ServerOptions::default(), CancellationToken::new()).await.expect("served");
    });
}

fn lose(dir: &AbsPath) {
    std::fs::create_dir_all(dir).expect("made");
    let listener = UnixListener::bind(dir.as_path().join("s")).expect("bound");
    println!("listening");
    for stream in listener.incoming() {
        let mut stream = stream.expect("accepted");
        let _ = stream.write_all(GREETING);
        let _ = stream.read(&mut [0; 10]);
    }
}
