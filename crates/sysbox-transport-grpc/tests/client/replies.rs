//! Replies that break the rules, each with the kind of error that it is.

use std::error::Error;

use bytes::Bytes;
use h2::{Reason, server::SendResponse};
use http::Response;
use sysbox_core::ErrorKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::daemon::{Daemon, MESSAGE, alloc, head, impatient, mgr, pause, status, well};

async fn kind_of(answer: impl Fn(SendResponse<Bytes>) + Clone + Send + Sync + 'static) -> ErrorKind {
    let daemon = Daemon::answering(move |_, respond| answer(respond));
    let mut options = impatient();
    options.max_reply = 1000;
    let error = pause(&mgr(&daemon.socket, options)).await.expect_err("a bad reply");
    error.kind
}

fn body(mut respond: SendResponse<Bytes>, head: Response<()>, data: &'static [u8]) {
    let mut stream = respond.send_response(head, false).expect("sent");
    stream.send_data(Bytes::from_static(data), true).expect("sent");
}

#[tokio::test]
async fn a_good_reply_is_read() {
    let daemon = Daemon::answering(|_, respond| well(respond));
    let ids = alloc(&mgr(&daemon.socket, impatient())).await.expect("answered");
    assert_eq!((ids.uid.0, ids.gid.0), (7, 9));
}

#[tokio::test]
async fn a_status_in_the_headers_is_the_answer() {
    let kind = kind_of(|mut respond| {
        let mut head = head();
        head.headers_mut().extend(status("5"));
        respond.send_response(head, true).expect("sent");
    });
    assert_eq!(kind.await, ErrorKind::NotFound);
}

#[tokio::test]
async fn an_http_status_without_a_grpc_status_is_mapped_as_grpc_says() {
    for (status, kind) in [
        (404, ErrorKind::Unimplemented),
        (403, ErrorKind::PermissionDenied),
        (503, ErrorKind::Unavailable),
        (500, ErrorKind::Unknown),
    ] {
        let head = move || Response::builder().status(status).body(()).expect("valid");
        assert_eq!(kind_of(move |respond| body(respond, head(), b"<html>")).await, kind, "{status}");
    }
}

#[tokio::test]
async fn what_is_not_grpc_or_has_no_status_is_internal() {
    let html = || Response::builder().header("content-type", "text/html").body(()).expect("valid");
    assert_eq!(kind_of(move |respond| body(respond, html(), b"<html>")).await, ErrorKind::Internal);
    let untyped = || Response::new(());
    assert_eq!(kind_of(move |respond| body(respond, untyped(), MESSAGE)).await, ErrorKind::Internal);
    assert_eq!(kind_of(|respond| body(respond, head(), MESSAGE)).await, ErrorKind::Internal);
}

#[tokio::test]
async fn a_reply_that_is_too_long_is_not_read_to_its_end() {
    static LONG: [u8; 10_000] = [0; 10_000];
    assert_eq!(kind_of(|respond| body(respond, head(), &LONG)).await, ErrorKind::ResourceExhausted);
}

#[tokio::test]
async fn a_call_that_is_broken_off_has_the_kind_that_grpc_gives_the_code() {
    for (reason, kind) in [
        (Reason::CANCEL, ErrorKind::Cancelled),
        (Reason::ENHANCE_YOUR_CALM, ErrorKind::ResourceExhausted),
        (Reason::INADEQUATE_SECURITY, ErrorKind::PermissionDenied),
        (Reason::INTERNAL_ERROR, ErrorKind::Internal),
        (Reason::REFUSED_STREAM, ErrorKind::Unavailable),
    ] {
        assert_eq!(kind_of(move |mut respond| respond.send_reset(reason)).await, kind, "{reason:?}");
    }
}

#[tokio::test]
async fn a_refused_call_is_sent_again_whatever_it_does() {
    let daemon = Daemon::answering(|number, mut respond| {
        if number == 0 {
            return respond.send_reset(Reason::REFUSED_STREAM);
        }
        well(respond);
    });
    pause(&mgr(&daemon.socket, sysbox_transport_grpc::ClientOptions::default())).await.expect("taken");
}

#[tokio::test]
async fn what_does_not_speak_http2_is_told_with_its_path_and_the_cause() {
    let daemon = Daemon::new(|_, mut stream| async move {
        let _ = stream.read(&mut [0; 100]).await;
        let _ = stream.write_all(b"220 mail.example ESMTP, what can I do for you?\r\n").await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let error = alloc(&mgr(&daemon.socket, impatient())).await.expect_err("not gRPC");
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains(&daemon.socket.to_string()), "{error}");
    assert!(error.source().is_some(), "{error:?}");
}
