//! Sources of several containers.

use std::{
    fmt,
    slice::from_ref,
    sync::{Arc, Mutex},
    thread,
};

use sysbox_embedded::Intent;
use tracing::{Event, Level, Metadata, Subscriber, field::Field, span};

use super::{assert_shifted, prepare, prepare_as};
use crate::support::{Host, Place, SIZE, owner, record, remove, snapshot, start, stop};

const USER: u32 = 1000;

#[test]
fn a_source_stays_the_first_containers_until_the_last_one_stops() {
    let place = Place::new();
    let (mgr, source) = (place.open(Host::without_id_mapping()), place.tree("source", USER));
    let before = snapshot(&source);
    let (one, two) = (start(&mgr, "one", "/usr"), start(&mgr, "two", "/usr"));
    prepare(&mgr, "one", one, &[&source]).expect("prepared");
    prepare(&mgr, "two", two, &[&source]).expect("left as it is");
    assert_shifted(&source, one);
    stop(&mgr, "one");
    assert_shifted(&source, one);
    assert_eq!(record(&mgr, "two").prepared, from_ref(&source));
    let three = start(&mgr, "three", "/usr");
    prepare(&mgr, "three", three, &[&source]).expect("left as it is");
    assert_shifted(&source, one);
    stop(&mgr, "two");
    assert_shifted(&source, one);
    stop(&mgr, "three");
    assert_eq!(snapshot(&source), before);
}

#[test]
fn a_source_of_a_container_that_a_reboot_has_stopped_is_the_next_ones() {
    let place = Place::new();
    let source = place.tree("source", USER);
    let before = snapshot(&source);
    let mgr = place.open(Host::without_id_mapping());
    let one = start(&mgr, "one", "/usr");
    prepare(&mgr, "one", one, &[&source]).expect("prepared");
    let mgr = place.open(Host::without_id_mapping().rebooted());
    let two = start(&mgr, "two", "/usr");
    prepare(&mgr, "two", two, &[&source]).expect("prepared");
    assert_shifted(&source, two);
    let repairs = mgr.repair().expect("usable");
    assert_eq!(repairs.mended.len(), 1, "{repairs:?}");
    assert_shifted(&source, two);
    stop(&mgr, "two");
    assert_eq!(snapshot(&source), before);
}

#[test]
fn a_source_that_another_container_was_only_about_to_use_can_be_had() {
    let place = Place::new();
    let source = place.tree("source", USER);
    let before = snapshot(&source);
    let mgr = place.open(Host::real());
    let one = start(&mgr, "one", "/usr");
    prepare(&mgr, "one", one, &[&source]).expect("tracked");
    place.leave(Intent::PrepMounts, "UPDATE prepared SET pending = 1");
    let mgr = place.open(Host::without_id_mapping());
    let two = start(&mgr, "two", "/usr");
    prepare(&mgr, "two", two, &[&source]).expect("prepared");
    assert_shifted(&source, two);
    mgr.repair().expect("usable");
    assert_eq!(record(&mgr, "one").prepared, []);
    assert_shifted(&source, two);
    stop(&mgr, "two");
    assert_eq!(snapshot(&source), before);
}

#[test]
fn of_containers_at_once_one_gets_the_source_and_none_leaves_it_shifted() {
    let place = Place::new();
    let (mgr, source) = (place.open(Host::without_id_mapping()), place.tree("source", USER));
    let before = snapshot(&source);
    let names = ["a", "b", "c", "d"];
    let firsts = names.map(|name| start(&mgr, name, "/usr"));
    let live = |name: &str, first: u32| {
        prepare(&mgr, name, first, &[&source]).expect("prepared");
        let (uid, _) = owner(&source, "");
        stop(&mgr, name);
        uid
    };
    let seen = thread::scope(|scope| {
        let live = &live;
        let lives: Vec<_> = names
            .into_iter()
            .zip(firsts)
            .map(|(name, first)| scope.spawn(move || live(name, first)))
            .collect();
        lives.into_iter().map(|life| life.join().expect("no panic")).collect::<Vec<_>>()
    });
    assert!(seen.iter().all(|uid| firsts.contains(uid) || *uid == USER), "{seen:?}");
    assert!(seen.iter().any(|uid| firsts.contains(uid)), "{seen:?}");
    assert_eq!(snapshot(&source), before);
    assert!(firsts.iter().all(|first| first % SIZE == 0));
}

#[test]
fn a_second_container_is_warned_of_and_not_refused_where_one_is_to_have_a_source_alone() {
    let place = Place::new();
    let mgr = place.open(Host::real());
    let (alone, shared) = (place.tree("alone", USER), place.tree("shared", USER));
    let (one, two) = (start(&mgr, "one", "/usr"), start(&mgr, "two", "/usr"));
    let warnings = Warnings::default();
    tracing::subscriber::with_default(warnings.clone(), || {
        prepare_as(&mgr, "one", one, &[&alone], true).expect("prepared");
        prepare(&mgr, "one", one, &[&shared]).expect("prepared");
        assert_eq!(warnings.take(), [] as [String; 0]);
        prepare(&mgr, "two", two, &[&alone]).expect("warned of");
        let told = warnings.take();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(&alone.to_string()) && told[0].contains("one"), "{told:?}");
        prepare_as(&mgr, "two", two, &[&shared], true).expect("warned of");
        assert_eq!(warnings.take().len(), 1);
        stop(&mgr, "one");
        prepare_as(&mgr, "two", two, &[&alone, &shared], true).expect("its own");
        assert_eq!(warnings.take(), [] as [String; 0], "the other has stopped");
    });
}

/// What was warned of.
#[derive(Clone, Debug, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("no panic"))
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = String::new();
        event.record(&mut |field: &Field, value: &dyn fmt::Debug| text += &format!("{field}={value:?} "));
        self.0.lock().expect("no panic").push(text);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[test]
fn what_is_below_or_above_a_source_of_another_container_stays_as_it_is() {
    let place = Place::new();
    let outer = place.tree("outer", 0);
    let inner = crate::support::abs(outer.as_path().join("dir"));
    let before = snapshot(&outer);
    let mgr = place.open(Host::without_id_mapping());
    let rootfs = place.dir("rootfs");
    let (one, two) = (start(&mgr, "one", &rootfs), start(&mgr, "two", &rootfs));
    prepare(&mgr, "one", one, &[&outer]).expect("prepared");
    let ones = snapshot(&outer);
    prepare(&mgr, "two", two, &[&inner]).expect("left as it is");
    assert_eq!(snapshot(&outer), ones);
    stop(&mgr, "one");
    stop(&mgr, "two");
    assert_eq!(snapshot(&outer), before);
}

#[test]
fn a_source_whose_disk_is_away_when_its_container_stops_is_shifted_back_when_that_is_removed() {
    use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};
    let place = Place::new();
    let (kept, at) = (place.dir("disk"), place.dir("mnt"));
    mount("tmpfs", kept.as_path(), "tmpfs", MountFlags::empty(), None).expect("tmpfs");
    let source = place.tree("disk/source", 0);
    let before = snapshot(&source);
    mount_bind(kept.as_path(), at.as_path()).expect("a bind mount");
    let mgr = place.open(Host::without_id_mapping());
    let first = start(&mgr, "c", place.dir("rootfs"));
    prepare(&mgr, "c", first, &[&crate::support::abs(at.as_path().join("source"))]).expect("prepared");
    assert_ne!(snapshot(&source), before);
    unmount(at.as_path(), UnmountFlags::empty()).expect("mounted");
    stop(&mgr, "c");
    mount_bind(kept.as_path(), at.as_path()).expect("a bind mount");
    remove(&mgr, "c");
    assert_eq!(snapshot(&source), before);
}
