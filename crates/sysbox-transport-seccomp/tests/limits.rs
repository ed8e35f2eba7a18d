//! A process that has no descriptor left. Alone in its process: the limit is that of all its threads.
#![expect(clippy::expect_used, reason = "a test")]

#[path = "wire/raw.rs"]
#[expect(dead_code, reason = "not all of it is needed here")]
mod raw;

use std::{
    os::{fd::AsFd, unix::net::UnixStream},
    sync::{Arc, Mutex, PoisonError},
};

use rustix::{
    io::Errno,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use sysbox_core::{AbsPath, MockSeccompPort};
use sysbox_transport::{Listener, Stream};
use sysbox_transport_seccomp::{ReceiveError, ServerOptions, blocking, receive, serve_seccomp};
use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;

use raw::{LONG, MESSAGE, SHORT, pipe, send, wait};

/// One test at a time has no descriptor left.
static STARVING: Mutex<()> = Mutex::new(());

/// No descriptor can be opened while it lives; those that are open stay.
struct Starved(Rlimit);

impl Starved {
    fn new() -> Self {
        let before = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(3), ..before }).expect("lowered");
        Self(before)
    }
}

impl Drop for Starved {
    fn drop(&mut self) {
        let _ = setrlimit(Resource::Nofile, self.0);
    }
}

#[test]
fn a_descriptor_that_the_kernel_dropped_is_told_with_what_may_be_the_cause() {
    let _alone = STARVING.lock().unwrap_or_else(PoisonError::into_inner);
    let (_read, write) = pipe();
    let handed_over = || {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        send(&theirs, MESSAGE.as_bytes(), &[write.as_fd()]);
        (ours, theirs)
    };
    let (ours, _theirs) = handed_over();
    let starved = Starved::new();
    let error = blocking::receive(&ours, LONG).expect_err("no descriptor is free");
    drop(starved);
    assert!(matches!(error, ReceiveError::DescriptorsLost), "{error:?}");
    assert!(error.to_string().contains("RLIMIT_NOFILE"), "{error}");
    let (ours, _theirs) = handed_over();
    let error = wait(async {
        let mut ours = Stream::new(ours).expect("registered");
        let _starved = Starved::new();
        receive(&mut ours, LONG).await.expect_err("no descriptor is free")
    });
    assert!(matches!(error, ReceiveError::DescriptorsLost), "{error:?}");
}

#[test]
fn a_server_without_a_free_descriptor_serves_once_there_is_one() {
    let _alone = STARVING.lock().unwrap_or_else(PoisonError::into_inner);
    let outer = tempfile::tempdir().expect("a directory");
    let dir = AbsPath::new(outer.path().join("run")).expect("absolute");
    let mut port = MockSeccompPort::new();
    port.expect_send_init().times(1).returning(|_, _| Ok(()));
    wait(async {
        let listener = Listener::bind(&dir, "s").expect("bound");
        let stream = UnixStream::connect(listener.path()).expect("connected");
        send(&stream, MESSAGE.as_bytes(), &[stream.as_fd()]);
        let mut stream = Stream::new(stream).expect("registered");
        let starved = Starved::new();
        assert_eq!(rustix::io::dup(&stream).expect_err("none is free"), Errno::MFILE);
        let stop = CancellationToken::new();
        let serving = serve_seccomp(Arc::new(port), listener, ServerOptions::default(), stop.clone());
        let serving = tokio::spawn(serving);
        let mut answer = [0; 3];
        let early = tokio::time::timeout(SHORT, stream.read_exact(&mut answer)).await;
        assert!(early.is_err() && !serving.is_finished());
        drop(starved);
        stream.read_exact(&mut answer).await.expect("answered");
        assert_eq!(&answer, b"ack");
        stop.cancel();
        serving.await.expect("no panic").expect("served");
    });
}
