//! What is in the clone of a rootfs, whose it is, and what of it is in the rootfs.

use std::path::PathBuf;

use sysbox_core::{MgrPort, Registration};

use super::{
    clone::{GID, UID, offsets},
    files::{Owners, belongs, change, delete, is_gone, make, reads},
    life::end,
};
use crate::{Broken, Case, Outcome, World, case::case};

pub(super) static CASES: &[Case] = &[
    case!("mgr::cloned", a_clone_has_the_files_of_the_rootfs, [Mgr, CloneRootfs, Files]),
    case!("mgr::cloned", owners_in_a_clone_are_shifted_by_the_offsets_and_back, [Mgr, CloneRootfs, Files]),
    case!(
        "mgr::cloned",
        owners_in_a_clone_are_as_made_while_its_container_is_paused,
        [Mgr, CloneRootfs, Files]
    ),
    case!("mgr::cloned", owners_are_as_made_after_a_stop, [Mgr, CloneRootfs, Files]),
    case!("mgr::cloned", what_is_written_into_a_clone_is_in_the_rootfs, [Mgr, CloneRootfs, Files]),
    case!(
        "mgr::cloned",
        a_removed_clone_is_gone_and_the_rootfs_is_as_made,
        [Mgr, CloneRootfs, Files, Remove]
    ),
];

/// Files of the image, and one that was made after it, with their owners.
const MADE: [(&str, Owners); 3] =
    [("root's", (0, 0)), ("dir/a user's", (1000, 1001)), ("made later", (0, 5))];

/// A container with a clone of its rootfs.
struct Scene {
    request: Registration,
    clone: PathBuf,
}

impl Scene {
    async fn new(world: &mut World, mgr: &dyn MgrPort) -> Result<Self, Broken> {
        let layer = world.dir("c-layer")?;
        let [root, user, later] = MADE;
        for (name, owners) in [root, user] {
            make(layer.as_path().join(name), "as made", owners)?;
        }
        let request = world.clonable_of("c", &layer)?;
        make(request.rootfs.as_path().join(later.0), "as made", later.1)?;
        mgr.register(&request).await?;
        let clone = mgr.clone_rootfs(&request.id).await?.as_path().to_owned();
        Ok(Self { request, clone })
    }

    /// Requires the files in the clone, owned as made.
    fn is_as_made(&self) -> Outcome {
        MADE.iter().try_for_each(|(name, owners)| is(self.clone.join(name), *owners))
    }

    /// Requires the files in the clone, owned as made but for the offsets.
    fn is_shifted(&self) -> Outcome {
        MADE.iter().try_for_each(|(name, owners)| is(self.clone.join(name), shifted(*owners)))
    }

    /// Requires the files in the rootfs, owned as made.
    fn rootfs_is_as_made(&self) -> Outcome {
        MADE.iter().try_for_each(|(name, owners)| is(self.request.rootfs.as_path().join(name), *owners))
    }
}

const fn shifted((uid, gid): Owners) -> Owners {
    (uid + UID, gid + GID)
}

fn is(path: PathBuf, owners: Owners) -> Outcome {
    reads(&path, "as made")?;
    belongs(path, owners)
}

async fn a_clone_has_the_files_of_the_rootfs(world: &mut World) -> Outcome {
    let mgr = world.mgr()?;
    Scene::new(world, &*mgr).await?.is_as_made()
}

async fn owners_in_a_clone_are_shifted_by_the_offsets_and_back(world: &mut World) -> Outcome {
    let mgr = world.mgr()?;
    let scene = Scene::new(world, &*mgr).await?;
    for _ in 0..2 {
        mgr.chown_cloned_rootfs(&scene.request.id, offsets()).await?;
        scene.is_shifted()?;
        mgr.revert_cloned_rootfs_chown(&scene.request.id).await?;
        scene.is_as_made()?;
        scene.rootfs_is_as_made()?;
    }
    Ok(())
}

async fn owners_in_a_clone_are_as_made_while_its_container_is_paused(world: &mut World) -> Outcome {
    let mgr = world.mgr()?;
    let scene = Scene::new(world, &*mgr).await?;
    mgr.chown_cloned_rootfs(&scene.request.id, offsets()).await?;
    mgr.pause(&scene.request.id).await?;
    scene.is_as_made()?;
    scene.rootfs_is_as_made()?;
    mgr.resume(&scene.request.id).await?;
    scene.is_shifted()
}

async fn owners_are_as_made_after_a_stop(world: &mut World) -> Outcome {
    let mgr = world.mgr()?;
    let scene = Scene::new(world, &*mgr).await?;
    mgr.chown_cloned_rootfs(&scene.request.id, offsets()).await?;
    mgr.unregister(&scene.request.id).await?;
    scene.rootfs_is_as_made()
}

async fn what_is_written_into_a_clone_is_in_the_rootfs(world: &mut World) -> Outcome {
    let mgr = world.mgr()?;
    let Scene { request, clone } = Scene::new(world, &*mgr).await?;
    let rootfs = request.rootfs.as_path();
    mgr.chown_cloned_rootfs(&request.id, offsets()).await?;
    make(clone.join("new"), "by the container", shifted((0, 7)))?;
    change(clone.join("dir/a user's"), "changed")?;
    delete(clone.join("root's"))?;
    mgr.revert_cloned_rootfs_chown(&request.id).await?;
    for place in [rootfs, &clone] {
        reads(place.join("new"), "by the container")?;
        belongs(place.join("new"), (0, 7))?;
        reads(place.join("dir/a user's"), "changed")?;
        belongs(place.join("dir/a user's"), (1000, 1001))?;
        is_gone(place.join("root's"))?;
    }
    Ok(())
}

async fn a_removed_clone_is_gone_and_the_rootfs_is_as_made(world: &mut World) -> Outcome {
    let mgr = world.mgr()?;
    let scene = Scene::new(world, &*mgr).await?;
    mgr.chown_cloned_rootfs(&scene.request.id, offsets()).await?;
    end(&*mgr, &scene.request.id).await?;
    is_gone(&scene.clone)?;
    scene.rootfs_is_as_made()
}
