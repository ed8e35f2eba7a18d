//! Connecting to a unix socket.

use std::{io, os::unix::net::UnixStream, time::Duration};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with},
};
use sysbox_core::AbsPath;

use crate::{Backoff, Stream};

/// Connects to a socket. Where nobody listens yet, or more wait to be let in than the kernel queues, it is tried again until
/// `patience` ends: a daemon that is starting, as at boot, needs a moment.
///
/// # Errors
/// [`DialError`] with what the kernel said last.
pub async fn dial(socket: &AbsPath, patience: Duration) -> Result<Stream, DialError> {
    let mut backoff = Backoff::new(patience);
    loop {
        match try_connect(socket) {
            Ok(stream) => return Stream::new(stream).map_err(|source| DialError::new(socket, source)),
            Err(error) if !error.may_pass() || !backoff.wait().await => return Err(error),
            Err(_) => {}
        }
    }
}

/// Connects to a socket now or not at all: a connect to a unix socket never goes on in the background. It needs no runtime;
/// what comes of it does not block.
///
/// # Errors
/// [`DialError`] with what the kernel said.
pub fn try_connect(socket: &AbsPath) -> Result<UnixStream, DialError> {
    connect_now(socket).map_err(|errno| DialError::new(socket, errno.into()))
}

fn connect_now(socket: &AbsPath) -> Result<UnixStream, Errno> {
    let address = SocketAddrUnix::new(socket.as_path())?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&fd, &address)?;
    Ok(fd.into())
}

/// A socket could not be connected to.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to socket {socket}: {}", Self::advice(source))]
pub struct DialError {
    /// The socket.
    pub socket: AbsPath,
    /// What the kernel said.
    #[source]
    pub source: io::Error,
}

impl DialError {
    fn new(socket: &AbsPath, source: io::Error) -> Self {
        Self { socket: socket.clone(), source }
    }

    /// Whether a daemon that is just starting, or busy, may let the next try in.
    pub fn may_pass(&self) -> bool {
        let errno = Errno::from_io_error(&self.source);
        matches!(errno, Some(Errno::AGAIN | Errno::NOENT | Errno::CONNREFUSED))
    }

    fn advice(source: &io::Error) -> &'static str {
        match Errno::from_io_error(source) {
            Some(Errno::NOENT) => "it is not there; start the daemon, or name the directory of its sockets",
            Some(Errno::CONNREFUSED) => "nobody listens; start the daemon",
            Some(Errno::AGAIN) => "the daemon lets nobody in; look into its log, or restart it",
            Some(Errno::NOTDIR) => "a part of its path is no directory; name the directory of the sockets",
            Some(Errno::ACCESS | Errno::PERM) => "it is not open to this user; be root",
            Some(Errno::NAMETOOLONG) => "a socket's path has at most 107 bytes; use a shorter directory",
            Some(Errno::MFILE | Errno::NFILE) => "no descriptor is free; raise the limit of open files",
            _ => "look into the cause",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{os::unix::net::UnixListener, path::Path, time::Instant};

    fn path(dir: &Path) -> AbsPath {
        AbsPath::new(dir.join("s")).expect("absolute")
    }

    #[tokio::test]
    async fn a_socket_that_comes_to_be_within_the_patience_is_connected_to() {
        let dir = tempfile::tempdir().expect("a directory");
        let socket = path(dir.path());
        let late = socket.clone();
        let listening = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            UnixListener::bind(late).expect("bound")
        });
        dial(&socket, Duration::from_secs(5)).await.expect("connected");
        drop(listening.await.expect("it listened"));
        let error = dial(&socket, Duration::ZERO).await.expect_err("nobody listens");
        assert_eq!(Errno::from_io_error(&error.source), Some(Errno::CONNREFUSED));
    }

    #[tokio::test]
    async fn a_socket_that_does_not_come_is_given_up_with_its_path_and_the_cause() {
        let dir = tempfile::tempdir().expect("a directory");
        let began = Instant::now();
        let error = dial(&path(dir.path()), Duration::from_millis(80)).await.expect_err("not there");
        assert!(began.elapsed() >= Duration::from_millis(80));
        assert!(error.to_string().contains(&*dir.path().to_string_lossy()), "{error}");
        assert_eq!(error.source.kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_full_backlog_is_waited_for() {
        let dir = tempfile::tempdir().expect("a directory");
        let socket = path(dir.path());
        let listener = UnixListener::bind(&socket).expect("bound");
        rustix::net::listen(&listener, 0).expect("listens");
        let _waiting = try_connect(&socket).expect("the queue holds one");
        let error = dial(&socket, Duration::from_millis(20)).await.expect_err("no more");
        assert_eq!(Errno::from_io_error(&error.source), Some(Errno::AGAIN));
        let accepting = tokio::task::spawn_blocking(move || {
            std::thread::sleep(Duration::from_millis(30));
            listener.accept().expect("accepted");
            listener
        });
        dial(&socket, Duration::from_secs(5)).await.expect("let in");
        drop(accepting.await.expect("accepted"));
    }

    #[tokio::test]
    async fn a_path_that_no_socket_can_have_is_refused_at_once() {
        let long = AbsPath::new(format!("/{}", "x".repeat(108))).expect("absolute");
        let error = dial(&long, Duration::from_secs(60)).await.expect_err("too long");
        assert!(error.to_string().contains("107"), "{error}");
    }
}
