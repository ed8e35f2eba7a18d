//! Finishing or undoing what a process has begun with the files of a container and not finished.

use crate::{
    clone,
    error::Fault,
    files::{self, Intent},
    ground::{Ground, Turn},
    marks, prepared, remove,
    step::step,
    stop, volumes,
};

/// Settles what was left of a container, if anything was, and tells what that was. The container's rows say what is to be there.
///
/// # Errors
/// Whatever the effects fail with, said as what it is: the failure to mend an earlier call. The intent stays.
pub(crate) fn settle(ground: &Ground<'_>, turn: &Turn) -> Result<Option<Intent>, Fault> {
    let found = ground.store.read(|db| files::find(db, turn.nr))?.and_then(|files| files.intent);
    let Some(intent) = found else { return Ok(None) };
    tracing::info!(container = %turn.id, ?intent, "settling what was left half done");
    mend(ground, turn, intent).map_err(|fault| fault.while_mending(intent))?;
    step("settle");
    Ok(Some(intent))
}

fn mend(ground: &Ground<'_>, turn: &Turn, intent: Intent) -> Result<(), Fault> {
    match intent {
        Intent::ReqMounts => volumes::discard_unlisted(ground, turn)?,
        Intent::PrepMounts => prepared::take_back_pending(ground, turn)?,
        Intent::Mark => marks::forget_unmarked(ground, turn)?,
        Intent::CloneRootfs => clone::discard_unlisted(ground, turn)?,
        Intent::ChownClone => clone::unshift(ground, turn)?,
        Intent::RevertClone => {
            clone::unshift(ground, turn)?;
            return ground.store.write(|db| {
                clone::note_unshifted(db, turn.nr)?;
                files::settled(db, turn.nr)
            });
        }
        Intent::Pause => stop::resume(ground, turn)?,
        Intent::Resume => stop::pause(ground, turn)?,
        Intent::Stop => {
            stop::stop(ground, turn)?;
            return ground.store.write(|db| {
                stop::note_stopped(db, turn.nr)?;
                files::settled(db, turn.nr)
            });
        }
        Intent::Remove => {
            remove::remove_files(ground, turn)?;
            ground.store.write(|db| remove::forget(db, &turn.id))?;
            remove::leave(turn);
            return Ok(());
        }
    }
    ground.store.write(|db| files::settled(db, turn.nr))
}
