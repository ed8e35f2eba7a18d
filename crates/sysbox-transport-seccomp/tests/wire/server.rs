//! A port behind a socket.

use std::{
    error::Error,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use sysbox_core::{AbsPath, Deadlines, ErrorKind, Operation, PortError, SeccompPort, port::SeccompInit};
use sysbox_transport::Listener;
use sysbox_transport_seccomp::{
    ClientOptions, NoAck, SeccompClient, ServeError, ServerOptions, serve_seccomp,
};
use tokio::{sync::Semaphore, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::raw::{LONG, MESSAGE, SHORT, assert_writes_to, init, pipe, send, wait_until_closed};

/// Takes a hand-over each time it is let to.
#[derive(Debug)]
struct Gate {
    entered: Semaphore,
    open: Semaphore,
    taken: Mutex<Vec<(SeccompInit, OwnedFd)>>,
}

impl Gate {
    /// Lets that many through.
    fn new(open: usize) -> Arc<Self> {
        Arc::new(Self { entered: Semaphore::new(0), open: Semaphore::new(open), taken: Mutex::default() })
    }

    /// Waits until that many more hand-overs have come to the gate.
    async fn entered(&self, count: u32) {
        self.entered.acquire_many(count).await.expect("never closed").forget();
    }

    fn taken(&self) -> usize {
        self.taken.lock().expect("no panic").len()
    }
}

#[async_trait]
impl SeccompPort for Gate {
    async fn send_init<'fd>(&self, request: &SeccompInit, fd: BorrowedFd<'fd>) -> Result<(), PortError> {
        self.entered.add_permits(1);
        self.open.acquire().await.expect("never closed").forget();
        let copy = fd.try_clone_to_owned().expect("a copy");
        self.taken.lock().expect("no panic").push((request.clone(), copy));
        Ok(())
    }
}

/// Refuses the first hand-over, breaks on the second, and takes the others. A mock cannot be called again after a panic.
#[derive(Debug, Default)]
struct RefusesBreaksTakes(AtomicUsize);

#[async_trait]
impl SeccompPort for RefusesBreaksTakes {
    async fn send_init<'fd>(&self, request: &SeccompInit, _: BorrowedFd<'fd>) -> Result<(), PortError> {
        let not_known = format!("container {} is not known", request.id);
        match self.0.fetch_add(1, Ordering::Relaxed) {
            0 => Err(PortError::new(Operation::SendSeccompInit, ErrorKind::NotFound, not_known)),
            1 => panic!("on purpose"),
            _ => Ok(()),
        }
    }
}

/// A server that runs beside the test.
struct Served {
    _dir: tempfile::TempDir,
    socket: AbsPath,
    stop: CancellationToken,
    serving: JoinHandle<Result<(), ServeError>>,
}

fn serve(port: Arc<dyn SeccompPort>, options: ServerOptions) -> Served {
    let outer = tempfile::tempdir().expect("a directory");
    let dir = AbsPath::new(outer.path().join("run")).expect("absolute");
    let listener = Listener::bind(&dir, "s").expect("bound");
    serve_on(outer, listener, port, options)
}

fn serve_on(
    dir: tempfile::TempDir,
    listener: Listener,
    port: Arc<dyn SeccompPort>,
    options: ServerOptions,
) -> Served {
    let socket = listener.path().clone();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(serve_seccomp(port, listener, options, stop.clone()));
    Served { _dir: dir, socket, stop, serving }
}

impl Served {
    fn client(&self) -> SeccompClient {
        let deadlines = Deadlines { seccomp: LONG, ..Deadlines::default() };
        SeccompClient::new(self.socket.clone(), ClientOptions { deadlines, patience: Duration::ZERO })
    }

    /// Hands over in the background.
    fn begin(&self) -> JoinHandle<Result<(), PortError>> {
        let client = self.client();
        tokio::spawn(async move { client.send_init(&init(), pipe().1.as_fd()).await })
    }

    async fn end(self) {
        self.stop.cancel();
        self.serving.await.expect("no panic").expect("served");
    }
}

fn assert_closed(outcome: Result<(), PortError>) {
    let error = outcome.expect_err("not taken");
    let source = error.source().and_then(|source| source.downcast_ref());
    assert!(matches!(source, Some(NoAck::Closed { .. })), "{error:?}");
}

/// Does something that blocks, without holding up the server.
async fn aside<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(act).await.expect("no panic")
}

#[tokio::test]
async fn what_the_port_takes_is_acknowledged_and_is_the_same_open_file() {
    let port = Gate::new(1);
    let served = serve(port.clone(), ServerOptions::default());
    let (read, write) = pipe();
    served.client().send_init(&init(), write.as_fd()).await.expect("taken");
    drop(write);
    let (request, fd) = port.taken.lock().expect("no panic").remove(0);
    assert_eq!(request, init());
    assert_writes_to(&read, fd);
    served.end().await;
}

#[tokio::test]
async fn what_the_port_refuses_or_breaks_on_is_closed_and_the_next_is_served() {
    let served = serve(Arc::new(RefusesBreaksTakes::default()), ServerOptions::default());
    assert_closed(served.begin().await.expect("no panic"));
    assert_closed(served.begin().await.expect("no panic"));
    served.begin().await.expect("no panic").expect("taken");
    served.end().await;
}

#[tokio::test]
async fn peers_that_send_nonsense_or_nothing_are_closed_and_disturb_nobody() {
    let port = Gate::new(1);
    let served = serve(port.clone(), ServerOptions::default());
    let socket = served.socket.clone();
    aside(move || {
        drop(UnixStream::connect(&socket).expect("connected"));
        for text in ["x", "{}", MESSAGE] {
            let stream = UnixStream::connect(&socket).expect("connected");
            send(&stream, text.as_bytes(), &[]);
            wait_until_closed(&stream);
        }
    })
    .await;
    served.begin().await.expect("no panic").expect("taken");
    assert_eq!(port.taken(), 1);
    served.end().await;
}

#[tokio::test]
async fn a_silent_peer_and_a_slow_port_are_left_at_the_deadline() {
    let port = Gate::new(0);
    let options = ServerOptions { deadline: SHORT, ..ServerOptions::default() };
    let served = serve(port.clone(), options);
    let began = Instant::now();
    let socket = served.socket.clone();
    aside(move || {
        let stream = UnixStream::connect(&socket).expect("connected");
        send(&stream, b"{", &[]);
        wait_until_closed(&stream);
    })
    .await;
    assert!(began.elapsed() >= SHORT);
    let began = Instant::now();
    assert_closed(served.begin().await.expect("no panic"));
    assert!((SHORT..LONG).contains(&began.elapsed()));
    port.entered(1).await;
    assert_eq!(port.taken(), 0);
    served.end().await;
}

#[tokio::test]
async fn no_more_connections_than_allowed_are_served_at_once_and_the_others_wait() {
    let port = Gate::new(0);
    let served = serve(port.clone(), ServerOptions { connections: 2, ..ServerOptions::default() });
    let hand_overs: Vec<_> = (0..3).map(|_| served.begin()).collect();
    port.entered(2).await;
    assert!(tokio::time::timeout(SHORT, port.entered(1)).await.is_err(), "the third waits");
    port.open.add_permits(1);
    port.entered(1).await;
    port.open.add_permits(2);
    for hand_over in hand_overs {
        hand_over.await.expect("no panic").expect("taken");
    }
    served.end().await;
}

#[tokio::test]
async fn many_more_peers_than_are_served_at_once_are_all_served() {
    let port = Gate::new(600);
    let served = serve(port.clone(), ServerOptions::default());
    let hand_overs: Vec<_> = (0..600).map(|_| served.begin()).collect();
    for hand_over in hand_overs {
        hand_over.await.expect("no panic").expect("taken");
    }
    assert_eq!(port.taken(), 600);
    served.end().await;
}

#[tokio::test]
async fn a_server_that_is_told_to_stop_lets_nobody_in_and_finishes_what_has_begun() {
    let port = Gate::new(0);
    let served = serve(port.clone(), ServerOptions::default());
    let begun = served.begin();
    port.entered(1).await;
    served.stop.cancel();
    while served.socket.as_path().exists() {
        tokio::task::yield_now().await;
    }
    let error = served.begin().await.expect("no panic").expect_err("nobody listens");
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(!served.serving.is_finished());
    port.open.add_permits(1);
    begun.await.expect("no panic").expect("taken");
    served.end().await;
}

#[tokio::test]
async fn a_server_that_is_stopped_waits_no_longer_than_the_deadline() {
    let port = Gate::new(0);
    let options = ServerOptions { deadline: SHORT, ..ServerOptions::default() };
    let served = serve(port.clone(), options);
    let begun = served.begin();
    port.entered(1).await;
    served.end().await;
    assert_closed(begun.await.expect("no panic"));
}
