//! What can be said of the ids in force, for those who check a host.

use std::{fmt, path::PathBuf};

use rusqlite::Connection;
use sysbox_core::IdRange;

use crate::{
    config::Config,
    error::{Fault, OpenError},
    held::{self, IdKind},
    idset::IdSet,
    pools::{Pool, PoolSource, Pools, USER},
};

/// The ids that containers can be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubidPools {
    /// The user ids.
    pub uids: SubidPool,
    /// The group ids.
    pub gids: SubidPool,
}

/// The ids of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubidPool {
    /// Where they come from.
    pub origin: SubidOrigin,
    /// What can be used of them: no account of the host has one of these.
    pub ranges: Vec<IdRange>,
    /// How many ranges of 65536 ids could be given if none was held.
    pub slots: u64,
    /// How many of these are held now, in part or whole.
    pub used: u64,
    /// The lines that would make a built-in range permanent, and the file to add them to.
    pub permanent: Option<PermanentRange>,
}

impl SubidPool {
    /// How many ranges of 65536 ids are still to be had.
    pub const fn free(&self) -> u64 {
        self.slots - self.used
    }
}

/// How a built-in range is made one that other programs respect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermanentRange {
    /// The file, `subuid(5)` or `subgid(5)`.
    pub file: PathBuf,
    /// The lines to add to it.
    pub lines: Vec<String>,
}

/// Where ids come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubidOrigin {
    /// The entries of user `sysbox` in this file.
    File(PathBuf),
    /// The configuration ([`SubidSource::Range`](crate::SubidSource::Range)).
    Option,
    /// The built-in range, for no file has an entry of user `sysbox`.
    BuiltIn,
}

impl fmt::Display for SubidOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(f, "the range of user {USER} in {}", file.display()),
            Self::Option => f.write_str("the range that was configured"),
            Self::BuiltIn => f.write_str("the built-in range"),
        }
    }
}

/// The pools are not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubidPoolsError {
    /// An account file cannot be used.
    #[error(transparent)]
    Accounts(#[from] crate::AccountFileError),
    /// The database cannot be used.
    #[error(transparent)]
    State(#[from] OpenError),
    /// No container could have that many ids, even if no other had any.
    #[error("no container can be given {size} {kind} ids: {found}; {cure}")]
    TooSmall {
        /// How many are needed.
        size: u32,
        /// Which: `user` or `group`.
        kind: &'static str,
        /// What there is.
        found: String,
        /// How to add more.
        cure: String,
    },
}

/// Checks by the account files alone that a container could be given `size` ids of each kind. Opens and makes nothing.
///
/// # Errors
/// [`SubidPoolsError::TooSmall`] when it could not, [`SubidPoolsError::Accounts`] when a file cannot be used.
pub fn check_subids(config: &Config, size: u32) -> Result<(), SubidPoolsError> {
    let pools = PoolSource::new(config.subids.clone(), config.accounts.clone()).current()?;
    for kind in IdKind::BOTH {
        let pool = pools.of(kind);
        if let Some(found) = pool.too_small_for(size) {
            return Err(SubidPoolsError::TooSmall { size, kind: kind.name(), found, cure: pool.cure() });
        }
    }
    Ok(())
}

/// How much of the pools is used.
pub(crate) fn report(db: &Connection, pools: &Pools) -> Result<SubidPools, Fault> {
    Ok(SubidPools { uids: report_of(db, pools, IdKind::Uid)?, gids: report_of(db, pools, IdKind::Gid)? })
}

fn report_of(db: &Connection, pools: &Pools, kind: IdKind) -> Result<SubidPool, Fault> {
    let Pool { origin, file, usable, .. } = pools.of(kind);
    let held: IdSet = held::all(db, kind)?.into_iter().collect();
    let slots = usable.slots();
    Ok(SubidPool {
        permanent: match origin {
            SubidOrigin::BuiltIn => Some(permanent(file.clone(), usable)),
            SubidOrigin::File(_) | SubidOrigin::Option => None,
        },
        origin: origin.clone(),
        ranges: usable.ranges().collect(),
        slots,
        used: slots - usable.minus(&held.whole_slots()).slots(),
    })
}

fn permanent(file: PathBuf, usable: &IdSet) -> PermanentRange {
    let line = |range: IdRange| format!("{USER}:{}:{}", range.first(), range.count());
    PermanentRange { file, lines: usable.ranges().map(line).collect() }
}
