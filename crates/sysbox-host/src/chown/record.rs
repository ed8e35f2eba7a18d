//! The record of a tree, in an attribute of its root directory.
//!
//! Only who has `CAP_SYS_ADMIN` in the initial user namespace can see or write it (xattr(7), "Trusted extended attributes"),
//! so what stands there was written here. It takes the same room in each phase, so that a container that leaves no room for more
//! attributes does not keep it from being rewritten.

use std::ffi::CStr;

use rustix::{
    fs::{XattrFlags, fgetxattr, fremovexattr, fsetxattr},
    io::Errno,
};
use sysbox_core::tree::{TreePhase, TreeRecord};

use super::{ChownError, tree::Tree};

const NAME: &CStr = c"trusted.sysbox.shift";

/// More than any record of ours takes: a container id has at most 1024 bytes.
const MAX_LEN: usize = 2048;

/// Reads the record of a tree.
pub(super) fn read(tree: &Tree) -> Result<Option<TreeRecord>, ChownError> {
    let mut text = [0; MAX_LEN];
    match fgetxattr(tree.root(), NAME, &mut text[..]) {
        Ok(len) => {
            let text = String::from_utf8_lossy(&text[..len]);
            let unreadable = |source| ChownError::Record { root: tree.path().to_owned(), source };
            text.trim_end_matches(' ').parse().map(Some).map_err(unreadable)
        }
        Err(Errno::NODATA) => Ok(None),
        Err(errno) => Err(error(tree, "read the record of the shift of", errno)),
    }
}

/// Writes the record of a tree, with spaces up to the length that it has in the phase with the longest name.
pub(super) fn write(tree: &Tree, record: &TreeRecord) -> Result<(), ChownError> {
    let longest = TreeRecord { phase: TreePhase::Reverting, ..record.clone() }.to_string();
    let text = format!("{:width$}", record.to_string(), width = longest.len());
    fsetxattr(tree.root(), NAME, text.as_bytes(), XattrFlags::empty())
        .map_err(|errno| error(tree, "write the record of the shift of", errno))
}

/// Removes the record of a tree.
pub(super) fn remove(tree: &Tree) -> Result<(), ChownError> {
    fremovexattr(tree.root(), NAME).map_err(|errno| error(tree, "remove the record of the shift of", errno))
}

fn error(tree: &Tree, operation: &'static str, errno: Errno) -> ChownError {
    let root = tree.path().to_owned();
    match errno {
        Errno::OPNOTSUPP => ChownError::NoTrustedAttributes { root, source: errno.into() },
        _ => ChownError::system(operation, root, errno),
    }
}
