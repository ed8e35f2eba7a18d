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

    /// What it cannot do.
    pub(super) const fn lacks(self) -> &'static [Lack] {
        match self {
            Self::Model => {
                &[Lack { ability: Ability::Restart, reason: "what it knows is in its memory only" }]
            }
            Self::Embedded => &EMBEDDED_LACKS,
        }
    }
}

const EMBEDDED_LACKS: [Lack; 6] = {
    const fn not_done(ability: Ability) -> Lack {
        Lack { ability, reason: "the embedded manager leaves the files of containers alone" }
    }
    [
        Lack { ability: Ability::Fs, reason: "the embedded manager emulates no /proc and /sys" },
        not_done(Ability::PrepMounts),
        not_done(Ability::ReqMounts),
        not_done(Ability::ShiftfsMarks),
        not_done(Ability::FsState),
        not_done(Ability::CloneRootfs),
    ]
};

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
