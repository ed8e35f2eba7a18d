//! What the fs daemon is told.

use serde::{Deserialize, Serialize};
use sysbox_core as domain;

use super::{
    ConvertError, Id, Path,
    time::{self, Time},
    value::{self, Range},
};

/// What is known of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerData {
    pub(super) id: Id,
    pub(super) init_pid: Option<i32>,
    pub(super) hostname: Option<String>,
    pub(super) created: Option<Time>,
    pub(super) uids: Option<Range>,
    pub(super) gids: Option<Range>,
    pub(super) proc_ro_paths: Vec<Path>,
    pub(super) proc_mask_paths: Vec<Path>,
    pub(super) netns: Option<Path>,
}

impl From<domain::ContainerData> for ContainerData {
    fn from(data: domain::ContainerData) -> Self {
        let domain::ContainerData {
            id,
            init_pid,
            hostname,
            created,
            uids,
            gids,
            proc_ro_paths,
            proc_mask_paths,
            netns,
        } = data;
        Self {
            id: id.into(),
            init_pid,
            hostname,
            created: created.map(Time::from),
            uids: uids.map(Range::from),
            gids: gids.map(Range::from),
            proc_ro_paths: value::list(proc_ro_paths),
            proc_mask_paths: value::list(proc_mask_paths),
            netns: netns.map(Path::from),
        }
    }
}

impl TryFrom<ContainerData> for domain::ContainerData {
    type Error = ConvertError;

    fn try_from(wire: ContainerData) -> Result<Self, ConvertError> {
        let ContainerData {
            id,
            init_pid,
            hostname,
            created,
            uids,
            gids,
            proc_ro_paths,
            proc_mask_paths,
            netns,
        } = wire;
        Ok(Self {
            id: value::id("id", id)?,
            init_pid: value::pid("init_pid", init_pid)?,
            hostname,
            created: time::read("created", created)?,
            uids: value::range("uids", uids)?,
            gids: value::range("gids", gids)?,
            proc_ro_paths: value::paths("proc_ro_paths", proc_ro_paths)?,
            proc_mask_paths: value::paths("proc_mask_paths", proc_mask_paths)?,
            netns: value::optional_path("netns", netns)?,
        })
    }
}
