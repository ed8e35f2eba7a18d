//! In a daemon: containers are released as soon as their rootfs is gone.
//!
//! A directory says what goes from it (inotify(7)). That is watched for the directories around the rootfs of stopped containers;
//! who has really gone is then looked up, so an event more or less changes nothing. What events cannot tell (containers that other
//! processes stop, a rename further up) is found by looking from time to time.

use std::{
    collections::{HashMap, HashSet},
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    fs::inotify::{self, CreateFlags, WatchFlags},
    io::{Errno, read, write},
};

use crate::{
    EmbeddedMgr,
    record::{ContainerRecord, ContainerState},
    registry,
};

/// How long something that no event tells of may go unnoticed.
const AT_LATEST: Duration = Duration::from_secs(30);

/// How long events are gathered: a look at all containers takes milliseconds, and a busy directory has many events.
const GATHERED: Duration = Duration::from_millis(100);

/// The rootfs of containers cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("the rootfs of stopped containers cannot be watched; `sysbox gc` releases those that are gone")]
pub struct WatchError {
    #[from]
    source: io::Error,
}

/// What wakes a watch up when a container has stopped in this process.
#[derive(Debug)]
pub(crate) struct Bell(OwnedFd);

impl Bell {
    /// Wakes it up.
    pub(crate) fn ring(&self) {
        // A counter that is full has rung.
        if let Err(error) = write(&self.0, &1u64.to_ne_bytes()) {
            tracing::debug!(%error, "the watch is up already");
        }
    }

    fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    fn hush(&self) {
        let mut count = [0; 8];
        if let Err(error) = read(&self.0, &mut count) {
            tracing::trace!(%error, "it has not rung");
        }
    }
}

impl EmbeddedMgr {
    /// Releases every stopped container whose rootfs goes, with its ids and volumes, until `stop` is readable. For a thread
    /// of a daemon.
    ///
    /// # Errors
    /// [`WatchError`] when the kernel gives no inotify instance (`fs.inotify.max_user_instances`). Directories that cannot be
    /// watched (`fs.inotify.max_user_watches`) are looked at from time to time.
    pub fn release_when_gone(&self, stop: impl AsFd) -> Result<(), WatchError> {
        let mut watches = Watches::new()?;
        let bell = match self.bell.get() {
            Some(bell) => bell,
            None => {
                let new = Bell::new()?;
                self.bell.get_or_init(|| new)
            }
        };
        loop {
            bell.hush();
            match self.store.read(registry::list) {
                // Watched first: what goes after that is told, what went before is seen.
                Ok(containers) => watches.set(&containers),
                Err(fault) => tracing::warn!(?fault, "stopped containers are not watched for now"),
            }
            self.release_gone();
            let mut awaited = [
                PollFd::new(&stop, PollFlags::IN),
                PollFd::new(&watches.inotify, PollFlags::IN),
                PollFd::new(&bell.0, PollFlags::IN),
            ];
            wait(&mut awaited, AT_LATEST)?;
            let mut end = [PollFd::new(&stop, PollFlags::IN)];
            wait(&mut end, GATHERED)?;
            if !end[0].revents().is_empty() {
                return Ok(());
            }
            watches.drain()?;
        }
    }
}

fn wait(awaited: &mut [PollFd<'_>], limit: Duration) -> io::Result<()> {
    let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
    match poll(awaited, Some(&limit)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// The directories that are watched.
#[derive(Debug)]
struct Watches {
    inotify: OwnedFd,
    of: HashMap<PathBuf, i32>,
}

impl Watches {
    fn new() -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Self { inotify, of: HashMap::new() })
    }

    /// Watches what is around the rootfs of these, and nothing else.
    fn set(&mut self, containers: &[ContainerRecord]) {
        let stopped = containers.iter().filter(|container| container.state == ContainerState::Stopped);
        let wanted: HashSet<&Path> =
            stopped.flat_map(|container| around(container.rootfs.as_path())).collect();
        let inotify = &self.inotify;
        self.of.retain(|dir, watch| {
            let keep = wanted.contains(dir.as_path());
            if !keep && let Err(error) = inotify::remove_watch(inotify, *watch) {
                tracing::trace!(%error, dir = %dir.display(), "it went with its directory");
            }
            keep
        });
        let flags = WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        for dir in wanted {
            // Added anew each time: another directory may have come into its place. The same one keeps its watch.
            match inotify::add_watch(inotify, dir, flags) {
                Ok(watch) => drop(self.of.insert(dir.to_owned(), watch)),
                Err(error) => {
                    tracing::debug!(%error, dir = %dir.display(), "it is looked at from time to time")
                }
            }
        }
    }

    /// Forgets the events: they say no more than that something went.
    fn drain(&self) -> io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&self.inotify, &mut buffer);
        loop {
            match events.next() {
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// The directories from which a rootfs goes: that which holds it, and, as Docker's mount point `merged` comes and goes, that
/// which holds this one.
fn around(rootfs: &Path) -> impl Iterator<Item = &Path> {
    let parent = rootfs.parent();
    let above = parent.filter(|_| rootfs.ends_with("merged")).and_then(Path::parent);
    parent.into_iter().chain(above)
}
