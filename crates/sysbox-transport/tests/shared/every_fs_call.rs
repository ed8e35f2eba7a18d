//! Each call of the fs port crosses to its own method with every field, and back.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use sysbox_core::{
    AbsPath, ContainerData, ErrorKind, FsPort, IdRange, Operation, PortError, port::MockFsPort,
};
use sysbox_transport::ClientOptions;

use crate::{
    served::{Served, within},
    subject::Fs,
};

fn path(path: &str) -> AbsPath {
    AbsPath::new(path).expect("absolute")
}

/// No field is empty, and no two are alike.
fn full() -> ContainerData {
    ContainerData {
        id: "c1".parse().expect("valid"),
        init_pid: Some(i32::MAX),
        hostname: Some("höst".into()),
        created: Some(UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789)),
        uids: Some(IdRange::new(100_000, 65_536).expect("valid")),
        gids: Some(IdRange::new(200_000, 65_537).expect("valid")),
        proc_ro_paths: vec![path("/proc/bus"), path("/proc/fs")],
        proc_mask_paths: vec![path("/proc/kcore")],
        netns: Some(path("/run/nétns/1")),
    }
}

fn empty() -> ContainerData {
    ContainerData::new("c2".parse().expect("valid"))
}

#[tokio::test]
async fn every_field_of_a_container_reaches_the_fs_daemon_by_every_call() {
    let known = |found: &ContainerData| *found == full() || *found == empty();
    let mut port = MockFsPort::new();
    port.expect_mountpoint().times(1).returning(|| Ok(path("/var/lib/sysboxfs-ü")));
    port.expect_pre_register().times(2).withf(known).returning(|_| Ok(()));
    port.expect_register().times(2).withf(known).returning(|_| Ok(()));
    port.expect_update().times(2).withf(known).returning(|_| Ok(()));
    port.expect_unregister().times(2).withf(known).returning(|_| Ok(()));
    let served = Served::fs(Some(Arc::new(port)));
    let fs = Fs::new(served.socket.clone(), ClientOptions::default());
    assert_eq!(within(fs.mountpoint()).await.expect("told"), path("/var/lib/sysboxfs-ü"));
    for container in [full(), empty()] {
        within(fs.pre_register(&container)).await.expect("known");
        within(fs.register(&container)).await.expect("told");
        within(fs.update(&container)).await.expect("told");
        within(fs.unregister(&container)).await.expect("forgotten");
    }
    served.end().await;
}

#[tokio::test]
async fn an_error_of_the_fs_daemon_names_the_callers_operation() {
    let error = |operation, kind| Err(PortError::new(operation, kind, "container c1: why"));
    let mut port = MockFsPort::new();
    port.expect_mountpoint().returning(move || {
        Err(PortError::new(Operation::FsMountpoint, ErrorKind::Internal, "container c1: why"))
    });
    port.expect_pre_register().returning(move |_| error(Operation::FsPreRegister, ErrorKind::AlreadyExists));
    port.expect_register().returning(move |_| error(Operation::FsRegister, ErrorKind::NotFound));
    port.expect_update().returning(move |_| error(Operation::FsUpdate, ErrorKind::DataLoss));
    port.expect_unregister().returning(move |_| error(Operation::FsUnregister, ErrorKind::Aborted));
    let served = Served::fs(Some(Arc::new(port)));
    let fs = Fs::new(served.socket.clone(), ClientOptions::default());
    let errors = [
        within(fs.mountpoint()).await.expect_err("fails"),
        within(fs.pre_register(&full())).await.expect_err("fails"),
        within(fs.register(&full())).await.expect_err("fails"),
        within(fs.update(&full())).await.expect_err("fails"),
        within(fs.unregister(&full())).await.expect_err("fails"),
    ];
    let expected = [
        (Operation::FsMountpoint, ErrorKind::Internal),
        (Operation::FsPreRegister, ErrorKind::AlreadyExists),
        (Operation::FsRegister, ErrorKind::NotFound),
        (Operation::FsUpdate, ErrorKind::DataLoss),
        (Operation::FsUnregister, ErrorKind::Aborted),
    ];
    assert_eq!(errors.each_ref().map(|error| (error.operation, error.kind)), expected);
    assert!(errors.iter().all(|error| error.message == "container c1: why"));
    served.end().await;
}
