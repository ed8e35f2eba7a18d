//! The filter as a stream: what is handed on when, and how it ends.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};

use super::{
    PATH,
    wire::{DATA, connection, filter, frame, headers, request},
};
use crate::authority::{Filter, FilterError, OUTPUT, Rewriter, frame::PREFACE};

fn pair(buffer: usize) -> (DuplexStream, Filter<DuplexStream>) {
    let (client, server) = duplex(buffer);
    (client, Filter::new(server))
}

async fn expect(filter: &mut Filter<DuplexStream>, expected: &[u8]) {
    let mut read = vec![0; expected.len()];
    filter.read_exact(&mut read).await.expect("read");
    assert!(read == expected);
}

#[tokio::test]
async fn what_comes_before_the_first_request_is_handed_on_at_once() {
    let (mut client, mut filter) = pair(1024);
    for part in
        [&PREFACE[..5], &PREFACE[5..], &frame(4, 0, 0, b"\0\x03\0\0\0\x64"), &frame(8, 0, 0, b"\0\0\x10\0")]
    {
        client.write_all(part).await.expect("written");
        expect(&mut filter, part).await;
    }
    let valid = headers(1, &request(b"localhost"));
    client.write_all(&valid).await.expect("written");
    expect(&mut filter, &valid).await;
    client.write_all(b"anything").await.expect("written");
    expect(&mut filter, b"anything").await;
    assert_eq!(filter.input.capacity() + filter.output.capacity(), 0, "nothing is copied any more");
}

#[tokio::test]
async fn data_goes_through_before_its_frame_is_complete() {
    let (mut client, mut filter) = pair(100_000);
    let data = frame(DATA, 0, 1, &[7; 16_384]);
    let start = connection(&[&headers(1, &request(PATH)), &data[..1000]]);
    client.write_all(&start).await.expect("written");
    let (_, expected, _) = super::filter(&start, &[usize::MAX]);
    expect(&mut filter, &expected).await;
    client.write_all(&data[1000..]).await.expect("written");
    expect(&mut filter, &data[1000..]).await;
    assert!(filter.input.capacity() + filter.output.capacity() < 64 * 1024);
}

#[tokio::test]
async fn a_slow_client_and_a_slow_server_change_nothing() {
    let (mut client, mut server) = pair(1);
    let input =
        connection(&[&headers(1, &request(PATH)), &frame(DATA, 0, 1, &[7; 3000]), &headers(3, b"\xbe")]);
    let (_, expected, _) = filter(&input, &[usize::MAX]);
    let sending = tokio::spawn(async move { client.write_all(&input).await });
    let mut read = Vec::new();
    while let Ok(byte) = server.read_u8().await {
        read.push(byte);
    }
    sending.await.expect("no panic").expect("written");
    assert!(read == expected);
}

#[tokio::test]
async fn what_cannot_be_changed_ends_the_connection_after_what_came_before_it() {
    let (mut client, mut server) = pair(1024);
    let before = connection(&[&headers(1, &request(PATH))]);
    let bad = headers(3, b"\xff");
    client.write_all(&[&before[..], &bad].concat()).await.expect("written");
    let mut read = Vec::new();
    let error = server.read_to_end(&mut read).await.expect_err("not HPACK");
    assert!(read == filter(&before, &[usize::MAX]).1);
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let error = error.into_inner().and_then(|error| error.downcast().ok());
    assert!(matches!(error.as_deref(), Some(FilterError::Hpack(_))));
    assert_eq!(server.read(&mut [0; 8]).await.expect("the end"), 0);
    server.write_all(b"answer").await.expect("what is written goes straight through");
    let mut answer = [0; 6];
    client.read_exact(&mut answer).await.expect("read");
    assert_eq!(&answer, b"answer");
}

#[tokio::test]
async fn a_connection_that_ends_within_a_block_that_must_be_changed_is_no_orderly_end() {
    let (mut client, mut server) = pair(1024);
    let input = connection(&[&headers(1, &request(PATH)), &headers(3, b"\xbe")[..9]]);
    client.write_all(&input).await.expect("written");
    drop(client);
    let error = server.read_to_end(&mut Vec::new()).await.expect_err("it is cut off");
    assert_eq!(
        error.into_inner().and_then(|error| error.downcast().ok()).as_deref(),
        Some(&FilterError::Ended)
    );
}

#[tokio::test]
async fn many_blocks_that_grow_are_rewritten_one_after_the_other() {
    let (mut client, mut server) = pair(64 * 1024);
    let field = [&b"\x40\x01a\x7f\xa1\x1e"[..], &[b'x'; 0x7f + 0xf21]].concat();
    let mut input = connection(&[&headers(1, &request(PATH)), &headers(3, &field)]);
    input.extend((5..205).step_by(2).flat_map(|stream| headers(stream, &[0xbe; 15])));
    client.write_all(&input).await.expect("written");
    drop(client);
    let (mut read, mut piece) = (0, [0; 1000]);
    loop {
        let came = server.read(&mut piece).await.expect("read");
        assert!(server.output.len() <= OUTPUT + Rewriter::LARGEST);
        read += came;
        if came == 0 {
            break;
        }
    }
    assert!(read > 100 * 15 * 4000);
}

#[tokio::test]
async fn several_buffers_are_written_at_once_as_without_the_filter() {
    let (client, mut filter) = pair(1024);
    assert!(client.is_write_vectored() && filter.is_write_vectored());
    let written = filter.write_vectored(&[io::IoSlice::new(b"ab"), io::IoSlice::new(b"cd")]).await;
    assert_eq!(written.expect("written"), 4);
}
