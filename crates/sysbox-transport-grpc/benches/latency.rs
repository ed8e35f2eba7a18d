//! What one call over a kept connection costs beside a bare ping-pong of the same size, beside connecting for each call, and
//! beside tonic's stock transport; what 64 callers get through; and that 200,000 calls leave nothing behind.
//!
//! `cargo bench -p sysbox-transport-grpc --bench latency`. The daemons run in a process of their own, once on another
//! core and once on the same: the scheduler would choose either, and the times would be one of two. In each round every
//! way is measured by a block of calls, so that what disturbs the machine disturbs all alike.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a program that is read by who runs it")]

use std::{
    convert::Infallible,
    env, fs,
    future::{Ready, ready},
    num::NonZeroU32,
    os::unix::fs::PermissionsExt,
    path::Path,
    pin::Pin,
    process::{Child, Command},
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use rustix::thread::{CpuSet, sched_setaffinity};
use sysbox_core::{AbsPath, HostGid, HostUid, MgrPort, SubidRequest, Subids, port::MockMgrPort};
use sysbox_transport::{Listener, Stream, attentively, dial};
use sysbox_transport_grpc::{ClientOptions, GrpcMgr, ServerOptions, serve_mgr};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    runtime::{Builder, Runtime},
};
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::tokio_stream::wrappers::UnixListenerStream,
    server::{Grpc, NamedService, UnaryService},
    transport::{Channel, Endpoint},
};

#[allow(dead_code, reason = "it takes two messages and a client of it")]
#[path = "../src/generated.rs"]
mod generated;
use generated::pb::{
    SubidAllocReq, SubidAllocResp, sysbox_mgr_state_channel_client::SysboxMgrStateChannelClient,
};

const ROUNDS: usize = 20;
const BLOCK: usize = 250;
const REQUEST: usize = 80;
const REPLY: usize = 16;
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
        let stock = UnixListener::bind(dir.join("stock")).expect("bound");
        let incoming = UnixListenerStream::new(stock);
        tokio::spawn(tonic::transport::Server::builder().add_service(Echo).serve_with_incoming(incoming));
        let mgr = Listener::bind(&run, "grpc").expect("bound");
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

/// `SubidAlloc` as tonic serves it.
#[derive(Clone)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "protobuf.sysboxMgrStateChannel";
}

impl UnaryService<SubidAllocReq> for Echo {
    type Response = SubidAllocResp;
    type Future = Ready<Result<Response<SubidAllocResp>, Status>>;

    fn call(&mut self, _: Request<SubidAllocReq>) -> Self::Future {
        ready(Ok(Response::new(SubidAllocResp { uid: 231_072, gid: 231_072 })))
    }
}

impl tower_service::Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async { Ok(Grpc::new(tonic_prost::ProstCodec::default()).unary(Self, request).await) })
    }
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
        drop(dial(&at("grpc"), Duration::from_secs(10)).await.expect("the last of them listens"));
        one_at_a_time(&at).await;
        let ours = GrpcMgr::new(at("grpc"), ClientOptions::default());
        let (ours, theirs) = at_once(&ours, &stock(&at("stock")).await).await;
        println!(
            "\n{CALLERS} callers: ours {ours:.0} calls/s, stock tonic {theirs:.0}, ratio {:.2}",
            ours / theirs
        );
        many(&at("grpc"), daemons.0.id()).await;
    });
}

async fn one_at_a_time(at: &impl Fn(&str) -> AbsPath) {
    let mut plain = UnixStream::connect(at("plain")).await.expect("connected");
    let mut stream: Stream = dial(&at("stream"), Duration::ZERO).await.expect("connected");
    let kept = GrpcMgr::new(at("grpc"), ClientOptions::default());
    let to_stock = GrpcMgr::new(at("stock"), ClientOptions::default());
    let mut stock = stock(&at("stock")).await;
    let names = [
        "ping-pong, tokio's UnixStream",
        "ping-pong, our Stream",
        "our client, our server",
        "the same, waiting asleep",
        "our client, stock server",
        "the same, connecting per call",
        "stock tonic",
    ];
    let mut times: [Vec<Duration>; 7] = Default::default();
    for round in 0..=ROUNDS {
        let taken = [
            block(async || ping(&mut plain).await).await,
            block(async || ping(&mut stream).await).await,
            block(async || attentively(call(&kept)).await).await,
            block(async || call(&kept).await).await,
            block(async || attentively(call(&to_stock)).await).await,
            block(async || attentively(call(&GrpcMgr::new(at("grpc"), ClientOptions::default()))).await)
                .await,
            block(async || stock_call(&mut stock).await).await,
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

async fn call(mgr: &GrpcMgr) {
    let id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef".parse().expect("valid");
    let size = NonZeroU32::new(65_536).expect("not 0");
    mgr.alloc_subids(&SubidRequest { id, size }).await.expect("answered");
}

async fn stock(socket: &AbsPath) -> SysboxMgrStateChannelClient<Channel> {
    let endpoint = Endpoint::try_from(format!("unix://{socket}")).expect("a target");
    SysboxMgrStateChannelClient::new(endpoint.connect().await.expect("connected"))
}

async fn stock_call(client: &mut SysboxMgrStateChannelClient<Channel>) {
    let id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef".to_owned();
    client.subid_alloc(SubidAllocReq { id, size: 65_536 }).await.expect("answered");
}

/// Calls per second of many callers: ours, and stock tonic's. In turns, the better of each.
async fn at_once(ours: &GrpcMgr, stock: &SysboxMgrStateChannelClient<Channel>) -> (f64, f64) {
    let mut best = (0.0_f64, 0.0_f64);
    for _ in 0..5 {
        let ours = || {
            let mgr = ours.clone();
            tokio::spawn(async move {
                for _ in 0..200 {
                    call(&mgr).await;
                }
            })
        };
        let theirs = || {
            let mut client = stock.clone();
            tokio::spawn(async move {
                for _ in 0..200 {
                    stock_call(&mut client).await;
                }
            })
        };
        best.0 = best.0.max(per_second(ours).await);
        best.1 = best.1.max(per_second(theirs).await);
    }
    best
}

async fn per_second(caller: impl Fn() -> tokio::task::JoinHandle<()>) -> f64 {
    let began = Instant::now();
    let callers: Vec<_> = (0..CALLERS).map(|_| caller()).collect();
    for caller in callers {
        caller.await.expect("no panic");
    }
    f64::from(u32::try_from(CALLERS * 200).expect("small")) / began.elapsed().as_secs_f64()
}

async fn many(socket: &AbsPath, daemon: u32) {
    let mgr = GrpcMgr::new(socket.clone(), ClientOptions::default());
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
