//! Bundles: a config.json that says what to run, in a directory of its own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

/// An OCI bundle on disk. Every change is written at once.
#[derive(Clone, Debug)]
pub struct Bundle {
    dir: PathBuf,
    spec: Value,
}

impl Bundle {
    /// A bundle in `dir` for a rootfs, that runs a shell script as root of a container without a terminal.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn new(dir: &Path, rootfs: &Path, script: &str) -> Self {
        let spec = json!({
            "ociVersion": "1.0.2",
            "root": { "path": rootfs },
            "process": {
                "args": ["/bin/sh", "-c", script],
                "cwd": "/",
                "env": ["PATH=/bin"],
                "user": { "uid": 0, "gid": 0 },
                "capabilities": capabilities(),
            },
            "mounts": [
                { "destination": "/proc", "type": "proc", "source": "proc" },
                {
                    "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                    "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
                },
                {
                    "destination": "/dev/pts", "type": "devpts", "source": "devpts",
                    "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
                },
            ],
            "linux": { "namespaces": namespaces() },
        });
        Self { dir: dir.to_owned(), spec }.written()
    }

    /// The same with the value at a JSON pointer (RFC 6901) set; the object that it is in must be there.
    #[must_use]
    pub fn with(mut self, pointer: &str, value: Value) -> Self {
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer begins with /");
        self.spec
            .pointer_mut(parent)
            .and_then(Value::as_object_mut)
            .expect("an object")
            .insert(name.to_owned(), value);
        self.written()
    }

    /// The same without the value at a JSON pointer.
    #[must_use]
    pub fn without(mut self, pointer: &str) -> Self {
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer begins with /");
        self.spec.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object").remove(name);
        self.written()
    }

    /// The same with one mount more, of `source` at `destination`.
    #[must_use]
    pub fn with_bind(mut self, source: &Path, destination: &str, options: &[&str]) -> Self {
        let mount =
            json!({ "destination": destination, "type": "bind", "source": source, "options": options });
        self.spec.pointer_mut("/mounts").and_then(Value::as_array_mut).expect("an array").push(mount);
        self.written()
    }

    /// The same with user and group ids mapped to the host's ids from `first` on.
    #[must_use]
    pub fn with_mapping(self, first: u32) -> Self {
        let mapping = json!([{ "containerID": 0, "hostID": first, "size": 65_536 }]);
        self.with("/linux/uidMappings", mapping.clone()).with("/linux/gidMappings", mapping)
    }

    /// The directory with the config.json.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The config.json.
    pub fn config(&self) -> PathBuf {
        self.dir.join("config.json")
    }

    fn written(self) -> Self {
        fs::write(self.config(), self.spec.to_string()).expect("the bundle's directory is writable");
        self
    }
}

fn namespaces() -> Value {
    ["pid", "ipc", "uts", "mount", "network"].map(|kind| json!({ "type": kind })).into_iter().collect()
}

/// Those that the root of a test container uses: to change owners, to act as any user, to end its processes.
fn capabilities() -> Value {
    let all = json!(["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_SETGID", "CAP_SETUID"]);
    json!({ "bounding": all, "effective": all, "permitted": all, "inheritable": all })
}

/// The numbers of the first line of a `/proc/PID/uid_map` (`user_namespaces(7)`): inside, outside, count.
pub fn uid_map(text: &str) -> Option<[u32; 3]> {
    let mut numbers = text.split_whitespace().map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some([next()?, next()?, next()?])
}
