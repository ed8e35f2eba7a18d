//! The container's terminal, when its spec asks for one: its pseudo-terminal is made inside and handed out over a socket,
//! and what passes through it is passed on to ours.

use std::{
    fs::File,
    io::{self, IsTerminal, Read, Write},
    os::{
        fd::AsFd,
        unix::net::{UnixListener, UnixStream},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::ioctl_fionbio,
    termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize},
};
use sysbox::AbsPath;

use super::{descriptor::receive_one, signals::wait_readable, supervise::LIMIT};

/// Control-D, by which a terminal in its usual mode tells the end of input (`termios(3)`, `VEOF`).
const END_OF_INPUT: u8 = 4;

/// How long the container gets to make its terminal.
const PATIENCE: Duration = Duration::from_secs(10);

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

    /// Takes the terminal over. Ours, if standard input is one, is put into raw mode until the value is dropped.
    pub(crate) fn accept(self) -> anyhow::Result<Terminal> {
        if !wait_readable(&self.listener, Instant::now() + PATIENCE)? {
            bail!("the container did not hand its terminal out within {PATIENCE:?}");
        }
        let (stream, _) = self.listener.accept().context("cannot accept the container's terminal")?;
        let master = File::from(receive_one(&stream, "terminal")?);
        // Input that the container does not read must not keep us from its signals and its end.
        ioctl_fionbio(&master, true).context("cannot use the container's terminal")?;
        let terminal = Terminal { master, ours: OurTerminal::make_raw()?, input: Some(Vec::new()) };
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

    /// Waits for input, output or a signal, and passes on what is there.
    pub(crate) fn pass_on(&mut self, signals: &UnixStream) -> anyhow::Result<()> {
        let stdin = io::stdin();
        let waiting = self.input.as_ref().is_some_and(|input| !input.is_empty());
        let wanted = if waiting { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let mut fds = vec![PollFd::new(signals, PollFlags::IN), PollFd::new(&self.master, wanted)];
        // One that has ended would always be ready.
        if self.input.is_some() && !waiting {
            fds.push(PollFd::new(&stdin, PollFlags::IN));
        }
        let limit = Timespec::try_from(LIMIT).map_err(io::Error::other)?;
        match poll(&mut fds, Some(&limit)) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(e) => return Err(e).context("cannot wait for the terminal"),
        }
        let master = fds[1].revents();
        if fds.get(2).is_some_and(|stdin| !stdin.revents().is_empty()) {
            self.read_input()?;
        }
        if waiting && master.contains(PollFlags::OUT) {
            self.write_input()?;
        }
        if master.contains(PollFlags::IN) {
            self.pass_output()?;
        } else if master.contains(PollFlags::HUP) {
            // Every process has closed it; what is left is that the init process ends.
            wait_readable(signals, Instant::now() + Duration::from_millis(100))?;
        }
        Ok(())
    }

    /// Passes on what the container wrote before it ended.
    pub(crate) fn drain(&mut self) -> anyhow::Result<()> {
        while wait_readable(&self.master, Instant::now())? && self.pass_output()? {}
        Ok(())
    }

    fn read_input(&mut self) -> anyhow::Result<()> {
        let mut buffer = [0; 8192];
        let count =
            rustix::io::read(io::stdin().as_fd(), &mut buffer).context("cannot read standard input")?;
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

    /// Tells whether there may be more.
    fn pass_output(&mut self) -> anyhow::Result<bool> {
        let mut buffer = [0; 8192];
        let count = match self.master.read(&mut buffer) {
            Ok(count) => count,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock || is_hung_up(&e) => 0,
            Err(e) => return Err(e).context("cannot read the container's terminal"),
        };
        let mut stdout = io::stdout().lock();
        stdout
            .write_all(&buffer[..count])
            .and_then(|()| stdout.flush())
            .context("cannot write standard output")?;
        Ok(count > 0)
    }
}

/// A terminal that nobody has open any more reads and writes as an I/O error.
fn is_hung_up(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

/// Our terminal in raw mode: every key goes to the container. It is as it was again when this is dropped.
#[derive(Debug)]
struct OurTerminal {
    before: Termios,
}

impl OurTerminal {
    fn make_raw() -> anyhow::Result<Option<Self>> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return Ok(None);
        }
        let before = tcgetattr(&stdin).context("cannot get the mode of the terminal")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Drain, &raw).context("cannot put the terminal into raw mode")?;
        Ok(Some(Self { before }))
    }
}

impl Drop for OurTerminal {
    fn drop(&mut self) {
        if let Err(error) = tcsetattr(io::stdin(), OptionalActions::Drain, &self.before) {
            tracing::warn!(%error, "cannot give the terminal its mode back; type: reset");
        }
    }
}
