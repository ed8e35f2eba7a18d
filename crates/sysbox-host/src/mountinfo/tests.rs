//! Lines of mountinfo as kernels write them, and any others.

use super::*;
use proptest::prelude::*;
use rustix::process::{WaitId, WaitIdOptions, waitid};

/// Lines as kernels 6.1 and 6.18 gave them.
const TABLE: &str = r"22 27 0:20 / /proc rw,nosuid,nodev,noexec,relatime shared:5 - proc proc rw
28 1 254:0 / / ro,relatime shared:1 master:3 unbindable - ext4 /dev/vda rw,discard
66 63 0:40 / /mnt/with\040space\134and\054comma rw,relatime - overlay none ro,lowerdir+=/l\0405,redirect_dir=on
67 63 0:41 /sub/dir /mnt/x rw - tmpfs  rw
68 63 0:42 net:[4026531840] /run/netns/a rw shared:7 - nsfs nsfs rw
";

#[test]
fn every_line_of_a_real_table_is_read() {
    let mounts = parse(TABLE.as_bytes()).expect("well formed");
    let found: Vec<_> =
        mounts.iter().map(|mount| (mount.id, mount.kind.as_str(), mount.is_read_only())).collect();
    assert_eq!(
        found,
        [
            (22, "proc", false),
            (28, "ext4", true),
            (66, "overlay", true),
            (67, "tmpfs", false),
            (68, "nsfs", false)
        ]
    );
    assert_eq!(mounts[2].mount_point, Path::new(r"/mnt/with space\and,comma"));
    assert_eq!(mounts[2].super_options, br"ro,lowerdir+=/l\0405,redirect_dir=on");
    assert_eq!((&*mounts[3].device, mounts[3].root.as_path()), (&b"0:41"[..], Path::new("/sub/dir")));
    assert_eq!(mounts[4].root, Path::new("net:[4026531840]"));
}

#[test]
fn the_options_of_a_mount_are_those_that_fsmount_takes() {
    let mounts = parse(TABLE.as_bytes()).expect("well formed");
    let expected = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    assert_eq!(mounts[0].attributes(), expected);
    assert_eq!(mounts[1].attributes(), MountAttrFlags::MOUNT_ATTR_RDONLY);
}

#[test]
fn a_line_that_is_cut_short_is_an_error_that_names_it() {
    let error = parse(b"22 27 0:20 / /proc rw - proc proc rw\n23 27 0:21 / /sys rw").expect_err("cut");
    assert_eq!(error, Malformed { number: 2, line: "23 27 0:21 / /sys rw".to_owned() });
}

#[test]
fn the_root_of_this_process_is_in_its_own_table() {
    let root = of_path(Path::new("/")).expect("found");
    assert_eq!(root.mount_point, Path::new("/"));
}

#[test]
fn a_process_has_a_table_until_it_has_ended() {
    let own = of_process(rustix::process::getpid()).expect("readable").expect("it runs");
    assert_eq!(own, read().expect("readable"));
    let mut child = std::process::Command::new("true").spawn().expect("started");
    let pid = Pid::from_child(&child);
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).expect("it is our child");
    assert_eq!(of_process(pid).expect("no error"), None, "it was not waited for");
    child.wait().expect("it is our child");
    assert_eq!(of_process(pid).expect("no error"), None, "it is gone");
}

fn escape(plain: &[u8]) -> Vec<u8> {
    let escaped = |&byte: &u8| match byte {
        b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
        _ => vec![byte],
    };
    plain.iter().flat_map(escaped).collect()
}

proptest! {
    #[test]
    fn reading_a_table_never_panics(table in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&table);
    }

    #[test]
    fn any_mount_point_is_read_as_it_is(name in proptest::collection::vec(any::<u8>(), 0..50)) {
        let mut line = b"1 2 0:3 / /".to_vec();
        line.extend(escape(&name));
        line.extend(b" rw - tmpfs none rw\n");
        let mounts = parse(&line).expect("well formed");
        let mut expected = b"/".to_vec();
        expected.extend(name);
        prop_assert_eq!(&mounts[0].mount_point, &PathBuf::from(OsString::from_vec(expected)));
    }
}
