//! Processes that do a part of a test. Each is this test program again, told by its environment to do the work of one.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use sysbox_embedded::EmbeddedMgr;

use crate::{host::host, manager::config};

const PLACE: &str = "SYSBOX_TEST_PLACE";
const NAME: &str = "SYSBOX_TEST_NAME";
/// Before what a worker tells, for the test harness writes to the same stream.
const TELLS: &str = "worker: ";

/// A process that does the work of `test`; it is killed when this goes.
pub(crate) struct Worker(Child);

impl Worker {
    pub(crate) fn spawn(test: &str, place: &Path, name: &str) -> Self {
        let program = env::current_exe().expect("this test");
        let child = Command::new(program)
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(PLACE, place)
            .env(NAME, name)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        Self(child.expect("spawned"))
    }

    /// What it tells, line by line.
    pub(crate) fn lines(&mut self) -> impl Iterator<Item = String> + use<> {
        let output = BufReader::new(self.0.stdout.take().expect("piped, and taken once"));
        let told = |line: String| line.split_once(TELLS).map(|(_, told)| told.to_owned());
        output.lines().map_while(Result::ok).filter_map(told)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The place and the name of the container, if this process is a worker.
pub(crate) fn work() -> Option<(PathBuf, String)> {
    Some((env::var_os(PLACE)?.into(), env::var(NAME).expect("set with the place")))
}

pub(crate) fn open(place: PathBuf) -> EmbeddedMgr {
    EmbeddedMgr::open(config(place), host()).expect("a usable data root")
}

pub(crate) fn tell(line: &str) {
    // Not println!, which the harness may keep back.
    let mut output = std::io::stdout().lock();
    writeln!(output, "{TELLS}{line}").and_then(|()| output.flush()).expect("the parent listens");
}

/// The threads and the open files of this process. Only alone in a process do they stay as they are.
pub(crate) fn own_state() -> (usize, Vec<PathBuf>) {
    let entries = |path: &str| fs::read_dir(path).expect("proc is mounted").flatten();
    let files = entries("/proc/self/fd").filter_map(|fd| fs::read_link(fd.path()).ok());
    (entries("/proc/self/task").count(), files.filter(|file| !file.starts_with("/proc")).collect())
}
