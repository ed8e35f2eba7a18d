//! User namespaces that only lend their mappings: a descriptor, and no process in it.

use std::{
    fmt::Write as _,
    fs::{self, File},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::MetadataExt,
    },
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::fstat,
    io::Errno,
    process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid},
};
use sysbox_core::{AbsPath, HostError, IdMapping, IdMappings};

use crate::{
    error::{Advised, failed},
    fd_info, sys,
};

/// A user namespace, held by a descriptor.
///
/// It lives for as long as the descriptor does, or a mount that was ID-mapped by it.
#[derive(Debug)]
pub struct UserNamespace(OwnedFd);

impl UserNamespace {
    /// Makes a user namespace with these mappings. No process is left in it.
    ///
    /// Works in a program of many threads too, and gives it no `SIGCHLD`.
    ///
    /// # Errors
    /// When one of the mappings is empty or, once extents that continue each other are merged, longer than the 4095 bytes
    /// that the kernel takes (`user_namespaces(7)`); when the caller is not root, or the host makes no user namespaces.
    pub fn new(uids: &IdMappings, gids: &IdMappings) -> Result<Self, HostError> {
        let (uid_map, gid_map) = (map_text(uids, "uid map")?, map_text(gids, "gid map")?);
        let member = Member::new().map_err(failed("make", "a user namespace"))?;
        let proc = member.proc()?;
        let write = |file: &str, map: &str| {
            let path = format!("{proc}/{file}");
            fs::write(&path, map).map_err(|error| failed("write", path)(Advised::from_io(&error, map_advice)))
        };
        write("uid_map", &uid_map)?;
        write("gid_map", &gid_map)?;
        let path = format!("{proc}/ns/user");
        let namespace = File::open(&path).map_err(failed("open", &path))?;
        // It held its process id all the time, so those paths were its own and of no process that came after it.
        member.still_runs().map_err(failed("keep", "the first process of a user namespace"))?;
        Ok(Self(namespace.into()))
    }

    /// Opens a user namespace by a path such as `/proc/1234/ns/user`.
    ///
    /// # Errors
    /// When the path cannot be opened or names something else.
    pub fn open(path: &AbsPath) -> Result<Self, HostError> {
        let file = File::open(path).map_err(failed("open the user namespace", path))?;
        if !sys::is_user_namespace(file.as_fd()) {
            return Err(HostError::new("open the user namespace", path.to_string(), NotAUserNamespace));
        }
        Ok(Self(file.into()))
    }

    /// Opens the user namespace that owns the namespace of a path such as `/proc/1234/ns/net`: who has no capabilities in the
    /// owner cannot join what it owns (`setns(2)`).
    ///
    /// # Errors
    /// When the path cannot be opened or names no namespace; when the owner is outside of the caller's user namespace.
    pub fn owner_of(namespace: &AbsPath) -> Result<Self, HostError> {
        let ask = "find the owner of namespace";
        let file = File::open(namespace).map_err(failed(ask, namespace))?;
        let owner = sys::owning_user_namespace(file.as_fd());
        let advised = |error: std::io::Error| failed(ask, namespace)(Advised::from_io(&error, owner_advice));
        Ok(Self(owner.map_err(advised)?))
    }

    /// Whether the caller is in it.
    ///
    /// # Errors
    /// When `/proc/self/ns/user` cannot be looked at.
    pub fn is_ours(&self) -> Result<bool, HostError> {
        let ours = fs::metadata(OURS).map_err(failed("look at", OURS))?;
        let this = fstat(&self.0).map_err(failed("look at", "a user namespace"))?;
        Ok((this.st_dev, this.st_ino) == (ours.dev(), ours.ino()))
    }
}

/// The user namespace of this process.
const OURS: &str = "/proc/self/ns/user";

impl AsFd for UserNamespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("it is not a user namespace; give a path such as /proc/1234/ns/user")]
struct NotAUserNamespace;

/// The user and group id mappings of the user namespace that a path such as `/proc/1234/ns/user` names, as the initial one
/// sees them.
///
/// # Errors
/// When the path is not of that form, the process has ended, or a map cannot be read.
pub fn mappings_at(path: &AbsPath) -> Result<(IdMappings, IdMappings), HostError> {
    let failed = || failed("find the mappings of user namespace", path);
    let process = path
        .as_path()
        .to_str()
        .and_then(|text| text.strip_prefix("/proc/")?.strip_suffix("/ns/user"))
        .filter(|process| !process.contains('/'))
        .ok_or_else(|| HostError::new("find the mappings of user namespace", path.to_string(), NoProcess))?;
    let identity = || fs::metadata(path).map(|namespace| (namespace.dev(), namespace.ino()));
    let before = identity().map_err(failed())?;
    let map = |kind| {
        let text = fs::read_to_string(format!("/proc/{process}/{kind}")).map_err(failed())?;
        parse_map(&text)
            .ok_or_else(|| HostError::new("read", format!("/proc/{process}/{kind}"), UnreadableMap))
    };
    let maps = (map("uid_map")?, map("gid_map")?);
    // The process may have ended in between, and another may have got its number.
    if identity().map_err(failed())? == before {
        return Ok(maps);
    }
    Err(HostError::new("find the mappings of user namespace", path.to_string(), Changed))
}

/// Reads `/proc/PID/uid_map` (`user_namespaces(7)`).
fn parse_map(text: &str) -> Option<IdMappings> {
    let extent = |line: &str| {
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<u32>);
        let mut next = || numbers.next()?.ok();
        let (inside, host, size) = (next()?, next()?, next()?);
        // All ids are one more than a range of ids can have: the last is none.
        IdMapping::new(inside, host, size.min(u32::MAX - inside.max(host))).ok()
    };
    IdMappings::new(text.lines().map(extent).collect::<Option<Vec<_>>>()?).ok()
}

#[derive(Debug, thiserror::Error)]
#[error("its mappings can be read by way of a process alone; give a path such as /proc/1234/ns/user")]
struct NoProcess;

#[derive(Debug, thiserror::Error)]
#[error("it is not a list of id mappings")]
struct UnreadableMap;

#[derive(Debug, thiserror::Error)]
#[error("it is another namespace by now; try again with a process that stays")]
struct Changed;

/// Why mappings cannot be given to a namespace.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum UnwritableMap {
    #[error("it has no extent; give at least one")]
    Empty,
    #[error("it has {len} bytes, and the kernel takes {}; give fewer extents", MAX_MAP_LEN)]
    TooLong { len: usize },
}

/// A map is written at once, and by less than a page (`user_namespaces(7)`).
const MAX_MAP_LEN: usize = 4095;

fn map_text(mappings: &IdMappings, name: &'static str) -> Result<String, HostError> {
    let unwritable = failed::<UnwritableMap>("write", name);
    let mut text = String::new();
    for extent in mappings.merged().as_slice() {
        let (container, host) = (extent.container().first(), extent.host().first());
        writeln!(text, "{container} {host} {}", extent.size()).map_err(failed("write", name))?;
    }
    match text.len() {
        0 => Err(unwritable(UnwritableMap::Empty)),
        len if len > MAX_MAP_LEN => Err(unwritable(UnwritableMap::TooLong { len })),
        _ => Ok(text),
    }
}

/// The first process of a new user namespace. It ends when this is dropped.
struct Member {
    pidfd: OwnedFd,
}

impl Member {
    fn new() -> Result<Self, Advised> {
        let pidfd = sys::clone_parked_in_user_namespace();
        Ok(Self { pidfd: pidfd.map_err(|error| Advised::from_io(&error, clone_advice))? })
    }

    /// Its directory in `/proc`. The process id is asked of `/proc` too, which may be that of another pid namespace
    /// (`pidfd_open(2)`).
    fn proc(&self) -> Result<String, HostError> {
        Ok(format!("/proc/{}", fd_info::number(&self.pidfd, "Pid")?))
    }

    /// # Errors
    /// `ESRCH` when it was killed.
    fn still_runs(&self) -> Result<(), Errno> {
        let mut ended = [PollFd::new(&self.pidfd, PollFlags::IN)];
        match poll(&mut ended, Some(&Timespec::default()))? {
            0 => Ok(()),
            _ => Err(Errno::SRCH),
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // Both fail only if it was killed and reaped by someone else. It gives no SIGCHLD, so it is waited for by __WALL.
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        let options = WaitIdOptions::EXITED | WaitIdOptions::from_bits_retain(libc::__WALL.cast_unsigned());
        while let Err(Errno::INTR) = waitid(WaitId::PidFd(self.pidfd.as_fd()), options) {}
    }
}

fn clone_advice(errno: Errno) -> &'static str {
    match errno {
        Errno::PERM | Errno::ACCESS => "run as root, and let no security module forbid user namespaces",
        Errno::NOSPC | Errno::USERS => "raise the sysctl user.max_user_namespaces",
        Errno::INVAL | Errno::NOSYS => "use a kernel from 5.3 on that is built with CONFIG_USER_NS",
        _ => "the kernel did not clone a process into a new user namespace",
    }
}

fn owner_advice(errno: Errno) -> &'static str {
    match errno {
        Errno::PERM => "it belongs to a user namespace that this process is not in and did not make",
        _ => "give a path such as /proc/1234/ns/net",
    }
}

fn map_advice(errno: Errno) -> &'static str {
    match errno {
        Errno::PERM | Errno::ACCESS => "run as root, and map only ids that this user namespace has itself",
        _ => "the kernel does not take this map",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error;

    fn mappings(extents: impl IntoIterator<Item = (u32, u32, u32)>) -> IdMappings {
        let extent = |(container, host, size)| IdMapping::new(container, host, size).expect("valid");
        IdMappings::new(extents.into_iter().map(extent)).expect("valid")
    }

    #[test]
    fn a_map_has_a_line_for_each_extent_that_stands_alone() {
        let contiguous = mappings([(0, 100_000, 10), (10, 100_010, 10), (1000, 5, 1)]);
        assert_eq!(map_text(&contiguous, "uid map").expect("short"), "0 100000 20\n1000 5 1\n");
    }

    #[test]
    fn the_maps_of_a_running_process_are_read_and_no_other_path_is_taken() {
        let this = AbsPath::new("/proc/self/ns/user").expect("absolute");
        let (uids, gids) = mappings_at(&this).expect("this process stays");
        assert!(!uids.is_empty() && !gids.is_empty());
        for path in ["/run/userns/one", "/proc/self/ns/net", "/proc/self/task/1/ns/user", "/proc/0/ns/user"] {
            assert!(mappings_at(&AbsPath::new(path).expect("absolute")).is_err(), "{path}");
        }
    }

    #[test]
    fn the_namespaces_of_this_process_belong_to_its_user_namespace_and_a_file_to_none() {
        let owner = |path| UserNamespace::owner_of(&AbsPath::new(path).expect("absolute"));
        let network = owner("/proc/self/ns/net").expect("this process stays");
        assert!(network.is_ours().expect("there is /proc"));
        assert!(owner("/proc/self/status").is_err() && owner("/proc/self/ns/none").is_err());
    }

    #[test]
    fn a_map_of_the_kernel_is_read_also_the_one_of_all_ids() {
        assert_eq!(parse_map("         0     100000      65536\n"), Some(mappings([(0, 100_000, 65_536)])));
        assert_eq!(parse_map("0 0 4294967295\n"), Some(mappings([(0, 0, u32::MAX)])));
        assert_eq!(parse_map(""), Some(IdMappings::default()));
        assert_eq!(parse_map("0 x 1"), None);
    }

    #[test]
    fn a_map_that_is_empty_or_takes_a_page_is_refused_before_the_kernel_sees_it() {
        let cause = |mappings: &IdMappings| {
            let error = map_text(mappings, "uid map").expect_err("refused");
            error
                .source()
                .and_then(|source| source.downcast_ref::<UnwritableMap>())
                .expect("typed")
                .to_string()
        };
        assert_eq!(cause(&IdMappings::default()), UnwritableMap::Empty.to_string());
        let long = mappings((0..340).map(|n| (1_000_000_000 + 2 * n, 2_000_000_000 + 2 * n, 1)));
        assert_eq!(cause(&long), UnwritableMap::TooLong { len: 340 * 24 }.to_string());
    }
}
