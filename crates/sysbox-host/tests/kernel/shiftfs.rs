//! Marks of shiftfs, which most kernels do not have.

use std::{error::Error, fs};

use sysbox_host::shiftfs::{self, Access};

use crate::place::Place;

#[test]
fn a_directory_is_marked_once_and_unmarked_or_the_refusal_says_what_to_use_instead() {
    let place = Place::new();
    let dir = place.dir("marked");
    assert!(!shiftfs::is_marked(&dir).expect("asked"));
    assert!(!shiftfs::is_marked(&place.at("missing")).expect("asked"));
    shiftfs::unmark(&dir).expect("nothing to do");
    let has_shiftfs = fs::read_to_string("/proc/filesystems").expect("proc(5)").contains("shiftfs");
    for access in [Access::ReadWrite, Access::ReadOnly] {
        match shiftfs::mark(&dir, access) {
            Ok(()) => {
                assert!(shiftfs::is_marked(&dir).expect("asked"));
                shiftfs::mark(&dir, access).expect("it is marked already");
                shiftfs::unmark(&dir).expect("unmounted");
            }
            Err(error) => {
                assert!(!has_shiftfs, "{error:?}");
                assert!(error.source().expect("kept").to_string().contains("no shiftfs"), "{error:?}");
            }
        }
        assert!(!shiftfs::is_marked(&dir).expect("asked"));
    }
}
