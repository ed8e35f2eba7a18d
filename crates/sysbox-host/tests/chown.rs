//! Tree chown on real trees, on the file system of the temporary directory, on tmpfs and on ext4. Needs root.
#![expect(clippy::expect_used, reason = "the helpers of the tests are not seen as tests")]

#[path = "chown/based.rs"]
mod based;
#[path = "chown/bounds.rs"]
mod bounds;
#[path = "chown/crowded.rs"]
mod crowded;
#[path = "chown/kept.rs"]
mod kept;
#[path = "chown/mended.rs"]
mod mended;
#[path = "chown/property.rs"]
mod property;
#[path = "chown/recorded.rs"]
mod recorded;
#[path = "chown/refused.rs"]
mod refused;
#[path = "chown/support.rs"]
mod support;
