//! A terminal for a program, with the test at the keyboard.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    path::PathBuf,
    process::{Child, Command, ExitStatus},
    time::{Duration, Instant},
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};

use crate::running::{PATIENCE, wait_for_end, wait_readable};

/// A program that leads a session on a terminal of its own. It is ended when this is dropped.
#[derive(Debug)]
pub struct Pty {
    keyboard: File,
    /// Kept open, so that the terminal's state can be looked at after the program has ended.
    terminal: File,
    child: Child,
    seen: String,
}

impl Pty {
    /// Starts a program on a new terminal of this size.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(command: &Command, rows: u16, columns: u16) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let keyboard: OwnedFd = openpt(flags).expect("a pseudo-terminal");
        grantpt(&keyboard).and_then(|()| unlockpt(&keyboard)).expect("ours");
        let path = ptsname(&keyboard, Vec::new()).expect("it has a name").into_string().expect("ASCII");
        let terminal = File::options().read(true).write(true).open(PathBuf::from(path)).expect("ours");
        let copy = || terminal.try_clone().expect("duplicated");
        // setsid(1) makes the terminal the controlling one, which a process can only do for itself.
        let mut program = Command::new("setsid");
        program.arg("--ctty").arg(command.get_program()).args(command.get_args());
        program.stdin(copy()).stdout(copy()).stderr(copy());
        let mut pty = Self {
            keyboard: keyboard.into(),
            child: program.spawn().expect("setsid of util-linux"),
            terminal,
            seen: String::new(),
        };
        pty.resize(rows, columns);
        pty
    }

    /// Types.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn send(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).expect("the terminal is there");
    }

    /// Changes the size of the terminal's window.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn resize(&mut self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.terminal, size).expect("the terminal is there");
    }

    /// Waits until `text` is on the screen, after what was waited for before.
    ///
    /// # Panics
    /// When it is not there in time, or when the program has ended without writing it.
    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        let mut has_ended = false;
        loop {
            if let Some(start) = self.seen.find(text) {
                self.seen.drain(..start + text.len());
                return;
            }
            // What a program wrote is there when it has ended, so the screen is looked at once more after the end.
            let ready = wait_readable(&self.keyboard, Instant::now() + Duration::from_millis(100));
            let is_hopeless = !ready && (has_ended || Instant::now() > deadline);
            assert!(!is_hopeless, "{text:?} is not on the screen: {:?}", self.seen);
            if ready {
                let mut buffer = [0; 4096];
                let count = self.keyboard.read(&mut buffer).expect("readable");
                self.seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
            } else {
                has_ended = self.child.try_wait().expect("it is our child").is_some();
            }
        }
    }

    /// Whether the terminal echoes what is typed and waits for whole lines, as before a program changed it.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn is_cooked(&self) -> bool {
        let modes = tcgetattr(&self.terminal).expect("the terminal is there").local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    /// Waits for the program's end.
    ///
    /// # Panics
    /// When it does not end in time.
    #[track_caller]
    pub fn end(&mut self) -> ExitStatus {
        if let Some(status) = self.child.try_wait().expect("it is our child") {
            return status;
        }
        let status = wait_for_end(&mut self.child, PATIENCE);
        status.unwrap_or_else(|| panic!("it does not end; the screen is: {:?}", self.seen))
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        // It may have ended and been waited for already; then both do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
