//! The life of one container in the foreground: claimed, prepared, created, started, waited for, cleaned up.

use std::{
    io, iter,
    process::ExitCode,
    time::{Duration, SystemTime},
};

use anyhow::{Context, bail};
use rustix::fs::Mode;
use sysbox::{
    AbsPath, Backend, BackendUrl, ContainerId, ErrorKind, Fs, IdMappings, PortError, Sysbox,
    blocking::{self, wait},
    linux::network::bring_loopback_up,
    session::{Ports, SessionError, SpecialDirectories, TeardownError},
    shift::Policy,
    syscont,
    transport::{ClientOptions, dial},
};

use crate::{
    bundle::Bundle,
    container::{Claim, Given, ProcessId, Record},
    runtime::{
        Cgroup, Console, Ground, Prepared, PrivateMounts, SeccompListener, Signals, clean_up, create, fs,
        orphans, preflight, prepare, supervise,
    },
    timings::Timings,
    wire_up::Wiring,
};

/// A container to be run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job<'a> {
    pub(crate) id: &'a ContainerId,
    pub(crate) bundle: &'a Bundle,
    pub(crate) policy: Policy,
    pub(crate) wiring: &'a Wiring,
    pub(crate) mounts: &'a PrivateMounts,
    /// Whether sysbox-fs is used where the backend has it.
    pub(crate) with_fs: bool,
    /// Whether special directories, such as Docker's, get volumes.
    pub(crate) special_directories: SpecialDirectories,
}

/// A container that has just been started.
#[derive(Debug)]
pub(crate) struct Started<'a> {
    pub(crate) prepared: &'a Prepared,
    pub(crate) init: ProcessId,
}

/// Checks what can be checked before anything is made.
pub(crate) fn check(id: &ContainerId, bundle: &Bundle, wiring: &Wiring) -> anyhow::Result<()> {
    Cgroup::of(id, &bundle.spec)?;
    wiring.containers.check_name(id)?;
    preflight(&bundle.spec, &bundle.rootfs, &*wiring.host)?;
    if syscont::given_mappings(&bundle.spec)?.0.is_empty() {
        wiring.check_ids(syscont::DEFAULT_SIZE)?;
    }
    Ok(())
}

/// Runs a container, tells `started` when its init process is about to run the program, waits for it, and cleans up.
pub(crate) fn execute(
    job: &Job<'_>,
    timings: &mut Timings,
    started: impl FnOnce(&Started<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    // What is made for the container, and what its program makes, is not by the caller's.
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let mut signals = Signals::catch().context("cannot catch signals")?;
    let backend = timings.step("open the backend", || job.wiring.open())?;
    let claim = claim(job, timings)?;
    let ports = if job.with_fs { backend.ports() } else { Ports { fs: None, ..backend.ports() } };
    let mut sysbox = Sysbox::new(job.id.clone(), ports);
    let mut record = match begin(job, &claim) {
        Ok(record) => record,
        Err(error) => return Err(give_up(error, || Ok(claim.remove()?))),
    };
    // A container that the manager refuses may be another's: nothing of it is touched, only what was made just now.
    if let Err(error) = timings.step("register", || register(&mut sysbox, job.bundle)) {
        let (cgroup, topmost) = record.cgroups()?;
        return Err(give_up(error, || cgroup.remove(&topmost).and_then(|()| Ok(claim.remove()?))));
    }
    let outcome = live(job, &mut sysbox, &claim, &mut record, &mut signals, timings, started);
    match (outcome, clean_up(claim, &record, &mut sysbox, timings)) {
        (Ok(code), Ok(())) => Ok(code),
        (Err(error), Ok(())) | (Ok(_), Err(error)) => Err(error),
        (Err(error), Err(further)) => {
            tracing::error!(id = %job.id, error = format!("{further:#}"), "cleaning up failed too");
            Err(error)
        }
    }
}

/// Opens the backend that a container was made with, for cleaning up after it. A daemon that is not there may be starting: it is
/// waited for here, once, and not by each of the calls.
pub(crate) fn backend_of(record: &Record, wiring: &Wiring) -> anyhow::Result<Backend> {
    let url: BackendUrl = record.backend.parse().context("the record names no backend")?;
    let mut client = ClientOptions::default();
    if let Some(dir) = url.socket_dir() {
        let socket = AbsPath::new(dir.as_path().join(Backend::MGR_SOCKET))?;
        if let Err(error) = wait(async { dial(&socket, client.patience).await.map(drop) }) {
            tracing::debug!(%error, "the calls will tell");
        }
        client.patience = Duration::ZERO;
    }
    wiring.open_with(&url, client)
}

/// Claims the container; what a process that died left of it is cleaned up first.
fn claim(job: &Job<'_>, timings: &mut Timings) -> anyhow::Result<Claim> {
    let containers = &job.wiring.containers;
    let claim = containers.claim(job.id)?;
    let record = claim.record().with_context(|| format!("clean up first: {}", claim.delete_by_force()));
    let Some(leftover) = record? else { return Ok(claim) };
    tracing::warn!(id = %job.id, "cleaning up after a container of this name whose runtime has died");
    let backend = backend_of(&leftover, job.wiring)?;
    let mut sysbox = Sysbox::new(job.id.clone(), backend.ports());
    clean_up(claim, &leftover, &mut sysbox, timings)?;
    Ok(containers.claim(job.id)?)
}

/// Undoes what was done so far; the error that made it necessary is the one that counts.
fn give_up(error: anyhow::Error, undo: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Error {
    if let Err(further) = undo() {
        tracing::error!(error = format!("{further:#}"), "cleaning up failed too");
    }
    error
}

/// Writes the record, before anything is done, and claims the cgroup.
fn begin(job: &Job<'_>, claim: &Claim) -> anyhow::Result<Record> {
    let cgroup = Cgroup::of(job.id, &job.bundle.spec)?;
    for other in job.wiring.containers.list()? {
        let others = other.cgroups()?.0;
        if other.id != job.id.as_str() && others.holds(&cgroup) {
            bail!("cgroup {} is within that of container {}, and would end with it", cgroup.path(), other.id);
        }
    }
    let created =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).context("the clock is before 1970")?;
    let this = ProcessId::current().context("this process is not in /proc; is it mounted?")?;
    let (url, namespace) = (job.wiring.url(), orphans::own_mount_namespace()?);
    let mut record = Record::new(job.id, url, job.bundle, &cgroup, this, namespace, created.as_secs())?;
    claim.save(&record)?;
    cgroup.claim()?;
    record.cgroups_claimed = true;
    match claim.save(&record) {
        Ok(()) => Ok(record),
        Err(error) => Err(give_up(error.into(), || cgroup.remove_empty(&record.cgroups()?.1))),
    }
}

fn register(sysbox: &mut Sysbox, bundle: &Bundle) -> anyhow::Result<()> {
    let Err(error) = wait(sysbox.mgr.register(&bundle.spec)) else { return Ok(()) };
    let may_be_known = error.port_error().is_some_and(may_have_been_carried_out);
    // The fs daemon was not told of it yet.
    sysbox.fs = Fs::new(sysbox.id().clone(), None, None);
    let undo = if may_be_known { wait(sysbox.purge()) } else { Ok(()) };
    match undo {
        Err(further) if !says_the_same(&further, &error) => {
            Err(give_up(error.into(), || Err(further.into())))
        }
        _ => Err(error.into()),
    }
}

/// Whether undoing failed by what the call failed by, as where the daemon cannot be talked to: there is no more to tell.
fn says_the_same(further: &TeardownError, error: &SessionError) -> bool {
    let told = |error: &SessionError| error.port_error().map(|error| (error.kind, error.message.clone()));
    let of_call = told(error);
    iter::once(&*further.first).chain(&further.others).all(|further| told(further) == of_call)
}

/// Whether a registration that failed may have been taken. An answer says that it was not, also `Unknown`, by which sysbox-mgr
/// says that another container has the id; to unregister it would make that one unknown.
fn may_have_been_carried_out(error: &PortError) -> bool {
    match error.kind {
        ErrorKind::DeadlineExceeded | ErrorKind::Cancelled | ErrorKind::Internal => true,
        // That no connection could be made is the one thing that fails by an error of the system's.
        ErrorKind::Unavailable => !error.source.as_ref().is_some_and(|source| source.is::<io::Error>()),
        _ => false,
    }
}

fn live(
    job: &Job<'_>,
    sysbox: &mut Sysbox,
    claim: &Claim,
    record: &mut Record,
    signals: &mut Signals,
    timings: &mut Timings,
    started: impl FnOnce(&Started<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    signals.check()?;
    let Job { bundle, policy, wiring, mounts, special_directories, .. } = *job;
    timings.step("ask sysbox-fs", || fs::get_config(sysbox))?;
    let seccomp = fs::listen_for_seccomp(sysbox, mounts)?;
    let seccomp_listener = seccomp.as_ref().map(SeccompListener::path);
    let ground = Ground { bundle, policy, claim, wiring, mounts, special_directories, seccomp_listener };
    let prepared = prepare(sysbox, ground, record, signals, timings)?;
    seccomp.as_ref().map_or(Ok(()), |seccomp| seccomp.check(&prepared.spec))?;
    let wants_terminal =
        prepared.spec.process().as_ref().and_then(|process| process.terminal()).unwrap_or(false);
    let console = wants_terminal.then(|| Console::listen(mounts.path("console.sock")?)).transpose()?;
    timings.step("pre-register with sysbox-fs", || fs::pre_register(sysbox, &prepared.spec))?;
    // Until it runs its program the container's first process has what is open here, a connection to the manager too.
    blocking::close();
    let mut created = timings.step("create the container", || create(claim, &prepared, console.as_ref()))?;
    record.init = Some(created.init);
    record.given = Some(Given {
        uids: prepared.ids.uids.to_string(),
        gids: prepared.ids.gids.to_string(),
        shift: prepared.shift.rootfs.name().to_owned(),
    });
    claim.save(record)?;
    if syscont::netns(&prepared.spec)?.is_none() {
        bring_loopback_up(&AbsPath::new(format!("/proc/{}/ns/net", created.init.pid))?)
            .with_context(|| format!("cannot start container {}", job.id))?;
    }
    let terminal = console.map(Console::accept).transpose()?;
    timings.step("register with sysbox-fs", || {
        if let Some(seccomp) = seccomp.filter(|seccomp| seccomp.is_named_in(&prepared.spec)) {
            seccomp.hand_over(sysbox, created.init)?;
        }
        fs::register(sysbox, &prepared, created.init)
    })?;
    timings.step("update", || update(sysbox, &prepared, created.init))?;
    signals.check()?;
    started(&Started { prepared: &prepared, init: created.init })?;
    timings.step("start the container", || created.start())?;
    let (cgroup, _) = record.cgroups()?;
    timings.step("run", || supervise(created.init.pid, &cgroup, terminal, signals))
}

/// Tells the manager what became known of the container when it was created.
fn update(sysbox: &Sysbox, prepared: &Prepared, init: ProcessId) -> anyhow::Result<()> {
    let namespace = |name| AbsPath::new(format!("/proc/{}/ns/{name}", init.pid));
    let (uids, gids) = (IdMappings::single(prepared.ids.uids)?, IdMappings::single(prepared.ids.gids)?);
    let (userns, netns) = (Some(namespace("user")?), Some(namespace("net")?));
    Ok(wait(sysbox.mgr.update(userns, netns, uids, gids, prepared.shift.rootfs))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sysbox::Operation;

    #[test]
    fn an_undo_that_failed_by_something_else_is_told() {
        let container: ContainerId = "c1".parse().expect("valid");
        let call = |operation, kind, message| SessionError::Call {
            operation,
            container: container.clone(),
            source: PortError::new(operation, kind, message),
        };
        let error = call(Operation::Register, ErrorKind::Unavailable, "gone");
        let undo = |failures: Vec<SessionError>| {
            let mut failures = failures.into_iter();
            let first = Box::new(failures.next().expect("one"));
            TeardownError { container: container.clone(), first, others: failures.collect() }
        };
        let same = || call(Operation::Unregister, ErrorKind::Unavailable, "gone");
        let other = || call(Operation::Remove, ErrorKind::Internal, "gone, and the disk is full");
        assert!(says_the_same(&undo(vec![same()]), &error));
        assert!(!says_the_same(&undo(vec![other()]), &error));
        assert!(!says_the_same(&undo(vec![same(), other()]), &error));
    }

    #[test]
    fn only_a_registration_that_may_have_been_taken_is_undone() {
        let error = |kind| PortError::new(Operation::Register, kind, "told");
        let lost = error(ErrorKind::Unavailable);
        let never_connected =
            error(ErrorKind::Unavailable).with_source(io::Error::from(io::ErrorKind::NotFound));
        assert!(
            may_have_been_carried_out(&lost)
                && may_have_been_carried_out(&error(ErrorKind::DeadlineExceeded))
        );
        assert!(!may_have_been_carried_out(&never_connected));
        for answered in [ErrorKind::Unknown, ErrorKind::AlreadyExists, ErrorKind::InvalidArgument] {
            assert!(!may_have_been_carried_out(&error(answered)), "{answered:?}");
        }
    }
}
