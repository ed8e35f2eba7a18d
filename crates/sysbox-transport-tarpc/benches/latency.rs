//! What one call over a kept connection costs beside a bare ping-pong of the same size, and beside connecting for each call; what
//! 64 callers get through; and that 200,000 calls leave nothing behind.
//!
//! `cargo bench -p sysbox-transport-tarpc --bench latency`. The daemons run in a process of their own, once on another
//! core and once on the same: the scheduler would choose either, and the times would be one of two. In each round every
//! way is measured by a block of calls, so that what disturbs the machine disturbs all alike.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a program that is read by who runs it")]

use std::{
    env, fs,
    num::NonZeroU32,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::thread::{CpuSet, sched_setaffinity};
use sysbox_core::{AbsPath, HostGid, HostUid, MgrPort, SubidRequest, Subids, port::MockMgrPort};
use sysbox_transport::{Listener, Stream, attentively, dial};
use sysbox_transport_tarpc::{ClientOptions, ServerOptions, TarpcMgr, serve_mgr};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    runtime::{Builder, Runtime},
};
use tokio_util::sync::CancellationToken;

const ROUNDS: usize = 20;
const BLOCK: usize = 250;
/// What a call to `alloc_subids` and its answer are on the wire.
const REQUEST: usize = 90;
const REPLY: usize = 23;
const MANY: usize = 200_000;
const CALLERS: usize = 64;

fn main() {
    match env::args().collect::<Vec<_>>().as_slice() {
        [_, mode, dir, core] if mode == "serve" => serve(Path::new(dir), core.parse().expect("a number")),
        _ => {
            println!("== client and daemon on two cores");
            measure(1);
            println!("\n== on one core");
            measure(0);
        }
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn pin(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).expect("a second core");
}

// The daemons.

fn serve(dir: &Path, core: usize) {
    pin(core);
    runtime().block_on(async {
        let plain = UnixListener::bind(dir.join("plain")).expect("bound");
        tokio::spawn(async move {
            while let Ok((stream, _)) = plain.accept().await {
                tokio::spawn(pong(stream));
            }
        });
        let run = AbsPath::new(dir).expect("absolute");
        let ours = Listener::bind(&run, "stream").expect("bound");
        tokio::spawn(async move {
            while let Ok(stream) = ours.accept().await {
                tokio::spawn(pong(stream));
            }
        });
        let mgr = Listener::bind(&run, "tarpc").expect("bound");
        serve_mgr(Arc::new(port()), mgr, &ServerOptions::default(), CancellationToken::new())
            .await
            .expect("served");
    });
}

async fn pong(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut request = [0; REQUEST];
    while stream.read_exact(&mut request).await.is_ok() {
        if stream.write_all(&request[..REPLY]).await.is_err() {
            return;
        }
    }
}

fn port() -> MockMgrPort {
    let mut port = MockMgrPort::new();
    port.expect_alloc_subids().returning(|_| Ok(Subids { uid: HostUid(231_072), gid: HostGid(231_072) }));
    port
}

// The measurements.

struct Daemons(Child);

impl Drop for Daemons {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn measure(daemons_core: usize) {
    let private = fs::Permissions::from_mode(0o700);
    let dir = tempfile::Builder::new().permissions(private).tempdir().expect("a directory");
    let at = |name: &str| AbsPath::new(dir.path().join(name)).expect("absolute");
    let program = env::current_exe().expect("this program");
    let daemons = Daemons(
        Command::new(program)
            .arg("serve")
            .arg(dir.path())
            .arg(daemons_core.to_string())
            .spawn()
            .expect("started"),
    );
    pin(0);
    let runtime = runtime();
    runtime.block_on(async {
        drop(dial(&at("tarpc"), Duration::from_secs(10)).await.expect("the last of them listens"));
        one_at_a_time(&at).await;
        let mgr = TarpcMgr::new(at("tarpc"), ClientOptions::default());
        println!("\n{CALLERS} callers: {:.0} calls/s", at_once(&mgr).await);
        many(&at("tarpc"), daemons.0.id()).await;
    });
}

async fn one_at_a_time(at: &impl Fn(&str) -> AbsPath) {
    let mut plain = UnixStream::connect(at("plain")).await.expect("connected");
    let mut stream: Stream = dial(&at("stream"), Duration::ZERO).await.expect("connected");
    let kept = TarpcMgr::new(at("tarpc"), ClientOptions::default());
    let names = [
        "ping-pong, tokio's UnixStream",
        "ping-pong, our Stream",
        "a call, waiting attentively",
        "the same, waiting asleep",
        "the same, connecting per call",
    ];
    let mut times: [Vec<Duration>; 5] = Default::default();
    for round in 0..=ROUNDS {
        let taken = [
            block(async || ping(&mut plain).await).await,
            block(async || ping(&mut stream).await).await,
            block(async || attentively(call(&kept)).await).await,
            block(async || call(&kept).await).await,
            block(async || {
                attentively(call(&TarpcMgr::new(at("tarpc"), ClientOptions::default()))).await;
            })
            .await,
        ];
        // The first round warms up.
        if round > 0 {
            times.iter_mut().zip(taken).for_each(|(times, taken)| times.extend(taken));
        }
    }
    times.iter_mut().for_each(|times| times.sort_unstable());
    let part = |times: &[Duration], percent: usize| micros(times[times.len() * percent / 100]);
    let floor = part(&times[0], 50);
    println!("{:32}{:>9}{:>9}{:>9}  p50 to ping-pong", "us", "p50", "p90", "p99");
    for (name, times) in names.iter().zip(&times) {
        let [p50, p90, p99] = [50, 90, 99].map(|percent| part(times, percent));
        println!("{name:32}{p50:9.1}{p90:9.1}{p99:9.1}{:9.2}", p50 / floor);
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// How long each of some calls took that were made one after the other: many enough that the first, which finds the caches full
/// of others' data, do not count.
async fn block(mut call: impl AsyncFnMut()) -> Vec<Duration> {
    let mut times = Vec::with_capacity(BLOCK);
    for _ in 0..BLOCK {
        let began = Instant::now();
        call().await;
        times.push(began.elapsed());
    }
    times
}

async fn ping(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    stream.write_all(&[1; REQUEST]).await.expect("sent");
    stream.read_exact(&mut [0; REPLY]).await.expect("answered");
}

async fn call(mgr: &TarpcMgr) {
    let id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef".parse().expect("valid");
    let size = NonZeroU32::new(65_536).expect("not 0");
    mgr.alloc_subids(&SubidRequest { id, size }).await.expect("answered");
}

/// Calls per second of many callers, the best of some.
async fn at_once(mgr: &TarpcMgr) -> f64 {
    let mut best = 0.0_f64;
    for _ in 0..5 {
        let began = Instant::now();
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let mgr = mgr.clone();
                tokio::spawn(async move {
                    for _ in 0..1000 {
                        call(&mgr).await;
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.expect("no panic");
        }
        let calls = f64::from(u32::try_from(CALLERS * 1000).expect("small"));
        best = best.max(calls / began.elapsed().as_secs_f64());
    }
    best
}

async fn many(socket: &AbsPath, daemon: u32) {
    let mgr = TarpcMgr::new(socket.clone(), ClientOptions::default());
    call(&mgr).await;
    let before = (held("self"), held(&daemon.to_string()));
    for _ in 0..MANY {
        call(&mgr).await;
    }
    let after = (held("self"), held(&daemon.to_string()));
    println!("{MANY} calls, client: {} then {}", before.0, after.0);
    println!("{MANY} calls, daemon: {} then {}", before.1, after.1);
}

/// Memory and descriptors of a process.
fn held(process: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("procfs");
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("?").trim();
    let descriptors = fs::read_dir(format!("/proc/{process}/fd")).expect("procfs").count();
    format!("{memory}, {descriptors} descriptors")
}
