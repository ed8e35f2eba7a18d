//! A process may fork between any two calls of the blocking API: no thread of ours is alive, no signal handler of ours is
//! set, and no descriptor of ours stays open over exec.
#![expect(clippy::expect_used, reason = "a test")]

use std::{num::NonZeroU32, sync::Arc};

use sysbox::{
    AbsPath, Backend, BackendOptions, BackendUrl, IdMappings, IdRange, ShiftType, Sysbox, blocking::wait,
    linux::LinuxHost,
};
use traces::{descriptors, leaves_nothing};

#[path = "fork_safe/traces.rs"]
mod traces;

#[test]
fn no_call_leaves_a_thread_a_signal_handler_or_a_descriptor_that_survives_exec() {
    let dir = tempfile::tempdir().expect("a directory");
    let data_root = AbsPath::new(dir.path().join("data")).expect("absolute");
    let mut options = BackendOptions::default();
    options.data_root = Some(data_root);
    let host = Arc::new(LinuxHost::default());
    let backend =
        leaves_nothing("open", || Backend::open(&BackendUrl::default(), &options, host)).expect("opened");
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
    leaves_nothing("pause", || wait(sysbox.mgr.pause())).expect("paused");
    leaves_nothing("resume", || wait(sysbox.mgr.resume())).expect("resumed");
    leaves_nothing("teardown", || wait(sysbox.teardown())).expect("unregistered");
    leaves_nothing("purge", || wait(sysbox.purge())).expect("removed");
    let before = descriptors().len();
    for _ in 0..100 {
        wait(sysbox.mgr.register(&spec)).expect("registered");
        wait(sysbox.purge()).expect("removed");
    }
    assert_eq!(descriptors().len(), before, "descriptors after a hundred containers");
}
