//! Our own daemon, stopped and started again while callers go on calling.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use sysbox_core::{AbsPath, ErrorKind, HostGid, HostUid, MgrPort, PortError, Subids, port::MockMgrPort};
use sysbox_transport::Listener;
use sysbox_transport_tarpc::{ClientOptions, ServerOptions, TarpcMgr, serve_mgr};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    daemon::{alloc, mgr, pause},
    served::within,
};

/// What the callers of a test saw, and what its daemons did.
#[derive(Debug)]
struct Tally {
    over: AtomicBool,
    answered: watch::Sender<usize>,
    paused: AtomicUsize,
    told_paused: AtomicUsize,
    told_unavailable: Mutex<Vec<PortError>>,
}

impl Tally {
    fn port(self: &Arc<Self>) -> Arc<dyn MgrPort> {
        let tally = self.clone();
        let mut port = MockMgrPort::new();
        port.expect_alloc_subids().returning(|_| Ok(Subids { uid: HostUid(7), gid: HostGid(9) }));
        port.expect_pause().returning(move |_| {
            tally.paused.fetch_add(1, SeqCst);
            Ok(())
        });
        Arc::new(port)
    }

    /// Calls until the test is over.
    async fn call(self: Arc<Self>, mgr: TarpcMgr) {
        while !self.over.load(SeqCst) {
            alloc(&mgr).await.expect("a call that may be made again never fails");
            match pause(&mgr).await {
                Ok(()) => drop(self.told_paused.fetch_add(1, SeqCst)),
                Err(error) => {
                    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
                    self.told_unavailable.lock().expect("no panic").push(error);
                }
            }
            self.answered.send_modify(|answered| *answered += 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_stopped_and_started_twenty_times_answers_every_call_and_carries_none_out_twice() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = AbsPath::new(dir.path().join("run")).expect("absolute");
    let tally = Arc::new(Tally {
        over: AtomicBool::new(false),
        answered: watch::Sender::new(0),
        paused: AtomicUsize::new(0),
        told_paused: AtomicUsize::new(0),
        told_unavailable: Mutex::default(),
    });
    let mut options = ClientOptions::default();
    options.patience = crate::served::LONG;
    let mgr = mgr(&AbsPath::new(run.as_path().join("s")).expect("absolute"), options);
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        callers.spawn(tally.clone().call(mgr.clone()));
    }
    let mut answered = tally.answered.subscribe();
    for _ in 0..20 {
        let (stop, port) = (CancellationToken::new(), tally.port());
        let listener = Listener::bind(&run, "s").expect("bound");
        let stopped = stop.clone();
        let serving =
            tokio::spawn(async move { serve_mgr(port, listener, &ServerOptions::default(), stopped).await });
        let enough = *answered.borrow_and_update() + 100;
        within(answered.wait_for(|answered| *answered >= enough)).await.expect("callers go on");
        stop.cancel();
        within(serving).await.expect("no panic").expect("ended well");
    }
    let (stop, port) = (CancellationToken::new(), tally.port());
    let listener = Listener::bind(&run, "s").expect("bound");
    let last = stop.clone();
    let serving =
        tokio::spawn(async move { serve_mgr(port, listener, &ServerOptions::default(), last).await });
    tally.over.store(true, SeqCst);
    while let Some(caller) = within(callers.join_next()).await {
        caller.expect("no caller saw a wrong error");
    }
    stop.cancel();
    within(serving).await.expect("no panic").expect("ended well");
    // Whatever a daemon that stops has not begun, it or the kernel says so.
    let unknown = tally.told_unavailable.lock().expect("no panic");
    assert!(unknown.is_empty(), "{unknown:#?}");
    assert_eq!(tally.paused.load(SeqCst), tally.told_paused.load(SeqCst), "carried out, and told");
}
