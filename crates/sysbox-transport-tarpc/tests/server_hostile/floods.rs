//! Peers that send too much.

use tokio::io::AsyncWriteExt;

use crate::{
    daemon::Daemon,
    frames::{ALLOC, call, cancel, closed, connect, frame, greeted, greeting, next, send_blindly},
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
            let mut bytes = if round % 2 == 0 { greeting() } else { Vec::new() };
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
async fn ten_thousand_calls_that_are_cancelled_at_once_are_withstood() {
    let calls = (0..10_000).flat_map(|id| [call(id, &ALLOC), cancel(id)].concat());
    withstands([greeting(), calls.collect()].concat()).await;
}

#[tokio::test]
async fn a_flood_of_cancellations_of_nothing_is_withstood() {
    withstands([greeting(), cancel(7).repeat(500_000)].concat()).await;
}

#[tokio::test]
async fn a_peer_that_asks_for_ever_and_never_reads_is_withstood() {
    let asked = (0..500_000).flat_map(|id| call(id, &ALLOC));
    withstands([greeting(), asked.collect()].concat()).await;
}

#[tokio::test]
async fn a_frame_of_4_gib_is_refused_before_there_is_memory_for_it() {
    let mut daemon = Daemon::start().await;
    let (socket, before) = (daemon.socket.clone(), daemon.memory());
    let attack = async move {
        let mut peer = connect(&socket).await;
        let begin = [&u32::MAX.to_le_bytes()[..], &[1; 10_000]].concat();
        send_blindly(&mut peer, &[greeting(), begin].concat()).await;
        closed(&mut peer).await;
    };
    daemon.withstands(attack).await;
    assert!(daemon.memory() < before + (16 << 20));
}

#[tokio::test]
async fn what_breaks_the_rules_ends_its_own_connection() {
    let mut daemon = Daemon::start().await;
    let socket = daemon.socket.clone();
    let attack = async move {
        for broken in
            [frame(9, 0, &[]), frame(1, 0, &[1, 2, 3]), frame(2, 0, &[0]), vec![3, 0, 0, 0, 1, 2, 3]]
        {
            let mut peer = connect(&socket).await;
            peer.write_all(&[greeting(), broken.clone()].concat()).await.expect("sent");
            let heard = closed(&mut peer).await;
            assert!(heard.len() <= 32, "{broken:?} is not answered: {heard:?}");
        }
    };
    daemon.withstands(attack).await;
}

#[tokio::test]
async fn a_deadline_beyond_all_time_is_as_good_as_any() {
    let mut daemon = Daemon::start().await;
    let socket = daemon.socket.clone();
    let attack = async move {
        let mut peer = connect(&socket).await;
        let endless = frame(1, 5, &[&u64::MAX.to_le_bytes(), &ALLOC[..]].concat());
        peer.write_all(&[greeting(), endless].concat()).await.expect("sent");
        greeted(&mut peer).await.expect("served");
        assert_eq!(next(&mut peer).await.map(|(kind, id, _)| (kind, id)), Some((1, 5)));
    };
    daemon.withstands(attack).await;
}
