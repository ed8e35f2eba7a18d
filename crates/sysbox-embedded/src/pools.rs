//! Which ids containers can be given, by the account files and the configuration, whoever holds them now.
//!
//! No id of a pool is the id of an account, whatever the files say, and a built-in pool has no id that `subuid(5)` or
//! `subgid(5)` give to anybody.

#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use sysbox_core::IdRange;

use crate::{
    accounts::{self, AccountFileError},
    config::{AccountFiles, SubidSource},
    held::IdKind,
    idset::IdSet,
    stamp::Stamp,
    subids::SubidOrigin,
};

/// The user whose subordinate ids are the containers'.
pub(crate) const USER: &str = "sysbox";

/// The built-in range, 1073741824 to 1879048191: within what systemd's UIDS-GIDS document leaves to containers, above what
/// `useradd` (`SUB_UID_MAX`, 600100000) and Incus (1000000 to 1000999999) take unasked.
const BUILT_IN: (u32, u32) = (0x4000_0000, 0x3000_0000);

/// The ids of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pool {
    pub(crate) origin: SubidOrigin,
    /// Where an entry of user `sysbox` stands or would stand.
    pub(crate) file: PathBuf,
    /// What the origin gives.
    pub(crate) declared: IdSet,
    /// What of it can be used.
    pub(crate) usable: IdSet,
    /// What is certainly another's: whole slots with an account, and entries of other users.
    foreign: IdSet,
}

impl Pool {
    #[cfg(test)]
    pub(crate) fn of_option(ids: IdSet) -> Self {
        Self {
            origin: SubidOrigin::Option,
            file: PathBuf::new(),
            declared: ids.clone(),
            usable: ids,
            foreign: IdSet::default(),
        }
    }

    /// Whether a range given earlier can be kept: the pool may have moved away from it, as long as nobody else moved in.
    pub(crate) fn lets_keep(&self, range: IdRange) -> bool {
        self.usable.contains_all(range) || !self.foreign.overlaps(range)
    }

    /// How more ids are had.
    pub(crate) fn cure(&self) -> String {
        match self.origin {
            SubidOrigin::Option => "give a larger --subid-range FIRST:COUNT".to_owned(),
            SubidOrigin::File(_) | SubidOrigin::BuiltIn => format!(
                "add a line {USER}:FIRST:COUNT to {} or give --subid-range FIRST:COUNT",
                self.file.display()
            ),
        }
    }

    /// Why no range of this size begins in the pool, even if nobody held any; `None` if one does.
    pub(crate) fn too_small_for(&self, size: u32) -> Option<String> {
        if self.usable.places(size).count() > 0 {
            return None;
        }
        let (origin, all) = (&self.origin, self.declared.len());
        Some(if self.usable.is_empty() {
            format!(
                "{origin} has {all} ids and all of them share a block of 65536 with an account of this host"
            )
        } else if self.usable.slots() == 0 {
            format!(
                "{origin} has {all} ids and none from which a range can begin, a multiple of 65536 above 0"
            )
        } else {
            format!(
                "{origin} has {all} ids, which is too small: {size} ids in a row are needed that begin at a multiple \
                 of 65536 and not below {size}"
            )
        })
    }
}

/// The ids of both kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pools {
    pub(crate) uids: Pool,
    pub(crate) gids: Pool,
}

impl Pools {
    pub(crate) fn of(&self, kind: IdKind) -> &Pool {
        match kind {
            IdKind::Uid => &self.uids,
            IdKind::Gid => &self.gids,
        }
    }

    fn read(source: &SubidSource, files: &AccountFiles) -> Result<Self, AccountFileError> {
        let (passwd, group) = (accounts::read(&files.passwd)?, accounts::read(&files.group)?);
        // subgid(5) names its users too, so both files go by the number of the account.
        let user =
            accounts::accounts(&passwd).find(|(name, _)| *name == USER).map(|(_, uid)| uid.to_string());
        let owners = [Some(USER), user.as_deref()];
        let pool = |subids: &Path, ids: &str| {
            let text = accounts::read(subids)?;
            let entries = accounts::subid_entries(subids, &text)?;
            let (own, others): (Vec<_>, Vec<_>) =
                entries.into_iter().partition(|entry| owners.contains(&Some(entry.owner)));
            let ranges = |entries: Vec<accounts::SubidEntry<'_>>| {
                entries.into_iter().map(|entry| entry.range).collect()
            };
            Ok(assemble(source, subids, ranges(own), ranges(others), ids))
        };
        Ok(Self { uids: pool(&files.subuid, &passwd)?, gids: pool(&files.subgid, &group)? })
    }
}

fn assemble(source: &SubidSource, file: &Path, own: IdSet, others: IdSet, accounts: &str) -> Pool {
    let ids = accounts::accounts(accounts).filter_map(|(_, id)| IdRange::new(id, 1).ok());
    let accounts = ids.collect::<IdSet>().whole_slots();
    let (origin, declared, withheld) = match source {
        SubidSource::Range(range) => (SubidOrigin::Option, IdSet::from_iter([*range]), accounts.clone()),
        SubidSource::Files if !own.is_empty() => (SubidOrigin::File(file.to_owned()), own, accounts.clone()),
        SubidSource::Files => {
            let built_in = IdRange::new(BUILT_IN.0, BUILT_IN.1).into_iter().collect();
            (SubidOrigin::BuiltIn, built_in, accounts.or(&others.whole_slots()))
        }
    };
    let (usable, foreign) = (declared.minus(&withheld), accounts.or(&others));
    Pool { origin, file: file.to_owned(), declared, usable, foreign }
}

/// Of the account files; a file that is not there has none.
type Stamps = [Option<Stamp>; 4];

/// The pools, read again when a file has changed.
#[derive(Debug)]
pub(crate) struct PoolSource {
    subids: SubidSource,
    files: AccountFiles,
    last: Mutex<Option<(Stamps, Arc<Pools>)>>,
}

impl PoolSource {
    pub(crate) fn new(subids: SubidSource, files: AccountFiles) -> Self {
        Self { subids, files, last: Mutex::new(None) }
    }

    /// The pools as the files are now.
    pub(crate) fn current(&self) -> Result<Arc<Pools>, AccountFileError> {
        // The stamps are taken before the files are read: a change in between is seen the next time.
        let AccountFiles { passwd, group, subuid, subgid } = &self.files;
        let now = [stamp(passwd)?, stamp(group)?, stamp(subuid)?, stamp(subgid)?];
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((stamps, pools)) if *stamps == now => Ok(pools.clone()),
            _ => {
                let pools = Arc::new(Pools::read(&self.subids, &self.files)?);
                *last = Some((now, pools.clone()));
                Ok(pools)
            }
        }
    }
}

fn stamp(path: &Path) -> Result<Option<Stamp>, AccountFileError> {
    Stamp::of(path).map_err(|source| AccountFileError::Unreadable { path: path.to_owned(), source })
}
