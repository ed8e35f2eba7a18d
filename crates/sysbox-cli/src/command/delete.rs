//! `sysbox delete`: cleans up after a container.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use sysbox::{ContainerId, Sysbox, blocking::wait};

use super::execute::backend_of;
use crate::{
    args::DeleteArgs,
    container::{Claim, ClaimError, Record, Status},
    runtime::{Daemons, clean_up},
    timings::Timings,
    wire_up::{Wiring, require_root},
};

/// How long a runtime gets to clean up after its own container.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the command.
pub(crate) fn run(args: &DeleteArgs) -> anyhow::Result<ExitCode> {
    require_root()?;
    let wiring = Wiring::new(&args.wiring)?;
    match claim(&wiring, &args.id, args.force)? {
        Some(claim) => delete(&wiring, claim, args.force)?,
        None => forget(&wiring, &args.id, args.force)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Claims the container, with force from a runtime that is alive: its container is ended, and it cleans up itself.
fn claim(wiring: &Wiring, id: &ContainerId, force: bool) -> anyhow::Result<Option<Claim>> {
    match wiring.containers.claim_existing(id) {
        Err(ClaimError::InUse { .. }) if force => {}
        outcome => return Ok(outcome?),
    }
    if let Some(record) = wiring.containers.record(id)? {
        end(&record)?;
    }
    Ok(wiring.containers.claim_existing(id)?)
}

fn delete(wiring: &Wiring, claim: Claim, force: bool) -> anyhow::Result<()> {
    let id = claim.id.clone();
    let Some(record) = claim.record()? else {
        // Its runtime died before it had done anything.
        return Ok(claim.remove()?);
    };
    if record.status() == Status::Orphaned && !force {
        bail!("container {id} is still running, its runtime has died; end it: sysbox delete --force {id}");
    }
    let backend = backend_of(&record, wiring)?;
    let mut sysbox = Sysbox::new(id, backend.ports());
    clean_up(claim, &record, Daemons::Forget(&mut sysbox), &mut Timings::default())
}

/// Makes the manager forget a container that has no directory here.
fn forget(wiring: &Wiring, id: &ContainerId, force: bool) -> anyhow::Result<()> {
    if !force {
        bail!("container {id} is not there; see: sysbox list");
    }
    if wiring.data_root.as_path().exists() {
        let mut sysbox = Sysbox::new(id.clone(), wiring.open()?.ports());
        wait(sysbox.purge())?;
    }
    Ok(())
}

/// Ends the container of a runtime that is alive, or the runtime before it has one, and waits until the runtime has ended.
fn end(record: &Record) -> anyhow::Result<()> {
    let open = |pid| {
        let pid = Pid::from_raw(pid).context("the record has no process")?;
        pidfd_open(pid, PidfdFlags::empty()).with_context(|| format!("cannot open process {pid:?}"))
    };
    if !record.runtime.is_alive() {
        return Ok(());
    }
    let runtime = open(record.runtime.pid)?;
    match record.init.filter(|init| init.is_alive()) {
        Some(init) => pidfd_send_signal(open(init.pid)?, Signal::KILL).context("cannot end the container")?,
        None => pidfd_send_signal(&runtime, Signal::TERM).context("cannot end the container's runtime")?,
    }
    if !crate::runtime::wait_readable(&runtime, Instant::now() + PATIENCE)? {
        bail!("process {} does not end; it cleans up after container {}", record.runtime.pid, record.id);
    }
    Ok(())
}
