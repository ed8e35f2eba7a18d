//! A container's life in short forms, and values to tell of it.

use std::{future::poll_fn, num::NonZeroU32, pin::pin, task::Poll};

use sysbox_core::{
    AbsPath, ContainerId, IdMappings, IdRange, MgrPort, PortError, Registration, ShiftType, SubidRequest,
    Subids, Update,
};

use crate::{Broken, Outcome, world::usual_ids_of};

/// The usual number of ids.
pub(super) const USUAL: u32 = 65_536;

/// Registers a container, gives it ids and tells that it runs with them.
pub(super) async fn start(mgr: &dyn MgrPort, request: &Registration) -> Result<Subids, Broken> {
    mgr.register(request).await?;
    let subids = mgr.alloc_subids(&usual_ids_of(&request.id)).await?;
    mgr.update(&running(&request.id, subids)?).await?;
    Ok(subids)
}

/// Registers a container and gives it ids, unless there are none left.
pub(super) async fn try_start(mgr: &dyn MgrPort, request: &Registration) -> Result<Subids, PortError> {
    mgr.register(request).await?;
    mgr.alloc_subids(&usual_ids_of(&request.id)).await
}

/// Ends a container for good.
pub(super) async fn end(mgr: &dyn MgrPort, id: &ContainerId) -> Result<(), PortError> {
    mgr.unregister(id).await?;
    mgr.remove(id).await
}

/// What a runtime tells of a container that runs in namespaces of its own with these ids.
///
/// Fails where there are not so many ids from the first on.
pub(super) fn running(id: &ContainerId, subids: Subids) -> Result<Update, Broken> {
    let nothing = shifted(id, ShiftType::Chown);
    let (uid_mappings, gid_mappings) = (all_from(subids.uid.0, USUAL)?, all_from(subids.gid.0, USUAL)?);
    Ok(Update { uid_mappings, gid_mappings, ..nothing })
}

/// Tells nothing of a container but a shift.
pub(super) fn shifted(id: &ContainerId, rootfs_shift: ShiftType) -> Update {
    let none = IdMappings::default;
    Update {
        id: id.clone(),
        userns: None,
        netns: None,
        uid_mappings: none(),
        gid_mappings: none(),
        rootfs_shift,
    }
}

/// A wish for ids.
#[expect(clippy::expect_used, reason = "the suite's own sizes, all literals")]
pub(super) fn ids(id: &ContainerId, size: u32) -> SubidRequest {
    SubidRequest { id: id.clone(), size: NonZeroU32::new(size).expect("not 0") }
}

/// One extent from container id 0 on, of ids that a backend gave.
pub(super) fn all_from(first: u32, size: u32) -> Result<IdMappings, Broken> {
    let mappings = IdRange::new(first, size).and_then(IdMappings::single);
    mappings.map_err(|invalid| Broken::new(format!("no {size} ids can be given from {first} on: {invalid}")))
}

/// One extent from container id 0 on.
#[expect(clippy::expect_used, reason = "the suite's own ids, all literals")]
pub(super) fn mappings(host: u32, size: u32) -> IdMappings {
    IdRange::new(host, size).and_then(IdMappings::single).expect("a valid extent")
}

/// A path of the suite's own.
#[expect(clippy::expect_used, reason = "the suite's own paths, all literals")]
pub(super) fn path(path: &str) -> AbsPath {
    AbsPath::new(path).expect("absolute")
}

/// Requires that no id is in the ranges of two, for users and for groups, and that none is the host's root.
pub(super) fn disjoint(given: &[Subids], size: u32) -> Outcome {
    let starts: [fn(&Subids) -> u32; 2] = [|subids| subids.uid.0, |subids| subids.gid.0];
    for (kind, start) in ["user", "group"].into_iter().zip(starts) {
        let mut ranges = Vec::new();
        for first in given.iter().map(start) {
            let range = IdRange::new(first, size);
            ranges.push(
                range.map_err(|_| Broken::new(format!("{size} {kind} ids from {first} on are no range")))?,
            );
        }
        ranges.sort_unstable();
        if ranges.first().is_some_and(|range| range.contains(0)) {
            return Err(Broken::new(format!("the host's root is among the {kind} ids given: {ranges:?}")));
        }
        if let Some(pair) = ranges.windows(2).find(|pair| pair[0].overlaps(pair[1])) {
            return Err(Broken::new(format!("{kind} ids are given twice: {pair:?}")));
        }
    }
    Ok(())
}

/// Begins a call, lets it go on at most that many times, and goes away.
pub(super) async fn abandoned<T>(call: impl Future<Output = T>, times: u32) {
    let mut call = pin!(call);
    for _ in 0..times {
        let done = poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_ready())).await;
        if done {
            break;
        }
        tokio::task::yield_now().await;
    }
}
