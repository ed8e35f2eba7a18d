//! `sysbox convert`: what `run` would make of a bundle's spec, and why. Nothing on the host is changed.

mod diff;
mod flat;
mod host;
mod preview;
mod reasons;
mod show;
mod words;

use std::{process::ExitCode, sync::Arc};

use anyhow::Context;
use sysbox::{
    AbsPath, Backend, Conversion, FsPort, Sysbox,
    blocking::wait,
    session::{Ports, SpecialDirectories},
    shift::Policy,
    syscont,
};

use self::{
    host::PreviewHost,
    preview::{PreviewFs, PreviewMgr},
};
use crate::{args::ConvertArgs, bundle::Bundle, render, wire_up::absolute};

/// The socket that a runtime would take the descriptor of the container's seccomp filter from.
const SECCOMP_LISTENER: &str = "/run/sysbox-runtime/seccomp.sock";

/// Runs the command.
pub(crate) fn run(args: &ConvertArgs) -> anyhow::Result<ExitCode> {
    let host = Arc::new(PreviewHost::default());
    let bundle = Bundle::load(&args.bundle, &*host)?;
    let mut sysbox = Sysbox::new(args.id.clone(), ports(args, host.clone())?);
    wait(sysbox.mgr.register(&bundle.spec))?;
    let converted = wait(sysbox.convert_spec(bundle.spec.clone(), &*host, &conversion(args)?))?;
    if args.diff {
        let differences = diff::between(&bundle.spec, &converted.spec, &converted.changes)
            .context("the converted spec cannot be compared, for it cannot be said in JSON")?;
        if args.json {
            render::json(&differences)?
        } else {
            render::line(&show::lines(&differences).join("\n"))?
        }
    } else {
        let text = syscont::to_json(&converted.spec).context("the converted spec cannot be said in JSON")?;
        render::line(text.trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Who answers: nobody that keeps anything.
fn ports(args: &ConvertArgs, host: Arc<PreviewHost>) -> anyhow::Result<Ports> {
    let data_root = args.data_root.clone().unwrap_or_else(|| Backend::DEFAULT_DATA_ROOT.into());
    let data_root = absolute(&data_root).context("--data-root is not valid")?;
    let files = AbsPath::new(data_root.as_path().join("files").join(args.id.as_str()))?;
    let mountpoint = args.with_sysbox_fs.as_deref().map(absolute).transpose();
    let mountpoint = mountpoint.context("--with-sysbox-fs is not valid")?;
    let fs = mountpoint.map(|mountpoint| Arc::new(PreviewFs { mountpoint }) as Arc<dyn FsPort>);
    Ok(Ports { mgr: Some(Arc::new(PreviewMgr { files, host })), fs, seccomp: None })
}

fn conversion(args: &ConvertArgs) -> anyhow::Result<Conversion> {
    let listener = args.with_sysbox_fs.as_ref().map(|_| AbsPath::new(SECCOMP_LISTENER)).transpose()?;
    Ok(Conversion {
        // How ids are shifted is not in a spec.
        policy: Policy::Reference,
        special_directories: if args.no_volumes {
            SpecialDirectories::Left
        } else {
            SpecialDirectories::RequestedWhereNeeded
        },
        seccomp_listener: listener,
    })
}
