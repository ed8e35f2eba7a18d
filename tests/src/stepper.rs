//! A program that is held back by its log, so that a test can end it at exactly the line it wants.
//!
//! Its standard error is a pipe with room for a single message (`O_DIRECT`, see `pipe(2)`): to write the next line it has to
//! wait until the test has read the one before. So it is never more than two lines ahead of the test, and when the test finds
//! a line in the pipe, the program is somewhere between that line and the next.

use std::{
    collections::VecDeque,
    fs::File,
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use crate::{
    program::{Outcome, captured, read},
    running::{PATIENCE, wait_for_end, wait_readable},
};

/// A program that writes a log with `--log debug`. It is ended when this is dropped.
#[derive(Debug)]
pub struct Stepper {
    child: Child,
    log: OwnedFd,
    stdout: File,
    lines: Vec<String>,
}

impl Stepper {
    /// Starts a program. It gets as far as its second line.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(mut command: Command) -> Self {
        let (log, end) = pipe_with(PipeFlags::DIRECT | PipeFlags::CLOEXEC).expect("a pipe");
        fcntl_setpipe_size(&log, 1).expect("a pipe may have a single page");
        let stdout = captured();
        command.stdin(Stdio::null()).stdout(stdout.try_clone().expect("duplicated")).stderr(end);
        let child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        Self { child, log, stdout, lines: Vec::new() }
    }

    /// Lets it go on until it has written this many lines; tells whether it has, or ended before.
    pub fn go_to_line(&mut self, count: usize) -> bool {
        while self.lines.len() + 1 < count {
            if !self.read_line(Instant::now() + PATIENCE) {
                return false;
            }
        }
        wait_readable(&self.log, Instant::now() + PATIENCE)
    }

    /// Lets it go on until it has told that a step is done; tells whether it has, or ended before.
    pub fn go_to_step(&mut self, name: &str) -> bool {
        while self.steps().last().is_none_or(|step| step != name) {
            if !self.read_line(Instant::now() + PATIENCE) {
                return false;
            }
        }
        true
    }

    /// Lets it go on for a while.
    pub fn go_on_for(&mut self, time: Duration) {
        let deadline = Instant::now() + time;
        while self.read_line(deadline) {}
    }

    /// Lets it go on to its end.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn go_to_end(mut self) -> (Vec<String>, Outcome) {
        while self.read_line(Instant::now() + PATIENCE) {}
        let status = wait_for_end(&mut self.child, PATIENCE).expect("it has closed its standard error");
        (self.steps(), Outcome { status, stdout: read(&mut self.stdout), stderr: self.lines.concat() })
    }

    /// Its pid.
    pub fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// Ends it with SIGKILL, and tells the steps that it had done.
    ///
    /// # Panics
    /// When it cannot be waited for.
    pub fn kill(mut self) -> Vec<String> {
        self.child.kill().and_then(|()| self.child.wait()).expect("it is our child");
        // What it wrote last. Processes that it leaves behind may write more.
        self.read_line(Instant::now());
        self.steps()
    }

    /// The lines so far.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    fn steps(&self) -> Vec<String> {
        self.lines.iter().filter_map(|line| step_of(line)).collect()
    }

    /// Reads what was written at once; `false` at the end and after the deadline.
    fn read_line(&mut self, deadline: Instant) -> bool {
        let mut buffer = [0; 8192];
        if !wait_readable(&self.log, deadline) {
            return false;
        }
        let count = rustix::io::read(&self.log, &mut buffer).expect("readable");
        self.lines.push(without_colours(&String::from_utf8_lossy(&buffer[..count])));
        count > 0
    }
}

impl Drop for Stepper {
    fn drop(&mut self) {
        // It may have ended and been waited for already; then both do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The step that a line of the log reports as done.
pub fn step_of(line: &str) -> Option<String> {
    let (name, _) = line.split_once("step=\"")?.1.split_once('"')?;
    Some(name.to_owned())
}

/// How long the step took that a line of the log reports as done.
pub fn took_of(line: &str) -> Option<Duration> {
    let took = line.split_once(" took=")?.1.split_ascii_whitespace().next()?;
    let (number, unit) = took.split_at(took.find(|c: char| !c.is_ascii_digit() && c != '.')?);
    let seconds = match unit {
        "ns" => 1e-9,
        "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => return None,
    };
    Some(Duration::from_secs_f64(number.parse::<f64>().ok()? * seconds))
}

/// The text without its escape sequences for colours (ECMA-48, SGR).
fn without_colours(text: &str) -> String {
    let mut parts: VecDeque<&str> = text.split('\u{1b}').collect();
    let first = parts.pop_front().unwrap_or_default().to_owned();
    let rest = parts.into_iter().filter_map(|part| part.split_once('m')).map(|(_, text)| text);
    rest.fold(first, |all, text| all + text)
}
