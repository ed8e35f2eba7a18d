//! `sysbox list`: the containers below the data root.

use std::process::ExitCode;

use super::inventory::{self, Container, age};
use crate::{
    args::{ListArgs, ListFormat},
    render,
    wire_up::{Wiring, require_root},
};

const HEADER: [&str; 9] = ["ID", "STATUS", "PID", "UIDS", "GIDS", "SHIFT", "VOLUMES", "AGE", "ROOTFS"];

/// Runs the command.
pub(crate) fn run(args: &ListArgs) -> anyhow::Result<ExitCode> {
    require_root()?;
    let wiring = Wiring::new(&args.wiring)?;
    let containers = inventory::all(&wiring)?;
    if args.json || matches!(args.format, ListFormat::Json) {
        render::json(&containers)?;
        return Ok(ExitCode::SUCCESS);
    }
    render::table(&HEADER, containers.iter().map(cells))?;
    for container in &containers {
        if let Some(unfinished) = container.unfinished {
            let (id, repair) = (&container.id, wiring.command("repair"));
            render::line(&format!("{id} was left {}; mend it: {repair}", unfinished.left))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn cells(container: &Container) -> Vec<String> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    vec![
        container.id.clone(),
        container.state(),
        or_dash(container.pid.map(|pid| pid.to_string())),
        or_dash(container.uids.clone()),
        or_dash(container.gids.clone()),
        or_dash(container.shift.clone()),
        volumes(container),
        age(container.created),
        container.rootfs.clone(),
    ]
}

fn volumes(container: &Container) -> String {
    match container.volumes.len() {
        0 => "-".to_owned(),
        count => format!("{count}, {}", render::bytes(container.bytes())),
    }
}
