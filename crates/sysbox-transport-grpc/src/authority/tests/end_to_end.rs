//! A real client and a real server.
//!
//! The client's own library would refuse the path as an authority as well. So it is given one that is as long in Huffman code, and
//! its bytes are replaced on the way: `.` and `/` both have six bits.

use std::{
    convert::Infallible,
    io,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Body;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};

use super::{PATH, wire};
use crate::authority::{
    Filter,
    frame::{END_STREAM, Head},
};

const STAND_IN: &str = ".run.sysbox.sysmgr.sock";

/// The stand-in and the path in Huffman code.
const STAND_IN_CODE: &[u8; 17] = b"\x5e\xcb\x6a\x5d\x1e\x91\x19\xfc\xae\x8f\x48\xa6\x6b\x17\x41\xc9\xd7";
const PATH_CODE: &[u8; 17] = b"\x62\xcb\x6a\x61\x1e\x91\x19\xfc\xb0\x8f\x48\xa6\x6b\x17\x41\xc9\xd7";

/// Replaces the stand-in by the path in what is written.
struct Patched(DuplexStream);

impl AsyncRead for Patched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Patched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut patched = buf.to_vec();
        while let Some(place) = patched.windows(STAND_IN_CODE.len()).position(|code| code == STAND_IN_CODE) {
            patched[place..place + PATH_CODE.len()].copy_from_slice(PATH_CODE);
        }
        Pin::new(&mut self.0).poll_write(cx, &patched)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Answers with the authority, the body and the trailers of the request.
async fn echo(request: Request<Incoming>) -> Result<Response<String>, Infallible> {
    let authority = request.uri().authority().map_or("none", |authority| authority.as_str()).to_owned();
    let (mut body, mut trailers) = (BytesMut::new(), HeaderMap::new());
    let mut incoming = pin!(request.into_body());
    while let Some(frame) = std::future::poll_fn(|cx| incoming.as_mut().poll_frame(cx)).await {
        match frame.expect("received").into_data() {
            Ok(data) => body.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    let mut response = Response::new(String::from_utf8(body.into()).expect("text"));
    response.headers_mut().insert("authority", HeaderValue::from_str(&authority).expect("visible"));
    response.headers_mut().extend(trailers);
    Ok(response)
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin) -> hyper::Result<()> {
    http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service_fn(echo)).await
}

async fn call(
    client: &mut h2::client::SendRequest<Bytes>,
    body: &Bytes,
) -> Result<(Response<()>, Vec<u8>), h2::Error> {
    let request = Request::post(format!("http://{STAND_IN}/x")).body(()).expect("valid");
    let (response, mut sender) = client.send_request(request, false)?;
    sender.send_data(body.clone(), false)?;
    let mut trailers = HeaderMap::new();
    trailers.insert("trailer", HeaderValue::from_static("sent"));
    sender.send_trailers(trailers)?;
    let (head, mut incoming) = response.await?.into_parts();
    let mut received = Vec::new();
    while let Some(data) = incoming.data().await {
        let data = data?;
        incoming.flow_control().release_capacity(data.len())?;
        received.extend_from_slice(&data);
    }
    Ok((Response::from_parts(head, ()), received))
}

async fn client(stream: DuplexStream) -> h2::client::SendRequest<Bytes> {
    let (client, connection) = h2::client::handshake(Patched(stream)).await.expect("shaken hands");
    tokio::spawn(connection);
    client.ready().await.expect("ready")
}

#[tokio::test]
async fn a_client_with_a_path_for_an_authority_is_served() {
    let (ours, theirs) = duplex(64 * 1024);
    tokio::spawn(serve(Filter::new(theirs)));
    let client = client(ours).await;
    let text =
        |length: u32| (0..length).map(|i| b'a' + u8::try_from(i % 23).expect("small")).collect::<Bytes>();
    for length in [1 << 20, 0, 1000] {
        let calls = [length, length / 2, 10, 0].map(|length| {
            let (mut client, body) = (client.clone(), text(length));
            tokio::spawn(async move { (call(&mut client, &body).await, body) })
        });
        for call in calls {
            let (answer, body) = call.await.expect("no panic");
            let (response, received) = answer.expect("answered");
            assert_eq!(response.headers()["authority"], "localhost");
            assert_eq!(response.headers()["trailer"], "sent");
            assert!(received == body);
        }
    }
}

#[tokio::test]
async fn without_the_filter_the_server_refuses_it() {
    let (ours, theirs) = duplex(64 * 1024);
    tokio::spawn(serve(theirs));
    let error = call(&mut client(ours).await, &Bytes::from_static(b"x")).await.expect_err("no authority");
    assert_eq!(error.reason(), Some(h2::Reason::PROTOCOL_ERROR));
}

#[tokio::test]
async fn a_header_block_of_many_frames_is_served() {
    let (mut ours, theirs) = duplex(64 * 1024);
    let serving = tokio::spawn(serve(Filter::new(theirs)));
    let block = wire::request(PATH);
    let input = wire::connection(&[&wire::split(1, &block, 1), &wire::split(3, b"\x83\x86\x84\xbe", 2)]);
    ours.write_all(&input).await.expect("written");
    let mut ended = Vec::new();
    while ended.len() < 2 {
        let mut head = [0; Head::LENGTH];
        ours.read_exact(&mut head).await.expect("read");
        let head = Head::parse(head);
        ours.read_exact(&mut vec![0; head.length]).await.expect("read");
        assert!(
            [0, 1, 4, 8].contains(&head.kind),
            "data, headers, settings, window update; no reset: {head:?}"
        );
        if head.kind < 2 && head.has(END_STREAM) {
            ended.push(head.stream);
        }
    }
    ended.sort_unstable();
    assert_eq!(ended, [1, 3]);
    drop(ours);
    serving.await.expect("no panic").expect("an orderly end");
}
