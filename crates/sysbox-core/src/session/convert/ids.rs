//! Steps 3 and 4: namespaces, and the ids of the container.

use std::num::NonZeroU32;

use oci_spec::runtime::Spec;

use super::{ConvertError, Converting};
use crate::{
    AbsPath, ContainerConfig, HostGid, HostUid, Subids,
    session::{Mgr, SessionError},
    syscont::{self, DEFAULT_HOST_ID, DEFAULT_SIZE, SpecError},
    tree::TreeIds,
};

/// How many ids a container is given that asks for none.
const SIZE: NonZeroU32 = NonZeroU32::new(DEFAULT_SIZE).expect("it is not 0");

impl Converting<'_> {
    pub(super) fn complete_namespaces(&mut self) -> Result<(), ConvertError> {
        let userns = self.config.userns.as_ref();
        syscont::complete_namespaces(&mut self.spec, userns, self.host, &mut self.changes)
            .map_err(|error| self.refused(error))
    }

    /// Puts the ids of the container into the spec, and gives them.
    pub(super) async fn give_ids(&mut self, mgr: &Mgr) -> Result<TreeIds, ConvertError> {
        let ids = self.ids(mgr).await?;
        syscont::set_mappings(&mut self.spec, ids, &mut self.changes).map_err(|error| self.refused(error))?;
        syscont::fit_ping_groups(&mut self.spec, ids.gids, &mut self.changes);
        Ok(ids)
    }

    /// The host's ids of the container: those of the user namespace that it joins, else the manager's if it mandates any, else
    /// the spec's, else new ones.
    async fn ids(&self, mgr: &Mgr) -> Result<TreeIds, ConvertError> {
        let refused = |error| self.refused(error);
        if let Some(userns) = syscont::userns(&self.spec).map_err(refused)? {
            return self.joined_ids(userns);
        }
        if mandates_ids(&self.config) {
            return syscont::tree_ids(&self.config.uid_mappings, &self.config.gid_mappings)
                .map_err(|error| self.wrong_ids(error));
        }
        if let Some(ids) = syscont::own_ids(&self.spec).map_err(refused)? {
            return Ok(ids);
        }
        let subids = if mgr.enabled() {
            mgr.req_subid(SIZE).await.map_err(|error| match error {
                SessionError::WrongIds { source, .. } => self.wrong_ids(source),
                error => error.into(),
            })?
        } else {
            Subids { uid: HostUid(DEFAULT_HOST_ID), gid: HostGid(DEFAULT_HOST_ID) }
        };
        syscont::given_ids(subids, SIZE).map_err(|error| self.wrong_ids(error))
    }

    /// The host's ids of a user namespace that the container is to join. What the spec says of them counts only of one that it names itself.
    fn joined_ids(&self, userns: AbsPath) -> Result<TreeIds, ConvertError> {
        let (uids, gids) = self.host.id_mappings(&userns).map_err(|source| self.not_of_host(source))?;
        let ids = if self.config.userns.is_some() {
            syscont::tree_ids(&uids, &gids)
        } else {
            syscont::joined_ids(&self.spec, &uids, &gids)
        };
        ids.map_err(|source| ConvertError::WrongUserns { container: self.id.clone(), userns, source })
    }
}

/// Whether the manager says which ids a container has, whatever its spec says.
fn mandates_ids(config: &ContainerConfig) -> bool {
    !(config.uid_mappings.is_empty() && config.gid_mappings.is_empty())
}

/// Checks what can be said of the ids in a spec before anybody is asked for others.
pub(super) fn check(spec: &Spec, config: &ContainerConfig) -> Result<(), SpecError> {
    if !mandates_ids(config) && config.userns.is_none() {
        syscont::own_ids(spec)?;
    }
    Ok(())
}
