//! `sysbox serve`, started for a test.

use std::{
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};

use crate::{
    program::{Outcome, binary},
    running::{PATIENCE, Running},
};

/// What a daemon speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// gRPC, as Sysbox's own daemons.
    Grpc,
    /// tarpc.
    Tarpc,
}

impl Transport {
    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Tarpc => "tarpc",
        }
    }
}

/// A daemon. It is ended when this is dropped.
#[derive(Debug)]
pub struct Daemon {
    transport: Transport,
    dir: PathBuf,
    running: Running,
}

impl Daemon {
    /// Starts `sysbox serve` with sockets in `dir`, and waits until it listens. It reads nothing from the environment.
    ///
    /// # Panics
    /// When it does not come to listen in time.
    pub fn start(transport: Transport, dir: &Path, arguments: &[&str]) -> Self {
        let running = Running::start(&mut command(transport, dir, arguments));
        let mut daemon = Self { transport, dir: dir.to_owned(), running };
        daemon.await_listening();
        daemon
    }

    /// The directory of its sockets.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The URL of its backend.
    pub fn url(&self) -> String {
        format!("{}+unix://{}", self.transport.name(), self.dir.display())
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        self.running.pid()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.running.signal(signal);
    }

    /// Waits until it has ended, and tells what it said.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn end(self) -> Outcome {
        self.running.end()
    }

    /// Kills it with SIGKILL, so that it can clean up nothing.
    pub fn kill(self) {
        self.signal(Signal::KILL);
        self.end();
    }

    fn await_listening(&mut self) {
        let socket = self.dir.join("sysmgr.sock");
        let deadline = Instant::now() + PATIENCE;
        // The fs daemon's socket is made after the manager's.
        while !(self.dir.join("sysfs.sock").exists() && UnixStream::connect(&socket).is_ok()) {
            assert!(self.running.is_running(), "the daemon has ended");
            assert!(Instant::now() < deadline, "no daemon listens on {socket:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The command that is a daemon.
pub fn command(transport: Transport, dir: &Path, arguments: &[&str]) -> Command {
    let mut program = Command::new(binary());
    program.args(["serve", "--transport", transport.name(), "--dir"]).arg(dir);
    program.args(arguments).stdin(Stdio::null());
    program.env_remove("SYSBOX_BACKEND").env_remove("SYSBOX_LOG");
    program
}
