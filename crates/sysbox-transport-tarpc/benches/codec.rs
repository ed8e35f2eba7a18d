//! What codecs make of the messages that cross: bytes on the wire, and the time to encode and decode them.
//!
//! `cargo bench -p sysbox-transport-tarpc --bench codec`. The codec in use is the first; the module `codec` says why.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a program that is read by who runs it")]

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use serde::{Serialize, de::DeserializeOwned};
use sysbox_core::{
    AbsPath, ContainerId, ErrorKind, HostGid, HostUid, IdMapping, IdMappings, Mount, Operation, PortError,
    Registration, ShiftType, SubidRequest, Subids, Update,
};
use sysbox_transport_tarpc::fuzz::{Failure, MgrAnswer, MgrReply, MgrRequest, decode, encode};

/// A codec with the buffer that it writes into again and again.
trait Codec: Default {
    const NAME: &'static str;
    fn encode<T: Serialize>(&mut self, message: &T) -> usize;
    fn decode<T: DeserializeOwned>(&self) -> T;
}

#[derive(Default)]
struct InUse(BytesMut);

impl Codec for InUse {
    const NAME: &'static str = "postcard, as used";

    fn encode<T: Serialize>(&mut self, message: &T) -> usize {
        self.0.clear();
        encode(message, &mut self.0).expect("encoded");
        self.0.len()
    }

    fn decode<T: DeserializeOwned>(&self) -> T {
        decode(&self.0).expect("decoded")
    }
}

#[derive(Default)]
struct MessagePack(Vec<u8>);

impl Codec for MessagePack {
    const NAME: &'static str = "rmp-serde";

    fn encode<T: Serialize>(&mut self, message: &T) -> usize {
        self.0.clear();
        rmp_serde::encode::write(&mut self.0, message).expect("encoded");
        self.0.len()
    }

    fn decode<T: DeserializeOwned>(&self) -> T {
        rmp_serde::from_slice(&self.0).expect("decoded")
    }
}

#[derive(Default)]
struct Bitcode(Vec<u8>);

impl Codec for Bitcode {
    const NAME: &'static str = "bitcode";

    fn encode<T: Serialize>(&mut self, message: &T) -> usize {
        self.0 = bitcode::serialize(message).expect("encoded");
        self.0.len()
    }

    fn decode<T: DeserializeOwned>(&self) -> T {
        bitcode::deserialize(&self.0).expect("decoded")
    }
}

#[derive(Default)]
struct Json(Vec<u8>);

impl Codec for Json {
    const NAME: &'static str = "serde_json";

    fn encode<T: Serialize>(&mut self, message: &T) -> usize {
        self.0.clear();
        serde_json::to_writer(&mut self.0, message).expect("encoded");
        self.0.len()
    }

    fn decode<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.0).expect("decoded")
    }
}

fn id() -> ContainerId {
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef".parse().expect("valid")
}

fn path(path: &str) -> AbsPath {
    path.parse().expect("valid")
}

fn mappings() -> IdMappings {
    IdMappings::new([IdMapping::new(0, 231_072, 65_536).expect("valid")]).expect("one")
}

fn registration() -> MgrRequest {
    let registration = Registration {
        id: id(),
        rootfs: path("/var/lib/docker/overlay2/0123456789abcdef0123456789abcdef/merged"),
        userns: None,
        netns: Some(path("/var/run/docker/netns/0123456789ab")),
        uid_mappings: mappings(),
        gid_mappings: mappings(),
    };
    MgrRequest::Register(registration.into())
}

fn alloc() -> MgrRequest {
    let size = 65_536.try_into().expect("not 0");
    MgrRequest::AllocSubids(SubidRequest { id: id(), size }.into())
}

fn ids() -> MgrReply {
    Ok(MgrAnswer::AllocSubids(Subids { uid: HostUid(231_072), gid: HostGid(231_072) }.into()))
}

fn update() -> MgrRequest {
    let update = Update {
        id: id(),
        userns: Some(path("/proc/12345/ns/user")),
        netns: Some(path("/proc/12345/ns/net")),
        uid_mappings: mappings(),
        gid_mappings: mappings(),
        rootfs_shift: ShiftType::IdMappedMount,
    };
    MgrRequest::Update(update.into())
}

fn mounts(count: usize) -> MgrReply {
    let mount = |nth| Mount {
        source: format!("/var/lib/sysbox/docker/{}/{nth}", id()),
        destination: path("/var/lib/docker"),
        kind: "bind".to_owned(),
        options: ["rbind", "rprivate", "rw"].map(str::to_owned).to_vec(),
    };
    Ok(MgrAnswer::ReqMounts((0..count).map(mount).collect::<Vec<_>>().into()))
}

fn failure() -> MgrReply {
    let message =
        "container web-1: the ids of its user namespace are used up; give sysbox more in /etc/subuid";
    let cause = std::io::Error::other("no range of 65536 ids is free between 231072 and 493215");
    Err(Failure::from(
        &PortError::new(Operation::AllocSubids, ErrorKind::ResourceExhausted, message).with_source(cause),
    ))
}

fn codecs<T: Serialize + DeserializeOwned + PartialEq>(criterion: &mut Criterion, what: &str, message: &T) {
    one::<InUse, T>(criterion, what, message);
    one::<MessagePack, T>(criterion, what, message);
    one::<Bitcode, T>(criterion, what, message);
    one::<Json, T>(criterion, what, message);
}

fn one<C: Codec, T: Serialize + DeserializeOwned + PartialEq>(
    criterion: &mut Criterion,
    what: &str,
    message: &T,
) {
    let mut codec = C::default();
    println!("{what}, {}: {} bytes", C::NAME, codec.encode(message));
    assert!(codec.decode::<T>() == *message, "it crosses");
    let mut group = criterion.benchmark_group(what);
    group.bench_function(BenchmarkId::new(C::NAME, "encode"), |bencher| {
        bencher.iter(|| codec.encode(black_box(message)));
    });
    group.bench_function(BenchmarkId::new(C::NAME, "decode"), |bencher| bencher.iter(|| codec.decode::<T>()));
    group.finish();
}

fn messages(criterion: &mut Criterion) {
    codecs(criterion, "registration", &registration());
    codecs(criterion, "wish for ids", &alloc());
    codecs(criterion, "ids", &ids());
    codecs(criterion, "update", &update());
    codecs(criterion, "1 mount", &mounts(1));
    codecs(criterion, "1000 mounts", &mounts(1000));
    codecs(criterion, "failure with a cause", &failure());
}

criterion_group!(benches, messages);
criterion_main!(benches);
