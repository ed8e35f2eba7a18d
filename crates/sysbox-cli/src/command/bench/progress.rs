//! What is being measured and how far it is, on a terminal.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar over the time that it will take. Without a terminal nothing is shown.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    began: Instant,
}

impl Progress {
    /// Begins now.
    pub(crate) fn new(takes: Duration) -> Self {
        let length = u64::try_from(takes.as_millis()).ok();
        // It hides itself where standard error is no terminal.
        let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr());
        // The template is a constant; one that did not parse would show the default bar.
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {percent:>3}%\n{msg}") {
            bar.set_style(style);
        }
        Self { bar, began: Instant::now() }
    }

    /// Says what is being measured from now on. It takes time, and is for the pause between two blocks.
    pub(crate) fn say(&self, what: &str) {
        if !self.bar.is_hidden() {
            self.bar.set_position(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX));
            self.bar.set_message(what.to_owned());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
