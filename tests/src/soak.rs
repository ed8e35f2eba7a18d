//! Many processes that make calls for the same few containers at random, on one data root.
//!
//! Each lives its own sequence of calls, by a seed. Whatever the others do meanwhile, and whoever of them is killed, a call
//! may only fail for the reasons that the rules name.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use pollster::block_on;
use sysbox::{
    AbsPath, ContainerId, ErrorKind, HostGid, HostUid, IdMappings, IdOffset, IdOffsets, MgrPort, MountKind,
    MountRequest, MountRequests, MountToPrepare, MountsToPrepare, PortError, Registration, ShiftType,
    SubidRequest, embedded::EmbeddedMgr,
};

use crate::crash::Place;

/// How many containers there are, of which the first [`CLONED`] have an overlay as their rootfs.
pub const CONTAINERS: u32 = 24;

/// How many have an overlay as their rootfs.
pub const CLONED: u32 = 6;

/// How many ids each has.
const SIZE: u32 = 65_536;

/// The rootfs of the nth container.
pub fn rootfs(place: &Place, nth: u32) -> PathBuf {
    place.dir().join(format!("rootfs-{nth}"))
}

/// The nth container.
///
/// # Panics
/// Never: it is valid.
pub fn id(nth: u32) -> ContainerId {
    format!("c{nth}").parse().expect("a valid id")
}

/// Makes calls at random for so many seconds.
///
/// # Errors
/// The first failure that no rule names.
pub fn live(place: &Place, seed: u64, seconds: u64) -> Result<(), String> {
    let mgr = place.try_open()?;
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut random = Random(seed);
    while Instant::now() < end {
        let nth = random.below(CONTAINERS);
        let call = random.below(16);
        match make(place, &mgr, nth, call) {
            Err(error) if !is_by_the_rules(&error) => return Err(format!("{error:?}")),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Whether a failure may happen because of what other processes do.
fn is_by_the_rules(error: &PortError) -> bool {
    use ErrorKind::{AlreadyExists, FailedPrecondition, NotFound, ResourceExhausted};
    matches!(error.kind, AlreadyExists | NotFound | FailedPrecondition)
        // Of ids: space and descriptors are there.
        || (error.kind == ResourceExhausted && error.operation == sysbox::Operation::AllocSubids)
}

fn make(place: &Place, mgr: &EmbeddedMgr, nth: u32, call: u32) -> Result<(), PortError> {
    let container = id(nth);
    let first = || {
        let record = mgr.status(&container).ok().flatten();
        record.and_then(|record| record.uids).map_or_else(|| place.ids().first(), |uids| uids.first())
    };
    match call {
        0..=2 => block_on(mgr.register(&registration(place, nth))).map(drop),
        3..=4 => {
            let size = SIZE.try_into().expect("not 0");
            block_on(mgr.alloc_subids(&SubidRequest { id: container, size })).map(drop)
        }
        5..=6 => block_on(mgr.req_mounts(&mounts(nth))).map(drop),
        7 => block_on(mgr.prep_mounts(&sources(place, nth, first()))),
        8 if nth < CLONED => block_on(mgr.clone_rootfs(&container)).map(drop),
        9 if nth < CLONED => {
            let offset = IdOffset::new(i64::from(first())).expect("an offset of ids");
            block_on(mgr.chown_cloned_rootfs(&container, IdOffsets { uid: offset, gid: offset }))
        }
        10 if nth < CLONED => block_on(mgr.revert_cloned_rootfs_chown(&container)),
        8..=11 => write(mgr, &container),
        12 => block_on(mgr.pause(&container)),
        13 => block_on(mgr.resume(&container)),
        14 => block_on(mgr.unregister(&container)),
        _ => block_on(mgr.remove(&container)),
    }
}

/// Writes a file in a volume, as its container might. The volume may go meanwhile.
fn write(mgr: &EmbeddedMgr, container: &ContainerId) -> Result<(), PortError> {
    let record = mgr.status(container).ok().flatten();
    let volume = record.and_then(|record| record.volumes.into_iter().next());
    if let Some(volume) = volume {
        drop(fs::write(volume.path.as_path().join("written"), "by the container"));
    }
    Ok(())
}

fn registration(place: &Place, nth: u32) -> Registration {
    Registration {
        id: id(nth),
        rootfs: abs(rootfs(place, nth)),
        userns: None,
        netns: None,
        uid_mappings: IdMappings::default(),
        gid_mappings: IdMappings::default(),
    }
}

fn mounts(nth: u32) -> MountRequests {
    let rootfs_shift = if nth.is_multiple_of(2) { ShiftType::Chown } else { ShiftType::IdMappedMount };
    let mount = |kind, destination: &str| MountRequest { kind, destination: abs(destination.into()) };
    let mounts = vec![
        mount(MountKind::VarLibDocker, "/var/lib/docker"),
        mount(MountKind::VarLibKubelet, "/var/lib/kubelet"),
    ];
    MountRequests { id: id(nth), rootfs_shift, mounts }
}

fn sources(place: &Place, nth: u32, first: u32) -> MountsToPrepare {
    let source = place.dir().join(format!("source-{}", nth % 2));
    let mounts = vec![MountToPrepare { source: abs(source), exclusive: false }];
    MountsToPrepare { id: id(nth), uid: HostUid(first), gid: HostGid(first), mounts }
}

fn abs(path: PathBuf) -> AbsPath {
    AbsPath::new(path).expect("absolute")
}

/// Random numbers by a seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// A number below this one.
    ///
    /// # Panics
    /// When that is 0.
    pub fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((z ^ (z >> 31)) % u64::from(end)).expect("it is below a u32")
    }
}
