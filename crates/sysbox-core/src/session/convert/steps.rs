//! Steps 6 to 9: what the container finds inside. All but a few of them apply in system-container mode only.

use super::{ConvertError, Converting, SpecialDirectories};
use crate::{
    AbsPath, HostError, HostGid, HostUid, Mount, MountKind, ShiftType,
    session::{Mgr, SessionError, ShiftingError},
    syscont::{self, SpecError, mounts, seccomp},
    tree::TreeIds,
};

impl Converting<'_> {
    /// Step 6.
    pub(super) async fn add_mounts(
        &mut self,
        mgr: &Mgr,
        rootfs: &AbsPath,
        ids: TreeIds,
        shift: ShiftType,
    ) -> Result<(), ConvertError> {
        if self.config.syscont_mode {
            mounts::add_system_mounts(&mut self.spec, &mut self.changes);
        }
        if let Some(files) = &self.emulated {
            mounts::add_emulated(&mut self.spec, files, &mut self.changes);
        }
        if self.config.syscont_mode {
            mounts::complete_systemd(&mut self.spec, &mut self.changes);
            mounts::complete_read_only(&mut self.spec, self.config.relaxed_read_only, &mut self.changes);
        }
        let is_asked = self.conversion.special_directories != SpecialDirectories::Left && mgr.enabled();
        let (directories, given) =
            if is_asked { self.ask_for_special(mgr, rootfs, ids, shift).await? } else { Default::default() };
        if self.config.syscont_mode {
            let relaxed = self.config.relaxed_read_only;
            mounts::add_of_manager(&mut self.spec, given, &directories, relaxed, &mut self.changes)
                .map_err(|error| self.refused(error))?;
        }
        if self.config.syscont_mode || self.emulated.is_some() {
            mounts::order(&mut self.spec, &mut self.changes);
        }
        Ok(())
    }

    /// Has the manager prepare what the spec mounts at special directories, and gives these with what it has for the others. It may give
    /// more than it is asked for, such as the headers of the kernel.
    async fn ask_for_special(
        &mut self,
        mgr: &Mgr,
        rootfs: &AbsPath,
        ids: TreeIds,
        shift: ShiftType,
    ) -> Result<(Vec<(MountKind, AbsPath)>, Vec<Mount>), ConvertError> {
        let special = |source| ConvertError::Special { container: self.id.clone(), source };
        let directories = mounts::special_directories(rootfs, self.host).map_err(special)?;
        let mounts::Special { prepared, mut requested } =
            mounts::split_special(&self.spec, &directories, &self.settings)
                .map_err(|error| self.refused(error))?;
        if self.conversion.special_directories == SpecialDirectories::RequestedWhereNeeded {
            let needed = mounts::needed_directories(rootfs, self.host).map_err(special)?;
            requested.retain(|wish| needed.iter().any(|(_, directory)| *directory == wish.destination));
        }
        if !prepared.is_empty() {
            let root = ids.root();
            let answer = mgr.prep_mounts(HostUid(root.uid.0), HostGid(root.gid.0), prepared).await;
            self.if_it_can(answer)?;
        }
        if !self.config.syscont_mode {
            return Ok((directories, Vec::new()));
        }
        let answer = mgr.req_mounts(shift, requested).await;
        Ok((directories, self.if_it_can(answer)?.unwrap_or_default()))
    }

    /// The answer to a call that not every manager has: none where it has not.
    fn if_it_can<T>(&mut self, answer: Result<T, SessionError>) -> Result<Option<T>, SessionError> {
        match answer {
            Err(error) if error.is_unimplemented() => {
                self.refusals.push(error);
                Ok(None)
            }
            answer => answer.map(Some),
        }
    }

    /// Step 7.
    pub(super) fn complete_paths(&mut self) {
        syscont::complete_paths(&mut self.spec, &self.config, self.emulated.as_ref(), &mut self.changes);
    }

    /// Step 8.
    pub(super) fn complete_process(&mut self) -> Result<(), ConvertError> {
        syscont::raise_oom_score(&mut self.spec, &mut self.changes);
        if !self.config.syscont_mode {
            return Ok(());
        }
        let Some(process) = self.spec.process_mut() else { return Ok(()) };
        syscont::drop_apparmor_profile(process, &mut self.changes);
        if self.config.honor_caps {
            return Ok(());
        }
        let all = syscont::all_capabilities(self.host)
            .map_err(|source| ConvertError::Host { container: self.id.clone(), source })?;
        syscont::give_capabilities(process, &all, &mut self.changes);
        Ok(())
    }

    /// Step 9.
    pub(super) fn complete_seccomp(&mut self, traps: &[&'static str]) -> Result<(), ConvertError> {
        let listener = self.conversion.seccomp_listener.as_ref().filter(|_| !traps.is_empty());
        let (spec, changes) = (&mut self.spec, &mut self.changes);
        let done = match (self.config.syscont_mode, listener) {
            (true, Some(listener)) => seccomp::complete_and_trap(spec, traps, listener, changes),
            (true, None) => seccomp::complete_profile(spec, changes),
            (false, Some(listener)) => seccomp::trap(spec, traps, listener, changes),
            (false, None) => Ok(()),
        };
        done.map_err(|error| self.refused(error))
    }

    pub(super) fn refused(&self, source: SpecError) -> ConvertError {
        ConvertError::Spec { container: self.id.clone(), source }
    }

    pub(super) fn not_of_host(&self, source: HostError) -> ConvertError {
        ConvertError::Host { container: self.id.clone(), source }
    }

    pub(super) fn wrong_ids(&self, source: impl std::error::Error + Send + Sync + 'static) -> ConvertError {
        ConvertError::WrongIds { container: self.id.clone(), source: Box::new(source) }
    }

    pub(super) fn shifting(&self, error: ShiftingError) -> ConvertError {
        match error {
            ShiftingError::Spec(source) => self.refused(source),
            ShiftingError::Host(source) => self.not_of_host(source),
        }
    }
}
