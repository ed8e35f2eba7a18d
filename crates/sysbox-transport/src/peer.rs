//! Who is at the other end of a unix socket, and whether they are served.

use std::{fmt, io, os::unix::net::UnixStream};

/// The process that connected, as the kernel saw it then (`SO_PEERCRED`, unix(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Its process id, in this process's pid namespace; `None` if it is in none that is seen from here.
    pub pid: Option<i32>,
    /// Its effective user id.
    pub uid: u32,
    /// Its effective group id.
    pub gid: u32,
}

impl Peer {
    /// The peer of a connected socket.
    ///
    /// # Errors
    /// What the kernel says.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O enabled.
    pub fn of(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        // The process id may be 0, which rustix has no value for.
        let credentials = tokio::net::UnixStream::from_std(socket)?.peer_cred()?;
        let pid = credentials.pid().filter(|pid| *pid != 0);
        Ok(Self { pid, uid: credentials.uid(), gid: credentials.gid() })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "process {pid} of user {}", self.uid),
            None => write!(f, "a process of another pid namespace and of user {}", self.uid),
        }
    }
}

/// Which users are served: root, the user that serves, and those named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerPolicy {
    further: Vec<u32>,
}

impl PeerPolicy {
    /// Serves these users too. Whoever is served can do to containers what root can.
    pub fn with_users(uids: impl IntoIterator<Item = u32>) -> Self {
        Self { further: uids.into_iter().collect() }
    }

    /// The users that are served beside root and the user that serves.
    pub fn further(&self) -> &[u32] {
        &self.further
    }

    /// Whether a peer is served.
    pub fn permits(&self, peer: &Peer) -> bool {
        let own = rustix::process::geteuid().as_raw();
        peer.uid == 0 || peer.uid == own || self.further.contains(&peer.uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_peer_of_a_socket_of_this_process_is_this_process() {
        let (one, _other) = UnixStream::pair().expect("a pair");
        let peer = Peer::of(one).expect("connected");
        assert_eq!(peer.pid.map(i32::cast_unsigned), Some(std::process::id()));
        assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
    }

    #[test]
    fn root_the_own_user_and_those_named_are_served_and_nobody_else() {
        let peer = |uid| Peer { pid: None, uid, gid: 0 };
        let own = rustix::process::geteuid().as_raw();
        let policy = PeerPolicy::with_users([4_000_001]);
        for uid in [0, own, 4_000_001] {
            assert!(policy.permits(&peer(uid)), "{uid}");
        }
        assert!(!policy.permits(&peer(4_000_002)));
        assert!(!PeerPolicy::default().permits(&peer(4_000_001)));
    }
}
