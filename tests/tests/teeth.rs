//! The suite of `sysbox-conformance` bites: over every backend and transport of this project it fails for each flaw that can be
//! seen there without root.

use sysbox_tests::conformance::{Rights, every_flaw_is_seen};

#[test]
fn every_flaw_of_every_backend_is_seen_by_a_case() {
    every_flaw_is_seen(Rights::give_up());
}
