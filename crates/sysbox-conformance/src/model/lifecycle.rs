//! What happens to a registered container: it becomes known better, pauses, stops, is removed.

use sysbox_core::{ContainerId, Update};

use super::{
    container::{Mappings, State},
    manager::Manager,
    namespaces::Namespaces,
    refusal::Refusal,
    register::refuse_host_root,
};

impl Manager {
    /// Takes over what is not known yet, and the shift.
    pub(super) fn update(&mut self, request: &Update, namespaces: Namespaces) -> Result<(), Refusal> {
        let container = self.alive(&request.id, "updated")?;
        refuse_host_root(&request.uid_mappings, &request.gid_mappings)?;
        let told = Mappings::new(&request.uid_mappings, &request.gid_mappings);
        let mappings = container.mappings.clone().or(&told);
        let (nr, userns) = (container.nr, container.userns);
        self.refuse_taken(&mappings, &[userns])?;

        self.share(userns, nr, &request.id, &mappings);
        let container = self.known_mut(&request.id)?;
        container.mappings = mappings;
        container.rootfs_shift = request.rootfs_shift;
        let Namespaces { user, net } = &mut container.namespaces;
        *user = user.take().or(namespaces.user);
        *net = net.take().or(namespaces.net);
        let namespaces = container.namespaces.clone();
        self.move_in(&request.id, nr, &namespaces);
        Ok(())
    }

    /// Notes that it has stopped.
    pub(super) fn unregister(&mut self, id: &ContainerId) -> Result<(), Refusal> {
        let container = self.known_mut(id)?;
        if container.state == State::Stopped {
            return Err(container.wrong_state("unregistered", "remove it, or register it again"));
        }
        let (nr, namespaces) = (container.nr, container.namespaces.clone());
        container.stop();
        self.move_out(nr, &namespaces);
        Ok(())
    }

    /// Forgets it, and releases its ids if it was the last that had them.
    pub(super) fn remove(&mut self, id: &ContainerId) -> Result<(), Refusal> {
        let container = self.known(id)?;
        if container.state != State::Stopped {
            return Err(container.wrong_state("removed", "stop it and unregister it first"));
        }
        let (nr, userns) = (container.nr, container.userns);
        self.containers.remove(id);
        self.unshare(userns, nr);
        Ok(())
    }

    /// Notes that its processes are frozen, or go on.
    pub(super) fn change(
        &mut self,
        id: &ContainerId,
        from: State,
        to: State,
        done: &str,
    ) -> Result<(), Refusal> {
        let container = self.known_mut(id)?;
        if container.state != from {
            return Err(container.wrong_state(done, &format!("it must be {}", from.name())));
        }
        container.state = to;
        Ok(())
    }
}
