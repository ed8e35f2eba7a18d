//! A progress bar for the chown of a large tree, on a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sysbox::linux::chown::Progress;

/// A tree that is smaller is chowned before anyone would look.
const WORTH_SHOWING: u64 = 20_000;

/// Does a long piece of work and shows how far it is, if standard error is a terminal.
pub(crate) fn with_bar<T>(what: &'static str, work: impl FnOnce(&(dyn Fn(Progress) + Sync)) -> T) -> T {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()).with_message(what);
    // The template is a constant; one that did not parse would show the default bar.
    if let Ok(style) =
        ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} inodes, {eta} left")
    {
        bar.set_style(style);
    }
    let outcome = work(&|progress: Progress| {
        if bar.is_hidden() && progress.total >= WORTH_SHOWING {
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    });
    bar.finish_and_clear();
    outcome
}
