//! Making a container known: whose ids it will have, and what it is told.

use std::collections::{BTreeMap, HashSet};

use sysbox_core::{ContainerConfig, ContainerId, ErrorKind, IdMappings, Registration, ShiftType};

use super::{
    container::{Container, Mappings, State},
    ids::{Kind, Userns},
    manager::Manager,
    namespaces::{Inhabitants, Namespace, Namespaces},
    refusal::Refusal,
};

/// Whose ids a container has.
struct Place {
    /// A user namespace that is known; else it has one of its own.
    userns: Option<Userns>,
    mappings: Mappings,
    /// The user namespace that it is to join without having asked for one.
    shared: Option<Namespace>,
}

impl Manager {
    /// Makes a container known, or known to run again.
    pub(super) fn register(
        &mut self,
        request: &Registration,
        mut namespaces: Namespaces,
    ) -> Result<ContainerConfig, Refusal> {
        let id = &request.id;
        let earlier = self.containers.get(id);
        if let Some(known) = earlier.filter(|known| known.state != State::Stopped) {
            return Err(already_registered(known));
        }
        let place = self.place(request, &namespaces, earlier);
        self.refuse_taken(&place.mappings, &self.own(place.userns, earlier))?;

        let mut config = ContainerConfig {
            rootfs_shift: earlier.map_or(ShiftType::NoShift, |known| known.rootfs_shift),
            ..ContainerConfig::default()
        };
        // Mappings are news to the runtime if they are another container's or of an earlier run.
        if place.userns.is_some() {
            config = place.mappings.mandate(config);
        }
        if let Some(shared) = place.shared {
            config.userns = Some(shared.path.clone());
            namespaces.user = Some(shared);
        }
        self.enter(id, place.userns, place.mappings, namespaces);
        Ok(config)
    }

    /// A container comes into the user namespace of a running container if it joins the same one, or the same network
    /// namespace without naming a user namespace; else it has one of its own, the earlier one after a restart unless others
    /// run in it by now.
    fn place(&self, request: &Registration, namespaces: &Namespaces, earlier: Option<&Container>) -> Place {
        let named = Mappings::new(&request.uid_mappings, &request.gid_mappings);
        if let Some(first) = self.first_in(&self.in_userns, namespaces.user.as_ref()) {
            let mappings = named.or(&first.mappings);
            return Place { userns: Some(first.userns), mappings, shared: None };
        }
        if namespaces.user.is_none()
            && let Some(first) = self.first_in(&self.in_netns, namespaces.net.as_ref())
        {
            let Container { userns, mappings, namespaces, .. } = first;
            return Place {
                userns: Some(*userns),
                mappings: mappings.clone(),
                shared: namespaces.user.clone(),
            };
        }
        match earlier {
            Some(known) if !self.is_shared_with_running(known) => {
                Place { userns: Some(known.userns), mappings: named.or(&known.mappings), shared: None }
            }
            _ => Place { userns: None, mappings: named, shared: None },
        }
    }

    fn first_in(&self, inhabitants: &Inhabitants, namespace: Option<&Namespace>) -> Option<&Container> {
        let containers = inhabitants.of(namespace).filter_map(|id| self.containers.get(id));
        containers.into_iter().find(|container| container.namespaces.are_there())
    }

    /// Whose ids it may name: those of its user namespace, and those that it alone had and now leaves.
    fn own(&self, userns: Option<Userns>, earlier: Option<&Container>) -> Vec<Userns> {
        let left = earlier.filter(|known| Some(known.userns) != userns && self.is_alone(known));
        userns.into_iter().chain(left.map(|known| known.userns)).collect()
    }

    fn enter(
        &mut self,
        id: &ContainerId,
        userns: Option<Userns>,
        mappings: Mappings,
        namespaces: Namespaces,
    ) {
        let userns = userns.unwrap_or_else(|| Userns(self.new_number()));
        let earlier = self.containers.remove(id);
        let nr = earlier.as_ref().map_or_else(|| self.new_number(), |known| known.nr);
        if let Some(known) = &earlier {
            if known.userns != userns {
                self.unshare(known.userns, nr);
            } else if known.mappings != mappings && !self.is_shared_with_running(known) {
                self.unname(userns);
            }
        }
        self.share(userns, nr, id, &mappings);
        self.move_in(id, nr, &namespaces);
        let (rootfs_shift, mounts, clone) = match earlier {
            Some(known) => (known.rootfs_shift, known.mounts, known.clone),
            None => (ShiftType::NoShift, BTreeMap::new(), None),
        };
        let state = State::Running;
        let marks = HashSet::new();
        let container =
            Container { nr, userns, state, namespaces, mappings, rootfs_shift, mounts, marks, clone };
        self.containers.insert(id.clone(), container);
    }
}

/// Refuses mappings that make something inside be the host's root.
pub(super) fn refuse_host_root(uids: &IdMappings, gids: &IdMappings) -> Result<(), Refusal> {
    for (kind, mappings) in [(Kind::User, uids), (Kind::Group, gids)] {
        if let Some(extent) = mappings.as_slice().iter().find(|extent| extent.host().contains(0)) {
            let kind = kind.name();
            let message = format!(
                "has {kind} id mapping {extent}, which gives it host id 0; map to ids of the host above 0"
            );
            return Err(Refusal::new(ErrorKind::InvalidArgument, message));
        }
    }
    Ok(())
}

fn already_registered(known: &Container) -> Refusal {
    let state = known.state.name();
    let message = format!("is registered and {state}; choose another id, or stop it and unregister it first");
    Refusal::new(ErrorKind::AlreadyExists, message)
}
