//! How marks are counted, with a kernel that is played: no kernel that is maintained has shiftfs.

use std::{
    collections::BTreeMap,
    slice::from_ref,
    sync::{Arc, Mutex},
};

use pollster::block_on;
use sysbox_core::{ContainerId, IdMappings, MgrPort, MockHostPort, Registration, host::Support};
use tempfile::TempDir;

use super::*;
use crate::{Config, EmbeddedMgr, ground::Turn};

/// The marks of a host.
#[derive(Debug, Default)]
struct Fake {
    marks: Mutex<BTreeMap<AbsPath, Access>>,
    refused: Mutex<Option<AbsPath>>,
}

impl Fake {
    fn marks(&self) -> Vec<(AbsPath, Access)> {
        self.marks.lock().expect("no panic").iter().map(|(path, access)| (path.clone(), *access)).collect()
    }

    fn refuse(&self, source: Option<&AbsPath>) {
        *self.refused.lock().expect("no panic") = source.cloned();
    }
}

impl Marker for Fake {
    fn mark(&self, source: &AbsPath, access: Access) -> Result<(), HostError> {
        if self.refused.lock().expect("no panic").as_ref() == Some(source) {
            return Err(HostError::new("mark", source.to_string(), "refused"));
        }
        self.marks.lock().expect("no panic").entry(source.clone()).or_insert(access);
        Ok(())
    }

    fn unmark(&self, source: &AbsPath) -> Result<(), HostError> {
        self.marks.lock().expect("no panic").remove(source);
        Ok(())
    }

    fn is_marked(&self, source: &AbsPath) -> Result<bool, HostError> {
        Ok(self.marks.lock().expect("no panic").contains_key(source))
    }
}

/// A manager with two containers, two directories, and a kernel with shiftfs.
struct Scene {
    place: TempDir,
    mgr: EmbeddedMgr,
    kernel: Fake,
}

impl Scene {
    fn new() -> Self {
        let place = tempfile::tempdir().expect("a directory");
        let mgr = open(&place, "first");
        let scene = Self { place, mgr, kernel: Fake::default() };
        for name in ["one", "two"] {
            scene.register(name);
        }
        scene
    }

    fn register(&self, name: &str) {
        let registration = Registration {
            id: id(name),
            rootfs: AbsPath::new("/usr").expect("absolute"),
            userns: None,
            netns: None,
            uid_mappings: IdMappings::default(),
            gid_mappings: IdMappings::default(),
        };
        block_on(self.mgr.register(&registration)).expect("new or stopped");
    }

    fn directory(&self, name: &str) -> AbsPath {
        let path = self.place.path().canonicalize().expect("there").join(name);
        std::fs::create_dir_all(&path).expect("writable");
        AbsPath::new(path).expect("absolute")
    }

    fn mark(&self, name: &str, sources: &[&AbsPath], readonly: bool) -> Result<Vec<ShiftfsMark>, Fault> {
        let mark = |source: &&AbsPath| ShiftfsMark { source: (*source).clone(), readonly };
        let request = ShiftfsMarks { id: id(name), marks: sources.iter().map(mark).collect() };
        mark_by(&self.kernel, &self.mgr.ground(), &request)
    }

    /// What the end of a container does.
    fn stop(&self, name: &str) {
        let plain = |db: &Connection| lifecycle::unregister(db, &id(name));
        self.mgr.store.write(plain).expect("running");
        self.take_back(name);
    }

    fn take_back(&self, name: &str) {
        take_back_by(&self.kernel, &self.mgr.ground(), &self.turn(name)).expect("unmarked");
    }

    fn turn(&self, name: &str) -> Turn {
        self.mgr.ground().turn(&id(name)).expect("known")
    }

    fn sources(&self, name: &str) -> Vec<AbsPath> {
        self.mgr.store.read(|db| sources(db, lifecycle::number(db, &id(name))?)).expect("readable")
    }
}

fn open(place: &TempDir, boot: &'static str) -> EmbeddedMgr {
    let mut host = MockHostPort::new();
    host.expect_sysctl().returning(|_| Ok(Some(boot.to_owned())));
    host.expect_kernel_release().returning(|| Ok("6.1.0".parse().expect("a release")));
    host.expect_probe().returning(|_| Ok(Support::Yes));
    let data_root = AbsPath::new(place.path().join("data")).expect("absolute");
    EmbeddedMgr::open(Config::new(data_root), Arc::new(host)).expect("a usable data root")
}

fn id(name: &str) -> ContainerId {
    name.parse().expect("a valid id")
}

fn paths(marks: Vec<ShiftfsMark>) -> Vec<AbsPath> {
    marks.into_iter().map(|mark| mark.source).collect()
}

#[test]
fn a_directory_is_marked_for_the_first_container_and_unmarked_with_the_last() {
    let scene = Scene::new();
    let (a, b) = (scene.directory("a"), scene.directory("b"));
    assert_eq!(paths(scene.mark("one", &[&a, &a], false).expect("marked")), from_ref(&a), "once");
    assert_eq!(scene.kernel.marks(), [(a.clone(), Access::ReadWrite)]);
    assert_eq!(paths(scene.mark("two", &[&a, &b], true).expect("marked")), [a.clone(), b.clone()]);
    assert_eq!(scene.kernel.marks(), [(a.clone(), Access::ReadWrite), (b.clone(), Access::ReadOnly)]);
    scene.stop("one");
    assert_eq!(scene.kernel.marks().len(), 2, "the other needs both");
    scene.stop("two");
    assert_eq!(scene.kernel.marks(), []);
    assert_eq!(scene.sources("two"), []);
}

#[test]
fn marks_that_a_container_has_are_not_given_again_until_it_is_restarted() {
    let scene = Scene::new();
    let (a, b) = (scene.directory("a"), scene.directory("b"));
    scene.mark("one", &[&a], false).expect("marked");
    assert_eq!(paths(scene.mark("one", &[&a, &b], false).expect("marked")), [b]);
    scene.stop("one");
    scene.register("one");
    assert_eq!(paths(scene.mark("one", &[&a], false).expect("marked")), [a]);
}

#[test]
fn what_cannot_be_marked_is_not_counted() {
    let scene = Scene::new();
    let (a, b) = (scene.directory("a"), scene.directory("b"));
    scene.kernel.refuse(Some(&b));
    let refused = scene.mark("one", &[&a, &b], false).expect_err("the kernel refuses");
    assert!(matches!(refused, Fault::Files { .. }), "{refused:?}");
    // It is mended by what asks the kernel of this machine, which has no mark at all.
    assert_eq!(scene.sources("one"), []);
    let missing = AbsPath::new(scene.place.path().join("missing")).expect("absolute");
    let refused = scene.mark("one", &[&a, &missing], false).expect_err("missing");
    assert!(matches!(refused, Fault::Host { kind: ErrorKind::InvalidArgument, .. }), "{refused:?}");
}

#[test]
fn after_a_crash_rows_without_a_mark_are_forgotten_and_the_others_kept() {
    let scene = Scene::new();
    let (a, b) = (scene.directory("a"), scene.directory("b"));
    let turn = scene.turn("one");
    let planned = |db: &Connection| Ok((note(db, turn.nr, &a, false)?, note(db, turn.nr, &b, false)?));
    assert_eq!(scene.mgr.store.write(planned).expect("written"), (true, true));
    scene.kernel.mark(&a, Access::ReadWrite).expect("marked, and then the process was killed");
    forget_unmarked_by(&scene.kernel, &scene.mgr.ground(), &turn).expect("mended");
    drop(turn);
    assert_eq!(scene.sources("one"), from_ref(&a));
    assert_eq!(paths(scene.mark("two", &[&a], false).expect("marked")), from_ref(&a));
    scene.stop("two");
    assert_eq!(scene.kernel.marks().len(), 1, "the first still needs it");
    scene.stop("one");
    assert_eq!(scene.kernel.marks(), []);
}

#[test]
fn a_container_that_a_reboot_has_stopped_needs_no_marks() {
    let mut scene = Scene::new();
    let a = scene.directory("a");
    scene.mark("one", &[&a], false).expect("marked");
    scene.mark("two", &[&a], false).expect("marked");
    scene.kernel = Fake::default();
    scene.mgr = open(&scene.place, "second");
    scene.register("two");
    scene.mark("two", &[&a], false).expect("marked");
    scene.take_back("one");
    assert_eq!(scene.kernel.marks().len(), 1, "the second runs again");
    scene.stop("two");
    assert_eq!(scene.kernel.marks(), []);
}

#[test]
fn without_shiftfs_nothing_is_written_down() {
    let mut host = MockHostPort::new();
    host.expect_probe().returning(|_| Ok(Support::no("no such module")));
    let refused = require_shiftfs(&host).expect_err("no shiftfs");
    assert!(matches!(refused, Fault::Refused { kind: ErrorKind::FailedPrecondition, .. }), "{refused:?}");
}
