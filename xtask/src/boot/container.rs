//! The running container: what can be asked of it from outside, and its end.

use std::{
    ffi::{OsStr, OsString},
    fs,
    ops::RangeInclusive,
    os::unix::{fs::MetadataExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{Machine, failure};
use crate::error::TaskError;
use crate::process;
use crate::root::Root;

const ID: &str = "xtask-boot";

/// How long booting and halting may each take, on a slow machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// How often it is looked whether it is done.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// SIGRTMIN+3, by which systemd is told to halt (`systemd(1)`, "Signals"), in the numbers of the C library.
const HALT: &str = "-37";

/// What a shell tells of a program that SIGINT has ended. By it the kernel tells that a container was halted (`reboot(2)`).
const HALTED: i32 = 128 + 2;

/// The environment of what is run inside.
const ENVIRONMENT: [(&str, &str); 2] = [("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("LC_ALL", "C")];

/// A container that `sysbox run` runs. It is ended by force when this is dropped, if it has not ended.
#[derive(Debug)]
pub(super) struct Container {
    root: Root,
    sysbox: PathBuf,
    data_root: PathBuf,
    run: Child,
    init: String,
    uids: RangeInclusive<u32>,
}

impl Container {
    /// Starts the machine, and answers when its first process is there.
    pub(super) fn start(root: Root, sysbox: &Path, machine: &Machine) -> Result<Self, TaskError> {
        let data_root = machine.data_root.clone();
        let mut command = sysbox_command(root, sysbox, &data_root, "run")?;
        command.arg("--bundle").arg(&machine.bundle).arg(ID).stdin(Stdio::null());
        let run = process::spawn(&mut command)?;
        let (init, uids) = (String::new(), 0..=0);
        let mut container = Self { root, sysbox: sysbox.to_owned(), data_root, run, init, uids };
        (container.init, container.uids) = container.wait_until(|container| {
            // Until it is made there is none to tell of.
            let Ok(status) = container.ask("status", &[ID]) else { return Ok(None) };
            Ok(status["pid"].as_u64().map(|pid| pid.to_string()).zip(range(&status["uids"])))
        })?;
        Ok(container)
    }

    /// Runs a program inside, as the container's root.
    pub(super) fn inside(&self, words: &[&str]) -> Result<Output, TaskError> {
        let environment = ENVIRONMENT.map(|(name, value)| (name, OsString::from(value)));
        let mut command = self.root.command(OsStr::new("nsenter"), &environment)?;
        command.args(["--target", &self.init, "--all", "--"]).args(words).stdin(Stdio::null());
        process::output(&mut command)
    }

    /// Asks again and again until there is an answer.
    pub(super) fn wait_until<T>(
        &mut self,
        mut ask: impl FnMut(&Self) -> Result<Option<T>, TaskError>,
    ) -> Result<T, TaskError> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = process::try_wait(&mut self.run)? {
                return Err(failure(format!("`sysbox run` ended with {status}")));
            }
            match ask(self)? {
                Some(answer) => return Ok(answer),
                None => thread::sleep(LOOK_AGAIN),
            }
        }
        Err(failure(format!("there is no answer after {PATIENCE:?}")))
    }

    /// Halts it by way of `sysbox run`, and looks that nothing of it is left.
    pub(super) fn halt(mut self) -> Result<(), TaskError> {
        // Behind sudo `sysbox run` is no child of ours, and sudo does not pass this signal on.
        let runtime = parent(&self.init)?;
        process::succeed(self.root.command(OsStr::new("sh"), &[])?.args([
            "-c",
            &format!("kill {HALT} \"$1\""),
            "sh",
            &runtime,
        ]))?;
        let status = self.end()?;
        let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
        if code != Some(HALTED) {
            return Err(failure(format!("`sysbox run` ended with {status} and not with {HALTED}, halted")));
        }
        let left = self.left()?;
        if left.is_empty() {
            Ok(())
        } else {
            Err(failure(format!("this is left of it: {}", left.join(", "))))
        }
    }

    fn end(&mut self) -> Result<ExitStatus, TaskError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match process::try_wait(&mut self.run)? {
                Some(status) => return Ok(status),
                None if Instant::now() > deadline => return Err(failure("it does not halt".to_owned())),
                None => thread::sleep(LOOK_AGAIN),
            }
        }
    }

    /// What is left of it: processes with ids of its own, cgroups, a record.
    fn left(&self) -> Result<Vec<String>, TaskError> {
        let list = self.ask("list", &[])?;
        let records =
            list.as_array().ok_or_else(|| failure(format!("`sysbox list` tells no list: {list}")))?;
        let records = records.iter();
        let records = records.filter(|record| record["id"] == ID).map(|record| format!("a record: {record}"));
        let processes = entries(Path::new("/proc"))
            .filter(|path| fs::metadata(path).is_ok_and(|entry| self.uids.contains(&entry.uid())))
            .map(|path| format!("a process: {}", path.display()));
        let hierarchies = entries(Path::new("/sys/fs/cgroup"));
        let cgroups = hierarchies.chain([PathBuf::from("/sys/fs/cgroup")]);
        let cgroups =
            cgroups.map(|hierarchy| hierarchy.join(format!("sysbox-{ID}"))).filter(|dir| dir.exists());
        Ok(records
            .chain(processes)
            .chain(cgroups.map(|dir| format!("a cgroup: {}", dir.display())))
            .collect())
    }

    /// What the runtime tells of containers.
    fn ask(&self, verb: &str, arguments: &[&str]) -> Result<Value, TaskError> {
        let mut command = sysbox_command(self.root, &self.sysbox, &self.data_root, verb)?;
        let output = process::output(command.arg("--json").args(arguments))?;
        process::ended(&command, output.status)?;
        serde_json::from_slice(&output.stdout)
            .map_err(|error| failure(format!("`sysbox {verb}` tells no JSON: {error}")))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if matches!(self.run.try_wait(), Ok(Some(_))) {
            return;
        }
        // There is an error already that led here; a further one is printed by the programs themselves.
        if let Ok(mut delete) = sysbox_command(self.root, &self.sysbox, &self.data_root, "delete") {
            let _ = delete.args(["--force", ID]).status();
        }
        let _ = self.run.wait();
    }
}

fn sysbox_command(root: Root, sysbox: &Path, data_root: &Path, verb: &str) -> Result<Command, TaskError> {
    let mut command = root.command(sysbox.as_os_str(), &[])?;
    command.arg(verb).arg("--data-root").arg(data_root);
    Ok(command)
}

/// The parent of a process (`proc_pid_status(5)`).
fn parent(pid: &str) -> Result<String, TaskError> {
    let path = PathBuf::from(format!("/proc/{pid}/status"));
    let status = fs::read_to_string(&path).map_err(|source| TaskError::File { path, source })?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    Ok(parent.unwrap_or_default().trim().to_owned())
}

/// Both ends of a range of ids such as `1114112-1179647`.
fn range(text: &Value) -> Option<RangeInclusive<u32>> {
    let (first, last) = text.as_str()?.split_once('-')?;
    Some(first.parse().ok()?..=last.parse().ok()?)
}

fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_of_a_container_are_what_the_runtime_shows() {
        assert_eq!(range(&"1114112-1179647".into()), Some(1_114_112..=1_179_647));
        assert_eq!(range(&"-".into()), None);
        assert_eq!(range(&Value::Null), None);
    }

    #[test]
    fn the_parent_of_a_process_is_found_in_its_status() {
        let own = std::process::id().to_string();
        assert_eq!(parent(&own).unwrap(), std::os::unix::process::parent_id().to_string());
    }
}
