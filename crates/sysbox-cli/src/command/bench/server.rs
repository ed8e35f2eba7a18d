//! The process that serves one way, as seen from the one that measures.

use std::{
    env,
    fs::{self, File},
    io::{BufRead, BufReader, Read, Seek, Write},
    os::unix::process::CommandExt,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, bail};
use rustix::{
    process::Pid,
    thread::{CpuSet, sched_setaffinity},
};
use sysbox::AbsPath;

use super::{Way, usage::Usage};

/// A server that runs; it is ended when this is dropped, and ends by itself when this process does.
#[derive(Debug)]
pub(crate) struct Server {
    way: Way,
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// A file and no pipe, which could be full.
    stderr: File,
    /// The directory of its sockets, once it has made it.
    dir: Option<AbsPath>,
    /// What it had used when it was ready.
    pub(crate) at_start: Usage,
}

impl Server {
    /// Starts it and waits until its sockets are there, in a directory that it makes and removes.
    pub(crate) fn start(way: Way, dir: &AbsPath) -> anyhow::Result<Self> {
        let program = env::current_exe().context("cannot find this program's own file")?;
        let stderr = tempfile::tempfile()
            .context("cannot make a temporary file; set TMPDIR to a directory that is yours")?;
        let mut child = Command::new(program)
            .args(["bench", "--serve", way.name(), "--dir"])
            .arg(dir.as_path())
            // What ends this process from the terminal must let it clean up.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr.try_clone().context("cannot share a temporary file")?)
            .spawn()
            .with_context(|| format!("cannot start the server of {}", way.name()))?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (questions, answers) = pipes.context("the server has no pipes")?;
        let answers = BufReader::new(answers);
        let mut server =
            Self { way, child, questions, answers, stderr, dir: None, at_start: Usage::default() };
        server.at_start = server.answer()?;
        server.dir = Some(dir.clone());
        Ok(server)
    }

    /// What it has used until now.
    pub(crate) fn usage(&mut self) -> anyhow::Result<Usage> {
        // That nobody reads it is seen when there is no answer.
        let _ = self.questions.write_all(b"\n");
        self.answer()
    }

    /// Which cores it may run on from now on.
    pub(crate) fn pin(&self, cores: &CpuSet) -> anyhow::Result<()> {
        sched_setaffinity(Some(Pid::from_child(&self.child)), cores)
            .with_context(|| format!("cannot move the server of {} to other cores", self.way.name()))
    }

    fn answer(&mut self) -> anyhow::Result<Usage> {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        if read.context("cannot hear from a server")? == 0 {
            return self.ended();
        }
        serde_json::from_str(&line)
            .with_context(|| format!("the server of {} said {line:?}", self.way.name()))
    }

    /// Says how it ended, and what it said last.
    fn ended<T>(&mut self) -> anyhow::Result<T> {
        let status = self.child.wait().context("cannot wait for a server")?;
        let mut said = String::new();
        let read = self.stderr.rewind().and_then(|()| self.stderr.read_to_string(&mut said));
        let said = match read {
            Ok(0) => "nothing",
            Ok(_) => said.trim(),
            Err(_) => "what cannot be read",
        };
        bail!("the server of {} ended ({status}); it said: {said}", self.way.name())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Killed, it has removed nothing.
        if let Some(dir) = &self.dir {
            let _ = fs::remove_dir_all(dir);
        }
    }
}
