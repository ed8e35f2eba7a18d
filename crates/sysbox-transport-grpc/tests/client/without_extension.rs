//! Sysbox's own daemon, which has none of our calls beside its own.

use sysbox_core::{ContainerId, ErrorKind, MgrPort, Operation};
use sysbox_transport_grpc::ClientOptions;

use crate::{
    daemon::{Daemon, head, mgr, status},
    served::{Served, within},
};

fn id() -> ContainerId {
    "c1".parse().expect("valid")
}

#[tokio::test]
async fn to_remove_is_unimplemented_by_a_daemon_without_our_extension() {
    // What grpc-go answers for a service that it does not have.
    let sysbox = Daemon::answering(|_, mut respond| {
        let mut head = head();
        head.headers_mut().extend(status("12"));
        let _ = respond.send_response(head, true);
    });
    let another = Served::fs(None);
    for socket in [&sysbox.socket, &another.socket] {
        let error = within(mgr(socket, ClientOptions::default()).remove(&id())).await.expect_err("not there");
        assert_eq!((error.operation, error.kind), (Operation::Remove, ErrorKind::Unimplemented));
    }
    another.end().await;
}
