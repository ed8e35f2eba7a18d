//! Undoes everything that was done for a container, however far it came.

use anyhow::Context;
use libcontainer::container::Container;
use sysbox::{AbsPath, BackendUrl, Sysbox, blocking::wait};

use super::{mount_points, orphans, rootfs};
use crate::{
    container::{Claim, Record},
    timings::Timings,
};

/// Ends the container's processes, gives the rootfs its owners back, removes cgroups, makes the daemons forget it, and
/// removes its directory.
///
/// Unless every process has ended nothing else is done: one that goes on would be left in a tree that is no longer its own,
/// with ids that others can get. Each further step is tried, and looks at what is there. If one fails, the directory
/// stays, so that it can be tried again.
pub(crate) fn clean_up(
    claim: Claim,
    record: &Record,
    sysbox: &mut Sysbox,
    timings: &mut Timings,
) -> anyhow::Result<()> {
    let id = claim.id.clone();
    let undone = undone(&claim, record);
    let (cgroup, topmost) = record.cgroups()?;
    if record.cgroups_claimed {
        let end = || orphans::end(record.mount_namespace).and_then(|()| cgroup.kill());
        timings.step("end processes", end).with_context(|| undone.clone())?;
    }
    let mut failures = Vec::new();
    let mut step = |name, work: &mut dyn FnMut() -> anyhow::Result<()>| {
        failures.extend(timings.step(name, work).err());
    };
    // Before libcontainer deletes the container: it waits 100 ms where the kernel needs one.
    step("remove cgroups", &mut || {
        if record.cgroups_claimed {
            return cgroup.remove(&topmost);
        }
        cgroup.remove_empty(&topmost)
    });
    step("delete the container", &mut || {
        delete(&claim);
        Ok(())
    });
    step("give the rootfs back", &mut || {
        if record.cloned {
            return Ok(());
        }
        let rootfs = AbsPath::new(&record.rootfs).context("the record has no rootfs")?;
        rootfs::take_back(&rootfs, record, &claim.containers())
    });
    // After that, since this copies volumes into the rootfs: by then that has its own owners, or is shifted back by the manager.
    step("unregister", &mut || {
        wait(sysbox.teardown())?;
        Ok(wait(sysbox.purge())?)
    });
    let mut failures = failures.into_iter();
    let Some(first) = failures.next() else {
        // Last, since what has become of a mount point is known only when volumes are in the rootfs and owners are as they were.
        timings.step("remove mount points", || mount_points::remove(record, &claim.containers()));
        return claim.remove().map_err(Into::into);
    };
    for further in failures {
        tracing::error!(%id, error = format!("{further:#}"), "cleaning up failed further");
    }
    Err(first).context(undone)
}

fn undone(claim: &Claim, record: &Record) -> String {
    let delete = claim.delete_by_force();
    let what = format!("container {} was not cleaned up; mend the cause, then: {delete}", claim.id);
    if !matches!(record.backend.parse(), Ok(BackendUrl::Embedded { .. })) {
        return what;
    }
    format!("{what} (what was begun with volumes and owners is also finished by: {})", claim.repair())
}

/// Lets libcontainer forget the container, so that its poststop hooks run.
///
/// Its processes and cgroups are gone and its directory goes with the container's, so nothing else depends on this: a
/// state that libcontainer was writing when it was killed cannot be read, and must not keep the rest from being cleaned up.
fn delete(claim: &Claim) {
    let dir = claim.libcontainer_root().join(claim.id.as_str());
    if !dir.exists() {
        return;
    }
    if let Err(error) = Container::load(dir).and_then(|mut container| container.delete(true)) {
        let error = format!("{:#}", anyhow::Error::new(error));
        tracing::warn!(id = %claim.id, error, "poststop hooks may not have run");
    }
}
