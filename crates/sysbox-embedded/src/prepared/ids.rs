//! How many ids go with a first one.

use rusqlite::Connection;
use sysbox_core::{ErrorKind, IdMappings, IdRange, Owner, tree::TreeIds};

use crate::{
    error::Fault,
    registry::{self, Container},
};

/// How many ids a container has of which no more is known than the first.
const SIZE: u32 = 65_536;

/// The ids of a container whose root is this owner on the host: as many as its mappings, or else what it was given, have from
/// there on.
///
/// # Errors
/// `InvalidArgument` when there are not as many ids.
pub(crate) fn tree_ids(db: &Connection, container: &Container, root: Owner) -> Result<TreeIds, Fault> {
    let given = registry::given(db, container.userns)?;
    let range = |mappings: &IdMappings, given: Option<IdRange>, first: u32| {
        let mapped = mappings.as_slice().iter().filter(|extent| extent.container().first() == 0);
        let mut known = mapped.map(|extent| extent.host()).chain(given);
        let size = known.find(|range| range.first() == first).map_or(SIZE, IdRange::count);
        IdRange::new(first, size).map_err(|error| {
            let message = format!("cannot have a root of host id {first}: {error}; give a lower id");
            Fault::refused(ErrorKind::InvalidArgument, message)
        })
    };
    Ok(TreeIds {
        uids: range(&container.mappings.uids, given.and_then(registry::Given::uids), root.uid.0)?,
        gids: range(&container.mappings.gids, given.and_then(registry::Given::gids), root.gid.0)?,
    })
}
