//! The conversion of a spec into that of a system container, with what both daemons and the host must be asked for it.
//! Go: `syscont.ConvertSpec`.

mod clone;
mod error;
mod ids;
mod steps;

#[cfg(test)]
mod tests;

use oci_spec::runtime::Spec;

use super::{SessionError, Sysbox, check_uid_shifting};
use crate::{
    AbsPath, ContainerConfig, ContainerId, HostPort,
    shift::{Decision, Policy},
    syscont::{self, Changes, Settings, SpecError, seccomp},
    tree::TreeIds,
};

pub use error::ConvertError;

/// How a spec is to be converted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversion {
    /// How the shift of the rootfs is decided.
    pub policy: Policy,
    /// Whether the manager is asked for what is behind special directories, such as Docker's.
    pub special_directories: SpecialDirectories,
    /// The socket that the runtime takes the descriptor of the container's seccomp filter from. With it, and with sysbox-fs, the
    /// system calls that sysbox-fs traps are put into the profile; without it a runtime sees to [`Converted::traps`] itself.
    pub seccomp_listener: Option<AbsPath>,
}

impl Default for Conversion {
    fn default() -> Self {
        Self {
            policy: Policy::PreferIdMapped,
            special_directories: SpecialDirectories::Requested,
            seccomp_listener: None,
        }
    }
}

/// Whether special directories have something of the manager's behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecialDirectories {
    /// All have, as in Sysbox.
    Requested,
    /// Those have that the rootfs has, and all where the rootfs is on a file system that can have no upper layer of an overlay, as
    /// overlayfs itself. On another one what an inner engine makes is in the rootfs at once, and nothing has to be copied.
    RequestedWhereNeeded,
    /// They are left as the rootfs has them: the manager is not asked for anything, so neither are sources of bind mounts there
    /// prepared, nor does it give what it gives besides, such as the headers of the kernel.
    Left,
}

/// A spec that is that of a system container.
#[derive(Debug)]
#[non_exhaustive]
pub struct Converted {
    /// The spec. Its `root.path` is the clone, if there is one.
    pub spec: Spec,
    /// What the manager mandates, with what the container's environment sets in place of it.
    pub config: ContainerConfig,
    /// The host's ids of the container.
    pub ids: TreeIds,
    /// How rootfs and bind mounts are to be shifted.
    pub shift: Decision,
    /// Mounts at and below these paths inside are not to be shifted.
    pub skip_uid_shift: Vec<AbsPath>,
    /// The clone of the rootfs that the manager made, whose owners are still to be shifted (`Mgr::chown_cloned_rootfs`).
    pub clone: Option<AbsPath>,
    /// The system calls that sysbox-fs is to be told of by seccomp notification; none without sysbox-fs.
    pub traps: Vec<&'static str>,
    /// What was changed, and why.
    pub changes: Changes,
    /// What the manager said that it cannot do, and the container does without: a clone, preparations, volumes.
    pub refusals: Vec<SessionError>,
}

/// A spec on its way to that of a system container.
struct Converting<'a> {
    id: ContainerId,
    host: &'a dyn HostPort,
    conversion: &'a Conversion,
    settings: Settings,
    /// What the manager mandates, with the settings in place of it.
    config: ContainerConfig,
    /// Where sysbox-fs has the emulated files of this container, if there is one.
    emulated: Option<AbsPath>,
    spec: Spec,
    changes: Changes,
    refusals: Vec<SessionError>,
}

impl Sysbox {
    /// Converts a spec into that of a system container: checks it, completes its namespaces, gives it ids, decides how they are
    /// shifted, and gives it the mounts, capabilities and system calls that systemd, Docker or Kubernetes inside need.
    ///
    /// The container is registered with the manager before, and sysbox-fs, where [there is one](crate::Fs::enabled), is told of it
    /// after ([`Fs::pre_register`](crate::Fs::pre_register)); a daemon that emulates no files is from then on as if it were not there
    /// ([`Fs::find_mountpoint`](crate::Fs::find_mountpoint)). The manager is asked for ids, for a clone of the rootfs where that saves copying
    /// it, to prepare sources of bind mounts, and for volumes. Paths in the spec (`root.path`, sources of bind mounts) are absolute and
    /// without symbolic links.
    ///
    /// Converting what was converted changes nothing. Without a manager a container gets the host's ids from
    /// [`DEFAULT_HOST_ID`](syscont::DEFAULT_HOST_ID) on, and what Sysbox takes for granted ([`ContainerConfig::default`]). The
    /// documentation of the crate `sysbox` has an example.
    ///
    /// # Errors
    /// [`ConvertError`]. Where the spec itself breaks a rule nobody was asked for anything, save of what answers decide: mounts, and
    /// whether a listener of the profile's own is in the way.
    #[doc(alias = "ConvertSpec")]
    pub async fn convert_spec(
        &mut self,
        spec: Spec,
        host: &dyn HostPort,
        conversion: &Conversion,
    ) -> Result<Converted, ConvertError> {
        let mut converting = self.begin(spec, host, conversion).await?;
        converting.complete_namespaces()?;
        let ids = converting.give_ids(&self.mgr).await?;
        let shift = check_uid_shifting(&self.mgr, &converting.spec, host, conversion.policy)
            .map_err(|error| converting.shifting(error))?;
        let rootfs = syscont::rootfs(&converting.spec).map_err(|error| converting.refused(error))?;
        let clone = converting.clone_rootfs(&mut self.mgr, &rootfs, shift.rootfs).await?;
        converting.add_mounts(&self.mgr, &rootfs, ids, shift.rootfs).await?;
        converting.complete_paths();
        converting.complete_process()?;
        let traps = if self.fs.enabled() { seccomp::traps(&converting.config) } else { Vec::new() };
        converting.complete_seccomp(&traps)?;
        let Converting { spec, config, settings, changes, refusals, .. } = converting;
        let skip_uid_shift = settings.skip_uid_shift;
        Ok(Converted { spec, config, ids, shift, skip_uid_shift, clone, traps, changes, refusals })
    }

    /// Checks the spec, and asks sysbox-fs where its files are.
    async fn begin<'a>(
        &mut self,
        spec: Spec,
        host: &'a dyn HostPort,
        conversion: &'a Conversion,
    ) -> Result<Converting<'a>, ConvertError> {
        let id = self.id().clone();
        let refused = |source| ConvertError::Spec { container: id.clone(), source };
        let settings = syscont::check(&spec, host).map_err(refused)?;
        let config = settings.over(self.mgr.config());
        ids::check(&spec, &config).map_err(refused)?;
        if config.syscont_mode {
            seccomp::check(&spec).map_err(refused)?;
        }
        let emulated = self.fs.find_mountpoint().await?.cloned();
        let files = |mountpoint: AbsPath| AbsPath::new(mountpoint.as_path().join(id.as_str()));
        let emulated = emulated.map(files).transpose().map_err(|error| {
            refused(SpecError::new("mounts", "below the mount point of sysbox-fs", error.to_string()))
        })?;
        let (changes, refusals) = (Changes::default(), Vec::new());
        Ok(Converting { id, host, conversion, settings, config, emulated, spec, changes, refusals })
    }
}
