//! `sysbox status`: all that is known of one container.

use std::process::ExitCode;

use anyhow::bail;

use super::inventory::{self, Container, Volume, age};
use crate::{
    args::StatusArgs,
    render,
    wire_up::{Wiring, require_root},
};

/// Runs the command.
pub(crate) fn run(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    require_root()?;
    let wiring = Wiring::new(&args.wiring)?;
    let Some(container) = inventory::one(&wiring, &args.id)? else {
        bail!("container {} is not known here; see: {}", args.id, wiring.command("list"));
    };
    if args.json {
        render::json(&container)?;
    } else {
        show(&container, &wiring)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(container: &Container, wiring: &Wiring) -> anyhow::Result<()> {
    for (fact, value) in facts(container, wiring) {
        render::line(&format!("{fact:<11}{value}"))?;
    }
    if container.volumes.is_empty() {
        return Ok(());
    }
    render::line("")?;
    let header = ["VOLUME AT", "SIZE", "INODES", "SYNCED", "PATH"];
    render::table(&header, container.volumes.iter().map(cells))
}

/// What there is to say, a line each.
fn facts(container: &Container, wiring: &Wiring) -> Vec<(&'static str, String)> {
    let mut facts = vec![("container", container.id.clone()), ("status", state(container))];
    let mut add = |fact, value: Option<String>| facts.extend(value.map(|value| (fact, value)));
    add("process", container.pid.map(|pid| pid.to_string()));
    add("registered", Some(format!("{} ago{}", age(container.created), restarts(container))));
    add("user ids", container.uids.clone());
    add("group ids", container.gids.clone());
    add("shift", container.shift.clone());
    add("bundle", container.bundle.clone());
    add("rootfs", Some(container.rootfs.clone()));
    add("clone", container.cloned.then(|| "the manager has a clone of the rootfs".to_owned()));
    for source in &container.prepared {
        add("prepared", Some(source.clone()));
    }
    add("volumes", Some(volumes(container)));
    add(
        "unfinished",
        container.unfinished.map(|unfinished| {
            let repair = wiring.command("repair");
            format!("it was left {}; that is {} by: {repair}", unfinished.left, unfinished.to_be)
        }),
    );
    facts
}

/// What its processes do, and what the manager was told where that differs.
fn state(container: &Container) -> String {
    let state = container.state();
    match container.state {
        Some(told) if container.status.is_some() && told != state => format!("{state} (the manager: {told})"),
        _ => state,
    }
}

fn restarts(container: &Container) -> String {
    match container.starts {
        Some(starts @ 2..) => format!(", for the {starts}. time"),
        _ => String::new(),
    }
}

fn volumes(container: &Container) -> String {
    match container.volumes.len() {
        0 => "none".to_owned(),
        count => format!("{count}, {} in all", render::bytes(container.bytes())),
    }
}

fn cells(volume: &Volume) -> Vec<String> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    vec![
        volume.destination.clone(),
        or_dash(volume.bytes.map(render::bytes)),
        or_dash(volume.inodes.map(|inodes| inodes.to_string())),
        or_dash(volume.synced.map(|synced| format!("{} ago", age(synced)))),
        volume.path.clone(),
    ]
}
