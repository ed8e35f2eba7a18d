//! Many callers on one connection.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use sysbox_core::port::MockMgrPort;
use sysbox_transport_tarpc::{ClientOptions, ServerOptions};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime::Builder,
    task::JoinSet,
    time::timeout,
};

use crate::{
    daemon::{Daemon, alloc, converse, impatient, mgr, pause, speak},
    frames::{MGR, PAUSE, SERVED, answer, hello},
    served::{Served, within},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_callers_share_one_connection() {
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    let daemon = Daemon::new(move |_, stream| {
        count.fetch_add(1, Ordering::SeqCst);
        speak(stream)
    });
    let mgr = mgr(&daemon.socket, ClientOptions::default());
    let mut calls = JoinSet::new();
    for _ in 0..1000 {
        let mgr = mgr.clone();
        calls.spawn(async move { alloc(&mgr).await });
    }
    while let Some(answer) = calls.join_next().await {
        answer.expect("no panic").expect("answered");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_call_that_is_given_up_leaves_the_connection_to_others() {
    let daemon = Daemon::new(|number, stream| async move {
        assert_eq!(number, 0, "one connection");
        let every_other =
            |number, id, variant| if number % 2 == 0 { Vec::new() } else { answer(id, variant) };
        converse(stream, every_other).await;
    });
    let mgr = mgr(&daemon.socket, impatient());
    for _ in 0..200 {
        let given_up = timeout(Duration::from_millis(2), pause(&mgr)).await;
        assert!(given_up.is_err(), "it is not answered");
        pause(&mgr).await.expect("answered");
    }
}

#[test]
fn each_runtime_has_its_own_connection() {
    let runtime = || Builder::new_current_thread().enable_all().build().expect("a runtime");
    let served = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let daemon = served.block_on(async { Daemon::answering(|_, id, variant| answer(id, variant)) });
    let mgr = mgr(&daemon.socket, impatient());
    let (one, other) = (runtime(), runtime());
    for _ in 0..20 {
        one.block_on(within(alloc(&mgr))).expect("answered");
        other.block_on(within(alloc(&mgr))).expect("answered");
    }
    drop(one);
    other.block_on(within(alloc(&mgr))).expect("answered");
}

/// A daemon that lets a connection have so many calls open, answers each after a while, and checks the number.
fn narrow(calls: u32) -> Daemon {
    Daemon::new(move |_, stream| async move {
        let (mut reads, writes) = stream.into_split();
        let writes = Arc::new(tokio::sync::Mutex::new(writes));
        let _ = reads.read_exact(&mut [0; 32]).await;
        let _ = writes.lock().await.write_all(&hello(1, MGR, SERVED, 1 << 20, calls)).await;
        let open = Arc::new(AtomicU32::new(0));
        let mut frame = [0; 4 + 9 + 8 + 4];
        while reads.read_exact(&mut frame).await.is_ok() {
            let [_, _, _, _, kind, low, high, ..] = frame;
            assert_eq!(kind, 1, "a call");
            answer_later(u64::from(high) << 8 | u64::from(low), &open, calls, &writes);
        }
    })
}

fn answer_later(
    id: u64,
    open: &Arc<AtomicU32>,
    calls: u32,
    writes: &Arc<tokio::sync::Mutex<tokio::net::unix::OwnedWriteHalf>>,
) {
    let (open, writes) = (open.clone(), writes.clone());
    assert!(open.fetch_add(1, Ordering::SeqCst) < calls, "too many open");
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        open.fetch_sub(1, Ordering::SeqCst);
        let _ = writes.lock().await.write_all(&answer(id, PAUSE)).await;
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_beyond_what_a_daemon_allows_wait_for_their_turn() {
    for calls_at_once in [1, 2] {
        let daemon = narrow(calls_at_once);
        let mgr = mgr(&daemon.socket, ClientOptions::default());
        let mut calls = JoinSet::new();
        for _ in 0..300 {
            let mgr = mgr.clone();
            calls.spawn(async move { pause(&mgr).await });
        }
        while let Some(answer) = within(calls.join_next()).await {
            answer.expect("no panic").expect("answered");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_at_once_are_each_carried_out_once_by_our_own_daemon() {
    let begun = Arc::new(AtomicUsize::new(0));
    let count = begun.clone();
    let mut port = MockMgrPort::new();
    port.expect_pause().returning(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    let served = Served::mgr(port, ServerOptions::default());
    let mgr = mgr(&served.socket, ClientOptions::default());
    let mut calls = JoinSet::new();
    for _ in 0..1000 {
        let mgr = mgr.clone();
        calls.spawn(async move { pause(&mgr).await });
    }
    while let Some(answer) = within(calls.join_next()).await {
        answer.expect("no panic").expect("answered");
    }
    assert_eq!(begun.load(Ordering::SeqCst), 1000);
    served.end().await;
}
