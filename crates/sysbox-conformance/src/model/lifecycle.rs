//! What happens to a registered container: it becomes known better, is given mounts and marks, pauses, stops, is removed.

use sysbox_core::{
    AbsPath, ContainerId, ErrorKind, Mount, MountKind, MountRequest, MountRequests, ShiftfsMark,
    ShiftfsMarks, Update,
};

use super::{
    container::{Mappings, RootfsClone, State},
    manager::Manager,
    namespaces::Namespaces,
    refusal::Refusal,
    register::refuse_host_root,
};

/// Below it are the sources of mounts and the clones of rootfs. It is never made.
const DATA_ROOT: &str = "/var/lib/sysbox-model";

impl Manager {
    /// Takes over what is not known yet, and the shift.
    pub(super) fn update(&mut self, request: &Update, namespaces: Namespaces) -> Result<(), Refusal> {
        let container = self.known(&request.id)?;
        if container.state == State::Stopped {
            return Err(container.wrong_state("updated", "register it again first"));
        }
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

    /// Each request is answered by the mount that the container has there; it is given one if it has none.
    pub(super) fn mounts(&mut self, request: &MountRequests) -> Result<Vec<Mount>, Refusal> {
        let container = self.known_mut(&request.id)?;
        let mounts = request.mounts.iter().map(|MountRequest { kind, destination }| {
            let nth = container.mounts.len();
            let place = (kind.number(), destination.clone());
            let mount =
                container.mounts.entry(place).or_insert_with(|| mount(&request.id, *kind, nth, destination));
            mount.clone()
        });
        Ok(mounts.collect())
    }

    /// Marks what is not marked yet, and tells which that were.
    pub(super) fn mark(&mut self, request: &ShiftfsMarks) -> Result<Vec<ShiftfsMark>, Refusal> {
        let marks = &mut self.known_mut(&request.id)?.marks;
        let new = request.marks.iter().filter(|mark| marks.insert(mark.source.clone()));
        Ok(new.cloned().collect())
    }

    /// Clones its rootfs, which it keeps until it is removed.
    pub(super) fn clone_rootfs(&mut self, id: &ContainerId) -> Result<AbsPath, Refusal> {
        let container = self.known_mut(id)?;
        if let Some(clone) = &container.clone {
            return Ok(clone.path.clone());
        }
        let path = AbsPath::new(format!("{DATA_ROOT}/rootfs/{id}"));
        let path = path.map_err(|invalid| Refusal::new(ErrorKind::Internal, invalid.to_string()))?;
        container.clone = Some(RootfsClone { path: path.clone(), shifted: false });
        Ok(path)
    }

    /// Shifts the owners of its clone, once.
    pub(super) fn chown_clone(&mut self, id: &ContainerId) -> Result<(), Refusal> {
        let clone = self.clone_of(id)?;
        if clone.shifted {
            let message = "has a cloned rootfs whose owners are shifted already; revert that first";
            return Err(Refusal::new(ErrorKind::FailedPrecondition, message));
        }
        clone.shifted = true;
        Ok(())
    }

    /// Shifts the owners of its clone back.
    pub(super) fn revert_clone(&mut self, id: &ContainerId) -> Result<(), Refusal> {
        let clone = self.clone_of(id)?;
        if !clone.shifted {
            let message = "has a cloned rootfs whose owners are not shifted; there is nothing to revert";
            return Err(Refusal::new(ErrorKind::FailedPrecondition, message));
        }
        clone.shifted = false;
        Ok(())
    }

    fn clone_of(&mut self, id: &ContainerId) -> Result<&mut RootfsClone, Refusal> {
        let not_cloned =
            || Refusal::new(ErrorKind::FailedPrecondition, "has no cloned rootfs; clone it first");
        self.known_mut(id)?.clone.as_mut().ok_or_else(not_cloned)
    }
}

/// The `nth` mount of a container.
fn mount(id: &ContainerId, kind: MountKind, nth: usize, destination: &AbsPath) -> Mount {
    Mount {
        source: format!("{DATA_ROOT}/{id}/{nth}-{kind}"),
        destination: destination.clone(),
        kind: "bind".to_owned(),
        options: vec!["rbind".to_owned(), "rprivate".to_owned()],
    }
}
