//! What the manager knows: containers, the user namespaces whose ids they have, and who is in which namespace.

use std::collections::{BTreeMap, HashMap};

use sysbox_core::{ContainerId, ErrorKind, IdRange, SubidRequest, Subids};

use super::{
    container::{Container, Mappings, Nr, State},
    ids::{Ids, Kind, Userns},
    namespaces::{Inhabitants, Namespaces},
    refusal::Refusal,
};

/// A call finds out first whether it is refused, and changes something only after that.
#[derive(Debug)]
pub(super) struct Manager {
    pub(super) containers: HashMap<ContainerId, Container>,
    pub(super) in_userns: Inhabitants,
    pub(super) in_netns: Inhabitants,
    usernses: HashMap<Userns, Sharers>,
    ids: Ids,
    /// Counts containers and user namespaces.
    latest: u64,
}

/// The containers that have the ids of one user namespace, and which ids these are.
#[derive(Debug, Default)]
struct Sharers {
    members: BTreeMap<Nr, ContainerId>,
    given: Option<Given>,
    /// What their specs name.
    named: Vec<(Kind, IdRange)>,
}

#[derive(Clone, Copy, Debug)]
struct Given {
    subids: Subids,
    size: u32,
}

impl Manager {
    pub(super) fn new(pool: IdRange) -> Self {
        Self {
            containers: HashMap::new(),
            in_userns: Inhabitants::default(),
            in_netns: Inhabitants::default(),
            usernses: HashMap::new(),
            ids: Ids::new(pool),
            latest: 0,
        }
    }

    pub(super) fn known(&self, id: &ContainerId) -> Result<&Container, Refusal> {
        self.containers.get(id).ok_or_else(Refusal::unknown)
    }

    pub(super) fn known_mut(&mut self, id: &ContainerId) -> Result<&mut Container, Refusal> {
        self.containers.get_mut(id).ok_or_else(Refusal::unknown)
    }

    /// The container, which must not have stopped.
    pub(super) fn alive(&self, id: &ContainerId, done: &str) -> Result<&Container, Refusal> {
        let container = self.known(id)?;
        if container.state == State::Stopped {
            return Err(container.wrong_state(done, "register it again first"));
        }
        Ok(container)
    }

    /// How many ids a container has from this one of the host on, as its mappings say, or what it was given.
    pub(super) fn known_size(
        &self,
        id: &ContainerId,
        kind: Kind,
        first: u32,
    ) -> Result<Option<u32>, Refusal> {
        let container = self.known(id)?;
        let mappings = match kind {
            Kind::User => &container.mappings.uids,
            Kind::Group => &container.mappings.gids,
        };
        let of_root = mappings.as_slice().iter().filter(|extent| extent.container().first() == 0);
        let mapped = of_root.map(|extent| (extent.host().first(), extent.size()));
        let given = self.usernses.get(&container.userns).and_then(|sharers| sharers.given);
        let given = given.map(|Given { subids, size }| match kind {
            Kind::User => (subids.uid.0, size),
            Kind::Group => (subids.gid.0, size),
        });
        Ok(mapped.chain(given).find(|(begin, _)| *begin == first).map(|(_, size)| size))
    }

    /// A number that no container and no user namespace has.
    pub(super) const fn new_number(&mut self) -> u64 {
        self.latest += 1;
        self.latest
    }

    /// Gives a container's user namespace ids, or tells those it has.
    pub(super) fn alloc(&mut self, request: &SubidRequest) -> Result<Subids, Refusal> {
        let (userns, size) = (self.known(&request.id)?.userns, request.size.get());
        let sharers = self.usernses.entry(userns).or_default();
        if let Some(given) = sharers.given {
            return if given.size == size { Ok(given.subids) } else { Err(other_size(given.size, size)) };
        }
        match self.ids.give(size, userns) {
            Ok(subids) => {
                sharers.given = Some(Given { subids, size });
                Ok(subids)
            }
            Err(kind) => Err(self.exhausted(kind, size)),
        }
    }

    #[cfg(feature = "suite")]
    pub(super) fn ids_of(&self, id: &ContainerId) -> Option<Subids> {
        let sharers = self.usernses.get(&self.containers.get(id)?.userns)?;
        Some(sharers.given?.subids)
    }

    /// Refuses mappings that name ids which were given to a user namespace other than these.
    pub(super) fn refuse_taken(&self, mappings: &Mappings, own: &[Userns]) -> Result<(), Refusal> {
        for (kind, ids) in mappings.host_ids() {
            if let Some(other) = self.ids.given_to(kind, ids).find(|userns| !own.contains(userns)) {
                return Err(self.taken(kind, ids, other));
            }
        }
        Ok(())
    }

    /// Notes that a container has the ids of a user namespace, with those that its mappings name.
    pub(super) fn share(&mut self, userns: Userns, nr: Nr, id: &ContainerId, mappings: &Mappings) {
        let sharers = self.usernses.entry(userns).or_default();
        sharers.members.insert(nr, id.clone());
        for named in mappings.host_ids() {
            if !sharers.named.contains(&named) {
                self.ids.name(named.0, named.1);
                sharers.named.push(named);
            }
        }
    }

    /// Forgets the ids that specs of a user namespace named.
    pub(super) fn unname(&mut self, userns: Userns) {
        let named = self.usernses.get_mut(&userns).map(|sharers| std::mem::take(&mut sharers.named));
        for (kind, ids) in named.unwrap_or_default() {
            self.ids.unname(kind, ids);
        }
    }

    /// Notes that a container no longer has the ids of a user namespace. The last that leaves releases them.
    pub(super) fn unshare(&mut self, userns: Userns, nr: Nr) {
        let Some(sharers) = self.usernses.get_mut(&userns) else { return };
        sharers.members.remove(&nr);
        if sharers.members.is_empty() {
            let given = sharers.given;
            self.unname(userns);
            self.usernses.remove(&userns);
            if let Some(Given { subids, size }) = given {
                self.ids.take_back(subids, size);
            }
        }
    }

    /// Whether no other container has the ids of its user namespace.
    pub(super) fn is_alone(&self, container: &Container) -> bool {
        self.others(container).next().is_none()
    }

    /// Whether another container that has the ids of its user namespace has not stopped.
    pub(super) fn is_shared_with_running(&self, container: &Container) -> bool {
        self.others(container).any(|other| other.state != State::Stopped)
    }

    fn others(&self, container: &Container) -> impl Iterator<Item = &Container> {
        let members = self.usernses.get(&container.userns).into_iter().flat_map(|sharers| &sharers.members);
        let others = members.filter(|(nr, _)| **nr != container.nr);
        others.filter_map(|(_, id)| self.containers.get(id))
    }

    /// Puts a container, with the id of no other, into its namespaces.
    pub(super) fn move_in(&mut self, id: &ContainerId, nr: Nr, Namespaces { user, net }: &Namespaces) {
        self.in_userns.enter(user.as_ref(), nr, id);
        self.in_netns.enter(net.as_ref(), nr, id);
    }

    pub(super) fn move_out(&mut self, nr: Nr, Namespaces { user, net }: &Namespaces) {
        self.in_userns.leave(user.as_ref(), nr);
        self.in_netns.leave(net.as_ref(), nr);
    }

    fn taken(&self, kind: Kind, ids: IdRange, holder: Userns) -> Refusal {
        let first = self.usernses.get(&holder).and_then(|sharers| sharers.members.values().next());
        let (kind, holder) = (kind.name(), first.map_or("", ContainerId::as_str));
        let message = format!(
            "names {kind} ids {ids} of the host, of which some belong to container {holder}; \
             map other ids, or none to be given free ones"
        );
        Refusal::new(ErrorKind::FailedPrecondition, message)
    }

    fn exhausted(&self, kind: Kind, size: u32) -> Refusal {
        let holders = self.usernses.values().filter(|sharers| sharers.given.is_some());
        let (mut ranges, mut containers) = (0, 0);
        for sharers in holders {
            ranges += 1;
            containers += sharers.members.len();
        }
        let message = format!(
            "cannot be given {size} {} ids: the pool has no such range free, {ranges} ranges by {containers} containers \
             are in use; remove containers that are not needed, or give a larger pool",
            kind.name()
        );
        Refusal::new(ErrorKind::ResourceExhausted, message)
    }
}

fn other_size(had: u32, size: u32) -> Refusal {
    let message = format!(
        "was given {had} user and group ids and now asks for {size}; a container keeps its ids until it is removed"
    );
    Refusal::new(ErrorKind::InvalidArgument, message)
}
