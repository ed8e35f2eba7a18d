//! What a case works with.

use std::{
    ffi::OsString,
    num::NonZeroU32,
    os::unix::ffi::OsStringExt,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use sysbox_core::{
    AbsPath, ContainerId, FsPort, IdMappings, MgrPort, Registration, SubidRequest, session::Ports,
};
use tempfile::TempDir;

use crate::{Broken, Clonable, Harness, Outcome, Subject};

/// A backend and a directory for one case.
#[expect(missing_debug_implementations, reason = "harnesses need not have one")]
pub struct World {
    harness: Arc<dyn Harness>,
    subject: Option<Subject>,
    /// Dropped after the backend, which may have mounts over them.
    clonables: Vec<Clonable>,
    dir: TempDir,
}

impl World {
    /// A fresh backend of the harness, and an empty directory.
    ///
    /// # Errors
    /// Where either cannot be made, or the backend cannot give as many ranges of ids as cases need.
    pub async fn new(harness: Arc<dyn Harness>) -> Result<Self, Broken> {
        let dir = TempDir::with_prefix("sysbox-conformance-");
        let dir = dir.map_err(|error| Broken::unseen(format!("no temporary directory: {error}")))?;
        let subject = harness.fresh().await;
        let subject = subject.map_err(|error| Broken::unseen(format!("no backend: {error}")))?;
        enough(&*harness, subject.capacity)?;
        Ok(Self { harness, subject: Some(subject), clonables: Vec::new(), dir })
    }

    /// The backend's ports.
    ///
    /// # Errors
    /// Where it has not come back from a restart.
    pub fn ports(&self) -> Result<Ports, Broken> {
        Ok(self.subject()?.ports.clone())
    }

    /// The backend's manager.
    ///
    /// # Errors
    /// Where it has none.
    pub fn mgr(&self) -> Result<Arc<dyn MgrPort>, Broken> {
        self.ports()?.mgr.ok_or_else(|| Broken::new("the backend has no manager and does not say so"))
    }

    /// The backend's fs daemon.
    ///
    /// # Errors
    /// Where it has none.
    pub fn fs(&self) -> Result<Arc<dyn FsPort>, Broken> {
        self.ports()?.fs.ok_or_else(|| Broken::new("the backend has no fs daemon and does not say so"))
    }

    /// How many ranges of 65,536 ids the backend can give.
    ///
    /// # Errors
    /// Where it has not come back from a restart.
    pub fn capacity(&self) -> Result<u32, Broken> {
        Ok(self.subject()?.capacity)
    }

    /// Ends the backend and starts it anew.
    ///
    /// # Errors
    /// Where it does not come back.
    pub async fn restart(&mut self) -> Outcome {
        let subject = self.subject.take().ok_or_else(gone)?;
        let restarted = self.harness.restarted(subject).await;
        self.subject = Some(restarted.map_err(|error| Broken::unseen(format!("not restarted: {error}")))?);
        Ok(())
    }

    /// The path of a directory that is there.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn dir(&self, name: &str) -> Result<AbsPath, Broken> {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(&path).map_err(|error| Broken::unseen(format!("no directory: {error}")))?;
        AbsPath::new(path).map_err(|error| Broken::unseen(format!("no directory: {error}")))
    }

    /// What a runtime tells of a container of its own namespaces.
    ///
    /// # Errors
    /// Where its rootfs cannot be made.
    pub fn registration(&self, id: &str) -> Result<Registration, Broken> {
        Ok(Registration {
            id: container(id),
            rootfs: self.dir(id)?,
            userns: None,
            netns: None,
            uid_mappings: IdMappings::default(),
            gid_mappings: IdMappings::default(),
        })
    }

    /// The same of a container whose rootfs the backend can clone.
    ///
    /// # Errors
    /// Where its rootfs cannot be made.
    pub fn clonable(&mut self, id: &str) -> Result<Registration, Broken> {
        self.clonable_of(id, &self.dir(&format!("{id}-layer"))?)
    }

    /// The same with what is in the directory `layer` in the rootfs.
    ///
    /// # Errors
    /// Where its rootfs cannot be made.
    pub fn clonable_of(&mut self, id: &str, layer: &AbsPath) -> Result<Registration, Broken> {
        let beside = self.dir(&format!("{id}-beside"))?;
        let clonable = self.harness.clonable(layer.clone(), &beside);
        let clonable = clonable.map_err(|error| Broken::unseen(format!("no rootfs to clone: {error}")))?;
        let rootfs = clonable.rootfs.clone();
        self.clonables.push(clonable);
        Ok(Registration { rootfs, ..self.registration(id)? })
    }

    /// Puts one of the backend's kind in front of other ports, and makes it the backend of this world.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub async fn relay(&mut self, ports: Ports) -> Outcome {
        let relay = self.harness.relay(ports).await;
        self.subject = Some(relay.map_err(|error| Broken::unseen(format!("no relay: {error}")))?);
        Ok(())
    }

    /// A network namespace that is there while this process runs; 0 and 1 name different ones.
    ///
    /// # Errors
    /// Where the host has no such namespace.
    pub fn netns(&self, nth: usize) -> Result<AbsPath, Broken> {
        namespace(&["ns/net", "ns/ipc"], nth)
    }

    /// The network namespace 0 by another path.
    ///
    /// # Errors
    /// Where the host has no such namespace.
    pub fn netns_by_another_path(&self) -> Result<AbsPath, Broken> {
        let task = format!("task/{}/ns/net", std::process::id());
        namespace(&[&task], 0)
    }

    /// A user namespace that is there while this process runs; 0 and 1 name different ones.
    ///
    /// # Errors
    /// Where the host has no such namespace.
    pub fn userns(&self, nth: usize) -> Result<AbsPath, Broken> {
        namespace(&["ns/user", "ns/uts"], nth)
    }

    fn subject(&self) -> Result<&Subject, Broken> {
        self.subject.as_ref().ok_or_else(gone)
    }
}

/// Requires as many ranges as the cases need.
fn enough(harness: &dyn Harness, capacity: u32) -> Outcome {
    const LEAST: u32 = 4;
    if capacity >= LEAST {
        return Ok(());
    }
    let message = format!("{} can give {capacity} ranges of ids, and {LEAST} are needed", harness.name());
    Err(Broken::unseen(format!("{message}; give the backend a larger pool and say so in Subject::capacity")))
}

/// One of these namespaces of this process.
///
/// A manager tells namespaces apart and does not enter them. So those of other kinds stand for a second one of a kind, which
/// takes privileges to make.
fn namespace(names: &[&str], nth: usize) -> Result<AbsPath, Broken> {
    let missing = || Broken::unseen(format!("there is no namespace {nth}"));
    let path = format!("/proc/{}/{}", std::process::id(), names.get(nth).ok_or_else(missing)?);
    std::fs::metadata(&path).map_err(|error| Broken::unseen(format!("no namespace {path}: {error}")))?;
    AbsPath::new(path).map_err(|error| Broken::unseen(format!("no namespace: {error}")))
}

/// A process that ends, and the paths of its namespaces with it. They are this process's by other paths.
pub(crate) struct Passing(Child);

impl Passing {
    pub(crate) fn start() -> Result<Self, Broken> {
        let child = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn();
        child.map(Self).map_err(|error| Broken::unseen(format!("no process: {error}")))
    }

    pub(crate) fn userns(&self) -> Result<AbsPath, Broken> {
        let path = AbsPath::new(format!("/proc/{}/ns/user", self.0.id()));
        path.map_err(|error| Broken::unseen(format!("no namespace: {error}")))
    }

    pub(crate) fn end(mut self) -> Outcome {
        let ended = self.0.kill().and_then(|()| self.0.wait());
        ended.map(drop).map_err(|error| Broken::unseen(format!("the process goes on: {error}")))
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        // It has ended, save where a case failed before.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An id of a container.
///
/// # Panics
/// When it is none; the suite's own are.
#[expect(clippy::expect_used, reason = "the suite's own ids, all literals")]
pub(crate) fn container(id: &str) -> ContainerId {
    id.parse().expect("a valid id")
}

/// An id of as many characters as an id can have, with every character that it can have.
pub(crate) fn longest_id() -> ContainerId {
    let characters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_+-.";
    container(&characters.chars().cycle().take(ContainerId::MAX_LEN).collect::<String>())
}

/// A path of as many bytes as a path can have, most of them of no ASCII character.
#[expect(clippy::expect_used, reason = "absolute and within the limit")]
pub(crate) fn longest_path(name: &str) -> AbsPath {
    let mut path = format!("/{name}/../\u{6f22} {}", "\u{e9}\u{6587}\u{1f980}/".repeat(500));
    while path.len() > AbsPath::MAX_LEN {
        path.pop();
    }
    path.extend(std::iter::repeat_n('x', AbsPath::MAX_LEN - path.len()));
    AbsPath::new(path).expect("a valid path")
}

/// A path that is no UTF-8.
#[expect(clippy::expect_used, reason = "absolute and short")]
pub(crate) fn any_path(name: &str) -> AbsPath {
    let bytes = [b"/\xff\xc0/".as_slice(), name.as_bytes(), b"\x80\n".as_slice()].concat();
    AbsPath::new(OsString::from_vec(bytes)).expect("a valid path")
}

/// The wish for the usual number of ids.
pub(crate) fn usual_ids_of(id: &ContainerId) -> SubidRequest {
    const USUAL: NonZeroU32 = NonZeroU32::new(65_536).unwrap();
    SubidRequest { id: id.clone(), size: USUAL }
}

fn gone() -> Broken {
    Broken::new("the backend did not come back from a restart")
}
