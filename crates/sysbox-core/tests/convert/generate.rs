//! Random specs, and random worlds to convert them in. Most can be converted; some have something that cannot.

use std::collections::BTreeMap;

use oci_spec::runtime::Spec;
use proptest::{
    collection::vec,
    prelude::*,
    sample::{select, subsequence},
};
use serde_json::{Value, json};
use sysbox_core::{
    ContainerConfig,
    syscont::mounts::{EMULATED_PATHS, OF_MANAGER},
};

use super::fake::{EMULATED, World};

const DESTINATIONS: &[&str] = &[
    "/",
    "//",
    "/proc",
    "/proc/",
    "/./proc",
    "/proc/sys",
    "/proc/sys/net",
    "/proc/uptime",
    "/sys",
    "/sys/fs/cgroup",
    "/sys/fs/cgroup/cpu",
    "/sys/fs/cgroup2",
    "/sys/kernel",
    "/sys/kernel/debug",
    "/sys/firmware",
    "/dev",
    "/dev/kmsg",
    "/dev/pts",
    "/dev/shm",
    "/run",
    "/run/lock",
    "/run/secrets",
    "/tmp",
    "/data",
    "/data/",
    "/data/cache",
    "/data//cache/deep",
    "/database",
    "/var",
    "/var/lib/docker",
    "/var/lib/docker/volumes",
    "/var/lib/kubelet",
    "/var/lib/rancher/k3s",
    "/usr/src/linux-headers-6.8.0",
    "/etc/hosts",
    "/a\nb",
    "/ü",
    "/a b",
];

const BAD_DESTINATIONS: &[&str] = &["", "relative", "/..", "/data/../proc", "/a\0b"];

const KINDS: &[&str] =
    &["bind", "tmpfs", "proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue", "overlay", "none"];

const OPTIONS: &[&str] =
    &["bind", "rbind", "ro", "rw", "rprivate", "nosuid", "noexec", "nodev", "mode=755", "size=64k"];

const PATHS: &[&str] = &[
    "/proc",
    "/proc/sys",
    "/proc/sys/net",
    "/proc/kcore",
    "/proc/kallsyms",
    "/proc/kmsg",
    "/proc/acpi",
    "/proc/bus",
    "/proc/keys",
    "/sys/kernel",
    "/sys/kernel/debug",
    "/sys/firmware",
    "/run",
    "/run/lock",
    "/tmp",
    "/data",
];

const SYSCALLS: &[&str] = &[
    "read",
    "mount",
    "umount2",
    "openat2",
    "personality",
    "socket",
    "clone",
    "chown",
    "setxattr",
    "keyctl",
    "bpf",
    "ptrace",
    "kexec_load",
    "reboot",
    "init_module",
    "add_key",
    "",
    "nonsense",
];

const ACTIONS: &[&str] = &[
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
];

const CAPABILITIES: &[&str] = &["CAP_CHOWN", "CAP_KILL", "CAP_SYS_ADMIN", "CAP_NET_RAW", "CAP_MKNOD"];

const ENV: &[&str] = &[
    "PATH=/bin",
    "container=docker",
    "container",
    "=",
    "",
    "HOME=/root",
    "PATH=/usr/bin",
    "SYSBOX_HONOR_CAPS=TRUE",
    "SYSBOX_SYSCONT_MODE=FALSE",
    "SYSBOX_SKIP_UID_SHIFT=/data,/tmp",
    "SYSBOX_IGNORE_SYSFS_CHOWN=TRUE",
];

/// Sizes and first ids about where the arithmetic of ids would wrap.
const IDS: &[u32] =
    &[0, 1, 65_535, 65_536, 231_072, u32::MAX - 65_536, u32::MAX - 65_535, u32::MAX - 1, u32::MAX];

/// A whole spec.
pub(crate) fn spec() -> impl Strategy<Value = Spec> {
    let parts = (root(), process(), linux(), prop::option::weighted(0.9, vec(mount(), 0..14)), annotations());
    parts.prop_map(|(root, process, linux, mounts, annotations)| {
        let spec = json!({
            "ociVersion": "1.0.2", "hostname": "h", "domainname": "d", "root": root, "process": process, "linux": linux,
            "mounts": mounts, "annotations": annotations,
            "hooks": { "prestart": [{ "path": "/bin/hook", "args": ["hook"] }] },
        });
        serde_json::from_value(spec).expect("a spec")
    })
}

/// Now and then with marks that no conversion has made: of whatever is mounted by an author, or by a conversion.
fn annotations() -> impl Strategy<Value = Value> {
    let of_author =
        |source| json!(DESTINATIONS.iter().map(|&at| (at, source)).collect::<BTreeMap<_, _>>()).to_string();
    let mut of_conversion: Vec<_> = EMULATED_PATHS.map(|at| (at, format!("{EMULATED}/c1{at}"))).into();
    let kernel =
        [("/proc", "proc"), ("/sys", "sysfs"), ("/sys/fs/cgroup", "cgroup"), ("/dev/kmsg", "/dev/null")];
    of_conversion.extend(kernel.map(|(at, source)| (at, source.to_owned())));
    of_conversion.extend(["/dev", "/run", "/run/lock", "/tmp"].map(|at| (at, "tmpfs".to_owned())));
    let mut marks = vec![
        String::new(),
        "nonsense".to_owned(),
        "{}".to_owned(),
        r#"{"/var/lib/docker":"/srv/a","/data":"/srv/b","/etc/hosts":""}"#.to_owned(),
        json!(of_conversion.into_iter().collect::<BTreeMap<_, _>>()).to_string(),
    ];
    marks.extend(["/srv/a", "/srv/b", "/dev/null", "tmpfs"].map(of_author));
    let marks = select(marks);
    prop::option::weighted(0.3, marks).prop_map(|marks| {
        let mut annotations = json!({ "a": "1", "b": "2" });
        annotations
            .as_object_mut()
            .expect("a map")
            .extend(marks.map(|marks| (OF_MANAGER.to_owned(), json!(marks))));
        annotations
    })
}

/// Daemons, a host and a way of converting.
pub(crate) fn world() -> impl Strategy<Value = World> {
    let config = (any::<[bool; 5]>(), prop::bool::weighted(0.9));
    (config, any::<[bool; 3]>(), prop::bool::weighted(0.7)).prop_map(
        |((flags, syscont_mode), there, listens)| {
            let [honor_caps, relaxed_read_only, ignore_sysfs_chown, allow_trusted_xattr, no_rootfs_cloning] =
                flags;
            let config = ContainerConfig {
                honor_caps,
                relaxed_read_only,
                ignore_sysfs_chown,
                allow_trusted_xattr,
                no_rootfs_cloning,
                syscont_mode,
                ..ContainerConfig::default()
            };
            let [mgr, fs, overlay] = there;
            let mut world = World { mgr, fs, overlay, ..World::new(config) };
            if !listens {
                world.conversion.seccomp_listener = None;
            }
            world
        },
    )
}

fn root() -> impl Strategy<Value = Value> {
    prop::option::of(any::<bool>()).prop_map(|read_only| json!({ "path": "/r", "readonly": read_only }))
}

fn mount() -> impl Strategy<Value = Value> {
    let destination = prop_oneof![60 => select(DESTINATIONS), 1 => select(BAD_DESTINATIONS)];
    let source = prop::option::of(select(vec!["/srv/a", "/srv/b", "tmpfs", "/dev/null", ""]));
    let options = prop::option::of(subsequence(OPTIONS, 0..5));
    (destination, prop::option::weighted(0.9, select(KINDS)), source, options).prop_map(
        |(destination, kind, source, options)| {
            json!({ "destination": destination, "type": kind, "source": source, "options": options })
        },
    )
}

fn process() -> impl Strategy<Value = Value> {
    let args = select(vec![
        json!(["sh"]),
        json!(["/sbin/init"]),
        json!(["/lib/systemd/systemd", "--system"]),
        json!([]),
        Value::Null,
    ]);
    let sets = prop::option::of([(); 5].map(|()| prop::option::of(subsequence(CAPABILITIES, 0..=5))));
    let env = prop::option::of(vec(select(ENV), 0..5));
    let oom = prop::option::of(select(vec![-1001, -1000, -999, 0, 1000]));
    (args, sets, env, oom, select(vec![0u32, 1000]), any::<[bool; 3]>()).prop_map(
        |(args, sets, env, oom, uid, [confined, labelled, no_new_privileges])| {
            let sets = sets.map(|[ambient, bounding, effective, inheritable, permitted]| {
                json!({ "ambient": ambient, "bounding": bounding, "effective": effective,
                        "inheritable": inheritable, "permitted": permitted })
            });
            json!({
                "args": args, "capabilities": sets, "env": env, "oomScoreAdj": oom, "cwd": "/work",
                "user": { "uid": uid, "gid": 0, "additionalGids": [7], "umask": 18 },
                "apparmorProfile": confined.then_some("docker-default"),
                "selinuxLabel": labelled.then_some("system_u:system_r:container_t:s0"),
                "noNewPrivileges": no_new_privileges,
                "rlimits": [{ "type": "RLIMIT_NOFILE", "soft": 1024, "hard": 4096 }],
            })
        },
    )
}

fn linux() -> impl Strategy<Value = Value> {
    let paths = || prop::option::of(subsequence(PATHS, 0..8).prop_shuffle());
    (namespaces(), paths(), paths(), mappings(), prop::option::of(seccomp()), devices()).prop_map(
        |(namespaces, masked, read_only, (uids, gids), seccomp, devices)| {
            json!({
                "namespaces": namespaces, "maskedPaths": masked, "readonlyPaths": read_only, "uidMappings": uids,
                "gidMappings": gids, "seccomp": seccomp, "devices": devices, "sysctl": { "net.ipv4.ip_forward": "1" },
                "cgroupsPath": "/c1", "rootfsPropagation": "rprivate", "mountLabel": "l",
                "resources": { "devices": [{ "allow": false, "access": "rwm" }], "pids": { "limit": 7 } },
            })
        },
    )
}

fn namespaces() -> impl Strategy<Value = Vec<Value>> {
    let kind = |kind: &str| json!({ "type": kind });
    let required = Just(["pid", "ipc", "uts", "mount"].map(kind).to_vec());
    let network = prop_oneof![
        8 => Just(Some(kind("network"))),
        2 => Just(Some(json!({ "type": "network", "path": "/run/netns/a" }))),
        1 => Just(Some(json!({ "type": "network", "path": "/proc/1/ns/net" }))),
        1 => Just(None),
    ];
    let user = prop_oneof![
        2 => Just(None),
        2 => Just(Some(kind("user"))),
        1 => Just(Some(json!({ "type": "user", "path": "/proc/7/ns/user" }))),
    ];
    let others = subsequence(vec![kind("cgroup"), kind("time")], 0..=2);
    (required, network, user, others)
        .prop_map(|(required, network, user, others)| {
            required.into_iter().chain(network).chain(user).chain(others).collect()
        })
        .prop_shuffle()
}

/// Mappings for users and groups: none, good ones in one or two pieces, or anything.
fn mappings() -> impl Strategy<Value = (Value, Value)> {
    let extent = |(inside, host, size)| json!({ "containerID": inside, "hostID": host, "size": size });
    let good = json!([extent((0, 231_072, 65_536))]);
    let pieces = json!([extent((1000, 232_072, 64_536)), extent((0, 231_072, 1000))]);
    let any = vec((select(IDS), select(IDS), select(IDS)).prop_map(extent), 0..3)
        .prop_map(|extents| json!(extents));
    let any = (any.clone(), any);
    prop_oneof![
        4 => Just((Value::Null, Value::Null)),
        2 => Just((good.clone(), good.clone())),
        2 => Just((pieces, good)),
        1 => any,
    ]
}

fn seccomp() -> impl Strategy<Value = Value> {
    let arg = json!([{ "index": 0, "value": 8, "op": "SCMP_CMP_EQ" }]);
    let rule = (
        subsequence(SYSCALLS, 1..5),
        select(ACTIONS),
        prop::option::of(Just(1u32)),
        prop::option::of(Just(arg)),
    );
    let rule = rule.prop_map(|(names, action, errno, args)| {
        json!({ "names": names, "action": action, "errnoRet": errno, "args": args })
    });
    let default = prop_oneof![6 => select(&ACTIONS[..2]), 1 => select(ACTIONS)];
    let architectures = select(vec![
        Value::Null,
        json!([]),
        json!(["SCMP_ARCH_X86_64"]),
        json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]),
        json!(["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]),
        json!(["SCMP_ARCH_MIPS"]),
    ]);
    (default, architectures, prop::option::of(vec(rule, 0..6))).prop_map(|(default, architectures, rules)| {
        json!({ "defaultAction": default, "defaultErrnoRet": 1, "architectures": architectures, "syscalls": rules })
    })
}

fn devices() -> impl Strategy<Value = Option<Vec<Value>>> {
    let device = |path| json!({ "path": path, "type": "c", "major": 10, "minor": 229, "fileMode": 438 });
    let devices = vec![device("/dev/fuse"), device("/dev/kmsg"), device("/dev/null")];
    prop::option::of(subsequence(devices, 0..=3))
}
