//! What `/proc` tells of a descriptor (`proc_pid_fdinfo(5)`).

use std::{
    fs,
    os::fd::{AsFd, AsRawFd},
};

use sysbox_core::HostError;

use crate::error::failed;

/// The number that stands after `name`, such as `mnt_id`.
pub(crate) fn number(fd: impl AsFd, name: &'static str) -> Result<u64, HostError> {
    let path = format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd());
    let info = fs::read_to_string(&path).map_err(failed("read", &path))?;
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok();
    info.lines().find_map(value).ok_or_else(|| HostError::new("read", path, NoNumber { name }))
}

#[derive(Debug, thiserror::Error)]
#[error("it has no number for {name}")]
struct NoNumber {
    name: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn a_number_is_found_by_its_whole_name() {
        let file = File::open("/proc/self/status").expect("opened");
        assert_eq!(number(&file, "pos").expect("there"), 0);
        assert!(number(&file, "mnt_id").expect("there") > 0);
        assert!(number(&file, "mnt").is_err() && number(&file, "Pid").is_err());
    }
}
