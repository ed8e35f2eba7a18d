//! What a conversion may take away of what the author of a spec denied. Whatever is not listed here stays denied.

use std::{collections::BTreeSet, sync::LazyLock};

use serde_json::{Value, json};
use sysbox_core::{ContainerConfig, syscont, syscont::mounts::OF_MANAGER};

use super::fake::World;

/// What every conversion may change; and of these fields what the functions below say.
const CHANGED: &[&str] = &[
    "/root/path",
    "/process/oomScoreAdj",
    "/mounts",
    "/linux/namespaces",
    "/linux/uidMappings",
    "/linux/gidMappings",
    "/linux/sysctl/net.ipv4.ping_group_range",
    "/linux/readonlyPaths",
    "/linux/seccomp",
    "/annotations/org.sysbox.mounts-of-manager",
];

/// What that into a system container may change besides.
const CHANGED_IN_SYSCONT: &[&str] = &[
    "/process/env",
    "/process/capabilities",
    "/process/apparmorProfile",
    "/linux/maskedPaths",
    "/linux/devices",
];

const UNMASKED: &[&str] = &["/proc", "/proc/sys", "/proc/kcore", "/proc/kallsyms", "/proc/kmsg"];
const WRITABLE: &[&str] = &["/proc", "/proc/sys"];
const OF_SYSTEMD: &[&str] = &["/run", "/run/lock", "/tmp", "/sys/kernel"];
const SYSTEM_MOUNTS: &[&str] = &["/sys", "/sys/fs/cgroup", "/proc", "/dev", "/dev/kmsg"];
const EMULATED: &[&str] = &[
    "/proc/sys",
    "/proc/swaps",
    "/proc/uptime",
    "/sys/kernel",
    "/sys/devices/virtual",
    "/sys/module/nf_conntrack/parameters",
];

/// The places where the manager of these worlds gives something.
const GIVEN: &[&str] = &[
    "/var/lib/docker",
    "/var/lib/kubelet",
    "/var/lib/k0s",
    "/var/lib/rancher/k3s",
    "/var/lib/rancher/rke2",
    "/var/lib/buildkit",
    "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs",
    "/usr/src/linux-headers-6.8.0",
];

/// The system calls that a profile which denies everything gains.
pub(crate) static GAINED: LazyLock<BTreeSet<&str>> =
    LazyLock::new(|| include_str!("../fixtures/allowed-syscalls.txt").lines().collect());

/// Those of them whose conditions on arguments stay.
const KEEP_CONDITIONS: &[&str] = &["personality", "socket"];

pub(crate) fn names_of(spec: &Value) -> impl Iterator<Item = &str> {
    list(spec, "/linux/seccomp/syscalls")
        .iter()
        .flat_map(|rule| list(rule, "/names"))
        .filter_map(Value::as_str)
}

/// What was done to a spec.
#[derive(Debug)]
pub(crate) struct Done<'a> {
    pub(crate) before: &'a Value,
    pub(crate) after: &'a Value,
    pub(crate) world: &'a World,
    /// What counted for the container.
    pub(crate) config: &'a ContainerConfig,
    pub(crate) with_systemd: bool,
}

impl Done<'_> {
    /// Everything that was done and is not allowed.
    pub(crate) fn loosened(&self) -> Vec<String> {
        let mut found = self.touched();
        found.extend(self.paths("/linux/maskedPaths", UNMASKED));
        found.extend(self.paths("/linux/readonlyPaths", WRITABLE));
        found.extend(self.environment());
        found.extend(self.capabilities());
        found.extend(self.system_calls());
        found.extend(self.devices());
        found.extend(self.mounts());
        found
    }

    /// Fields that stay as they are, all of those of the specification that are not listed above.
    fn touched(&self) -> Vec<String> {
        let without = |spec: &Value| {
            let mut spec = spec.clone();
            let in_syscont = if self.config.syscont_mode { CHANGED_IN_SYSCONT } else { &[] };
            for pointer in CHANGED.iter().chain(in_syscont) {
                let (parent, field) = pointer.rsplit_once('/').expect("a pointer to a field");
                if let Some(Value::Object(parent)) = spec.pointer_mut(parent) {
                    parent.remove(field);
                }
            }
            spec
        };
        let (before, after) = (without(self.before), without(self.after));
        if before == after { Vec::new() } else { vec![format!("of what stays:\n{before}\nbecame\n{after}")] }
    }

    fn paths(&self, pointer: &str, named: &[&str]) -> Vec<String> {
        let (before, after) = (strings(self.before, pointer), strings(self.after, pointer));
        let of_systemd = if self.with_systemd { OF_SYSTEMD } else { &[] };
        let may_go = |path: &str| {
            self.config.syscont_mode && named.iter().chain(of_systemd).any(|one| parts(one) == parts(path))
        };
        let gone = before.iter().filter(|path| !after.contains(path) && !may_go(path));
        gone.map(|path| format!("{path} of {pointer}")).collect()
    }

    /// The variables stay, in their order; only what tells systemd where it runs is replaced.
    fn environment(&self) -> Vec<String> {
        let others = |spec| {
            let mut env = strings(spec, "/process/env");
            env.retain(|entry| !(self.with_systemd && entry.starts_with("container=")));
            env
        };
        if others(self.before) == others(self.after) { Vec::new() } else { vec!["process.env".to_owned()] }
    }

    /// Root gets all that there are; others only what they cannot use by themselves.
    fn capabilities(&self) -> Vec<String> {
        let sets = ["effective", "permitted", "inheritable", "ambient"];
        let is_root = self.before.pointer("/process/user/uid") == Some(&json!(0));
        let gained = sets.iter().filter(|set| {
            let pointer = format!("/process/capabilities/{set}");
            let before = strings(self.before, &pointer);
            strings(self.after, &pointer).iter().any(|capability| !before.contains(capability))
        });
        let may_gain = self.config.syscont_mode && !self.config.honor_caps && is_root;
        gained.filter(|_| !may_gain).map(|set| format!("capabilities of the {set} set")).collect()
    }

    /// Rules of system calls that are not in the table stay, all of them; what is denied is not trapped; and conditions stay where they
    /// are to.
    fn system_calls(&self) -> Vec<String> {
        let profile = |spec: &Value| {
            let mut profile = spec.pointer("/linux/seccomp").cloned().unwrap_or_default();
            if let Some(fields) = profile.as_object_mut() {
                fields.retain(|field, _| !["syscalls", "listenerPath", "flags"].contains(&field.as_str()));
            }
            profile
        };
        let mut found = Vec::new();
        if !profile(self.before).is_null() && profile(self.before) != profile(self.after) {
            found.push("what the seccomp profile says of all system calls".to_owned());
        }
        let default = self.before.pointer("/linux/seccomp/defaultAction");
        let names: BTreeSet<&str> = names_of(self.before).chain(names_of(self.after)).collect();
        let is_free = |name: &str| {
            let keeps = || KEEP_CONDITIONS.contains(&name) && !self.keeps_conditions(name);
            self.config.syscont_mode && GAINED.contains(name) && !keeps()
        };
        found.extend(names.into_iter().filter(|name| !is_free(name)).filter_map(|name| {
            let (before, after) = (rules(self.before, name), rules(self.after, name));
            let is_trap = before != after
                && rules_of(&after, "SCMP_ACT_NOTIFY") != rules_of(&before, "SCMP_ACT_NOTIFY");
            let denies = |rule: &Value| DENYING.iter().any(|action| rule[0] == *action);
            let always = before.iter().find(|rule| !is_conditional(rule));
            let is_denied = always.map_or_else(|| before.iter().any(denies), denies)
                || (before.is_empty() && DENYING.iter().any(|action| default == Some(&json!(action))));
            let is_kept = before == after || (is_trap && !is_denied);
            (!is_kept).then(|| format!("system call {name:?}: {before:?} became {after:?}"))
        }));
        found
    }

    /// Whether a system call is permitted, or denied, under the conditions of the author still, and under no others.
    fn keeps_conditions(&self, name: &str) -> bool {
        let permits =
            |rule: &Value| ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG"].iter().any(|action| rule[0] == *action);
        let permits_all =
            self.before.pointer("/linux/seccomp/defaultAction") == Some(&json!("SCMP_ACT_ALLOW"));
        let (before, after) = (rules(self.before, name), rules(self.after, name));
        let is_kept = |rule: &&Value| is_conditional(rule) && (permits_all || permits(rule));
        let is_permitted = |rules: &[Value]| rules.iter().any(|rule| permits(rule) && !is_conditional(rule));
        let has_conditions = before.iter().any(|rule| is_kept(&rule));
        before.iter().filter(is_kept).eq(after.iter().filter(is_kept))
            && (!has_conditions || is_permitted(&before) || !is_permitted(&after))
    }

    fn devices(&self) -> Vec<String> {
        let devices = |spec| {
            let mut devices = list(spec, "/linux/devices").to_vec();
            devices.retain(|device| !SYSTEM_MOUNTS.contains(&device["path"].as_str().unwrap_or_default()));
            devices
        };
        if devices(self.before) == devices(self.after) {
            Vec::new()
        } else {
            vec!["linux.devices".to_owned()]
        }
    }

    /// The author's mounts are there, as often as they were, save those that are replaced; read-only ones still so.
    fn mounts(&self) -> Vec<String> {
        let mut left = list(self.after, "/mounts").to_vec();
        let mut found = Vec::new();
        for mount in list(self.before, "/mounts") {
            let is_same = |other: &Value| {
                *other == *mount || (self.may_change_access(mount) && is_same_but_access(other, mount))
            };
            match left.iter().position(is_same) {
                Some(place) => {
                    left.remove(place);
                }
                None if self.may_replace(mount) => {}
                None => found.push(format!("mount {mount}")),
            }
        }
        found
    }

    fn is_read_only(&self) -> bool {
        self.before.pointer("/root/readonly") == Some(&json!(true))
    }

    /// In a read-only rootfs, and below `/sys`: to what is stricter, or where the manager is relaxed.
    fn may_change_access(&self, mount: &Value) -> bool {
        self.config.syscont_mode && self.is_read_only() && parts(destination(mount)).first() == Some(&"sys")
    }

    fn may_replace(&self, mount: &Value) -> bool {
        let at = parts(destination(mount));
        let is_at = |places: &[&str]| places.iter().any(|place| parts(place) == at);
        let below_cgroups = at.len() > 3 && at[..3] == ["sys", "fs", "cgroup"];
        let for_systemd = self.with_systemd && is_at(&["/run", "/run/lock"]) && mount["type"] != "tmpfs";
        (self.config.syscont_mode && (is_at(SYSTEM_MOUNTS) || below_cgroups || for_systemd))
            || (self.world.fs && is_at(EMULATED))
            || (self.config.syscont_mode && self.world.mgr && is_at(GIVEN) && is_marked(self.before, mount))
    }
}

/// What the manager gave in an earlier conversion goes where it does not give it again.
fn is_marked(spec: &Value, mount: &Value) -> bool {
    let marks =
        spec["annotations"][OF_MANAGER].as_str().and_then(|marks| serde_json::from_str::<Value>(marks).ok());
    marks.is_some_and(|marks| marks.get(destination(mount)).is_some_and(|source| *source == mount["source"]))
}

const DENYING: &[&str] = &[
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_TRACE",
];

/// What the rules of a profile say of a system call, in their order.
fn rules(spec: &Value, name: &str) -> Vec<Value> {
    let mut rules = Vec::new();
    for rule in list(spec, "/linux/seccomp/syscalls") {
        let times = list(rule, "/names").iter().filter(|one| *one == name).count();
        let said = json!([rule["action"], rule["errnoRet"], list(rule, "/args")]);
        rules.extend(std::iter::repeat_n(said, times));
    }
    rules
}

fn is_conditional(rule: &Value) -> bool {
    !list(rule, "/2").is_empty()
}

fn rules_of<'a>(rules: &'a [Value], action: &str) -> Vec<&'a Value> {
    rules.iter().filter(|rule| rule[0] == action).collect()
}

fn is_same_but_access(one: &Value, other: &Value) -> bool {
    let without = |mount: &Value| {
        let mut mount = mount.clone();
        let mut options = strings(&mount, "/options");
        options.retain(|option| option != "ro" && option != "rw");
        mount["options"] = json!(options);
        mount
    };
    without(one) == without(other)
}

/// Pairs of mounts of which the later hides the earlier, and the author did not want it so.
pub(crate) fn hidden(before: &Value, after: &Value) -> Vec<String> {
    let (before, after) = (list(before, "/mounts"), list(after, "/mounts"));
    let last = |at: &Value| before.iter().rposition(|other| destination(other) == destination(at));
    let was_so = |earlier: &Value, later: &Value| {
        let first = before.iter().position(|other| destination(other) == destination(earlier));
        first.zip(last(later)).is_some_and(|(first, last)| first < last)
    };
    let mut found = Vec::new();
    for (nth, later) in after.iter().enumerate() {
        let above = parts(destination(later));
        for earlier in &after[..nth] {
            let is_hidden = above.len() < parts(destination(earlier)).len()
                && parts(destination(earlier)).starts_with(&above);
            if is_hidden && !was_so(earlier, later) {
                found.push(format!("{earlier} is hidden by {later}"));
            }
        }
    }
    found
}

/// Whether systemd is what the process of a spec runs.
pub(crate) fn with_systemd(spec: &oci_spec::runtime::Spec) -> bool {
    spec.process().as_ref().is_some_and(syscont::is_systemd)
}

fn destination(mount: &Value) -> &str {
    mount["destination"].as_str().unwrap_or_default()
}

/// The components of a path, as the kernel goes along them.
pub(crate) fn parts(path: &str) -> Vec<&str> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").collect()
}

pub(crate) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

pub(crate) fn strings(value: &Value, pointer: &str) -> Vec<String> {
    list(value, pointer).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}
