//! What is on disk of a container: its directory below the data root, the lock of whoever works on it, and its record.

mod claim;
mod process_id;
mod record;

pub(crate) use claim::{Claim, ClaimError, Containers};
pub(crate) use process_id::ProcessId;
pub(crate) use record::{Given, Made, Record, Status};
