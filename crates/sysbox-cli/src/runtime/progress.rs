//! Progress bars for long work on files, on a terminal. Nothing of them is there when the work is done.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sysbox::{
    AbsPath, OnProgress,
    embedded::{Work, WorkProgress},
    linux::chown::Progress,
};

/// A tree that is smaller is chowned before anyone would look.
const WORTH_SHOWING: u64 = 20_000;

/// Fewer are copied before anyone would look.
const WORTH_COUNTING: u64 = 2_000;

const BAR: &str = "{msg} {wide_bar} {human_pos}/{human_len} inodes, {eta} left";
const COUNT: &str = "{msg}: {human_pos} inodes in {elapsed}";

/// Does a long piece of work and shows how far it is, if standard error is a terminal.
pub(crate) fn with_bar<T>(what: &'static str, work: impl FnOnce(&(dyn Fn(Progress) + Sync)) -> T) -> T {
    let bar = hidden(what, BAR);
    let outcome = work(&|progress: Progress| show(&bar, progress.done, Some(progress.total), WORTH_SHOWING));
    bar.finish_and_clear();
    outcome
}

/// What shows how far the embedded manager is with the files of containers, if standard error is a terminal.
#[derive(Clone, Debug, Default)]
pub(crate) struct ManagersBar(Arc<Mutex<Option<Current>>>);

impl ManagersBar {
    /// Who is to be told how far it is.
    pub(crate) fn teller(&self) -> OnProgress {
        let bar = self.clone();
        OnProgress::new(move |progress| {
            let mut current = bar.current();
            if !current.as_ref().is_some_and(|current| current.is_of(progress)) {
                *current = Some(Current::of(progress));
            }
            if let Some(current) = current.as_ref() {
                current.tell(progress);
            }
        })
    }

    /// Takes it away, before others write to the terminal: when a copy is done is not told.
    pub(crate) fn clear(&self) {
        *self.current() = None;
    }

    fn current(&self) -> MutexGuard<'_, Option<Current>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The work that was told of last, and its bar.
#[derive(Debug)]
struct Current {
    work: Work,
    path: AbsPath,
    bar: ProgressBar,
}

impl Current {
    fn of(progress: &WorkProgress) -> Self {
        let bar = match progress.work {
            Work::SyncIn => hidden("filling a volume", COUNT),
            Work::SyncOut => hidden("copying a volume back", COUNT),
            Work::Chown => hidden("shifting owners", BAR),
        };
        Self { work: progress.work, path: progress.path.clone(), bar }
    }

    fn is_of(&self, progress: &WorkProgress) -> bool {
        self.work == progress.work && self.path == progress.path
    }

    /// Threads tell in no order: one that is late must not bring back the bar of what is done.
    fn tell(&self, progress: &WorkProgress) {
        match progress.work {
            // How many there are shows only when all were copied.
            Work::SyncIn | Work::SyncOut => show(&self.bar, progress.done, None, WORTH_COUNTING),
            Work::Chown if self.bar.is_finished() => {}
            Work::Chown if progress.done >= progress.total => self.bar.finish_and_clear(),
            Work::Chown => show(&self.bar, progress.done, Some(progress.total), WORTH_SHOWING),
        }
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A bar that is drawn when there is enough to show.
fn hidden(what: &'static str, template: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()).with_message(what);
    // The templates are constants; one that did not parse would show the default bar.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// Shows how much is done, of all that there is if that is known.
fn show(bar: &ProgressBar, done: u64, total: Option<u64>, worth: u64) {
    if bar.is_hidden() && total.unwrap_or(done) >= worth {
        bar.set_draw_target(ProgressDrawTarget::stderr());
    }
    if let Some(total) = total {
        bar.set_length(total);
    }
    bar.set_position(done);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(work: Work, path: &str, done: u64) -> WorkProgress {
        let path = AbsPath::new(path).expect("absolute");
        WorkProgress { container: "c1".parse().expect("valid"), work, path, done, total: 10 }
    }

    #[test]
    fn a_bar_that_is_done_stays_away_and_other_work_has_another() {
        let current = Current::of(&progress(Work::Chown, "/a", 1));
        current.tell(&progress(Work::Chown, "/a", 10));
        current.tell(&progress(Work::Chown, "/a", 9));
        assert!(current.bar.is_finished());
        assert!(!current.is_of(&progress(Work::Chown, "/b", 1)));
        assert!(!current.is_of(&progress(Work::SyncOut, "/a", 1)));
    }

    #[test]
    fn what_is_shown_of_the_manager_is_what_it_told_last_until_it_is_cleared() {
        let shown = ManagersBar::default();
        let told = |work, done| {
            if let Some(current) = shown.current().as_ref() {
                assert!(current.work == work && current.bar.position() == done && !current.bar.is_finished());
            } else {
                panic!("nothing is shown");
            }
        };
        let teller = shown.teller();
        teller.tell(&progress(Work::SyncIn, "/a", 10));
        told(Work::SyncIn, 10);
        teller.tell(&progress(Work::Chown, "/a", 3));
        told(Work::Chown, 3);
        shown.clear();
        assert!(shown.current().is_none());
    }
}
