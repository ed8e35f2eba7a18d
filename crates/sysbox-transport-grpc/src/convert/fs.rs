//! The messages of `sysboxStateChannel`.

use sysbox_core::{AbsPath, ContainerData};

use super::{ConvertError, time, value};
use crate::generated::pb;

impl TryFrom<&AbsPath> for pb::MountpointResp {
    type Error = ConvertError;

    fn try_from(mountpoint: &AbsPath) -> Result<Self, ConvertError> {
        Ok(Self { mountpoint: value::path_text("Mountpoint", mountpoint)? })
    }
}

impl TryFrom<pb::MountpointResp> for AbsPath {
    type Error = ConvertError;

    fn try_from(pb::MountpointResp { mountpoint }: pb::MountpointResp) -> Result<Self, ConvertError> {
        value::path("Mountpoint", mountpoint)
    }
}

impl TryFrom<&ContainerData> for pb::ContainerData {
    type Error = ConvertError;

    /// The host name is sent, which the client written in Go forgets.
    fn try_from(data: &ContainerData) -> Result<Self, ConvertError> {
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
        } = data;
        let (uid_first, uid_size) = value::range_numbers(["UidFirst", "UidSize"], *uids)?;
        let (gid_first, gid_size) = value::range_numbers(["GidFirst", "GidSize"], *gids)?;
        Ok(Self {
            id: id.to_string(),
            init_pid: value::pid_number("InitPid", *init_pid)?,
            hostname: value::optional_text("Hostname", hostname.as_deref())?,
            ctime: Some(time::write("Ctime", *created)?),
            uid_first,
            uid_size,
            gid_first,
            gid_size,
            proc_ro_paths: value::path_texts("ProcRoPaths", proc_ro_paths)?,
            proc_mask_paths: value::path_texts("ProcMaskPaths", proc_mask_paths)?,
            netns: value::optional_path_text("Netns", netns.as_ref())?,
        })
    }
}

impl TryFrom<pb::ContainerData> for ContainerData {
    type Error = ConvertError;

    fn try_from(message: pb::ContainerData) -> Result<Self, ConvertError> {
        let pb::ContainerData {
            id,
            init_pid,
            hostname,
            ctime,
            uid_first,
            uid_size,
            gid_first,
            gid_size,
            proc_ro_paths,
            proc_mask_paths,
            netns,
        } = message;
        Ok(Self {
            id: value::id("Id", id)?,
            init_pid: value::pid("InitPid", init_pid)?,
            hostname: value::optional(hostname),
            created: time::read("Ctime", ctime)?,
            uids: value::range(["UidFirst", "UidSize"], uid_first, uid_size)?,
            gids: value::range(["GidFirst", "GidSize"], gid_first, gid_size)?,
            proc_ro_paths: value::paths("ProcRoPaths", proc_ro_paths)?,
            proc_mask_paths: value::paths("ProcMaskPaths", proc_mask_paths)?,
            netns: value::optional_path("Netns", netns)?,
        })
    }
}

impl TryFrom<pb::Response> for () {
    type Error = ConvertError;

    /// What it says is not looked at, as in Go: a failure comes as a status.
    fn try_from(pb::Response { success: _ }: pb::Response) -> Result<Self, ConvertError> {
        Ok(())
    }
}
