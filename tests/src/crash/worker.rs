//! The program `manager-worker`, which makes one call and tells of its steps, and how it ended.

use std::{
    fmt,
    fs::File,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    call::{Call, Failure},
    place::{Place, SIZE},
    strace::{Fault, TRACED},
};
use crate::{PATIENCE, program::captured, program::read, running::wait_for_end};

/// The program.
#[derive(Clone, Debug)]
pub struct Worker(PathBuf);

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Well.
    Done,
    /// With an error.
    Failed(Failure),
    /// With its process, by SIGKILL.
    Killed,
    /// In a way that it must not: by a panic, another signal, or not at all.
    Broken(String),
}

impl Worker {
    /// The worker that is this program.
    pub const fn new(program: PathBuf) -> Self {
        Self(program)
    }

    /// Makes a call in a process of its own, which is killed after the nth step, from 1 on; tells the steps that it took.
    pub fn call(&self, place: &Place, call: Call, killed_after: Option<usize>) -> (End, Vec<String>) {
        run(&mut self.command(place, call, killed_after))
    }

    /// Makes a call in a process of its own, of which a system call fails.
    pub fn traced(&self, place: &Place, call: Call, fault: &Fault) -> (End, Vec<String>) {
        run(&mut self.strace(place, call, &[&fault.trace(), &fault.inject()], Path::new("/dev/null")))
    }

    /// What strace tells of the system calls of a call: a line each, with paths for descriptors.
    ///
    /// # Panics
    /// When the call does not end well.
    pub fn log(&self, place: &Place, call: Call) -> String {
        let log = tempfile::NamedTempFile::new().expect("a temporary file");
        let trace = format!("trace={}", TRACED.join(","));
        let (end, _) = run(&mut self.strace(place, call, &[&trace], log.path()));
        assert_eq!(end, End::Done, "{call} under strace");
        std::fs::read_to_string(log.path()).expect("strace writes plain text")
    }

    fn command(&self, place: &Place, call: Call, killed_after: Option<usize>) -> Command {
        let mut command = Command::new(&self.0);
        command.args(self.arguments(place, call, killed_after));
        command
    }

    fn arguments(&self, place: &Place, call: Call, killed_after: Option<usize>) -> [String; 6] {
        let slots = place.ids().count() / SIZE;
        [
            "call".to_owned(),
            place.dir().display().to_string(),
            place.ids().first().to_string(),
            slots.to_string(),
            killed_after.unwrap_or_default().to_string(),
            call.to_string(),
        ]
    }

    fn strace(&self, place: &Place, call: Call, expressions: &[&str], log: &Path) -> Command {
        let mut command = Command::new("strace");
        command.args(["--follow-forks", "--decode-fds=path", "--quiet=all", "--string-limit=64"]);
        command.arg("--output").arg(log);
        for expression in expressions {
            command.args(["-e", expression]);
        }
        command.arg("--").arg(&self.0).args(self.arguments(place, call, None));
        command
    }
}

fn run(command: &mut Command) -> (End, Vec<String>) {
    let (mut stdout, mut stderr) = (captured(), captured());
    let copy = |file: &File| file.try_clone().expect("duplicated");
    command.stdin(Stdio::null()).stdout(copy(&stdout)).stderr(copy(&stderr));
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let status = wait_for_end(&mut child, PATIENCE);
    let told = read(&mut stdout);
    let steps = told.lines().filter_map(|line| line.strip_prefix("step ")).map(str::to_owned).collect();
    let failed = told.lines().find_map(|line| line.strip_prefix("failed ")?.split_once('\t'));
    let is_done = told.lines().any(|line| line == "done");
    let end = match (status, failed) {
        (None, _) => End::Broken("it does not end".to_owned()),
        (Some(status), _) if status.signal() == Some(9) => End::Killed,
        (Some(status), Some((kind, text))) if status.success() => {
            End::Failed(Failure { kind: kind.to_owned(), text: text.to_owned() })
        }
        (Some(status), None) if status.success() && is_done => End::Done,
        (Some(status), _) => End::Broken(format!("it ended with {status}: {}{told}", read(&mut stderr))),
    };
    (end, steps)
}

impl End {
    /// In a few words.
    pub fn name(&self) -> String {
        match self {
            Self::Done => "done all the same".to_owned(),
            Self::Failed(failure) => format!("failed ({})", failure.kind),
            Self::Killed => "killed".to_owned(),
            Self::Broken(_) => "broken".to_owned(),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(failure) => write!(f, "failed: {failure}"),
            Self::Broken(text) => write!(f, "broken: {text}"),
            other => f.write_str(&other.name()),
        }
    }
}
