//! `sysbox demo`: a system container without a bundle, over the host's own root file system.
//!
//! Its rootfs is an overlay: the host's root below, nothing of it copied, and what the container writes above, in memory.
//! The container's root can read whatever the host's root can: it is a demonstration, not a way to run what is not trusted.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    process::{self, ExitCode},
};

use anyhow::{Context, bail};
use oci_spec::runtime::Spec;
use sysbox::{
    AbsPath, ContainerId, HostPort,
    host::{Feature, OverlayLayers, Support},
    host_check::{KernelCheck, check_host_config},
    linux::overlay,
    session::SpecialDirectories,
    shift::Policy,
};

use super::execute::{Job, Started, check, execute};
use crate::{
    args::DemoArgs,
    bundle::Bundle,
    render,
    runtime::PrivateMounts,
    timings::Timings,
    wire_up::{Wiring, require_root},
};

/// Looks around with what every distribution has.
const LOOK_AROUND: &str = r#"
echo "\$ id"; id
echo "\$ cat /proc/self/uid_map"; cat /proc/self/uid_map
echo "\$ touch /root/made-inside; ls -ln /root/made-inside"; touch /root/made-inside; ls -ln /root/made-inside
"#;

/// Runs the command.
pub(crate) fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    require_root()?;
    let wiring = Wiring::new(&args.wiring)?;
    check_host_config(&*wiring.host, KernelCheck::Enforce)
        .context("this host cannot run system containers")?;
    require_idmapped_root(&*wiring.host)?;
    let mut timings = Timings::default();
    let mounts = timings.step("enter a mount namespace", PrivateMounts::enter)?;
    let upper = mounts.make_dir("upper")?;
    let rootfs = timings.step("mount the overlay", || mount_overlay(&mounts, &upper))?;
    let script = args.command.as_deref().unwrap_or(LOOK_AROUND);
    let bundle = Bundle::checked(AbsPath::new("/")?, spec(&rootfs, script)?, &*wiring.host)?;
    let id: ContainerId = format!("demo-{}", process::id()).parse()?;
    check(&id, &bundle, &wiring)?;
    let job = Job {
        id: &id,
        bundle: &bundle,
        policy: Policy::PreferIdMapped,
        wiring: &wiring,
        mounts: &mounts,
        with_fs: true,
        // The host's own images and the like are not to be copied.
        special_directories: SpecialDirectories::Left,
    };
    let outcome = execute(&job, &mut timings, |started| {
        show_outside(started)?;
        render::heading("inside")?;
        Ok(())
    });
    if args.command.is_none() && outcome.is_ok() {
        show_made_inside(&upper)?;
    }
    render::heading("timings")?;
    render::timings_on_stdout(&timings)?;
    outcome
}

/// Without ID-mapping the whole of the host's root file system would have to be copied up.
fn require_idmapped_root(host: &dyn HostPort) -> anyhow::Result<()> {
    for feature in [Feature::IdMappedMount(AbsPath::new("/")?), Feature::OverlayOnIdMapped] {
        if let Support::No { reason, .. } = host.probe(&feature)? {
            bail!("the demo needs {feature}: {reason}; sysbox run works without, see sysbox check");
        }
    }
    Ok(())
}

fn mount_overlay(mounts: &PrivateMounts, upper: &AbsPath) -> anyhow::Result<AbsPath> {
    let (work, target) = (mounts.make_dir("work")?, mounts.make_dir("merged")?);
    let layers = OverlayLayers {
        lower: vec!["/".into()],
        data: Vec::new(),
        upper: Some(upper.as_path().to_owned()),
        work: Some(work.as_path().to_owned()),
        options: Vec::new(),
    };
    overlay::mount(&layers, &target)?;
    Ok(target)
}

fn spec(rootfs: &AbsPath, script: &str) -> anyhow::Result<Spec> {
    let mut spec = Spec::default();
    if let Some(root) = spec.root_mut() {
        root.set_path(rootfs.as_path().to_owned()).set_readonly(Some(false));
    }
    if let Some(process) = spec.process_mut() {
        process
            .set_terminal(Some(false))
            .set_args(Some(["/bin/sh", "-c", script].map(str::to_owned).to_vec()))
            .set_rlimits(None);
    }
    spec.set_hostname(Some("sysbox-demo".to_owned()));
    Ok(spec)
}

fn show_outside(started: &Started<'_>) -> anyhow::Result<()> {
    let pid = started.init.pid;
    let ids = started.prepared.ids;
    render::heading("outside")?;
    render::line(&format!("range of this container   uids {}, gids {}", ids.uids, ids.gids))?;
    render::line(&format!("rootfs                    {}", started.prepared.shift.rootfs))?;
    render::line(&format!("root inside is outside    user {} (process {pid})", user_of(pid)?))?;
    Ok(())
}

/// The host's id of the user that a process runs as (`proc_pid_status(5)`).
fn user_of(pid: i32) -> anyhow::Result<String> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap_or_default();
    uids.split_whitespace().next().map(str::to_owned).with_context(|| format!("{path} has no Uid"))
}

fn show_made_inside(upper: &AbsPath) -> anyhow::Result<()> {
    let path = upper.as_path().join("root/made-inside");
    let made = fs::metadata(&path).with_context(|| format!("cannot find {}", path.display()))?;
    render::heading("outside, afterwards")?;
    render::line(&format!("made-inside on the host's disk belongs to {}:{}", made.uid(), made.gid()))?;
    Ok(())
}
