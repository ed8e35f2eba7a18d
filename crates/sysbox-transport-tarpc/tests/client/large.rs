//! Replies of thousands of entries, from our own daemon.

use sysbox_core::{
    AbsPath, ErrorKind, MgrPort, Mount, MountRequests, PortError, ShiftType, port::MockMgrPort,
};
use sysbox_transport_tarpc::{ClientOptions, ServerOptions};

use crate::{
    daemon::{alloc, mgr},
    served::{Served, within},
};

fn mounts(count: usize) -> Vec<Mount> {
    let mount = |number| Mount {
        source: format!("/var/lib/sysbox/docker/{number}"),
        destination: AbsPath::new(format!("/var/lib/docker/{number}")).expect("absolute"),
        kind: "bind".into(),
        options: vec!["rbind".into(), "rprivate".into(), format!("x-number={number}")],
    };
    (0..count).map(mount).collect()
}

/// Asks a daemon for that many mounts.
async fn asked(count: usize, options: ClientOptions) -> Result<Vec<Mount>, PortError> {
    let mut port = MockMgrPort::new();
    port.expect_req_mounts().returning(move |_| Ok(mounts(count)));
    port.expect_alloc_subids().returning(|_| {
        Ok(sysbox_core::Subids { uid: sysbox_core::HostUid(1), gid: sysbox_core::HostGid(2) })
    });
    let served = Served::mgr(port, ServerOptions::default());
    let mgr = mgr(&served.socket, options);
    let request =
        MountRequests { id: "c1".parse().expect("valid"), rootfs_shift: ShiftType::NoShift, mounts: vec![] };
    let answer = within(mgr.req_mounts(&request)).await;
    within(alloc(&mgr)).await.expect("the connection is as good as before");
    answer
}

#[tokio::test]
async fn five_thousand_mounts_are_read() {
    assert_eq!(asked(5_000, ClientOptions::default()).await.expect("read"), mounts(5_000));
}

#[tokio::test]
async fn a_reply_of_several_mebibytes_is_read() {
    let many = mounts(60_000);
    let bytes: usize = many.iter().map(|mount| mount.source.len() + mount.options[2].len()).sum();
    assert!(bytes > 2 << 20, "with the rest, more than 4 MiB");
    assert_eq!(asked(60_000, ClientOptions::default()).await.expect("read"), many);
}

#[tokio::test]
async fn a_reply_beyond_what_the_caller_allows_is_refused_and_says_so() {
    let mut options = ClientOptions::default();
    options.max_reply = 1 << 20;
    let error = asked(60_000, options).await.expect_err("too long");
    assert_eq!(error.kind, ErrorKind::ResourceExhausted);
    assert!(error.message.contains("1048576") && error.message.contains("max_reply"), "{error}");
}
