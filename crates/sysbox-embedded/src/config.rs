//! Where the embedded manager keeps its state and where its ids come from. Plain values; nothing is read before it is needed.

use std::path::PathBuf;

use sysbox_core::{AbsPath, IdRange};

/// How an [`EmbeddedMgr`](crate::EmbeddedMgr) is set up. Processes that share a data root should agree on which ids are
/// given.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The directory of the database. It is made, with mode 0700, if it is not there.
    pub data_root: AbsPath,
    /// Which ids containers get.
    pub subids: SubidSource,
    /// The files that say which ids are others'.
    pub accounts: AccountFiles,
    /// What is open between two calls. Each process chooses for itself.
    pub connections: Connections,
}

impl Config {
    /// State in `data_root`, ids by the host's account files, nothing open between two calls.
    pub fn new(data_root: AbsPath) -> Self {
        Self {
            data_root,
            subids: SubidSource::Files,
            accounts: AccountFiles::default(),
            connections: Connections::PerCall,
        }
    }
}

/// How long a connection to the database lives.
///
/// ```
/// use sysbox_core::AbsPath;
/// use sysbox_embedded::{Config, Connections};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut of_a_daemon = Config::new(AbsPath::new("/var/lib/sysbox-embedded")?);
/// of_a_daemon.connections = Connections::Kept;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Connections {
    /// For one call, which takes about a third of a millisecond longer by that. Between two calls nothing is open, so the
    /// process may fork and use the manager in the child too.
    #[default]
    PerCall,
    /// From one call to the next. Only for a process that does not fork, such as a daemon: in the child, SQLite's record of
    /// the locks that it holds would be wrong (<https://www.sqlite.org/howtocorrupt.html>, section 2.6). Starting programs
    /// (`fork` and `exec` at once, as [`std::process::Command`] does) is no harm.
    ///
    /// The process must not open and close the files of the database itself either, not even to copy them: that releases
    /// the locks which SQLite holds on them (section 2.2).
    Kept,
}

/// Which ids of the host are given to containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SubidSource {
    /// Those that `subuid(5)` and `subgid(5)` give to the user `sysbox`, by name or by number; for a kind without an entry, a
    /// built-in range less whatever those files and the account files name.
    #[default]
    Files,
    /// This range, for user ids and for group ids.
    Range(IdRange),
}

/// The files of accounts and of subordinate ids. One that is not there counts as empty.
///
/// Accounts that come from elsewhere (LDAP, `systemd-homed`) are not seen: where there are any within the built-in range,
/// give the user `sysbox` a range of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountFiles {
    /// `passwd(5)`.
    pub passwd: PathBuf,
    /// `group(5)`.
    pub group: PathBuf,
    /// `subuid(5)`.
    pub subuid: PathBuf,
    /// `subgid(5)`.
    pub subgid: PathBuf,
}

impl Default for AccountFiles {
    fn default() -> Self {
        Self {
            passwd: "/etc/passwd".into(),
            group: "/etc/group".into(),
            subuid: "/etc/subuid".into(),
            subgid: "/etc/subgid".into(),
        }
    }
}
