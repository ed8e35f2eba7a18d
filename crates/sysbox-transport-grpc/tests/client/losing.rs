//! Daemons that go away during a call.

use sysbox_core::ErrorKind;
use sysbox_transport_grpc::ClientOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::daemon::{Daemon, SETTINGS, alloc, http2, impatient, mgr, pause, well};

#[tokio::test]
async fn a_call_that_is_lost_with_its_connection_is_sent_again_only_if_that_changes_nothing() {
    let daemon = || {
        Daemon::new(|number, mut stream| async move {
            if number == 0 {
                let _ = stream.write_all(SETTINGS).await;
                let _ = stream.read(&mut [0; 1000]).await;
                return;
            }
            http2(stream, |_, respond| well(respond)).await;
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
async fn a_call_that_a_farewell_says_was_not_taken_is_sent_again_whatever_it_does() {
    let daemon = Daemon::new(|number, mut stream| async move {
        if number == 0 {
            let _ = stream.write_all(SETTINGS).await;
            let _ = stream.read(&mut [0; 1000]).await;
            // GOAWAY: the last stream taken is 0, no error.
            let goaway = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            let _ = stream.write_all(&goaway).await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
            return;
        }
        http2(stream, |_, respond| well(respond)).await;
    });
    pause(&mgr(&daemon.socket, ClientOptions::default())).await.expect("sent again");
}

#[tokio::test]
async fn a_kept_connection_that_is_lost_is_made_anew_once_even_without_patience() {
    let daemon = Daemon::new(|number, stream| async move {
        if number > 0 {
            return http2(stream, |_, respond| well(respond)).await;
        }
        let Ok(mut connection) = h2::server::handshake(stream).await else { return };
        if let Some(Ok((_request, respond))) = connection.accept().await {
            well(respond);
        }
        // Gone with the second request.
        let _ = connection.accept().await;
    });
    let mgr = mgr(&daemon.socket, impatient());
    alloc(&mgr).await.expect("answered");
    alloc(&mgr).await.expect("sent again at once");
}
