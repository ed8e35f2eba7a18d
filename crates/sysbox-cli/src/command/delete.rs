//! `sysbox delete`: cleans up after a container.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use sysbox::{ContainerId, Sysbox, blocking::wait, embedded::ContainerState};

use super::execute::backend_of;
use crate::{
    args::DeleteArgs,
    container::{Claim, ClaimError, ProcessId, Record, Status},
    runtime::{Cgroup, clean_up},
    timings::Timings,
    wire_up::{Wiring, require_root},
};

/// How long a runtime gets to clean up after its own container.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked whether it has.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Runs the command.
pub(crate) fn run(args: &DeleteArgs) -> anyhow::Result<ExitCode> {
    require_root()?;
    let wiring = Wiring::new(&args.wiring)?;
    loop {
        match claim(&wiring, &args.id, args.force)? {
            Found::Claimed(claim) => delete(&wiring, claim, args.force)?,
            Found::CleanedUp => {}
            // A container that was made with another backend may be known to this one by its name.
            Found::Nothing => match forget(&wiring, &args.id, args.force)? {
                Forgotten::Yes => {}
                Forgotten::Runs if wiring.containers.is_there(&args.id) => continue,
                Forgotten::Runs => bail!(
                    "container {} is registered as running by another process, which must end it; see: sysbox list",
                    args.id
                ),
            },
        }
        return Ok(ExitCode::SUCCESS);
    }
}

/// What became of a container that has no directory.
enum Forgotten {
    /// Nobody knows it.
    Yes,
    /// It runs: it was registered this moment by a runtime that has its directory now, or by another program.
    Runs,
}

/// What there is of a container.
enum Found {
    /// A directory, that nobody else works on now.
    Claimed(Claim),
    /// There was one, and its runtime has cleaned up.
    CleanedUp,
    /// There is none.
    Nothing,
}

/// Claims the container, with force from a runtime that is alive: its container is ended, and it cleans up itself.
fn claim(wiring: &Wiring, id: &ContainerId, force: bool) -> anyhow::Result<Found> {
    let deadline = Instant::now() + PATIENCE;
    let mut was_in_use = false;
    loop {
        match wiring.containers.claim_existing(id) {
            Err(ClaimError::InUse { delete, .. }) if !force => {
                bail!("container {id} is running; end it: {delete}")
            }
            Err(ClaimError::InUse { .. }) if Instant::now() < deadline => was_in_use = true,
            Err(ClaimError::InUse { .. }) => {
                bail!("the runtime of container {id} is not done with it; see with ps what it waits for")
            }
            Ok(None) if was_in_use => return Ok(Found::CleanedUp),
            outcome => return Ok(outcome?.map_or(Found::Nothing, Found::Claimed)),
        }
        // A runtime that has no record yet, or whose container has no process yet, will have.
        if let Ok(Some(record)) = wiring.containers.record(id) {
            end(&record)?;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Cleans up after a container that was claimed, one that still runs with force only.
pub(super) fn delete(wiring: &Wiring, claim: Claim, force: bool) -> anyhow::Result<()> {
    let id = claim.id.clone();
    let record = match claim.record() {
        Ok(Some(record)) => record,
        // Its runtime died before it had done anything.
        Ok(None) => return Ok(claim.remove()?),
        Err(error) if force => return without_record(wiring, claim, error),
        Err(error) => {
            return Err(error)
                .with_context(|| format!("container {id} is not known well; {}", claim.delete_by_force()));
        }
    };
    if record.status() == Status::Orphaned && !force {
        let delete = claim.delete_by_force();
        bail!("container {id} is still running, its runtime has died; end it: {delete}");
    }
    let backend = backend_of(&record, wiring)?;
    let mut sysbox = Sysbox::new(id, backend.ports());
    clean_up(claim, &record, &mut sysbox, &mut Timings::default())
}

/// Cleans up by what follows from the name alone. A rootfs that was chowned has that on record itself, and is given back by
/// the next container that is run on it.
fn without_record(wiring: &Wiring, claim: Claim, error: ClaimError) -> anyhow::Result<()> {
    let error = format!("{:#}", anyhow::Error::new(error));
    tracing::warn!(id = %claim.id, error, "only what has its name is cleaned up");
    let cgroup = Cgroup::named_after(&claim.id);
    cgroup.kill()?;
    cgroup.remove(&cgroup)?;
    wait(Sysbox::new(claim.id.clone(), wiring.open()?.ports()).purge())?;
    Ok(claim.remove()?)
}

/// Makes the manager forget a container that has no directory here.
fn forget(wiring: &Wiring, id: &ContainerId, force: bool) -> anyhow::Result<Forgotten> {
    if !force {
        bail!("container {id} is not there; see: sysbox list");
    }
    if !wiring.data_root.as_path().exists() {
        return Ok(Forgotten::Yes);
    }
    let backend = wiring.open()?;
    // A daemon cannot be asked whether the container runs, and would make one that does unknown.
    let Some(embedded) = backend.embedded() else {
        tracing::warn!(%id, "it is not known here; should the daemon know it, that stays: it cannot be asked whether it runs");
        return Ok(Forgotten::Yes);
    };
    let known = embedded.list()?;
    if known.iter().any(|known| known.id == *id && known.state != ContainerState::Stopped) {
        return Ok(Forgotten::Runs);
    }
    wait(Sysbox::new(id.clone(), backend.ports()).purge())?;
    Ok(Forgotten::Yes)
}

/// Ends the container of a runtime that is alive, or what the runtime does while it has none.
fn end(record: &Record) -> anyhow::Result<()> {
    match record.init.filter(|init| init.is_alive()) {
        Some(init) => {
            send(init, Signal::KILL).context("cannot end the container")?;
            // A frozen one does not end by that alone, and others in it may freeze it again as long as they live.
            record.cgroups()?.0.kill()?;
            // One that is stopped would not clean up.
            send(record.runtime, Signal::CONT).context("cannot wake the container's runtime")
        }
        // After its container's end it may wait for who takes the last of the output.
        None => {
            send(record.runtime, Signal::TERM).context("cannot end the container's runtime")?;
            send(record.runtime, Signal::CONT).context("cannot wake the container's runtime")
        }
    }
}

fn send(process: ProcessId, signal: Signal) -> anyhow::Result<()> {
    let pid = Pid::from_raw(process.pid).context("the record has no process")?;
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Err(Errno::SRCH) => return Ok(()),
        opened => opened.with_context(|| format!("cannot open process {}", process.pid))?,
    };
    // Opened now, it is the one on record if that is alive now.
    if process.is_alive() {
        match pidfd_send_signal(&pidfd, signal) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
