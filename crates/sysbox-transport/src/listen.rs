//! A unix socket to be served on.

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
            net::UnixListener,
        },
    },
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use rustix::{
    fs::{FlockOperation, Mode, OFlags, flock, open},
    io::Errno,
    net::{
        AddressFamily, Shutdown, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen,
        socket_with,
        sockopt::{socket_acceptconn, socket_type},
    },
};
use sysbox_core::{AbsPath, InvalidPath};
use tokio::time::sleep;

use crate::{Stream, dial::try_connect};

/// How many connections the kernel queues until they are accepted; it takes no more than `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// How long to wait for a descriptor to become free.
const STARVED: Duration = Duration::from_millis(50);

/// A listening unix socket.
///
/// One that it made is removed when it is dropped; one that it was given is left to who gave it.
#[derive(Debug)]
pub struct Listener {
    socket: tokio::net::UnixListener,
    path: AbsPath,
    /// Device and inode of the socket file that is to be removed.
    made: Option<(u64, u64)>,
    /// Whether the last connection could not be accepted for lack of something; it is told once.
    starved: AtomicBool,
}

impl Listener {
    /// Listens on a socket in a directory, of mode 0600 in one of mode 0700. The directory is made if it is not there. A
    /// socket that is there already is replaced if nobody listens on it.
    ///
    /// # Errors
    /// [`ListenError`]; nothing was changed then.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O enabled.
    pub fn bind(dir: &AbsPath, name: &str) -> Result<Self, ListenError> {
        let path = AbsPath::new(dir.as_path().join(name)).map_err(ListenError::Path)?;
        if SocketAddrUnix::new(path.as_path()).is_err() {
            return Err(ListenError::TooLong { path });
        }
        make_private(dir)?;
        let named = &path;
        let fail = |what| move |source: io::Error| ListenError::Io { what, path: named.to_string(), source };
        let lock = open(dir.as_path(), OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| fail("open the directory of socket")(errno.into()))?;
        // Of two daemons that start at once, only one finds a dead socket.
        flock(&lock, FlockOperation::LockExclusive)
            .map_err(|errno| fail("lock the directory of socket")(errno.into()))?;
        remove_dead(&path)?;
        let socket = bind_private(&path).map_err(|errno| fail("listen on socket")(errno.into()))?;
        let made = path.as_path().symlink_metadata().map_err(fail("look at socket"))?;
        let mut listener = Self::new(socket.into(), path.clone()).map_err(fail("serve socket"))?;
        listener.made = Some((made.dev(), made.ino()));
        Ok(listener)
    }

    /// Listens on a socket that someone else made, as systemd does for socket activation.
    ///
    /// # Errors
    /// [`ListenError`] when it is no listening unix stream socket with a path.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O enabled.
    pub fn adopt(socket: UnixListener) -> Result<Self, ListenError> {
        let fail = |source| ListenError::Io { what: "serve", path: "the socket handed over".into(), source };
        let is_stream = socket_type(&socket).is_ok_and(|found| found == SocketType::STREAM);
        if !is_stream || !socket_acceptconn(&socket).unwrap_or(false) {
            return Err(ListenError::NotListening);
        }
        let address = socket.local_addr().map_err(fail)?;
        let path = AbsPath::new(address.as_pathname().unwrap_or_else(|| Path::new("")))
            .map_err(ListenError::Path)?;
        Self::new(socket, path).map_err(fail)
    }

    fn new(socket: UnixListener, path: AbsPath) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: tokio::net::UnixListener::from_std(socket)?,
            path,
            made: None,
            starved: AtomicBool::new(false),
        })
    }

    /// Its path.
    pub fn path(&self) -> &AbsPath {
        &self.path
    }

    /// The next connection. That no descriptor or memory is there for it is waited out: it stays queued.
    ///
    /// # Errors
    /// What the kernel says; that a connection was given up before it was accepted is not told.
    pub async fn accept(&self) -> io::Result<Stream> {
        loop {
            let accepted = self.socket.accept().await;
            match accepted.and_then(|(stream, _)| Stream::new(stream.into_std()?)) {
                Ok(stream) => {
                    self.starved.store(false, Ordering::Relaxed);
                    return Ok(stream);
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) if passes(&error) => {
                    if !self.starved.swap(true, Ordering::Relaxed) {
                        tracing::warn!(socket = %self.path, %error, "connections wait; raise the limit of open files");
                    }
                    sleep(STARVED).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Lets nobody in any more, and gives those that were not accepted yet, as far as descriptors for them are there; they have
    /// connected, and may have sent something. Of a socket that was handed over they are left to whoever serves it next.
    pub fn close(self) -> Vec<Stream> {
        let mut waiting = Vec::new();
        // From here on the kernel refuses who connects, so this comes to an end.
        if self.made.is_some() && rustix::net::shutdown(&self.socket, Shutdown::Read).is_ok() {
            while let Ok(stream) = accept_with(&self.socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                waiting.extend(Stream::new(stream.into()));
            }
        }
        waiting
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let Some(made) = self.made else { return };
        let is_ours = |found: &std::fs::Metadata| (found.dev(), found.ino()) == made;
        if self.path.as_path().symlink_metadata().as_ref().is_ok_and(is_ours)
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(socket = %self.path, %error, "the socket could not be removed");
        }
    }
}

/// Makes the directory, or sees to it that nobody but its owner can enter it.
fn make_private(dir: &AbsPath) -> Result<(), ListenError> {
    let fail = |what| move |source| ListenError::Io { what, path: dir.to_string(), source };
    match std::fs::DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // Itself and not what it may point to, which others could change.
            let found = std::fs::symlink_metadata(dir).map_err(fail("look at"))?;
            if !found.is_dir() {
                return Err(ListenError::NotADirectory { path: dir.clone() });
            }
            let mode = found.mode() & 0o7777;
            let own = rustix::process::geteuid().as_raw();
            if mode & 0o077 != 0 || found.uid() != own {
                let owner = found.uid();
                return Err(ListenError::OpenToOthers { dir: dir.clone(), mode, owner, own });
            }
            Ok(())
        }
        Err(error) => Err(fail("make")(error)),
    }
}

/// Removes a socket that nobody listens on.
fn remove_dead(path: &AbsPath) -> Result<(), ListenError> {
    let fail = |what| move |source| ListenError::Io { what, path: path.to_string(), source };
    match path.as_path().symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fail("look at")(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(ListenError::NotASocket { path: path.clone() });
        }
        Ok(_) => {}
    }
    let Err(error) = try_connect(path) else { return Err(ListenError::InUse { path: path.clone() }) };
    match Errno::from_io_error(&error.source) {
        Some(Errno::CONNREFUSED) => std::fs::remove_file(path).map_err(fail("remove the dead socket")),
        Some(Errno::AGAIN) => Err(ListenError::InUse { path: path.clone() }),
        _ => Err(fail("find out who listens on")(error.source)),
    }
}

/// Whether a connection that could not be accepted now can be later, with nothing done about it here.
fn passes(error: &io::Error) -> bool {
    let passing = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::NOSPC];
    Errno::from_io_error(error).is_some_and(|errno| passing.contains(&errno))
}

fn bind_private(path: &AbsPath) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    bind(socket.as_fd(), &SocketAddrUnix::new(path.as_path())?)?;
    // Nobody can connect before it listens.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .and_then(|()| Ok(listen(&socket, BACKLOG)?))
        .map_err(|error| {
            let _ = std::fs::remove_file(path);
            Errno::from_io_error(&error).unwrap_or(Errno::IO)
        })?;
    Ok(socket)
}

/// A socket cannot be served on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Directory and name make no path.
    #[error("the socket has no path that can be served on")]
    Path(#[source] InvalidPath),
    /// Others could reach the socket.
    #[error(
        "directory {dir} has owner {owner} and mode {mode:04o}, where user {own} alone may enter; \
         chown {own} and chmod 0700 it, or choose another"
    )]
    OpenToOthers {
        /// The directory.
        dir: AbsPath,
        /// Its permission bits.
        mode: u32,
        /// Its owner.
        owner: u32,
        /// The user that serves.
        own: u32,
    },
    /// What was handed over cannot be served on.
    #[error("what was handed over is no listening stream socket; see ListenStream= in systemd.socket(5)")]
    NotListening,
    /// No socket can have such a path.
    #[error(
        "socket {path} has more than the 107 bytes that a socket's path can have; choose a shorter directory"
    )]
    TooLong {
        /// The path.
        path: AbsPath,
    },
    /// What should hold the sockets is something else.
    #[error("{path} is there and is not a directory; choose another")]
    NotADirectory {
        /// The path.
        path: AbsPath,
    },
    /// Something else has the name.
    #[error("{path} is there and is not a socket; move it away, or choose another directory")]
    NotASocket {
        /// The path.
        path: AbsPath,
    },
    /// Another daemon serves it.
    #[error("a daemon already listens on {path}; stop it, or choose another directory")]
    InUse {
        /// The socket.
        path: AbsPath,
    },
    /// A call to the system failed.
    #[error("cannot {what} {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dial;
    use std::{fs, time::Duration};

    fn place() -> (tempfile::TempDir, AbsPath) {
        let outer = tempfile::tempdir().expect("a directory");
        let dir = AbsPath::new(outer.path().join("run")).expect("absolute");
        (outer, dir)
    }

    fn mode(path: impl AsRef<Path>) -> u32 {
        fs::symlink_metadata(path).expect("there").mode() & 0o7777
    }

    #[tokio::test]
    async fn a_socket_is_its_owners_alone_and_goes_with_its_listener() {
        let (_outer, dir) = place();
        let listener = Listener::bind(&dir, "s").expect("bound");
        assert_eq!((mode(&dir), mode(listener.path())), (0o700, 0o600));
        let dialled = dial(listener.path(), Duration::ZERO).await.expect("connected");
        listener.accept().await.expect("accepted");
        drop((dialled, listener));
        assert!(!dir.as_path().join("s").exists() && dir.as_path().exists());
    }

    #[tokio::test]
    async fn a_dead_socket_is_replaced_and_a_living_one_is_not() {
        let (_outer, dir) = place();
        fs::create_dir(&dir)
            .and_then(|()| fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)))
            .expect("made");
        drop(UnixListener::bind(dir.as_path().join("s")).expect("bound"));
        let living = Listener::bind(&dir, "s").expect("the dead one is replaced");
        assert!(matches!(Listener::bind(&dir, "s"), Err(ListenError::InUse { .. })));
        dial(living.path(), Duration::ZERO).await.expect("the living one still listens");
    }

    #[tokio::test]
    async fn a_listener_does_not_remove_the_socket_that_took_its_place() {
        let (_outer, dir) = place();
        let first = Listener::bind(&dir, "s").expect("bound");
        fs::remove_file(first.path()).expect("removed");
        let second = Listener::bind(&dir, "s").expect("bound");
        drop(first);
        dial(second.path(), Duration::ZERO).await.expect("it is there");
    }

    #[tokio::test]
    async fn what_is_not_a_socket_or_not_private_is_left_as_it_is() {
        let (_outer, dir) = place();
        fs::create_dir(&dir).expect("made");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o750)).expect("set");
        assert!(matches!(Listener::bind(&dir, "s"), Err(ListenError::OpenToOthers { mode: 0o750, .. })));
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).expect("set");
        fs::write(dir.as_path().join("s"), "kept").expect("written");
        assert!(matches!(Listener::bind(&dir, "s"), Err(ListenError::NotASocket { .. })));
        assert_eq!(fs::read(dir.as_path().join("s")).expect("there"), b"kept");
        let file = AbsPath::new(dir.as_path().join("s")).expect("absolute");
        assert!(matches!(Listener::bind(&file, "s"), Err(ListenError::NotADirectory { .. })));
        let long = AbsPath::new(dir.as_path().join("x".repeat(120))).expect("absolute");
        assert!(matches!(Listener::bind(&long, "s"), Err(ListenError::TooLong { .. })));
        assert!(!long.as_path().exists());
    }

    #[tokio::test]
    async fn who_has_connected_when_it_is_closed_is_not_forgotten_and_nobody_else_gets_in() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        let (_outer, dir) = place();
        let listener = Listener::bind(&dir, "s").expect("bound");
        let path = listener.path().clone();
        let mut early = dial(&path, Duration::ZERO).await.expect("connected");
        early.write_all(b"x").await.expect("sent");
        let mut waiting = listener.close();
        assert_eq!(waiting.len(), 1);
        assert_eq!(waiting[0].read_u8().await.expect("read"), b'x');
        dial(&path, Duration::ZERO).await.expect_err("closed");
    }

    #[tokio::test]
    async fn a_socket_that_was_handed_over_is_served_and_left() {
        let (outer, _) = place();
        let datagrams = std::os::unix::net::UnixDatagram::bind(outer.path().join("d")).expect("bound");
        let adopted = Listener::adopt(UnixListener::from(OwnedFd::from(datagrams)));
        assert!(matches!(adopted, Err(ListenError::NotListening)));
        let path = outer.path().join("s");
        let listener = Listener::adopt(UnixListener::bind(&path).expect("bound")).expect("adopted");
        assert_eq!(listener.path().as_path(), path);
        let _dialled = dial(listener.path(), Duration::ZERO).await.expect("connected");
        listener.accept().await.expect("accepted");
        drop(listener);
        assert!(path.exists());
    }
}
