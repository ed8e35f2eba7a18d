//! What is remembered of the host, and what a reboot changes.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use sysbox_core::{HostError, MockHostPort, host::Support};
use sysbox_embedded::{ContainerState, EmbeddedMgr};

use crate::manager::{Place, record, register, start};

/// A host in a boot of that name, with that kernel, and how often it was probed.
fn host_in(boot: &'static str, kernel: &'static str) -> (MockHostPort, Arc<AtomicUsize>) {
    let probed = Arc::new(AtomicUsize::new(0));
    let mut host = MockHostPort::new();
    host.expect_sysctl()
        .withf(|name| name == "kernel.random.boot_id")
        .returning(|_| Ok(Some(boot.to_owned())));
    host.expect_kernel_release().returning(|| Ok(kernel.parse().expect("a release")));
    (host, probed)
}

fn probed_by(place: &Place, boot: &'static str, kernel: &'static str, name: &str) -> usize {
    let (mut host, probed) = host_in(boot, kernel);
    let count = probed.clone();
    host.expect_probe().returning(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(Support::Yes)
    });
    let mgr = EmbeddedMgr::open(place.config(), Arc::new(host)).expect("a usable data root");
    assert!(register(&mgr, name).expect("a new container").idmap_mount_ok);
    register(&mgr, &format!("{name}-2")).expect("a new container");
    probed.load(Ordering::Relaxed)
}

#[test]
fn a_host_is_probed_once_in_a_boot_of_a_kernel() {
    let place = Place::new();
    assert_eq!(probed_by(&place, "one", "6.18.0", "a"), 3);
    assert_eq!(probed_by(&place, "one", "6.18.0", "b"), 0);
    assert_eq!(probed_by(&place, "two", "6.18.0", "c"), 3);
    assert_eq!(probed_by(&place, "two", "6.19.0", "d"), 3);
}

#[test]
fn a_host_that_cannot_be_probed_is_taken_for_one_that_cannot_do_it_and_asked_again_later() {
    let place = Place::new();
    let (mut host, _) = host_in("one", "6.18.0");
    host.expect_probe().returning(|feature| Err(HostError::new("try", feature.to_string(), "no memory")));
    let mgr = EmbeddedMgr::open(place.config(), Arc::new(host)).expect("a usable data root");
    let config = register(&mgr, "a").expect("a new container");
    assert!(!config.idmap_mount_ok && !config.overlayfs_on_idmap_mount_ok && !config.shiftfs_ok);
    assert_eq!(probed_by(&place, "one", "6.18.0", "b"), 3);
}

#[test]
fn a_container_that_ran_when_the_host_went_down_has_stopped() {
    let place = Place::new();
    let first = start(&place.open(), "c");
    let (host, _) = host_in("second-boot", "6.18.0");
    let mgr = EmbeddedMgr::open(place.config(), Arc::new(host)).expect("a usable data root");
    let record = record(&mgr, "c");
    assert_eq!((record.state, record.uids.map(|uids| uids.first())), (ContainerState::Stopped, Some(first)));
}

#[test]
fn a_handle_notices_that_another_boot_has_written_to_its_database() {
    let place = Place::new();
    let mgr = place.open();
    start(&mgr, "c");
    let (host, _) = host_in("second-boot", "6.18.0");
    EmbeddedMgr::open(place.config(), Arc::new(host)).expect("a usable data root");
    assert_eq!(record(&mgr, "c").state, ContainerState::Stopped);
    register(&mgr, "c").expect("a restart");
    assert_eq!(record(&mgr, "c").state, ContainerState::Running);
}
