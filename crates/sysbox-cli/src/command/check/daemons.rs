//! Whether the daemons of a backend answer this program: each is asked something that changes nothing.

use std::{io, path::Path, time::Duration};

use anyhow::Context;
use sysbox::{
    Backend, BackendUrl, ContainerId, Deadlines, ErrorKind, PortError, blocking::wait,
    transport::ClientOptions,
};

use super::{Row, Verdict};
use crate::wire_up::Wiring;

/// How long a daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// A row for each daemon.
pub(super) fn rows(wiring: &Wiring) -> anyhow::Result<Vec<Row>> {
    let mut client = ClientOptions::default();
    client.deadlines = Deadlines { mgr: PATIENCE, fs: PATIENCE, ..Deadlines::default() };
    (client.patience, client.silence) = (Duration::ZERO, PATIENCE);
    let ports = wiring.open_with(wiring.url(), client)?.ports();
    let (mgr, fs) = ports.mgr.zip(ports.fs).context("the backend has no daemons")?;
    let nobody = nobody()?;
    let manager = match wait(mgr.pause(&nobody)) {
        // sysbox-mgr says `Unknown` where it means any other kind.
        Err(error) if !matches!(error.kind, ErrorKind::NotFound | ErrorKind::Unknown) => Err(error),
        _ => Ok("answers".to_owned()),
    };
    let fs = wait(fs.mountpoint())
        .map(|mountpoint| format!("answers: emulates /proc and /sys below {mountpoint}"));
    Ok(vec![
        row("manager", manager, wiring.url()),
        match fs {
            Err(error) if error.kind == ErrorKind::Unimplemented => without_fs(),
            fs => row("sysbox-fs", fs, wiring.url()),
        },
    ])
}

/// An id that no container has: nobody has had the chance to give it one.
fn nobody() -> anyhow::Result<ContainerId> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/uuid").context("cannot get a random id")?;
    Ok(format!("sysbox-check-{}", id.trim()).parse()?)
}

fn row(what: &str, outcome: Result<String, PortError>, url: &BackendUrl) -> Row {
    let (verdict, found, mend) = match outcome {
        Ok(found) => (Verdict::Ok, found, None),
        Err(error) => {
            let (found, mend) = found_and_mend(&error, url);
            (Verdict::Fail, found, Some(mend))
        }
    };
    Row { what: what.to_owned(), found, needed: "a daemon that answers".to_owned(), verdict, mend }
}

/// Containers run without; they see the kernel's own files.
fn without_fs() -> Row {
    Row {
        what: "sysbox-fs".to_owned(),
        found: "the daemon answers, and has none".to_owned(),
        needed: "to emulate /proc and /sys".to_owned(),
        verdict: Verdict::Warn,
        mend: None,
    }
}

/// What an error says, and what to do about it: its message ends with that, after a semicolon.
fn found_and_mend(error: &PortError, url: &BackendUrl) -> (String, String) {
    // That no connection could be made is the one thing that fails by an error of the system's.
    if error.source.as_ref().is_some_and(|source| source.is::<io::Error>()) {
        let found = error.message.split_once("; ").map_or(&*error.message, |(found, _)| found);
        return (found.to_owned(), start(url));
    }
    let restart = "look into its log, or restart it";
    match error.message.rsplit_once("; ") {
        Some((found, mend)) if error.kind != ErrorKind::DeadlineExceeded => {
            (found.to_owned(), mend.to_owned())
        }
        _ => (error.to_string(), restart.to_owned()),
    }
}

/// How to start the daemon.
fn start(url: &BackendUrl) -> String {
    let (serve, usual) = match url {
        BackendUrl::Tarpc { .. } => ("sysbox serve --transport tarpc", Backend::DEFAULT_TARPC_SOCKET_DIR),
        _ => ("sysbox serve", Backend::DEFAULT_SOCKET_DIR),
    };
    match url.socket_dir() {
        Some(dir) if dir.as_path() != Path::new(usual) => format!("start it: {serve} --dir {dir}"),
        _ if usual == Backend::DEFAULT_TARPC_SOCKET_DIR => {
            format!("start it: {serve} (sysbox-serve-tarpc.service)")
        }
        _ => format!("start it: {serve} (sysbox-serve.service), or Sysbox's own: systemctl start sysbox"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sysbox::Operation;

    fn url(text: &str) -> BackendUrl {
        text.parse().expect("a URL")
    }

    #[test]
    fn a_daemon_that_is_not_there_is_to_be_started_with_the_transport_and_directory_asked_for() {
        let error = PortError::new(Operation::Pause, ErrorKind::Unavailable, "cannot connect")
            .with_source(io::Error::from(io::ErrorKind::NotFound));
        let mend = |text| found_and_mend(&error, &url(text)).1;
        assert_eq!(
            mend("tarpc+unix:"),
            "start it: sysbox serve --transport tarpc (sysbox-serve-tarpc.service)"
        );
        assert_eq!(mend("tarpc+unix:///run/x"), "start it: sysbox serve --transport tarpc --dir /run/x");
        assert_eq!(mend("grpc+unix:///run/x"), "start it: sysbox serve --dir /run/x");
        assert!(mend("grpc+unix:").contains("sysbox-serve.service"));
    }

    #[test]
    fn what_another_error_says_to_do_is_what_mends_it() {
        let error = PortError::new(Operation::Pause, ErrorKind::Unavailable, "it speaks gRPC; use that");
        let (found, mend) = found_and_mend(&error, &url("tarpc+unix:"));
        assert_eq!((&*found, &*mend), ("it speaks gRPC", "use that"));
        let late = PortError::new(Operation::Pause, ErrorKind::DeadlineExceeded, "no answer; not sent");
        let (found, mend) = found_and_mend(&late, &url("tarpc+unix:"));
        assert_eq!(found, "no answer; not sent");
        assert!(mend.contains("restart"));
    }
}
