//! The rules of rows of `files`, on a database in memory.

use std::time::UNIX_EPOCH;

use sysbox_core::{AbsPath, ShiftType};

use super::*;
use crate::{
    namespaces::Namespaces,
    registry::{self, Container, Mappings},
    store::in_memory,
};

fn id(text: &str) -> ContainerId {
    text.parse().expect("a valid id")
}

fn container(db: &Connection, name: &str, state: ContainerState) -> ContainerNr {
    let container = Container {
        id: id(name),
        userns: registry::new_userns(db).expect("new"),
        state,
        starts: 1,
        registered: UNIX_EPOCH,
        rootfs: AbsPath::new("/rootfs").expect("absolute"),
        namespaces: Namespaces::default(),
        mappings: Mappings::default(),
        rootfs_shift: ShiftType::NoShift,
    };
    registry::save(db, &container).expect("saved");
    registry::number(db, &container.id).expect("readable").expect("saved")
}

fn intent(db: &Connection, nr: ContainerNr) -> Option<Intent> {
    find(db, nr).expect("readable").expect("it has files").intent
}

#[test]
fn a_container_keeps_its_directory_and_no_other_ever_gets_it() {
    let db = in_memory();
    let nr = container(&db, "c", ContainerState::Running);
    assert_eq!(find(&db, nr).expect("readable"), None);
    let files = give(&db, nr, &id("c")).expect("given");
    assert!(files.dir.starts_with("c.") && files.intent.is_none(), "{files:?}");
    assert_eq!(give(&db, nr, &id("c")).expect("given"), files);
    forget(&db, nr).expect("forgotten");
    assert_ne!(give(&db, nr, &id("c")).expect("given").dir, files.dir);
}

#[test]
fn a_directory_has_a_name_that_fits_whatever_the_id() {
    let db = in_memory();
    let name = "x".repeat(1024);
    let nr = container(&db, &name, ContainerState::Running);
    assert!(give(&db, nr, &id(&name)).expect("given").dir.len() <= 255);
}

#[test]
fn every_intent_can_be_read_back_and_taken_back() {
    let db = in_memory();
    let nr = container(&db, "c", ContainerState::Running);
    give(&db, nr, &id("c")).expect("given");
    for wanted in Intent::ALL {
        intend(&db, nr, wanted).expect("written");
        assert_eq!(intent(&db, nr), Some(wanted));
        assert_eq!(of(&db, &id("c")).expect("readable").and_then(|files| files.intent), Some(wanted));
        assert_eq!(containers(&db, true).expect("readable").len(), 1);
        settled(&db, nr).expect("written");
        assert_eq!(intent(&db, nr), None);
        assert!(containers(&db, true).expect("readable").is_empty());
    }
}

#[test]
fn after_a_reboot_what_ran_is_to_be_stopped_and_a_removal_goes_on() {
    let db = in_memory();
    let with = |name: &str, state, begun: Option<Intent>| {
        let nr = container(&db, name, state);
        give(&db, nr, &id(name)).expect("given");
        if let Some(begun) = begun {
            intend(&db, nr, begun).expect("written");
        }
        nr
    };
    let cases = [
        (with("runs", ContainerState::Running, None), Some(Intent::Stop)),
        (with("paused", ContainerState::Paused, None), Some(Intent::Stop)),
        (with("cloning", ContainerState::Running, Some(Intent::CloneRootfs)), Some(Intent::Stop)),
        (with("stopped", ContainerState::Stopped, None), None),
        (with("stopping", ContainerState::Stopped, Some(Intent::Stop)), Some(Intent::Stop)),
        (with("leaving", ContainerState::Stopped, Some(Intent::Remove)), Some(Intent::Remove)),
    ];
    intend_to_stop_all(&db).expect("written");
    for (nr, wanted) in cases {
        assert_eq!(intent(&db, nr), wanted);
    }
}
