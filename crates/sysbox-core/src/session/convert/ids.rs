//! Steps 3 and 4: namespaces, and the ids of the container.

use std::num::NonZeroU32;

use super::{ConvertError, Converting};
use crate::{
    AbsPath, IdMappings, IdRange,
    session::Mgr,
    syscont::{self, DEFAULT_HOST_ID, DEFAULT_SIZE},
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
        Ok(ids)
    }

    /// The host's ids of the container: those of the user namespace that it joins, else the manager's if it mandates any, else
    /// the spec's, else new ones.
    async fn ids(&self, mgr: &Mgr) -> Result<TreeIds, ConvertError> {
        let refused = |error| self.refused(error);
        if let Some(userns) = syscont::userns(&self.spec).map_err(refused)? {
            return self.joined_ids(userns);
        }
        if !self.config.uid_mappings.is_empty() {
            return syscont::tree_ids(&self.config.uid_mappings, &self.config.gid_mappings)
                .map_err(|error| self.wrong_ids(error));
        }
        let (uids, gids) = syscont::given_mappings(&self.spec).map_err(refused)?;
        if !(uids.is_empty() && gids.is_empty()) {
            return syscont::tree_ids(&uids, &gids).map_err(refused);
        }
        if !mgr.enabled() {
            return self.as_mappings(DEFAULT_HOST_ID, DEFAULT_HOST_ID);
        }
        let subids = mgr.req_subid(SIZE).await?;
        self.as_mappings(subids.uid.0, subids.gid.0)
    }

    /// A manager is not taken at its word: ids that it gives keep the rules of those that a spec gives.
    fn as_mappings(&self, uid: u32, gid: u32) -> Result<TreeIds, ConvertError> {
        let range = |first| {
            let range = IdRange::new(first, DEFAULT_SIZE).map_err(|error| self.wrong_ids(error))?;
            IdMappings::single(range).map_err(|error| self.wrong_ids(error))
        };
        syscont::tree_ids(&range(uid)?, &range(gid)?).map_err(|error| self.wrong_ids(error))
    }

    /// The host's ids of a user namespace that the container is to join.
    fn joined_ids(&self, userns: AbsPath) -> Result<TreeIds, ConvertError> {
        let (uids, gids) = self.host.id_mappings(&userns).map_err(|source| self.not_of_host(source))?;
        syscont::joined_ids(&self.spec, &uids, &gids).map_err(|source| ConvertError::WrongUserns {
            container: self.id.clone(),
            userns,
            source,
        })
    }
}
