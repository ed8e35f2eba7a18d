//! Daemons that go away during a call.

use sysbox_core::ErrorKind;
use sysbox_transport_tarpc::ClientOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    daemon::{Daemon, alloc, impatient, mgr, pause, speak},
    frames::{MGR, PAUSE, STOPPING, answer, greeted, hello, next, not_begun, welcome},
};

#[tokio::test]
async fn a_call_that_is_lost_with_its_connection_is_sent_again_only_if_that_changes_nothing() {
    let daemon = || {
        Daemon::new(|number, mut stream| async move {
            if number == 0 {
                let _ = greeted(&mut stream).await;
                let _ = stream.write_all(&welcome()).await;
                let _ = next(&mut stream).await;
                return;
            }
            speak(stream).await;
        })
    };
    let first = daemon();
    alloc(&mgr(&first.socket, ClientOptions::default())).await.expect("sent again");
    let second = daemon();
    let mgr = mgr(&second.socket, ClientOptions::default());
    let error = pause(&mgr).await.expect_err("lost");
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains("not known"), "{error}");
    pause(&mgr).await.expect("connected anew");
}

#[tokio::test]
async fn a_call_that_the_daemon_says_was_not_begun_is_sent_again_whatever_it_does() {
    for why in [0, 1] {
        let refused = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let daemon = Daemon::answering(move |_, id, variant| {
            if refused.swap(true, std::sync::atomic::Ordering::SeqCst) {
                return answer(id, variant);
            }
            not_begun(id, why)
        });
        pause(&mgr(&daemon.socket, ClientOptions::default())).await.expect("sent again");
    }
}

#[tokio::test]
async fn a_daemon_that_is_stopping_when_it_is_connected_to_is_not_the_last_word() {
    let daemon = Daemon::new(|number, mut stream| async move {
        if number == 0 {
            let _ = stream.write_all(&hello(1, MGR, STOPPING, 0, 0)).await;
            return;
        }
        speak(stream).await;
    });
    pause(&mgr(&daemon.socket, ClientOptions::default())).await.expect("the next one takes it");
}

#[tokio::test]
async fn a_kept_connection_that_is_lost_is_made_anew_once_even_without_patience() {
    let daemon = Daemon::new(|number, mut stream| async move {
        if number > 0 {
            return speak(stream).await;
        }
        let _ = greeted(&mut stream).await;
        let _ = stream.write_all(&welcome()).await;
        if let Some((_, id, rest)) = next(&mut stream).await {
            let _ = stream.write_all(&answer(id, rest[8])).await;
        }
        // Gone with the second request.
        let _ = next(&mut stream).await;
    });
    let mgr = mgr(&daemon.socket, impatient());
    alloc(&mgr).await.expect("answered");
    alloc(&mgr).await.expect("sent again at once");
}

/// What the kernel has not taken, the daemon has not got: this is told of each call, while others are still answered.
#[tokio::test]
async fn a_daemon_that_reads_no_more_still_answers_what_it_has_and_takes_nothing_else() {
    let (heard, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let (go, went) = tokio::sync::watch::channel(false);
    let daemon = Daemon::new(move |number, mut stream| {
        let (heard, mut went) = (heard.clone(), went.clone());
        async move {
            if number > 0 {
                return speak(stream).await;
            }
            let _ = greeted(&mut stream).await;
            let _ = stream.write_all(&welcome()).await;
            let (_, id, rest) = next(&mut stream).await.expect("a call");
            assert_eq!(rest[8], PAUSE);
            let stream = stream.into_std().expect("taken back");
            stream.shutdown(std::net::Shutdown::Read).expect("closed for reading");
            heard.send(()).expect("the test goes on");
            went.wait_for(|went| *went).await.expect("the test goes on");
            let mut stream = tokio::net::UnixStream::from_std(stream).expect("registered");
            let _ = stream.write_all(&answer(id, PAUSE)).await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    });
    let mgr = mgr(&daemon.socket, impatient());
    let first = tokio::spawn({
        let mgr = mgr.clone();
        async move { pause(&mgr).await }
    });
    hears.recv().await.expect("it has the first call");
    pause(&mgr).await.expect("taken over another connection, although it may not be sent twice");
    go.send_replace(true);
    first.await.expect("no panic").expect("answered over the first connection");
}
