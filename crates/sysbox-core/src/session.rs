//! What a runtime holds for one container: the facades [`Mgr`], [`Fs`] and [`Sysbox`] over the ports.
//!
//! They keep the order of calls, remember what was answered, and go through the runtime's state file as a [`Snapshot`],
//! since creating, starting and deleting a container are processes of their own.

mod convert;
mod error;
mod fs;
mod mgr;
mod shifting;
mod snapshot;
mod sysbox;

pub use convert::{Conversion, ConvertError, Converted, SpecialDirectories};
pub use error::{SessionError, TeardownError};
pub use fs::{Fs, FsRegInfo};
pub use mgr::Mgr;
pub use shifting::{ShiftingError, check_uid_shifting};
pub use snapshot::{RestoreError, Snapshot};
pub use sysbox::{Ports, Sysbox};
