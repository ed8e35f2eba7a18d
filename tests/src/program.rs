//! The binary, and what one run of it to its end came to.

use std::{
    env,
    fs::File,
    io::{Read, Seek},
    path::PathBuf,
    process::{Command, ExitStatus},
};

use crate::running::{PATIENCE, wait_for_end};

/// The binary `sysbox`: what the environment variable `SYSBOX_BIN` names, else what cargo built beside this test.
///
/// # Panics
/// When it is not there, saying how to build it.
pub fn binary() -> PathBuf {
    let beside = || {
        let test = env::current_exe().expect("this program has a path");
        // Tests are in `deps` below the directory of the binaries.
        test.ancestors().nth(2).expect("a target directory").join("sysbox")
    };
    let path = env::var_os("SYSBOX_BIN").map_or_else(beside, PathBuf::from);
    assert!(
        path.is_file(),
        "{} is not there; run: cargo build -p sysbox-cli, or set SYSBOX_BIN to the binary",
        path.display()
    );
    path
}

/// Fails a test that does not run as root.
///
/// # Panics
/// When not root.
pub fn require_root() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test needs root; run: sudo cargo test, or cargo xtask test"
    );
}

/// What a program did.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Outcome {
    /// Its exit code.
    ///
    /// # Panics
    /// When a signal ended it.
    #[track_caller]
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("ended by a signal: {self:?}"))
    }

    /// What it wrote to standard output.
    ///
    /// # Panics
    /// When it did not succeed.
    #[track_caller]
    pub fn success(self) -> String {
        assert_eq!(self.code(), 0, "{self:?}");
        self.stdout
    }

    /// What it wrote to standard error.
    ///
    /// # Panics
    /// When it did not fail with this exit code, or when its errors lack one of `words`.
    #[track_caller]
    pub fn failure(self, code: i32, words: &[&str]) -> String {
        assert_eq!(self.code(), code, "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not said in: {}", self.stderr);
        }
        self.stderr
    }
}

/// Runs a program to its end.
///
/// # Panics
/// When it cannot be started or does not end in time.
#[track_caller]
pub fn finish(command: &mut Command) -> Outcome {
    let (mut stdout, mut stderr) = (captured(), captured());
    let copy = |file: &File| file.try_clone().expect("duplicated");
    let child = command.stdout(copy(&stdout)).stderr(copy(&stderr)).spawn();
    let mut child = child.unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let status = wait_for_end(&mut child, PATIENCE);
    let (stdout, stderr) = (read(&mut stdout), read(&mut stderr));
    let Some(status) = status else { panic!("{command:?} does not end; it said: {stdout}\n{stderr}") };
    Outcome { status, stdout, stderr }
}

/// A file that nobody else sees. Unlike a pipe it never makes who writes to it wait.
pub(crate) fn captured() -> File {
    tempfile::tempfile().expect("a temporary file")
}

pub(crate) fn read(file: &mut File) -> String {
    let mut text = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut text)).expect("readable");
    String::from_utf8_lossy(&text).into_owned()
}
