//! `sysbox check`: whether this host can run system containers, and what would mend it.

mod daemons;

use std::{path::Path, process::ExitCode};

use serde::Serialize;
use sysbox::{
    AbsPath, BackendUrl, HostPort,
    embedded::{SubidOrigin, SubidPool},
    host::{Feature, Support},
    host_check::{HostCheckError, HostFacts, KernelCheck, required_kernel, verdict},
};

use crate::{
    args::CheckArgs,
    render,
    wire_up::{Wiring, require_root},
};

/// How a thing was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// As needed.
    Ok,
    /// It works without, less well.
    Warn,
    /// No system container can be run.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) found: String,
    pub(crate) needed: String,
    pub(crate) verdict: Verdict,
    /// What would mend it.
    pub(crate) mend: Option<String>,
}

/// Runs the command.
pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    require_root()?;
    let wiring = Wiring::new(&args.wiring)?;
    let mut rows = system(&*wiring.host)?;
    rows.extend(features(&*wiring.host, &wiring.data_root)?);
    rows.extend(match wiring.url() {
        BackendUrl::Embedded { .. } => ids(&wiring)?,
        BackendUrl::Grpc { .. } | BackendUrl::Tarpc { .. } => daemons::rows(&wiring)?,
    });
    if args.json {
        render::json(&rows)?;
    } else {
        let header = ["WHAT", "FOUND", "NEEDED", "VERDICT", "HOW TO MEND"];
        render::table(&header, rows.iter().map(cells))?;
        render::line(&format!("\n{}", conclusion(&rows)))?;
    }
    Ok(if unfit(&rows).next().is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What keeps system containers from being run.
fn unfit(rows: &[Row]) -> impl Iterator<Item = &str> {
    rows.iter().filter(|row| row.verdict == Verdict::Fail).map(|row| row.what.as_str())
}

/// What all rows come to.
fn conclusion(rows: &[Row]) -> String {
    let unfit: Vec<_> = unfit(rows).collect();
    if unfit.is_empty() {
        return "This host can run system containers.".to_owned();
    }
    format!("This host cannot run system containers. Mend first: {}.", unfit.join(", "))
}

/// Kernel and sysctls: the rules of the host check, one at a time so that all that is broken is shown.
fn system(host: &dyn HostPort) -> anyhow::Result<Vec<Row>> {
    let facts = HostFacts {
        os: host.os_release()?,
        kernel: host.kernel_release()?,
        unprivileged_userns_clone: None,
        max_user_namespaces: None,
    };
    let (major, minor) = required_kernel(&facts.os);
    let row = |what: &str, found: String, needed: String, outcome: Result<(), HostCheckError>| Row {
        what: what.to_owned(),
        found,
        needed,
        verdict: if outcome.is_ok() { Verdict::Ok } else { Verdict::Fail },
        mend: outcome.err().map(|error| error.to_string()),
    };
    let kernel = row(
        "kernel",
        format!("{} on {}", facts.kernel, facts.os.pretty_name),
        format!("{major}.{minor} or later"),
        verdict(KernelCheck::Enforce, &facts),
    );
    let clone = host.sysctl("kernel.unprivileged_userns_clone")?;
    let most = host.sysctl("user.max_user_namespaces")?;
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "not there".to_owned());
    let of_clone = HostFacts { unprivileged_userns_clone: clone.clone(), ..facts.clone() };
    let of_most = HostFacts { max_user_namespaces: most.clone(), ..facts };
    Ok(vec![
        kernel,
        row(
            "kernel.unprivileged_userns_clone",
            shown(&clone),
            "1, or not there".to_owned(),
            verdict(KernelCheck::Skip, &of_clone),
        ),
        row(
            "user.max_user_namespaces",
            shown(&most),
            "more than 0".to_owned(),
            verdict(KernelCheck::Skip, &of_most),
        ),
    ])
}

/// What the kernel can do, found out by trying it.
fn features(host: &dyn HostPort, data_root: &AbsPath) -> anyhow::Result<Vec<Row>> {
    let place = existing(data_root)?;
    let probes = [
        (Feature::UserNamespaces, Verdict::Fail, "to isolate root"),
        (Feature::IdMappedMount(place), Verdict::Warn, "else a rootfs is chowned"),
        (Feature::OverlayOnIdMapped, Verdict::Warn, "else a rootfs on overlayfs is chowned"),
        (Feature::OverlayMetacopy, Verdict::Warn, "else a chown copies files"),
        (Feature::SeccompNotify, Verdict::Warn, "for sysbox-fs"),
        (Feature::Fuse, Verdict::Warn, "for sysbox-fs"),
        (Feature::AppArmorUserns, Verdict::Warn, "for unprivileged tools"),
        (Feature::AppArmorFusermount3, Verdict::Warn, "for sysbox-fs"),
    ];
    probes
        .into_iter()
        .map(|(feature, without, needed)| feature_row(host, &feature, without, needed))
        .collect()
}

fn feature_row(
    host: &dyn HostPort,
    feature: &Feature,
    without: Verdict,
    needed: &str,
) -> anyhow::Result<Row> {
    let (found, verdict, mend) = match host.probe(feature)? {
        Support::Yes => ("works".to_owned(), Verdict::Ok, None),
        Support::No { reason, cure } => (reason, without, cure),
    };
    Ok(Row { what: feature.to_string(), found, needed: needed.to_owned(), verdict, mend })
}

/// The path, or the nearest directory above it that is there.
fn existing(path: &AbsPath) -> anyhow::Result<AbsPath> {
    let there = path.as_path().ancestors().find(|path| path.exists());
    Ok(AbsPath::new(there.unwrap_or_else(|| Path::new("/")))?)
}

/// Where ids for containers come from.
fn ids(wiring: &Wiring) -> anyhow::Result<Vec<Row>> {
    // Looking must not make a data root that is not there.
    let elsewhere = if wiring.data_root.as_path().exists() { None } else { Some(tempfile::tempdir()?) };
    let backend = match &elsewhere {
        None => wiring.open(),
        Some(dir) => wiring.open_url(&format!("embedded://{}", dir.path().display()).parse()?),
    };
    let broken = |what: &str, error: &anyhow::Error, mend: &str| Row {
        what: what.to_owned(),
        found: render::chain(error.as_ref()),
        needed: "usable".to_owned(),
        verdict: Verdict::Fail,
        mend: Some(mend.to_owned()),
    };
    let backend = match backend {
        Ok(backend) => backend,
        Err(error) => {
            return Ok(vec![broken("data root", &error, "mend it, or choose another: --data-root DIR")]);
        }
    };
    let Some(embedded) = backend.embedded() else { return Ok(Vec::new()) };
    Ok(match embedded.subid_pools() {
        Ok(pools) => vec![pool_row("user ids", &pools.uids), pool_row("group ids", &pools.gids)],
        Err(error) => {
            let mend = "mend the file, or give a range: --subid-range FIRST:COUNT";
            vec![broken("ids for containers", &error.into(), mend)]
        }
    })
}

fn pool_row(what: &str, pool: &SubidPool) -> Row {
    let built_in = matches!(pool.origin, SubidOrigin::BuiltIn);
    let verdict = match pool.free() {
        0 => Verdict::Fail,
        _ if built_in => Verdict::Warn,
        _ => Verdict::Ok,
    };
    let permanent = pool.permanent.as_ref().map(|permanent| {
        format!("to reserve them, add to {}: {}", permanent.file.display(), permanent.lines.join(" "))
    });
    Row {
        what: format!("{what} for containers"),
        found: format!("{}: {} ranges of 65536, {} in use", pool.origin, pool.slots, pool.used),
        needed: "at least one free range".to_owned(),
        verdict,
        mend: permanent,
    }
}

fn cells(row: &Row) -> Vec<String> {
    let verdict = match row.verdict {
        Verdict::Ok => "ok",
        Verdict::Warn => "warn",
        Verdict::Fail => "FAIL",
    };
    let mend = row.mend.clone().unwrap_or_default();
    vec![row.what.clone(), row.found.clone(), row.needed.clone(), verdict.to_owned(), mend]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_conclusion_names_what_must_be_mended_and_nothing_that_need_not() {
        let row = |what: &str, verdict| Row {
            what: what.to_owned(),
            found: String::new(),
            needed: String::new(),
            verdict,
            mend: None,
        };
        let rows = [row("kernel", Verdict::Ok), row("FUSE", Verdict::Warn)];
        assert_eq!(conclusion(&rows), "This host can run system containers.");
        let rows =
            [row("FUSE", Verdict::Warn), row("kernel", Verdict::Fail), row("data root", Verdict::Fail)];
        assert_eq!(
            conclusion(&rows),
            "This host cannot run system containers. Mend first: kernel, data root."
        );
    }
}
