//! Who answers: the reference model, or the embedded manager.

use std::sync::Arc;

use sysbox::{
    AbsPath, IdRange, MgrPort,
    embedded::{AccountFiles, Config, EmbeddedMgr, SubidSource},
    linux::LinuxHost,
    session::Ports,
    transport::Offloaded,
};
use sysbox_conformance::{Ability, BoxError, Lack, Model};

use super::Rights;

/// Who answers in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The reference, with a manager and an fs daemon.
    Model,
    /// The manager in the process, state in a data root.
    Embedded,
}

impl Backend {
    /// How many ranges of 65,536 ids each has: fewer than the containers of a random sequence.
    pub(super) const CAPACITY: u32 = 4;

    /// Its ports, with the state in a data root if it keeps any.
    pub(super) fn open(self, data_root: &AbsPath) -> Result<Ports, BoxError> {
        Ok(match self {
            Self::Model => model()?,
            Self::Embedded => of_mgr(embedded(data_root)?),
        })
    }

    /// The same for a server, which its calls must not hold up.
    pub(super) fn open_for_server(self, data_root: &AbsPath) -> Result<Ports, BoxError> {
        Ok(match self {
            Self::Model => model()?,
            Self::Embedded => of_mgr(Offloaded::new(Arc::new(embedded(data_root)?))),
        })
    }

    /// What it cannot do with these rights.
    pub(super) fn lacks(self, rights: Rights) -> Vec<Lack> {
        match (self, rights) {
            (Self::Model, _) => vec![
                Lack { ability: Ability::Restart, reason: "what it knows is in its memory only" },
                Lack { ability: Ability::Files, reason: "it keeps no files" },
            ],
            (Self::Embedded, Rights::Root) => vec![EMULATES_NOTHING, NO_SHIFTFS],
            (Self::Embedded, Rights::None) => vec![
                EMULATES_NOTHING,
                NO_SHIFTFS,
                needs_root(Ability::PrepMounts),
                needs_root(Ability::ReqMounts),
                needs_root(Ability::CloneRootfs),
            ],
        }
    }
}

const EMULATES_NOTHING: Lack =
    Lack { ability: Ability::Fs, reason: "the embedded manager emulates no /proc and /sys" };

/// Only kernels of Ubuntu had one.
const NO_SHIFTFS: Lack = Lack { ability: Ability::ShiftfsMarks, reason: "the kernel has no shiftfs" };

const fn needs_root(ability: Ability) -> Lack {
    Lack { ability, reason: "needs root" }
}

fn model() -> Result<Ports, BoxError> {
    let model = Arc::new(Model::new(pool()?));
    Ok(Ports { mgr: Some(model.clone()), fs: Some(model), seccomp: None })
}

fn embedded(data_root: &AbsPath) -> Result<EmbeddedMgr, BoxError> {
    let mut config = Config::new(data_root.clone());
    config.subids = SubidSource::Range(pool()?);
    // No account of this host takes an id of the pool.
    let none = || data_root.as_path().join("no-accounts");
    config.accounts = AccountFiles { passwd: none(), group: none(), subuid: none(), subgid: none() };
    Ok(EmbeddedMgr::open(config, Arc::new(LinuxHost::default()))?)
}

fn of_mgr(mgr: impl MgrPort + 'static) -> Ports {
    Ports { mgr: Some(Arc::new(mgr)), fs: None, seccomp: None }
}

fn pool() -> Result<IdRange, BoxError> {
    Ok(IdRange::new(1 << 30, Backend::CAPACITY * 65_536)?)
}
