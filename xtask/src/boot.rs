//! `cargo xtask boot`: a Debian whose first process is systemd, as a system container.
//!
//! debootstrap makes the rootfs once, below `boot` in the target folder, where it belongs to root. The bundle says nothing of
//! systemd but the program's name: `sysbox run` makes of it what systemd needs.

mod container;
mod machine;

use std::process::ExitCode;

use crate::error::TaskError;
use crate::root::Root;
use crate::{build, need};
use container::Container;
use machine::Machine;

/// Units that cannot start in any container with a user namespace of its own, and why.
const EXPLAINED: [(&str, &str); 2] = [
    (
        "sys-kernel-debug.mount",
        "debugfs shows the whole host, so the kernel lets none but the host's root mount it",
    ),
    (
        "sys-kernel-tracing.mount",
        "tracefs shows the whole host, so the kernel lets none but the host's root mount it",
    ),
];

/// A user namespace in the container's, with a mount of its own in it.
const NESTED: &str =
    r#"test "$(id -u)" = 0 && mount -t tmpfs none /mnt && test "$(stat -f -c %T /mnt)" = tmpfs"#;

/// An overlay in a new directory: what is written through it is in the upper layer and not in the lower.
const OVERLAY: &str = r#"set -e
rm -rf "$1" && mkdir "$1" && cd "$1" && mkdir lower upper work merged
echo lower > lower/file
mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work overlay merged
test "$(cat merged/file)" = lower
echo upper > merged/file
test "$(cat lower/file) $(cat upper/file)" = "lower upper"
umount merged && cd / && rm -r "$1"
"#;

/// Boots it, looks inside, and halts it; success means that all was as it should be.
pub(crate) fn run() -> Result<ExitCode, TaskError> {
    need::provide(&need::BUILD.iter().chain(need::BOOT).collect::<Vec<_>>())?;
    let built = build::runtime()?;
    let root = Root::detect()?;
    let machine = Machine::make(root)?;
    let mut container = Container::start(root, built.runtime()?, &machine)?;
    let state = container.wait_until(state)?;
    println!("systemctl is-system-running: {state}");
    explain_failures(&container)?;
    let unshare = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", NESTED];
    check(&container, "a user namespace in the container's", &unshare)?;
    for (what, dir) in [("tmpfs", "/run/overlay"), ("the rootfs", "/var/tmp/overlay")] {
        check(&container, &format!("an overlay on {what}"), &["sh", "-c", OVERLAY, "sh", dir])?;
    }
    container.halt()?;
    println!("halted, and nothing is left");
    Ok(ExitCode::SUCCESS)
}

/// What systemd says of itself when it has come to where nothing changes any more, else `None`.
fn state(container: &Container) -> Result<Option<String>, TaskError> {
    let output = container.inside(&["systemctl", "is-system-running"])?;
    let state = text(&output.stdout);
    match state.as_str() {
        "running" | "degraded" => Ok(Some(state)),
        "maintenance" | "stopping" => Err(failure(format!("systemd is in state {state}"))),
        // It starts still, or cannot be talked to yet.
        _ => Ok(None),
    }
}

/// Prints the units that failed, each with its log and why; an error if one is not known to.
fn explain_failures(container: &Container) -> Result<(), TaskError> {
    let list = ["systemctl", "list-units", "--failed", "--plain", "--full", "--no-legend", "--no-pager"];
    let mut unexplained = Vec::new();
    for unit in units(&text(&container.inside(&list)?.stdout)) {
        let why = EXPLAINED.iter().find(|(explained, _)| *explained == unit).map(|(_, why)| *why);
        println!("failed: {unit}: {}", why.unwrap_or("why is not known"));
        print!("{}", log(container, &unit)?);
        unexplained.extend(why.is_none().then_some(unit));
    }
    if unexplained.is_empty() { Ok(()) } else { Err(failure(format!("failed: {}", unexplained.join(", ")))) }
}

/// What the first column names.
fn units(list: &str) -> Vec<String> {
    list.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// The last of what a unit wrote, indented, each line once.
fn log(container: &Container, unit: &str) -> Result<String, TaskError> {
    let log = container.inside(&["journalctl", "--no-pager", "--output=cat", "--lines=5", "--unit", unit])?;
    let log = text(&log.stdout);
    // What earlier boots wrote is the same again.
    let mut lines: Vec<&str> = log.lines().map(str::trim).collect();
    lines.sort_unstable();
    lines.dedup();
    Ok(lines.iter().map(|line| format!("    {line}\n")).collect())
}

/// Runs a program inside; an error if it does not succeed.
fn check(container: &Container, what: &str, words: &[&str]) -> Result<(), TaskError> {
    let output = container.inside(words)?;
    if !output.status.success() {
        let said = [text(&output.stdout), text(&output.stderr)].join(" ");
        return Err(failure(format!("{what} does not work: {} {}", output.status, said.trim())));
    }
    println!("{what}: works");
    Ok(())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

fn failure(problem: String) -> TaskError {
    TaskError::Boot { problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_units_are_named_by_the_first_column() {
        let list = "sys-kernel-debug.mount loaded failed failed Kernel Debug File System\nx.service not-found failed\n";
        assert_eq!(units(list), ["sys-kernel-debug.mount", "x.service"]);
        assert!(units("").is_empty());
    }
}
