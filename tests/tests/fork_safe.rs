//! A process may fork between any two calls of the blocking API, over a daemon as well: no thread of ours is alive, no signal
//! handler of ours is set, no descriptor of ours stays open over exec. Needs root.

#![expect(clippy::expect_used, reason = "a test may fail by a panic, also in its helpers")]

#[path = "../../crates/sysbox/tests/fork_safe/traces.rs"]
mod traces;

use std::{num::NonZeroU32, sync::Arc};

use rustix::process::Signal;
use sysbox::{
    Backend, BackendOptions, IdMappings, IdRange, ShiftType, Sysbox, blocking::wait, linux::LinuxHost,
};
use sysbox_tests::{Site, Transport};
use traces::{descriptors, leaves_nothing};

/// One after the other, as descriptors are counted for the whole process.
#[test]
fn no_call_over_a_daemon_leaves_a_thread_a_signal_handler_or_a_descriptor_that_survives_exec() {
    for transport in [Transport::Grpc, Transport::Tarpc] {
        over(transport);
    }
}

fn over(transport: Transport) {
    let mut site = Site::embedded(1).with_daemon(transport);
    let url = site.backend().expect("a daemon").parse().expect("a URL");
    // What the blocking API keeps for the whole process is there from its first use on.
    wait(async {});
    let host = Arc::new(LinuxHost::default());
    let backend =
        leaves_nothing("open", || Backend::open(&url, &BackendOptions::default(), host)).expect("opened");
    let mut sysbox = Sysbox::new("c1".parse().expect("valid"), backend.ports());
    let spec = serde_json::from_str(r#"{"ociVersion":"1.0.2","root":{"path":"/bundle/rootfs"},"linux":{}}"#)
        .expect("a spec");
    let size = NonZeroU32::new(65_536).expect("not 0");

    leaves_nothing("register", || wait(sysbox.mgr.register(&spec)).map(drop)).expect("registered");
    let ids = leaves_nothing("req_subid", || wait(sysbox.mgr.req_subid(size))).expect("allocated");
    let mappings = IdMappings::single(IdRange::new(ids.uid.0, 65_536).expect("a range")).expect("valid");
    leaves_nothing("update", || {
        wait(sysbox.mgr.update(None, None, mappings.clone(), mappings, ShiftType::IdMappedMount))
    })
    .expect("updated");

    // The daemon goes away and comes back between two calls: the connection is made anew.
    site.take_daemon().kill();
    site.start_daemon();
    let again =
        leaves_nothing("req_subid of a new daemon", || wait(sysbox.mgr.req_subid(size))).expect("the same");
    assert_eq!(again, ids);

    leaves_nothing("teardown", || wait(sysbox.teardown())).expect("unregistered");
    leaves_nothing("purge", || wait(sysbox.purge())).expect("removed");
    let before = descriptors().len();
    for _ in 0..100 {
        wait(sysbox.mgr.register(&spec)).expect("registered");
        wait(sysbox.purge()).expect("removed");
    }
    assert_eq!(descriptors().len(), before, "descriptors after a hundred containers");

    // Before a child is made that shall have nothing, all that is kept can be closed; the next call makes it anew.
    let sockets = || descriptors().values().filter(|target| target.starts_with("socket:")).count();
    let with_connection = sockets();
    sysbox::blocking::close();
    let without = sockets();
    assert!(without < with_connection, "the connection is closed");
    wait(sysbox.mgr.register(&spec)).expect("registered");
    assert!(sockets() > without, "it is made anew");
    wait(sysbox.purge()).expect("removed");
    site.take_daemon().signal(Signal::TERM);
}
