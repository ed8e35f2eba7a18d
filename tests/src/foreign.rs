//! Programs in other languages that speak the wire contract, from `tests/interop`: nothing in them is ours but the .proto files.
//!
//! They are made by `cargo xtask interop`, into the target folder.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    program::{Outcome, finish},
    running::Running,
};

/// The versions of grpc-go that there are clients over: Sysbox's own, a later one, and the newest.
pub const GO_VERSIONS: [&str; 3] = ["v1.34", "v1.63", "newest"];

/// Daemons in Python that answer as a script says. They are ended when this is dropped.
#[derive(Debug)]
pub struct ForeignDaemons {
    dir: PathBuf,
    running: Running,
}

impl ForeignDaemons {
    /// Starts them with sockets in `dir`, which is there, and waits until they listen.
    ///
    /// # Panics
    /// When they do not come to listen.
    pub fn start(dir: &Path, script: &str, values: &[(&str, &str)]) -> Self {
        let mut command = python("server.py");
        command.arg(dir).arg(source(script)).arg(log(dir)).args(settings("--set", values));
        let mut running = Running::start(&mut command);
        assert_eq!(running.line(), "ready");
        Self { dir: dir.to_owned(), running }
    }

    /// The directory of their sockets.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The URL of the backend that they are.
    pub fn url(&self) -> String {
        format!("grpc+unix://{}", self.dir.display())
    }

    /// What they were asked so far, in the order of arrival.
    ///
    /// # Panics
    /// When their log cannot be read.
    pub fn asked(&self) -> Vec<Value> {
        let log = fs::read_to_string(log(&self.dir)).expect("it is written before ready is told");
        log.lines().map(|line| serde_json::from_str(line).expect("a record")).collect()
    }

    /// Ends them, and tells what they said.
    ///
    /// # Panics
    /// When they do not end.
    pub fn end(self) -> Outcome {
        self.running.signal(Signal::TERM);
        self.running.end()
    }
}

/// Lets the client in Python make the calls of a script, then check health, reflection and unknown methods. The services
/// `idle` are not to serve.
///
/// # Panics
/// When it was not made, or does not end.
#[track_caller]
pub fn python_client(sockets: &Path, script: &str, values: &[(&str, &str)], idle: &[&str]) -> Outcome {
    let mut command = python("client.py");
    command.arg(sockets).arg(source(script)).args(settings("--set", values));
    command.arg("--services").args(idle.iter().flat_map(|service| ["--idle", service]));
    finish(command.stdin(Stdio::null()))
}

/// Lets a client in Go make the calls of a script: with a connection for `each` call, as Sysbox does, or with `kept` ones.
///
/// # Panics
/// When it was not made, or does not end.
#[track_caller]
pub fn go_client(
    version: &str,
    sockets: &Path,
    script: &str,
    connections: &str,
    values: &[(&str, &str)],
) -> Outcome {
    let mut command = Command::new(made(&format!("go/{version}/bin/client")));
    command.arg(sockets).arg(source(script)).arg(connections);
    finish(command.args(values.iter().map(|(name, value)| format!("{name}={value}"))).stdin(Stdio::null()))
}

/// The calls of a script.
///
/// # Panics
/// When it is not there.
pub fn script(name: &str) -> Vec<Value> {
    let text = fs::read_to_string(source(name)).expect("it is committed");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn settings<'a>(option: &'a str, values: &'a [(&str, &str)]) -> impl Iterator<Item = String> + 'a {
    values.iter().flat_map(move |(name, value)| [option.to_owned(), format!("{name}={value}")])
}

fn python(program: &str) -> Command {
    let mut command = Command::new(made("python/venv/bin/python"));
    // Nothing is to be written beside the sources.
    command.arg("-B").arg(source("python").join(program)).env("PYTHONPATH", made("python/stubs"));
    command
}

fn log(dir: &Path) -> PathBuf {
    dir.join("asked.jsonl")
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("interop").join(name)
}

/// What was made in the target folder, in which this program is too.
fn made(name: &str) -> PathBuf {
    let test = env::current_exe().expect("this program has a path");
    let path = test.ancestors().nth(3).expect("a target folder").join("interop").join(name);
    assert!(path.exists(), "{} is not there; run: cargo xtask interop", path.display());
    path
}
