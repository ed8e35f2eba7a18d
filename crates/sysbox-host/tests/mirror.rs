//! Mirroring real trees, on several file systems; removing and measuring them, and what is in them. Needs root.
#![expect(clippy::expect_used, reason = "the helpers of the tests are not seen as tests")]

#[path = "mirror/busy.rs"]
mod busy;
#[path = "mirror/carried.rs"]
mod carried;
#[path = "mirror/hostile.rs"]
mod hostile;
#[path = "mirror/in_line.rs"]
mod in_line;
#[path = "mirror/property.rs"]
mod property;
#[path = "mirror/refused.rs"]
mod refused;
#[path = "mirror/removal.rs"]
mod removal;
#[path = "mirror/shifted.rs"]
mod shifted;
#[path = "mirror/support.rs"]
mod support;
#[path = "mirror/within.rs"]
mod within;
