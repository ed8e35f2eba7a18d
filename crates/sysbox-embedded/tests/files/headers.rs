//! What every answer to a wish for mounts has in it.

use std::path::Path;

use pollster::block_on;
use sysbox_core::{HostPort, MgrPort, MountKind, MountRequest, MountRequests, ShiftType};

use crate::support::{Host, Place, abs, id, record, start};

#[test]
fn headers_and_binfmt_misc_are_given_as_the_host_has_them_and_wishes_for_headers_make_no_volume() {
    let place = Place::new();
    let mgr = place.open(Host::real());
    start(&mgr, "c", place.tree("rootfs", 0));
    let ask = |mounts| {
        let request = MountRequests { id: id("c"), rootfs_shift: ShiftType::IdMappedMount, mounts };
        block_on(mgr.req_mounts(&request)).expect("running")
    };
    let given = ask(Vec::new());
    let headers = MountRequest { kind: MountKind::UsrSrcLinuxHdr, destination: abs("/usr/src/headers") };
    assert_eq!(ask(vec![headers]), given);
    assert_eq!(record(&mgr, "c").volumes, []);
    let release = Host::real().kernel_release().expect("known");
    let expect = |path: &str, is_wanted: bool| {
        assert_eq!(given.iter().any(|mount| mount.destination == abs(path)), is_wanted, "{path}: {given:?}");
    };
    for path in [format!("/usr/src/linux-headers-{release}"), format!("/lib/modules/{release}")] {
        expect(&path, Path::new(&path).is_dir());
    }
    let binfmt_misc = "/proc/sys/fs/binfmt_misc";
    expect(binfmt_misc, Path::new(binfmt_misc).is_dir() && release.at_least(6, 7));
}
