//! A program that a test talks with while it runs.

use std::{
    fs::File,
    io::Write,
    os::fd::AsFd,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};

use crate::program::{Outcome, captured, read};

/// How long anything may take on a busy machine before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running program. It is ended when this is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// What it wrote to standard output and was not yet read as a line.
    unread: Vec<u8>,
    stderr: File,
}

impl Running {
    /// Starts a program with pipes to its standard input and from its standard output.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(command: &mut Command) -> Self {
        let stderr = captured();
        let copy = stderr.try_clone().expect("duplicated");
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(copy).spawn();
        Self { child: child.unwrap_or_else(|e| panic!("{command:?}: {e}")), unread: Vec::new(), stderr }
    }

    /// Its pid.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Whether it has not ended.
    ///
    /// # Panics
    /// When it cannot be looked at.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }

    /// The next line of its standard output, without the line's end.
    ///
    /// # Panics
    /// When there is none in time, or no more; what it wrote to standard error is told.
    #[track_caller]
    pub fn line(&mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(end) = self.unread.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return String::from_utf8_lossy(&line[..end]).into_owned();
            }
            let stdout = self.child.stdout.as_ref().expect("it is a pipe");
            let mut buffer = [0; 4096];
            let ready = wait_readable(stdout, deadline);
            match if ready { rustix::io::read(stdout, &mut buffer).expect("readable") } else { 0 } {
                0 => panic!(
                    "no further line after {:?}; errors: {}",
                    self.unread.escape_ascii().to_string(),
                    read(&mut self.stderr)
                ),
                count => self.unread.extend(&buffer[..count]),
            }
        }
    }

    /// Writes to its standard input.
    ///
    /// # Panics
    /// When that is closed.
    pub fn send(&mut self, text: &str) {
        self.child
            .stdin
            .as_mut()
            .and_then(|stdin| stdin.write_all(text.as_bytes()).ok())
            .expect("it reads its input");
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it has ended.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it runs");
    }

    /// Ends it with SIGKILL and waits until it has ended.
    ///
    /// # Panics
    /// When it cannot be waited for.
    pub fn kill(mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("it is our child");
    }

    /// Closes its standard input and waits for its end.
    ///
    /// # Panics
    /// When it does not end in time.
    #[track_caller]
    pub fn end(mut self) -> Outcome {
        drop(self.child.stdin.take());
        let status = wait_for_end(&mut self.child, PATIENCE);
        let stderr = read(&mut self.stderr);
        let status = status.unwrap_or_else(|| panic!("it does not end; errors: {stderr}"));
        let mut stdout = std::mem::take(&mut self.unread);
        std::io::Read::read_to_end(self.child.stdout.as_mut().expect("it is a pipe"), &mut stdout)
            .expect("readable");
        Outcome { status, stdout: String::from_utf8_lossy(&stdout).into_owned(), stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended and been waited for already; then both do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a child; one that takes too long is ended with SIGKILL, and `None` is told.
///
/// # Panics
/// When it cannot be waited for.
pub fn wait_for_end(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let pidfd =
        pidfd_open(Pid::from_child(child), PidfdFlags::empty()).expect("a child that was not waited for");
    if wait_readable(&pidfd, Instant::now() + patience) {
        return Some(child.wait().expect("it is our child"));
    }
    child.kill().and_then(|()| child.wait()).expect("it is our child");
    None
}

/// Waits until there is something to read, an end too, or the deadline has passed; tells whether there is.
pub(crate) fn wait_readable(fd: impl AsFd, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).expect("a duration that a clock can count");
        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&left)) {
            Ok(ready) => return ready > 0,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("cannot wait: {error}"),
        }
    }
}
