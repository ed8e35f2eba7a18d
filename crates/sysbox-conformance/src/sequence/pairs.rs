//! What stands for what: values that each backend chooses for itself, the model's and the subject's.

use std::collections::BTreeMap;

use sysbox_core::{IdMapping, IdMappings, IdRange, Mount, Subids};

use super::script::Who;
use crate::{Broken, Outcome, case::same};

/// Chosen values, by the model's.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    uids: BTreeMap<u32, Range>,
    gids: BTreeMap<u32, Range>,
    places: BTreeMap<(Who, String), String>,
}

/// The subject's range for one of the model's.
#[derive(Clone, Copy, Debug)]
struct Range {
    first: u32,
    size: u32,
}

/// Mappings of both kinds.
#[derive(Clone, Debug, Default)]
pub(super) struct Mapped {
    pub(super) uids: IdMappings,
    pub(super) gids: IdMappings,
}

impl Pairs {
    /// Takes over what was given to a container that had no ids; `others` are what others have, in the model's ids.
    pub(super) fn given(
        &mut self,
        (model, subject): (Subids, Subids),
        size: u32,
        others: impl Iterator<Item = Subids>,
    ) -> Outcome {
        for other in others {
            for (kind, first, taken) in [
                ("user", subject.uid.0, self.uids.get(&other.uid.0)),
                ("group", subject.gid.0, self.gids.get(&other.gid.0)),
            ] {
                let taken = taken.and_then(|taken| IdRange::new(taken.first, taken.size).ok());
                let own = ids(first, size)?;
                if let Some(taken) = taken.filter(|taken| taken.overlaps(own)) {
                    return Err(Broken::new(format!(
                        "{kind} ids {own} were given, of which another has {taken}"
                    )));
                }
            }
        }
        self.uids.insert(model.uid.0, Range { first: subject.uid.0, size });
        self.gids.insert(model.gid.0, Range { first: subject.gid.0, size });
        Ok(())
    }

    /// Requires what a container was given before.
    pub(super) fn given_again(&self, (model, subject): (Subids, Subids)) -> Outcome {
        let first = |range: Option<&Range>| range.map(|range| range.first);
        same("user ids given again", &Some(subject.uid.0), &first(self.uids.get(&model.uid.0)))?;
        same("group ids given again", &Some(subject.gid.0), &first(self.gids.get(&model.gid.0)))
    }

    /// Mappings of all of the ids that were given, in the model's ids.
    pub(super) fn all_of(&self, model: Subids) -> Result<Mapped, Broken> {
        let all = |first: u32, pair: Option<&Range>| match pair {
            Some(pair) => single(first, pair.size),
            None => Ok(IdMappings::default()),
        };
        Ok(Mapped {
            uids: all(model.uid.0, self.uids.get(&model.uid.0))?,
            gids: all(model.gid.0, self.gids.get(&model.gid.0))?,
        })
    }

    /// The subject's mappings for the model's.
    pub(super) fn subjects(&self, model: &Mapped) -> Result<Mapped, Broken> {
        Ok(Mapped { uids: translated(&model.uids, &self.uids)?, gids: translated(&model.gids, &self.gids)? })
    }

    /// Requires a place of the subject's to be the one that it was before, if the model's is.
    pub(super) fn place(&mut self, of: Who, model: &str, subject: &str) -> Outcome {
        let before = self.places.entry((of, model.to_owned())).or_insert_with(|| subject.to_owned());
        same("the place", &subject, &before.as_str())
    }

    /// Requires a mount for each of the model's; others may be among them, such as those of kernel headers.
    pub(super) fn mounts(&mut self, of: Who, model: &[Mount], subject: &[Mount]) -> Outcome {
        for mount in model {
            let at_it = subject.iter().find(|other| other.destination == mount.destination);
            let other = at_it.ok_or_else(|| Broken::new(format!("no mount at {}", mount.destination)))?;
            same("the kind of mount", &other.kind, &mount.kind)?;
            same("the mount's options", &other.options, &mount.options)?;
            self.place(of, &mount.source, &other.source)?;
        }
        Ok(())
    }

    /// Forgets what a container had that was removed.
    pub(super) fn removed(&mut self, id: Who) {
        self.places.retain(|(of, _), _| *of != id);
    }
}

/// One extent of these ids, from container id 0 on.
pub(super) fn single(first: u32, size: u32) -> Result<IdMappings, Broken> {
    IdMappings::single(ids(first, size)?).map_err(|invalid| Broken::new(invalid.to_string()))
}

fn ids(first: u32, size: u32) -> Result<IdRange, Broken> {
    IdRange::new(first, size).map_err(|invalid| Broken::new(format!("no ids can be given so: {invalid}")))
}

fn translated(model: &IdMappings, pairs: &BTreeMap<u32, Range>) -> Result<IdMappings, Broken> {
    let extents = model.as_slice().iter().map(|extent| match pairs.get(&extent.host().first()) {
        Some(pair) => IdMapping::new(extent.container().first(), pair.first, extent.size()),
        None => Ok(*extent),
    });
    let extents =
        extents.collect::<Result<Vec<_>, _>>().map_err(|invalid| Broken::new(invalid.to_string()))?;
    IdMappings::new(extents).map_err(|invalid| Broken::new(invalid.to_string()))
}
