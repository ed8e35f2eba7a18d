//! Bytes worked out by hand from the proto files.
//!
//! A field is its number times 8 plus its form (0 a varint, 2 a length and so many bytes), then its value. A varint has
//! 7 bits a byte, the lowest first, and its top bit says that more follow. Fields with their type's zero are left out.

use std::time::{Duration, UNIX_EPOCH};

use prost::Message;
use sysbox_core::{
    ContainerConfig, ContainerData, IdMapping, IdMappings, IdOffset, IdOffsets, IdRange, MountKind,
    MountRequest, MountRequests, Registration, ShiftType,
};

use super::{ConvertError, pb};

fn sends<M, T>(value: &T, bytes: &[u8])
where
    M: Message + for<'a> TryFrom<&'a T, Error = ConvertError>,
{
    assert_eq!(M::try_from(value).expect("the wire can carry it").encode_to_vec(), bytes);
}

fn mappings(host: u32) -> IdMappings {
    IdMappings::new([IdMapping::new(0, host, 65_536).expect("valid")]).expect("one")
}

#[test]
fn a_registration() {
    let request = Registration {
        id: "c1".parse().expect("an id"),
        rootfs: "/r".parse().expect("a path"),
        userns: None,
        netns: Some("/n".parse().expect("a path")),
        uid_mappings: mappings(100_000),
        gid_mappings: IdMappings::default(),
    };
    // Fields 1, 2 and 4 are texts of 2 bytes. Field 5 is an extent of 8 bytes: host id 100000 is 6 * 2^14 + 13 * 2^7 + 32,
    // size 65536 is 4 * 2^14, and container id 0 is left out.
    let bytes = b"\x0a\x02c1\x12\x02/r\x22\x02/n\x2a\x08\x10\xa0\x8d\x06\x18\x80\x80\x04";
    sends::<pb::RegisterReq, _>(&request, bytes);
}

#[test]
fn a_configuration_with_everything_set() {
    let config = ContainerConfig {
        alias_dns: true,
        shiftfs_ok: true,
        shiftfs_on_overlayfs_ok: true,
        idmap_mount_ok: true,
        overlayfs_on_idmap_mount_ok: true,
        no_rootfs_cloning: true,
        ignore_sysfs_chown: true,
        allow_trusted_xattr: true,
        honor_caps: true,
        syscont_mode: true,
        fsuid_map_fail_on_err: true,
        no_shiftfs_on_fuse: true,
        relaxed_read_only: true,
        userns: Some("/u".parse().expect("a path")),
        uid_mappings: mappings(1),
        gid_mappings: mappings(2),
        rootfs_shift: ShiftType::Chown,
    };
    let mut bytes = Vec::new();
    // Fields 1 to 10 are true: 8, 16, ... 80, each with 1.
    bytes.extend(b"\x08\x01\x10\x01\x18\x01\x20\x01\x28\x01\x30\x01\x38\x01\x40\x01\x48\x01\x50\x01");
    // Field 11 is a text, 12 and 13 are extents of 6 bytes.
    bytes.extend(b"\x5a\x02/u\x62\x06\x10\x01\x18\x80\x80\x04\x6a\x06\x10\x02\x18\x80\x80\x04");
    // Field 14 is true and 15 is 4; 16 and 17 times 8 are 1 * 2^7 and 1 * 2^7 + 8.
    bytes.extend(b"\x70\x01\x78\x04\x80\x01\x01\x88\x01\x01");
    sends::<pb::ContainerConfig, _>(&config, &bytes);
    // A reply holds it as field 1; it has 50 bytes.
    assert_eq!(bytes.len(), 50);
    sends::<pb::RegisterResp, _>(&config, &[b"\x0a\x32", &*bytes].concat());
}

#[test]
fn each_flag_of_a_configuration_has_its_own_field() {
    let fields = (1..=10_u8).chain([14, 16, 17]);
    for (nth, field) in fields.enumerate() {
        let tag: &[u8] = if field < 16 { &[field * 8] } else { &[(field * 8) | 128, 1] };
        let bytes = [tag, &[1]].concat();
        let config = ContainerConfig::try_from(pb::ContainerConfig::decode(&*bytes).expect("a message"));
        let config = config.expect("valid");
        let on = [
            config.alias_dns,
            config.shiftfs_ok,
            config.shiftfs_on_overlayfs_ok,
            config.idmap_mount_ok,
            config.overlayfs_on_idmap_mount_ok,
            config.no_rootfs_cloning,
            config.ignore_sysfs_chown,
            config.allow_trusted_xattr,
            config.honor_caps,
            config.syscont_mode,
            config.fsuid_map_fail_on_err,
            config.no_shiftfs_on_fuse,
            config.relaxed_read_only,
        ];
        assert_eq!(on.iter().position(|&on| on), Some(nth));
        assert_eq!(on.iter().filter(|&&on| on).count(), 1);
    }
}

#[test]
fn container_data_without_a_time_has_the_zero_time_of_go() {
    let data = ContainerData::new("c1".parse().expect("an id"));
    // Field 4 has 11 bytes: field 1 of a timestamp, -62135596800, as a varint of its 64 bits. 2^64 less that number is
    // 0xfffffff1886e0900, in groups of 7 bits from the lowest: 00 12 38 43 18 7f 7f 7f 7f 01.
    let bytes = b"\x0a\x02c1\x22\x0b\x08\x80\x92\xb8\xc3\x98\xfe\xff\xff\xff\x01";
    sends::<pb::ContainerData, _>(&data, bytes);
    let absent = pb::ContainerData { id: "c1".to_owned(), ..Default::default() };
    assert_eq!(ContainerData::try_from(absent), Ok(data));
}

#[test]
fn container_data_with_everything_set() {
    let range = |first| Some(IdRange::new(first, 2).expect("valid"));
    let data = ContainerData {
        id: "c1".parse().expect("an id"),
        init_pid: Some(7),
        hostname: Some("h".to_owned()),
        created: Some(UNIX_EPOCH - Duration::from_millis(1)),
        uids: range(3),
        gids: range(4),
        proc_ro_paths: vec!["/a".parse().expect("a path"), "/b".parse().expect("a path")],
        proc_mask_paths: vec!["/c".parse().expect("a path")],
        netns: Some("/n".parse().expect("a path")),
    };
    let mut bytes = Vec::new();
    bytes.extend(b"\x0a\x02c1\x10\x07\x1a\x01h");
    // A millisecond before 1970 is second -1, all bits set, and 999000000 nanoseconds in field 2: 3 * 2^28 + 92 * 2^21 +
    // 46 * 2^14 + 15 * 2^7 + 64.
    bytes.extend(b"\x22\x11\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x10\xc0\x8f\xae\xdc\x03");
    bytes.extend(b"\x28\x03\x30\x02\x38\x04\x40\x02");
    bytes.extend(b"\x4a\x02/a\x4a\x02/b\x52\x02/c\x5a\x02/n");
    sends::<pb::ContainerData, _>(&data, &bytes);
}

#[test]
fn negative_offsets_and_lists() {
    let offsets = IdOffsets { uid: IdOffset::from(-1), gid: IdOffset::from(2) };
    let id = "c1".parse().expect("an id");
    // An int32 that is negative is extended to 64 bits.
    let bytes = b"\x0a\x02c1\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x18\x02";
    assert_eq!(pb::ChownClonedRootfsReq::try_from((&id, offsets)).expect("fits").encode_to_vec(), bytes);
    let mount = |kind, path: &str| MountRequest { kind, destination: path.parse().expect("a path") };
    let request = MountRequests {
        id,
        rootfs_shift: ShiftType::IdMappedMount,
        mounts: vec![mount(MountKind::VarLibDocker, "/d"), mount(MountKind::UsrSrcLinuxHdr, "/h")],
    };
    // Kind 0 is left out.
    let bytes = b"\x0a\x02c1\x10\x02\x1a\x04\x12\x02/d\x1a\x06\x08\x07\x12\x02/h";
    sends::<pb::MountReq, _>(&request, bytes);
}
