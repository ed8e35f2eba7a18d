//! Step 6: the mounts of a system container.
//!
//! The steps are to be taken in this order: [`check_destinations`], [`add_system_mounts`], [`add_emulated`], [`complete_systemd`],
//! [`complete_read_only`] (systemd's `/run` comes before that of any read-only rootfs), [`split_special`] with the manager's answers
//! for [`add_of_manager`], [`order`]. Destinations are compared by components: `/dev/` is `/dev`, and `/system` is not below `/sys`.

mod emulated;
mod list;
mod mark;
mod of_manager;
mod order;
mod places;
mod read_only;
mod special;
mod system;
mod systemd;

pub use emulated::{EMULATED_PATHS, add_emulated};
pub use list::is_bind;
pub use mark::OF_MANAGER;
pub use of_manager::add_of_manager;
pub use order::order;
pub use read_only::complete_read_only;
pub use special::{Special, UnreadableConfig, needed_directories, special_directories, split_special};
pub use system::{add_system_mounts, check_destinations};
pub use systemd::complete_systemd;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
