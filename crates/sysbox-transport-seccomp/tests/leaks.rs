//! No descriptor and no memory is lost, however hand-overs end. Alone in its process: others' descriptors would be counted.
#![expect(clippy::expect_used, reason = "a test")]

#[path = "wire/raw.rs"]
#[expect(dead_code, reason = "not all of it is needed here")]
mod raw;

use std::{
    fs,
    net::Shutdown,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use async_trait::async_trait;
use sysbox_core::{AbsPath, Deadlines, PortError, SeccompPort, port::SeccompInit};
use sysbox_transport::{Listener, Stream};
use sysbox_transport_seccomp::{
    ClientOptions, SeccompClient, ServerOptions, blocking, receive, serve_seccomp,
};
use tokio_util::sync::CancellationToken;

use raw::{LONG, MESSAGE, init, listen, pipe, send, wait};

/// One test at a time counts.
static COUNTING: Mutex<()> = Mutex::new(());

const HAND_OVERS: usize = 100_000;
const CALLERS: usize = 4;

#[derive(Debug)]
struct Takes;

#[async_trait]
impl SeccompPort for Takes {
    async fn send_init<'fd>(&self, _: &SeccompInit, _: BorrowedFd<'fd>) -> Result<(), PortError> {
        Ok(())
    }
}

/// Lets no other test count meanwhile. What tokio keeps for the whole process is there from its first runtime on, whichever test makes
/// that.
fn alone() -> MutexGuard<'static, ()> {
    let guard = COUNTING.lock().unwrap_or_else(PoisonError::into_inner);
    wait(async {});
    guard
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("there").count()
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("there");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// A peer that sends this and with it so many descriptors, and then ends the connection or stays silent.
fn peer(stream: &UnixStream, text: &str, count: usize, ends: bool) {
    let fds: Vec<BorrowedFd<'_>> = (0..count).map(|_| stream.as_fd()).collect();
    if !text.is_empty() {
        send(stream, text.as_bytes(), &fds);
    }
    if ends {
        stream.shutdown(Shutdown::Write).expect("shut down");
    }
}

#[test]
fn no_way_of_being_refused_leaves_a_descriptor_open() {
    let _alone = alone();
    let too_large = " ".repeat(5000);
    let within = Duration::from_millis(20);
    let before = descriptors();
    for text in
        ["", "{", "x", "{}", r#"{"pid":0,"cntrId":"c1"}"#, r#"{"pid":1,"cntrId":".."}"#, MESSAGE, &too_large]
    {
        for count in [0, 1, 2, 250] {
            for ends in [true, false] {
                let (ours, theirs) = UnixStream::pair().expect("a pair");
                peer(&theirs, text, count, ends);
                let taken = blocking::receive(&ours, within).is_ok();
                assert_eq!(taken, text == MESSAGE && count == 1);
                let (ours, theirs) = UnixStream::pair().expect("a pair");
                peer(&theirs, text, count, ends);
                let taken = wait(async {
                    let mut ours = Stream::new(ours).expect("registered");
                    receive(&mut ours, within).await.is_ok()
                });
                assert_eq!(taken, text == MESSAGE && count == 1);
            }
        }
    }
    assert_eq!(descriptors(), before);
}

#[test]
fn no_way_of_not_being_taken_leaves_a_descriptor_open() {
    let _alone = alone();
    let before = descriptors();
    let deadlines = Deadlines { seccomp: Duration::from_millis(50), ..Deadlines::default() };
    let options = ClientOptions { deadlines, patience: Duration::ZERO };
    let both = |socket: &AbsPath| {
        let (_read, write) = pipe();
        blocking::send_init(socket, &init(), write.as_fd(), options).expect_err("not taken");
        let client = SeccompClient::new(socket.clone(), options);
        wait(client.send_init(&init(), write.as_fd())).expect_err("not taken");
    };
    {
        let (_dir, socket, listener) = listen();
        // Nobody answers: the connections are queued, with what was sent on them.
        both(&socket);
        let closing = thread::spawn(move || {
            for _ in 0..4 {
                drop(listener.accept().expect("accepted"));
            }
        });
        both(&socket);
        closing.join().expect("closed");
        both(&socket);
    }
    assert_eq!(descriptors(), before);
}

#[test]
fn a_hundred_thousand_hand_overs_leave_neither_a_descriptor_nor_memory() {
    let _alone = alone();
    let outer = tempfile::tempdir().expect("a directory");
    let dir = AbsPath::new(outer.path().join("run")).expect("absolute");
    wait(async {
        let listener = Listener::bind(&dir, "s").expect("bound");
        let socket = listener.path().clone();
        let stop = CancellationToken::new();
        let serving = serve_seccomp(Arc::new(Takes), listener, ServerOptions::default(), stop.clone());
        let serving = tokio::spawn(serving);
        hand_over(&socket, HAND_OVERS / 20).await;
        let before = (descriptors(), resident_kib());
        hand_over(&socket, HAND_OVERS).await;
        let grown = resident_kib().saturating_sub(before.1);
        assert!(grown < 3 * 1024, "{grown} KiB for {HAND_OVERS} hand-overs");
        assert_eq!(descriptors(), before.0);
        stop.cancel();
        serving.await.expect("no panic").expect("served");
    });
}

/// That many hand-overs by several callers; all connections are closed on both sides after it.
async fn hand_over(socket: &AbsPath, count: usize) {
    let deadlines = Deadlines { seccomp: LONG, ..Deadlines::default() };
    let client = SeccompClient::new(socket.clone(), ClientOptions { deadlines, patience: LONG });
    let caller = |client: SeccompClient| async move {
        let (_read, write) = pipe();
        for _ in 0..count / CALLERS {
            client.send_init(&init(), write.as_fd()).await.expect("taken");
        }
    };
    let callers: Vec<_> = (0..CALLERS).map(|_| tokio::spawn(caller(client.clone()))).collect();
    for caller in callers {
        caller.await.expect("no panic");
    }
    // The server closes its end of the last ones right after its acknowledgement.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
