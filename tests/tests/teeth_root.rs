//! The suite of `sysbox-conformance` bites also where it takes root: it fails for each flaw that is seen in files and in what is
//! done with them.

use sysbox_tests::conformance::{Rights, every_flaw_is_seen};

#[test]
fn every_flaw_that_takes_root_is_seen_by_a_case() {
    every_flaw_is_seen(Rights::of_root());
}
