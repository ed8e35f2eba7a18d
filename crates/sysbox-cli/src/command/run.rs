//! `sysbox run`: a bundle, from registration to nothing left behind.

use std::process::ExitCode;

use anyhow::Context;
use sysbox::{
    host_check::{KernelCheck, check_host_config},
    session::SpecialDirectories,
};

use super::execute::{Job, check, execute};
use crate::{
    args::RunArgs,
    bundle::Bundle,
    render,
    runtime::PrivateMounts,
    timings::Timings,
    wire_up::{Wiring, require_root},
};

/// Runs the command.
pub(crate) fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    require_root()?;
    let wiring = Wiring::new(&args.wiring)?;
    let bundle = Bundle::load(&args.bundle, &*wiring.host)?;
    let kernel = if args.no_kernel_check { KernelCheck::Skip } else { KernelCheck::Enforce };
    check_host_config(&*wiring.host, kernel).context("this host cannot run system containers")?;
    check(&args.id, &bundle, &wiring)?;
    let mut timings = Timings::default();
    let mounts = timings.step("enter a mount namespace", PrivateMounts::enter)?;
    let policy = args.shift_policy.into();
    let job = Job {
        id: &args.id,
        bundle: &bundle,
        policy,
        wiring: &wiring,
        mounts: &mounts,
        with_fs: !args.no_sysbox_fs,
        special_directories: if args.no_volumes {
            SpecialDirectories::Left
        } else {
            SpecialDirectories::RequestedWhereNeeded
        },
    };
    let outcome = execute(&job, &mut timings, |_| Ok(()));
    if args.timings {
        render::timings(&timings);
    }
    outcome
}
