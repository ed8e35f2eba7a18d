//! The container's terminal, when its spec asks for one: its pseudo-terminal is made inside and handed out over a socket,
//! and what passes through it is passed on to ours.

mod ours;
mod output;

use std::{
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::{UnixListener, UnixStream},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, ioctl_fionbio},
    termios::{tcgetwinsize, tcsetwinsize},
};
use sysbox::AbsPath;

use self::{
    ours::{OurTerminal, is_in_foreground},
    output::Output,
};
use super::{Signals, descriptor::receive_one, signals::wait_readable, supervise::LIMIT};

/// Control-D, by which a terminal in its usual mode tells the end of input (`termios(3)`, `VEOF`).
const END_OF_INPUT: u8 = 4;

/// How long the container gets to make its terminal.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is looked whether we have the foreground again, of which no signal need tell.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// The socket on which the container hands its terminal out (the runtime command line interface's `--console-socket`).
#[derive(Debug)]
pub(crate) struct Console {
    path: AbsPath,
    listener: UnixListener,
}

impl Console {
    /// Listens at a path.
    pub(crate) fn listen(path: AbsPath) -> anyhow::Result<Self> {
        let listener = UnixListener::bind(&path).with_context(|| format!("cannot listen at {path}"))?;
        Ok(Self { path, listener })
    }

    /// The path of the socket.
    pub(crate) fn socket(&self) -> &std::path::Path {
        self.path.as_path()
    }

    /// Takes the terminal over. Ours, if standard input is one, is in raw mode until the value is dropped.
    pub(crate) fn accept(self) -> anyhow::Result<Terminal> {
        if !wait_readable(&self.listener, Instant::now() + PATIENCE)? {
            bail!("the container did not hand its terminal out within {PATIENCE:?}");
        }
        let (stream, _) = self.listener.accept().context("cannot accept the container's terminal")?;
        let master = File::from(receive_one(&stream, "terminal")?);
        // Input that the container does not read must not keep us from its signals and its end.
        ioctl_fionbio(&master, true).context("cannot use the container's terminal")?;
        let output = Output::open().context("cannot use standard output")?;
        let terminal = Terminal { master, ours: OurTerminal::take()?, input: Some(Vec::new()), output };
        terminal.resize()?;
        Ok(terminal)
    }
}

/// The container's terminal and ours.
#[derive(Debug)]
pub(crate) struct Terminal {
    master: File,
    ours: Option<OurTerminal>,
    /// What was read from standard input and not taken by the container yet; `None` once standard input has ended.
    input: Option<Vec<u8>>,
    /// What the container wrote and standard output has not taken yet. Until it has, no more is read.
    output: Output,
}

impl Terminal {
    /// Gives the container's terminal the size of ours.
    pub(crate) fn resize(&self) -> anyhow::Result<()> {
        if self.ours.is_some() {
            let size = tcgetwinsize(io::stdin()).context("cannot get the size of the terminal")?;
            tcsetwinsize(&self.master, size).context("cannot set the size of the container's terminal")?;
        }
        Ok(())
    }

    /// Goes on after this process may have been stopped.
    pub(crate) fn go_on(&mut self) {
        if let Some(ours) = &mut self.ours {
            ours.distrust();
        }
    }

    /// Waits for input, output or a signal, and passes on what is there.
    pub(crate) fn pass_on(&mut self, signals: &UnixStream) -> anyhow::Result<()> {
        let has_keys = self.ours.as_mut().is_none_or(OurTerminal::has_keys);
        let waiting = self.input.as_ref().is_some_and(|input| !input.is_empty());
        let reading = self.input.is_some() && !waiting && has_keys;
        let writing = !self.output.is_empty();
        let when = |wanted, events| if wanted { events } else { PollFlags::empty() };
        let of_master = when(waiting, PollFlags::OUT) | when(!writing, PollFlags::IN);
        let stdin = io::stdin();
        let watched = [
            (signals.as_fd(), PollFlags::IN),
            (self.master.as_fd(), of_master),
            (stdin.as_fd(), when(reading, PollFlags::IN)),
            (self.output.as_fd(), when(writing, PollFlags::OUT)),
        ];
        // One that nothing is wanted of would still be ready for ever once it has ended.
        let watched = watched.map(|it| if it.1.is_empty() { (signals.as_fd(), it.1) } else { it });
        let limit = if has_keys { LIMIT } else { LOOK_AGAIN };
        let Some([_, master, stdin, stdout]) = wait(watched, limit)? else { return Ok(()) };
        if !stdin.is_empty() {
            self.read_input()?;
        }
        if master.contains(PollFlags::OUT) {
            self.write_input()?;
        }
        if !stdout.is_empty() {
            self.output.write()?;
        }
        if master.contains(PollFlags::IN) {
            self.read_output()?;
            self.output.write()?;
        } else if master.contains(PollFlags::HUP) {
            // Every process has closed it; what is left is that the init process ends.
            wait_readable(signals, Instant::now() + Duration::from_millis(100))?;
        }
        Ok(())
    }

    /// Passes on what the container wrote before it ended. Who does not take it is waited for until a signal comes that ends
    /// programs; `is_to_end` tells that one has.
    pub(crate) fn drain(&mut self, signals: &mut Signals, mut is_to_end: bool) -> anyhow::Result<()> {
        loop {
            if self.output.is_empty() {
                self.read_output()?;
            }
            if self.output.is_empty() {
                return Ok(());
            }
            if self.output.write()? {
                continue;
            }
            if is_to_end {
                tracing::warn!("standard output did not take all that the container wrote");
                return Ok(());
            }
            let watched =
                [(signals.descriptor().as_fd(), PollFlags::IN), (self.output.as_fd(), PollFlags::OUT)];
            wait(watched, LIMIT)?;
            is_to_end = signals.check().is_err();
        }
    }

    fn read_input(&mut self) -> anyhow::Result<()> {
        let mut buffer = [0; 8192];
        let count = match rustix::io::read(io::stdin().as_fd(), &mut buffer) {
            Ok(count) => count,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            // The foreground was lost this moment.
            Err(Errno::IO) if !is_in_foreground() => return Ok(()),
            Err(e) => return Err(e).context("cannot read standard input"),
        };
        if count == 0 {
            // What a person would type to say so; a program that waits for input would else wait for ever.
            self.input = Some(vec![END_OF_INPUT]);
            self.write_input()?;
            self.input = None;
            return Ok(());
        }
        self.input = Some(buffer[..count].to_vec());
        self.write_input()
    }

    /// Writes as much of the input as the container's terminal takes.
    fn write_input(&mut self) -> anyhow::Result<()> {
        let Some(input) = self.input.as_mut().filter(|input| !input.is_empty()) else { return Ok(()) };
        match self.master.write(input) {
            Ok(count) => drop(input.drain(..count)),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            // Nobody has it open any more.
            Err(e) if is_hung_up(&e) => self.input = None,
            Err(e) => return Err(e).context("cannot write to the container's terminal"),
        }
        Ok(())
    }

    /// Reads what the container wrote, if there is anything.
    fn read_output(&mut self) -> anyhow::Result<()> {
        let mut buffer = [0; 8192];
        match self.master.read(&mut buffer) {
            Ok(count) => self.output.push(&buffer[..count]),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock || is_hung_up(&e) => {}
            Err(e) => return Err(e).context("cannot read the container's terminal"),
        }
        Ok(())
    }
}

/// Waits until one of these is ready, and tells what each is ready for; `None` where a signal came meanwhile.
fn wait<const N: usize>(
    watched: [(BorrowedFd<'_>, PollFlags); N],
    limit: Duration,
) -> anyhow::Result<Option<[PollFlags; N]>> {
    let mut fds = watched.map(|(fd, events)| PollFd::from_borrowed_fd(fd, events));
    let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
    match poll(&mut fds, Some(&limit)) {
        Ok(_) => Ok(Some(fds.map(|fd| fd.revents()))),
        Err(Errno::INTR) => Ok(None),
        Err(e) => Err(e).context("cannot wait for the terminal"),
    }
}

/// A terminal that nobody has open any more reads and writes as an I/O error.
fn is_hung_up(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::IO.raw_os_error())
}
