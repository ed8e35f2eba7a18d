//! What libcontainer would fail at without naming the field, found out before anything is made.
//!
//! It changes this process alone: limits of the container's process cannot be above ours, so ours are raised where we may.

use std::{fs, path::Path};

use anyhow::Context;
use oci_spec::runtime::{
    Linux, LinuxDevice, LinuxDeviceType, LinuxNamespace, LinuxNamespaceType, PosixRlimit, PosixRlimitType,
    Process, Spec,
};
use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags, major, minor, openat2, stat},
    io::Errno,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use sysbox::{
    AbsPath, HostPort,
    linux::UserNamespace,
    syscont::{self, SpecError},
};

use super::{cgroup, quirks};

const OOM_SCORE: &str = "/proc/self/oom_score_adj";

/// Checks the process of a spec against this process and the rootfs, the namespaces that it joins, and its devices.
pub(crate) fn check(spec: &Spec, rootfs: &AbsPath, host: &dyn HostPort) -> anyhow::Result<()> {
    if let Some(userns) = syscont::userns(spec)? {
        let (uids, gids) = host.id_mappings(&userns)?;
        syscont::joined_ids(spec, &uids, &gids)
            .with_context(|| format!("user namespace {userns} cannot be joined"))?;
    }
    if let Some(linux) = spec.linux() {
        linux.namespaces().iter().flatten().try_for_each(|namespace| joined(namespace, host))?;
        devices(linux)?;
        unified(linux)?;
    }
    let Some(process) = spec.process() else { return Ok(()) };
    program(process)?;
    environment(process)?;
    for limit in process.rlimits().iter().flatten() {
        raise_ours(limit)?;
    }
    if let Some(score) = process.oom_score_adj() {
        // The conversion raises the least there is by one.
        try_oom_score(if score == -1000 { syscont::LEAST_OOM_SCORE } else { score })?;
    }
    Ok(working_directory(spec, process.cwd(), rootfs)?)
}

/// A container's first process is in the container's user namespace when it joins others, where it can join none of the host's
/// (`setns(2)`).
fn joined(namespace: &LinuxNamespace, host: &dyn HostPort) -> anyhow::Result<()> {
    let kind = match namespace.typ() {
        LinuxNamespaceType::User => return Ok(()),
        LinuxNamespaceType::Mount => "mount".to_owned(),
        LinuxNamespaceType::Network => "network".to_owned(),
        kind => kind.to_string(),
    };
    // Engines write an empty path for "a new one".
    let Some(path) = namespace.path().as_ref().filter(|path| !path.as_os_str().is_empty()) else {
        return Ok(());
    };
    let refused = |rule: &str| {
        SpecError::new(format!("linux.namespaces[{kind}].path"), path.display().to_string(), rule)
    };
    let owner = || {
        let path = AbsPath::new(path)?;
        // Before it is opened: who opens a fifo waits.
        host.namespace(&path)?;
        anyhow::Ok(UserNamespace::owner_of(&path)?.is_ours()?)
    };
    if owner().with_context(|| refused("it must be a namespace that a container can join"))? {
        let rule = "it belongs to the host's user namespace, and a system container, which has its own, cannot join it: \
                    leave the path out, or join a namespace of a system container, and its user namespace too, \
                    as /proc/PID/ns/user";
        return Err(refused(rule).into());
    }
    Ok(())
}

/// No user namespace may make device nodes (`user_namespaces(7)`): the host's are bound where the container wants them.
fn devices(linux: &Linux) -> Result<(), SpecError> {
    let devices = linux.devices().iter().flatten();
    devices.filter(|device| device.path() != Path::new(quirks::PTMX)).try_for_each(device)
}

fn device(device: &LinuxDevice) -> Result<(), SpecError> {
    let path = device.path();
    let refused =
        |found: String, rule: &str| SpecError::new(format!("linux.devices[{}]", path.display()), found, rule);
    if !path.starts_with("/dev") {
        return Err(refused(format!("at {}", path.display()), "a device must be below /dev"));
    }
    let (wanted, rule) = (
        Node::of(device),
        "a system container gets its devices from the host, which must have the same one at this path",
    );
    match stat(path) {
        Ok(found) if Node::at(&found) == wanted => Ok(()),
        Ok(_) => Err(refused("another one than the host's".to_owned(), rule)),
        Err(errno) => Err(refused(format!("none of the host's: {errno}"), rule)),
    }
}

/// What a device node stands for.
#[derive(PartialEq, Eq)]
struct Node {
    kind: FileType,
    /// Of a device, and 0 of a fifo.
    numbers: (i64, i64),
}

impl Node {
    fn of(device: &LinuxDevice) -> Self {
        let numbers = (device.major(), device.minor());
        match device.typ() {
            LinuxDeviceType::B => Self { kind: FileType::BlockDevice, numbers },
            LinuxDeviceType::C | LinuxDeviceType::U => Self { kind: FileType::CharacterDevice, numbers },
            LinuxDeviceType::P => Self { kind: FileType::Fifo, numbers: (0, 0) },
            LinuxDeviceType::A => Self { kind: FileType::Unknown, numbers },
        }
    }

    fn at(found: &rustix::fs::Stat) -> Self {
        let numbers = (major(found.st_rdev).into(), minor(found.st_rdev).into());
        Self { kind: FileType::from_raw_mode(found.st_mode), numbers }
    }
}

/// Where the files that it names are not, libcontainer leaves the limits out.
fn unified(linux: &Linux) -> Result<(), SpecError> {
    let files = linux.resources().as_ref().and_then(|resources| resources.unified().as_ref());
    match files.and_then(|files| files.keys().next()) {
        Some(file) if !cgroup::is_unified() => {
            let rule = "it needs a host with cgroup v2 alone, and this one has cgroup v1: use the other fields of linux.resources";
            Err(SpecError::new("linux.resources.unified", file, rule))
        }
        _ => Ok(()),
    }
}

fn program(process: &Process) -> Result<(), SpecError> {
    let args = process.args().as_deref().unwrap_or_default();
    if args.first().is_none_or(String::is_empty) {
        return Err(SpecError::new("process.args", "empty", "its first element is the program to run"));
    }
    each("process.args", args, "no program can be given a NUL byte", |text| !text.contains('\0'))
}

fn environment(process: &Process) -> Result<(), SpecError> {
    let variables = process.env().as_deref().unwrap_or_default();
    each("process.env", variables, "a variable is NAME=VALUE, without a NUL byte", |text| {
        text.split_once('=').is_some_and(|(name, _)| !name.is_empty()) && !text.contains('\0')
    })
}

/// Refuses the first of these texts that does not keep the rule.
fn each(
    field: &str,
    texts: &[String],
    rule: &'static str,
    keeps: impl Fn(&str) -> bool,
) -> Result<(), SpecError> {
    match texts.iter().enumerate().find(|(_, text)| !keeps(text)) {
        Some((nth, text)) => Err(SpecError::new(format!("{field}[{nth}]"), format!("{text:?}"), rule)),
        None => Ok(()),
    }
}

/// The container's process is in its user namespace when its limits are set, where nobody may raise one.
fn raise_ours(limit: &PosixRlimit) -> Result<(), SpecError> {
    let refused = |rule: String| {
        let shown = format!("{} with soft {} and hard {}", limit.typ(), limit.soft(), limit.hard());
        SpecError::new("process.rlimits", shown, rule)
    };
    if limit.soft() > limit.hard() {
        return Err(refused("a soft limit cannot be above the hard one".to_owned()));
    }
    let resource = resource(limit.typ());
    let ours = getrlimit(resource);
    // The kernel's word for "no limit" is the greatest number.
    let (Some(most), wanted) = (ours.maximum, limit.hard()) else { return Ok(()) };
    if wanted <= most {
        return Ok(());
    }
    let maximum = (wanted != u64::MAX).then_some(wanted);
    setrlimit(resource, Rlimit { current: ours.current, maximum }).map_err(|errno| {
        refused(format!(
            "it cannot be above the limit of this process, which is {most} and cannot be raised: {errno}"
        ))
    })
}

const fn resource(kind: PosixRlimitType) -> Resource {
    match kind {
        PosixRlimitType::RlimitCpu => Resource::Cpu,
        PosixRlimitType::RlimitFsize => Resource::Fsize,
        PosixRlimitType::RlimitData => Resource::Data,
        PosixRlimitType::RlimitStack => Resource::Stack,
        PosixRlimitType::RlimitCore => Resource::Core,
        PosixRlimitType::RlimitRss => Resource::Rss,
        PosixRlimitType::RlimitNproc => Resource::Nproc,
        PosixRlimitType::RlimitNofile => Resource::Nofile,
        PosixRlimitType::RlimitMemlock => Resource::Memlock,
        PosixRlimitType::RlimitAs => Resource::As,
        PosixRlimitType::RlimitLocks => Resource::Locks,
        PosixRlimitType::RlimitSigpending => Resource::Sigpending,
        PosixRlimitType::RlimitMsgqueue => Resource::Msgqueue,
        PosixRlimitType::RlimitNice => Resource::Nice,
        PosixRlimitType::RlimitRtprio => Resource::Rtprio,
        PosixRlimitType::RlimitRttime => Resource::Rttime,
    }
}

/// Lowering the score may need a privilege (`proc_pid_oom_score_adj(5)`); whether it does is found out by doing it.
fn try_oom_score(score: i32) -> anyhow::Result<()> {
    let before = fs::read_to_string(OOM_SCORE).with_context(|| format!("cannot read {OOM_SCORE}"))?;
    if before.trim().parse::<i32>().is_ok_and(|before| before <= score) && score <= 1000 {
        return Ok(());
    }
    fs::write(OOM_SCORE, score.to_string()).map_err(|error| {
        let rule = format!(
            "it must be -1000 to 1000, and not below that of this process, {}: {error}",
            before.trim()
        );
        SpecError::new("process.oomScoreAdj", score.to_string(), rule)
    })?;
    fs::write(OOM_SCORE, before.trim()).with_context(|| format!("cannot restore {OOM_SCORE}"))
}

/// The working directory must be in the rootfs, unless something is mounted there.
fn working_directory(spec: &Spec, cwd: &Path, rootfs: &AbsPath) -> Result<(), SpecError> {
    let refused = |rule: &str| SpecError::new("process.cwd", format!("{cwd:?}"), rule);
    if !cwd.is_absolute() {
        return Err(refused("it must be a path from the container's root on"));
    }
    if spec.mounts().iter().flatten().any(|mount| cwd.starts_with(mount.destination())) {
        return Ok(());
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = || {
        let root = fs::File::open(rootfs).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
        openat2(&root, cwd, flags, Mode::empty(), ResolveFlags::IN_ROOT)
    };
    open()
        .map(drop)
        .map_err(|errno| refused(&format!("it must be a directory of the rootfs or of a mount: {errno}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sysbox::linux::LinuxHost;

    fn refusal(process: &str, mounts: &str) -> Option<String> {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("home")).expect("made");
        let json = format!(
            r#"{{"ociVersion":"1.0.2","process":{{"user":{{"uid":0,"gid":0}},{process}}},"mounts":[{mounts}]}}"#
        );
        let spec = serde_json::from_str(&json).expect("a spec");
        let rootfs = AbsPath::new(dir.path()).expect("absolute");
        check(&spec, &rootfs, &LinuxHost::default())
            .err()
            .map(|e| e.downcast_ref::<SpecError>().expect("a field").field.clone().into_owned())
    }

    #[test]
    fn a_process_needs_a_program_and_a_directory_to_start_in() {
        assert_eq!(refusal(r#""cwd":"/home","args":["sh"]"#, "").as_deref(), None);
        assert_eq!(refusal(r#""cwd":"/","args":[]"#, "").as_deref(), Some("process.args"));
        assert_eq!(refusal(r#""cwd":"/""#, "").as_deref(), Some("process.args"));
        assert_eq!(refusal(r#""cwd":"/nowhere","args":["sh"]"#, "").as_deref(), Some("process.cwd"));
        assert_eq!(refusal(r#""cwd":"home","args":["sh"]"#, "").as_deref(), Some("process.cwd"));
        let mounted = r#"{"destination":"/nowhere","type":"tmpfs","source":"tmpfs"}"#;
        assert_eq!(refusal(r#""cwd":"/nowhere/below","args":["sh"]"#, mounted).as_deref(), None);
    }

    /// The field of a spec with this `linux` that is refused.
    fn refusal_of_linux(linux: &str) -> Option<String> {
        let json = format!(r#"{{"ociVersion":"1.0.2","linux":{{{linux}}}}}"#);
        let spec = serde_json::from_str(&json).expect("a spec");
        check(&spec, &AbsPath::new("/").expect("absolute"), &LinuxHost::default())
            .err()
            .map(|e| e.downcast_ref::<SpecError>().expect("a field").field.clone().into_owned())
    }

    #[test]
    fn a_namespace_that_no_container_can_join_is_refused_by_its_kind() {
        let refusal = |kind: &str, path: &str| {
            refusal_of_linux(&format!(r#""namespaces":[{{"type":"{kind}","path":"{path}"}}]"#))
        };
        for (kind, path) in [
            ("network", "/proc/self/ns/net"),
            ("ipc", "/proc/self/ns/ipc"),
            ("mount", "/proc/self/ns/mnt"),
            ("cgroup", "/proc/self/ns/cgroup"),
            ("network", "/proc/self/status"),
            ("uts", "/nowhere"),
            ("uts", "nowhere"),
        ] {
            assert_eq!(refusal(kind, path), Some(format!("linux.namespaces[{kind}].path")), "{path}");
        }
        assert_eq!(refusal("network", ""), None);
    }

    #[test]
    fn a_device_is_one_that_the_host_has_at_that_path() {
        let refusal = |path: &str, kind: &str, minor: u32| {
            let device = format!(r#"{{"path":"{path}","type":"{kind}","major":1,"minor":{minor}}}"#);
            refusal_of_linux(&format!(r#""devices":[{device}]"#))
        };
        assert_eq!(refusal("/dev/null", "c", 3), None);
        assert_eq!(refusal("/dev/ptmx", "c", 3), None);
        for (path, kind, minor) in
            [("/dev/null", "c", 5), ("/dev/null", "b", 3), ("/dev/nowhere", "c", 3), ("/null", "c", 3)]
        {
            assert_eq!(refusal(path, kind, minor), Some(format!("linux.devices[{path}]")), "{kind} {minor}");
        }
    }

    #[test]
    fn what_no_program_can_be_given_is_refused_by_its_place() {
        let refusal = |args: &str, env: &str| {
            refusal(&format!(r#""cwd":"/","args":["sh"{args}],"env":["A=1","B="{env}]"#), "")
        };
        assert_eq!(refusal("", ""), None);
        assert_eq!(refusal(r#","a\u0000b""#, "").as_deref(), Some("process.args[1]"));
        for variable in ["=x", "NOTHING", "", r"C=\u0000"] {
            let env = format!(r#","{variable}""#);
            assert_eq!(refusal("", &env).as_deref(), Some("process.env[2]"), "{variable}");
        }
    }

    #[test]
    fn limits_by_files_of_cgroup_v2_are_refused_where_there_is_v1() {
        let refused = refusal_of_linux(r#""resources":{"unified":{"pids.max":"4"}}"#);
        assert_eq!(refused.is_some(), !cgroup::is_unified(), "{refused:?}");
        assert_eq!(refusal_of_linux(r#""resources":{"unified":{}}"#), None);
    }

    #[test]
    fn a_soft_limit_above_the_hard_one_is_refused() {
        let limit = r#""cwd":"/","args":["sh"],"rlimits":[{"type":"RLIMIT_NOFILE","soft":9,"hard":8}]"#;
        assert_eq!(refusal(limit, "").as_deref(), Some("process.rlimits"));
    }

    #[test]
    fn an_oom_score_that_is_none_is_refused() {
        assert_eq!(
            refusal(r#""cwd":"/","args":["sh"],"oomScoreAdj":1001"#, "").as_deref(),
            Some("process.oomScoreAdj")
        );
    }
}
