//! Peers that send too much.

use crate::{
    daemon::Daemon,
    frames::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, SETTINGS, SUBID_REQUEST,
        connect, frame, next, preface, request_block, send_blindly, stream,
    },
};

/// One peer sends it all, without reading.
async fn withstands(bytes: Vec<u8>) {
    let mut daemon = Daemon::start().await;
    let socket = daemon.socket.clone();
    let attack = async move {
        let mut peer = connect(&socket).await;
        send_blindly(&mut peer, &bytes).await;
    };
    daemon.withstands(attack).await;
}

#[tokio::test]
async fn random_bytes_are_withstood() {
    let mut daemon = Daemon::start().await;
    let socket = daemon.socket.clone();
    let attack = async move {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        for round in 0..200 {
            let mut bytes = if round % 2 == 0 { preface() } else { Vec::new() };
            for _ in 0..8192 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                bytes.extend(state.to_le_bytes());
            }
            let mut peer = connect(&socket).await;
            send_blindly(&mut peer, &bytes).await;
        }
    };
    daemon.withstands(attack).await;
}

#[tokio::test]
async fn ten_thousand_rapid_resets_are_withstood() {
    let cancel = 8_u32.to_be_bytes();
    let resets = (0..10_000).flat_map(|n| {
        let begin = frame(HEADERS, END_HEADERS, stream(n), &request_block());
        [begin, frame(RST_STREAM, 0, stream(n), &cancel)].concat()
    });
    withstands([preface(), resets.collect()].concat()).await;
}

#[tokio::test]
async fn ten_thousand_streams_that_are_never_finished_are_withstood() {
    let begun = (0..10_000).flat_map(|n| frame(HEADERS, END_HEADERS, stream(n), &request_block()));
    withstands([preface(), begun.collect()].concat()).await;
}

#[tokio::test]
async fn a_flood_of_settings_is_withstood() {
    // SETTINGS_MAX_CONCURRENT_STREAMS = 1
    let settings = frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 1]);
    withstands([preface(), settings.repeat(500_000)].concat()).await;
}

#[tokio::test]
async fn a_flood_of_pings_is_withstood() {
    withstands([preface(), frame(PING, 0, 0, &[7; 8]).repeat(500_000)].concat()).await;
}

#[tokio::test]
async fn a_peer_that_asks_for_ever_and_never_reads_is_withstood() {
    let asked = (0..100_000).flat_map(|n| {
        let begin = frame(HEADERS, END_HEADERS, stream(n), &request_block());
        [begin, frame(DATA, END_STREAM, stream(n), &SUBID_REQUEST)].concat()
    });
    withstands([preface(), asked.collect()].concat()).await;
}

#[tokio::test]
async fn a_header_block_without_end_is_withstood() {
    let begin = frame(HEADERS, 0, stream(0), &request_block());
    // Literal fields without a name in any table: 120 bytes of name, 120 of value.
    let field = [vec![0, 120], vec![b'x'; 120], vec![120], vec![b'y'; 120]].concat();
    let more = frame(CONTINUATION, 0, stream(0), &field.repeat(67));
    withstands([preface(), begin, more.repeat(6_000)].concat()).await;
}

#[tokio::test]
async fn a_header_block_that_unpacks_to_gigabytes_is_withstood() {
    // A field of 4,000 bytes goes into the dynamic table (index 62), and is then named by one byte each time.
    let value_len = [0x7f, 0xa1, 0x1e];
    let mut block = [request_block(), vec![0x40, 1, b'a'], value_len.to_vec(), vec![b'y'; 4000]].concat();
    block.extend(vec![0xbe; 12_000]);
    let bombs = (0..1_000).flat_map(|n| frame(HEADERS, END_HEADERS | END_STREAM, stream(n), &block));
    withstands([preface(), bombs.collect()].concat()).await;
}

#[tokio::test]
async fn a_message_of_100_mib_is_refused_before_there_is_memory_for_it() {
    let mut daemon = Daemon::start().await;
    let (socket, before) = (daemon.socket.clone(), daemon.memory());
    let attack = async move {
        let mut peer = connect(&socket).await;
        let headers = frame(HEADERS, END_HEADERS, stream(0), &request_block());
        let length = (100_u32 << 20).to_be_bytes();
        let begin = frame(DATA, 0, stream(0), &[&[0], &length[..], &[10; 10_000]].concat());
        send_blindly(&mut peer, &[preface(), headers, begin].concat()).await;
        assert!(next(&mut peer, HEADERS, stream(0)).await.is_some(), "a status refuses it");
    };
    daemon.withstands(attack).await;
    assert!(daemon.memory() < before + (16 << 20));
}
