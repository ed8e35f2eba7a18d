//! Whose the sources of bind mounts are, when nobody uses them any more.

use std::path::Path;

use sysbox_core::{ErrorKind, HostGid, HostUid, MountToPrepare, MountsToPrepare};

use super::{
    files::{Owners, belongs, make, make_dir, owners_of, reads},
    life::path,
};
use crate::{
    Broken, Case, Outcome, World,
    case::{case, refused, same},
    world::container,
};

pub(super) static CASES: &[Case] = &[
    case!("mgr::sources", a_source_belongs_to_whom_it_did_when_its_container_stops, [Mgr, PrepMounts, Files]),
    case!("mgr::sources", a_source_is_not_taken_from_one_who_uses_it_still, [Mgr, PrepMounts, Files]),
    case!("mgr::sources", nothing_is_prepared_where_a_source_is_missing, [Mgr, PrepMounts, Files]),
];

const OWNER: Owners = (1000, 1001);

/// Wishes of containers that share a source.
fn to_prepare(world: &World, id: &str) -> Result<MountsToPrepare, Broken> {
    let source = world.dir("source")?;
    let mounts = vec![MountToPrepare { source, exclusive: false }];
    Ok(MountsToPrepare { id: container(id), uid: HostUid(231_072), gid: HostGid(331_072), mounts })
}

/// Fills a source: most of it is one user's, with something of another.
fn fill(source: &Path) -> Outcome {
    make_dir(source, OWNER)?;
    make(source.join("own"), "own", OWNER)?;
    make(source.join("another's"), "another's", (0, 0))
}

fn is_as_made(source: &Path) -> Outcome {
    belongs(source, OWNER)?;
    belongs(source.join("own"), OWNER)?;
    belongs(source.join("another's"), (0, 0))?;
    reads(source.join("own"), "own")
}

async fn a_source_belongs_to_whom_it_did_when_its_container_stops(world: &mut World) -> Outcome {
    let (mgr, request, wish) = (world.mgr()?, world.registration("c")?, to_prepare(world, "c")?);
    let source = world.dir("source")?;
    fill(source.as_path())?;
    mgr.register(&request).await?;
    mgr.prep_mounts(&wish).await?;
    reads(source.as_path().join("own"), "own")?;
    mgr.unregister(&request.id).await?;
    is_as_made(source.as_path())
}

async fn a_source_is_not_taken_from_one_who_uses_it_still(world: &mut World) -> Outcome {
    let (mgr, source) = (world.mgr()?, world.dir("source")?);
    fill(source.as_path())?;
    for id in ["one", "other"] {
        mgr.register(&world.registration(id)?).await?;
        mgr.prep_mounts(&to_prepare(world, id)?).await?;
    }
    let meanwhile = owners_of(source.as_path())?;
    mgr.unregister(&container("one")).await?;
    same("the owners of what the other uses", &owners_of(source.as_path())?, &meanwhile)?;
    mgr.unregister(&container("other")).await?;
    is_as_made(source.as_path())
}

async fn nothing_is_prepared_where_a_source_is_missing(world: &mut World) -> Outcome {
    let (mgr, request, mut wish) = (world.mgr()?, world.registration("c")?, to_prepare(world, "c")?);
    let source = world.dir("source")?;
    fill(source.as_path())?;
    mgr.register(&request).await?;
    wish.mounts.push(MountToPrepare { source: path("/nowhere/at/all"), exclusive: false });
    refused("a missing source", mgr.prep_mounts(&wish).await, ErrorKind::InvalidArgument)?;
    is_as_made(source.as_path())
}
