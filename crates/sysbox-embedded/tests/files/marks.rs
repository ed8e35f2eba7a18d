//! Marks of shiftfs on a kernel that has none, as are all that are maintained. How they are counted is tested beside it.

use pollster::block_on;
use sysbox_core::{
    AbsPath, ErrorKind, HostPort, MgrPort, PortError, ShiftfsMark, ShiftfsMarks, host::Feature,
};
use sysbox_embedded::EmbeddedMgr;

use crate::support::{Host, Place, id, kind, start, stop};

fn mark(mgr: &EmbeddedMgr, name: &str, sources: &[AbsPath]) -> Result<Vec<ShiftfsMark>, PortError> {
    let marks = sources.iter().map(|source| ShiftfsMark { source: source.clone(), readonly: false });
    block_on(mgr.req_shiftfs_mark(&ShiftfsMarks { id: id(name), marks: marks.collect() }))
}

#[test]
fn without_shiftfs_a_mark_is_refused_and_none_is_not() {
    let support = Host::real().probe(&Feature::Shiftfs).expect("asked");
    assert!(!support.is_yes(), "this kernel has shiftfs: run the test on one without");
    let place = Place::new();
    let mgr = place.open(Host::real());
    let source = place.dir("source");
    assert_eq!(kind(mark(&mgr, "c", &[])), ErrorKind::NotFound);
    start(&mgr, "c", "/usr");
    assert_eq!(mark(&mgr, "c", &[]).expect("nothing asked for"), []);
    let refused = mark(&mgr, "c", &[source]).expect_err("no shiftfs");
    assert_eq!(refused.kind, ErrorKind::FailedPrecondition);
    assert!(refused.message.contains("use ID-mapped mounts"), "{refused}");
    assert_eq!(place.leftovers(), [] as [std::path::PathBuf; 0]);
    stop(&mgr, "c");
    assert_eq!(kind(mark(&mgr, "c", &[])), ErrorKind::FailedPrecondition);
}
