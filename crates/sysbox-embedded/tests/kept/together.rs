//! A kept connection beside other handles, processes and threads.

use std::{
    collections::BTreeSet,
    fs::File,
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use sysbox_embedded::{Config, Connections, ContainerState, EmbeddedMgr};

use crate::{
    host::host,
    manager::{Place, SIZE, alloc, config, record, register, remove, start, stop},
    worker::{Worker, tell, work},
};

/// Another handle on the place, which keeps no connection.
pub(crate) fn per_call(place: &Place) -> EmbeddedMgr {
    open_per_call(place.config())
}

fn open_per_call(mut config: Config) -> EmbeddedMgr {
    config.connections = Connections::PerCall;
    EmbeddedMgr::open(config, host()).expect("a usable data root")
}

#[test]
fn each_kind_of_handle_sees_at_once_what_the_other_did() {
    let place = Place::with_slots(2);
    let (kept, other) = (place.open(), per_call(&place));
    for (one, two) in [(&kept, &other), (&other, &kept)].repeat(50) {
        let first = start(one, "c");
        assert_eq!(alloc(two, "c", SIZE).expect("given").0, first);
        stop(two, "c");
        assert_eq!(record(one, "c").state, ContainerState::Stopped);
        register(two, "d").expect("a new container");
        remove(one, "c");
        stop(one, "d");
        remove(two, "d");
        assert!(one.list().expect("readable").is_empty());
    }
}

#[test]
fn processes_that_come_and_go_and_a_kept_connection_get_ids_of_their_own() {
    if let Some((place, name)) = work() {
        let mgr = open_per_call(config(place));
        (0..20).for_each(|_| cycle(&mgr, &name));
        start(&mgr, &name);
        tell("done");
        return;
    }
    let place = Place::with_slots(9);
    let mgr = place.open();
    let test = "together::processes_that_come_and_go_and_a_kept_connection_get_ids_of_their_own";
    let mut workers: Vec<_> =
        (0..8).map(|n| Worker::spawn(test, &place.path(""), &format!("worker{n}"))).collect();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                cycle(&mgr, "own");
            }
        });
        let told: Vec<_> = workers.iter_mut().map(|worker| worker.lines().count()).collect();
        done.store(true, Ordering::Relaxed);
        assert_eq!(told, [1; 8]);
    });
    start(&mgr, "own");
    let held: BTreeSet<_> =
        mgr.list().expect("readable").iter().map(|record| record.uids.expect("given").first()).collect();
    assert_eq!((held.len(), mgr.subid_pools().expect("readable").uids.used), (9, 9));
}

/// The life of a container.
fn cycle(mgr: &EmbeddedMgr, name: &str) {
    start(mgr, name);
    stop(mgr, name);
    remove(mgr, name);
}

#[test]
fn many_threads_use_one_handle_at_once() {
    const THREADS: u32 = 16;
    let place = Place::with_slots(THREADS);
    let (mgr, barrier) = (place.open(), Barrier::new(16));
    thread::scope(|scope| {
        for n in 0..THREADS {
            let (mgr, barrier) = (&mgr, &barrier);
            scope.spawn(move || {
                barrier.wait();
                let name = format!("c{n}");
                (0..10).for_each(|_| cycle(mgr, &name));
                start(mgr, &name);
            });
        }
    });
    let held: BTreeSet<_> =
        mgr.list().expect("readable").iter().map(|record| record.uids.expect("given").first()).collect();
    assert_eq!(held, (1..=THREADS).map(|slot| slot * SIZE).collect());
}

#[test]
fn others_get_the_exclusive_lock_while_a_handle_is_idle() {
    let place = Place::new();
    let mgr = place.open();
    start(&mgr, "c");
    let lock = File::open(place.path("data/lock")).expect("there");
    lock.try_lock().expect("nobody holds it between two calls");
    lock.unlock().expect("held");
    stop(&mgr, "c");
}

#[test]
fn others_get_the_exclusive_lock_while_a_handle_is_at_work_all_the_time() {
    let place = Place::new();
    let mgr = place.open();
    start(&mgr, "c");
    let lock = File::open(place.path("data/lock")).expect("there");
    let (done, (obtained, told)) = (AtomicBool::new(false), mpsc::channel());
    // Not of the scope: it would wait for ever if the lock is never to be had.
    thread::spawn(
        move || {
            while lock.lock().and_then(|()| lock.unlock()).is_ok() && obtained.send(()).is_ok() {}
        },
    );
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    alloc(&mgr, "c", SIZE).expect("given");
                }
            });
        }
        let times = (0..20).map_while(|_| told.recv_timeout(Duration::from_secs(20)).ok()).count();
        done.store(true, Ordering::Relaxed);
        assert_eq!(times, 20);
    });
}
