//! The terminal that we were started on: raw while its keys are the container's, and as it was afterwards.
//!
//! It is left alone while another process group has the foreground. Its mode is set so that the kernel does not stop us for it:
//! who has lost the foreground cleans up too.

use std::{
    io::{self, IsTerminal},
    mem,
};

use anyhow::Context;
use rustix::{
    process::getpgrp,
    termios::{OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr},
};
use sysbox::linux::signals::without_signals;

/// Our terminal, if standard input is one. It is as it was again when this is dropped.
#[derive(Debug)]
pub(super) struct OurTerminal {
    /// Its mode before it was made raw, unless it was so by itself.
    before: Option<Termios>,
    /// Whether its keys were ours when last looked at.
    has_keys: bool,
}

impl OurTerminal {
    /// Takes it, as soon as we have the foreground.
    pub(super) fn take() -> anyhow::Result<Option<Self>> {
        if !io::stdin().is_terminal() {
            return Ok(None);
        }
        let mut ours = Self { before: None, has_keys: is_in_foreground() };
        if ours.has_keys {
            ours.make_raw().context("cannot put the terminal into raw mode")?;
        }
        Ok(Some(ours))
    }

    /// Whether its keys are ours now. When they have come to be it is made raw, which who had it before may have undone.
    pub(super) fn has_keys(&mut self) -> bool {
        let had_keys = mem::replace(&mut self.has_keys, is_in_foreground());
        if self.has_keys
            && !had_keys
            && let Err(error) = self.make_raw()
        {
            tracing::warn!(%error, "cannot put the terminal into raw mode again");
        }
        self.has_keys
    }

    /// Has its mode looked at again: others used it while we were stopped.
    pub(super) fn distrust(&mut self) {
        self.has_keys = false;
    }

    fn make_raw(&mut self) -> io::Result<()> {
        let now = tcgetattr(io::stdin())?;
        if !is_raw(&now) {
            let mut raw = now.clone();
            raw.make_raw();
            set_mode(&raw)?;
            self.before = Some(now);
        }
        Ok(())
    }

    fn restore(&self) -> io::Result<()> {
        let Some(before) = &self.before else { return Ok(()) };
        // Who has the foreground instead may have given it a mode of its own.
        if is_in_foreground() || is_raw(&tcgetattr(io::stdin())?) {
            set_mode(before)?;
        }
        Ok(())
    }
}

impl Drop for OurTerminal {
    fn drop(&mut self) {
        if let Err(error) = self.restore() {
            tracing::warn!(%error, "cannot give the terminal its mode back; type: reset");
        }
    }
}

/// Whether our terminal's keys are for us. Where it is not the one that controls us there is no foreground, and they are.
pub(super) fn is_in_foreground() -> bool {
    tcgetpgrp(io::stdin()).map_or(true, |group| group == getpgrp())
}

fn is_raw(mode: &Termios) -> bool {
    let mut raw = mode.clone();
    raw.make_raw();
    (raw.input_modes, raw.output_modes, raw.local_modes)
        == (mode.input_modes, mode.output_modes, mode.local_modes)
}

/// At once, since output that a terminal does not show would be waited for without end.
fn set_mode(mode: &Termios) -> io::Result<()> {
    without_signals(|| tcsetattr(io::stdin(), OptionalActions::Now, mode))?.map_err(Into::into)
}
