//! What can be asked for on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use sysbox::{Backend, BackendUrl, ContainerId, IdRange, shift::Policy};

/// Runs OCI bundles as system containers: root inside, nobody outside.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Cli {
    /// What is told on standard error: error, warn, info, debug or trace, or a filter by module.
    #[arg(long, global = true, value_name = "LEVEL", env = "SYSBOX_LOG")]
    pub(crate) log: Option<String>,
    /// How it is told.
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say whether this host can run system containers, and what would mend it.
    Check(CheckArgs),
    /// Run a bundle as a system container, wait for it, and leave nothing behind.
    ///
    /// Exits with the code of the container's program, 128 and the number of a signal that ended it, or 1 where it could not be
    /// run or cleaned up after. Signals are passed on to the program, save those that speak of this process alone. With `process.terminal` it has a terminal of its own, joined to standard input
    /// and output.
    Run(RunArgs),
    /// Show the containers below the data root: those that were run with it. A daemon is not asked.
    List(ListArgs),
    /// Show all that is known of one container: state, ids, volumes with their sizes, and what was left half done.
    Status(StatusArgs),
    /// Clean up after a container that has stopped, or with --force end it first.
    Delete(DeleteArgs),
    /// Finish or undo what processes that died had begun with the files of containers, and show files of containers on no record.
    ///
    /// Exits with 0 if nothing is left, else 1. What a process is at work on now is left to it.
    Repair(RepairArgs),
    /// Release ids and volumes of containers that nobody will start again, since they have stopped and their rootfs is gone.
    ///
    /// Exits with 1 if something could not be released. A daemon does this by itself.
    Gc(GcArgs),
    /// Run a command in a system container over the host's own root file system, and show what it is like inside.
    Demo(DemoArgs),
    /// Be the daemon: answer other runtimes over sockets, Sysbox's own runtime among them.
    ///
    /// Listens on sysmgr.sock and sysfs.sock in a directory that root alone can enter, or on sockets of these names that systemd
    /// hands over. Tells systemd when it is ready and when it stops. On SIGTERM or SIGINT no call is taken any more, those that
    /// have begun are carried out; a second signal ends it at once.
    Serve(ServeArgs),
    /// Show what `run` would make of a bundle's spec, and with --diff why. Nothing is changed or made, and it needs no root.
    ///
    /// Ids and the sources of volumes are stand-ins: `run` is given its own. What the host has is as it is here and now.
    Convert(ConvertArgs),
    /// Measure what a call costs by each way to a backend, beside a bare exchange of messages over a socket. Needs no root.
    ///
    /// All ways are measured in the same run, in turns. It starts servers of its own, which end with it.
    #[cfg(feature = "bench")]
    Bench(BenchArgs),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line, with the time.
    Json,
}

/// Which backend answers, and where state is kept.
#[derive(Clone, Debug, Args)]
pub(crate) struct WiringArgs {
    /// The backend: embedded:, embedded:///DATA-ROOT, or daemons by grpc+unix:///SOCKET-DIR (grpc+unix: alone for /run/sysbox) or
    /// tarpc+unix:///SOCKET-DIR (tarpc+unix: alone for /run/sysbox-tarpc).
    #[arg(long, value_name = "URL", env = "SYSBOX_BACKEND")]
    pub(crate) backend: Option<BackendUrl>,
    /// The directory that holds the state of containers [default: /var/lib/sysbox-embedded].
    #[arg(long, value_name = "DIR")]
    pub(crate) data_root: Option<PathBuf>,
    /// Ids for containers, in place of those that /etc/subuid and /etc/subgid give to the user sysbox. Each container gets
    /// 65536 of them that begin at a multiple of 65536.
    #[arg(long, value_name = "FIRST:COUNT")]
    pub(crate) subid_range: Option<IdRange>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) wiring: WiringArgs,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) wiring: WiringArgs,
    /// The bundle: a directory with config.json. It is not changed.
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    pub(crate) bundle: PathBuf,
    /// Print how long each step took.
    #[arg(long)]
    pub(crate) timings: bool,
    /// Run on a kernel that is older than what is known to work.
    #[arg(long)]
    pub(crate) no_kernel_check: bool,
    /// Do without sysbox-fs: the container sees the kernel's own /proc and /sys.
    #[arg(long)]
    pub(crate) no_sysbox_fs: bool,
    /// Leave out the mounts that the manager would give, volumes among them: special directories, such as Docker's, are as the rootfs
    /// has them. So two containers can be on one rootfs that has any.
    #[arg(long)]
    pub(crate) no_volumes: bool,
    /// How the ids of the rootfs are shifted.
    #[arg(long, value_name = "POLICY", default_value = "prefer-id-mapped")]
    pub(crate) shift_policy: ShiftPolicy,
    /// The name of the container: 1 to 255 of A-Z a-z 0-9 _ + - and the full stop.
    #[arg(value_name = "ID")]
    pub(crate) id: ContainerId,
}

#[derive(Debug, Args)]
pub(crate) struct ConvertArgs {
    /// The bundle: a directory with config.json. It is not changed.
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    pub(crate) bundle: PathBuf,
    /// Print what is changed and why, in place of the converted spec.
    #[arg(long)]
    pub(crate) diff: bool,
    /// Print the differences as JSON.
    #[arg(long, requires = "diff")]
    pub(crate) json: bool,
    /// Convert for a host with sysbox-fs, whose files are at this mount point [default: /var/lib/sysboxfs].
    #[arg(
        long,
        value_name = "MOUNTPOINT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "/var/lib/sysboxfs"
    )]
    pub(crate) with_sysbox_fs: Option<PathBuf>,
    /// Leave out the mounts that the manager would give, volumes among them.
    #[arg(long)]
    pub(crate) no_volumes: bool,
    /// The data root that volumes are shown in [default: /var/lib/sysbox-embedded].
    #[arg(long, value_name = "DIR")]
    pub(crate) data_root: Option<PathBuf>,
    /// The name of the container.
    #[arg(value_name = "ID", default_value = "ID")]
    pub(crate) id: ContainerId,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ShiftPolicy {
    /// ID-map a rootfs on any file system that can be, else chown it.
    PreferIdMapped,
    /// As Sysbox: ID-map a rootfs on overlayfs, chown any other.
    Reference,
}

impl From<ShiftPolicy> for Policy {
    fn from(policy: ShiftPolicy) -> Self {
        match policy {
            ShiftPolicy::PreferIdMapped => Self::PreferIdMapped,
            ShiftPolicy::Reference => Self::Reference,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) wiring: WiringArgs,
    /// How to print it.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: ListFormat,
    /// Print JSON, as by --format json.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) wiring: WiringArgs,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// The name of the container.
    #[arg(value_name = "ID")]
    pub(crate) id: ContainerId,
}

#[derive(Debug, Args)]
pub(crate) struct RepairArgs {
    #[command(flatten)]
    pub(crate) wiring: WiringArgs,
    /// Show what is left, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GcArgs {
    #[command(flatten)]
    pub(crate) wiring: WiringArgs,
    /// Also remove the files of containers that are on no record, which `repair` shows. What is in them is nowhere else.
    #[arg(long)]
    pub(crate) strays: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ListFormat {
    /// For people.
    Table,
    /// For programs.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    pub(crate) wiring: WiringArgs,
    /// End the container if it runs, and take one that is not there as deleted.
    #[arg(long, short)]
    pub(crate) force: bool,
    /// The name of the container.
    #[arg(value_name = "ID")]
    pub(crate) id: ContainerId,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    #[command(flatten)]
    pub(crate) wiring: WiringArgs,
    /// The shell command to run inside, in place of one that looks around.
    #[arg(value_name = "COMMAND")]
    pub(crate) command: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) wiring: WiringArgs,
    /// What is spoken on the sockets.
    #[arg(long, value_name = "TRANSPORT", default_value = "grpc")]
    pub(crate) transport: Transport,
    /// The directory of the sockets, made if it is not there [default: /run/sysbox, for tarpc /run/sysbox-tarpc].
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Answer this user id too, beside root. It can then do to containers what root can. The sockets made here are root's alone, so
    /// it needs ones that systemd hands over with another mode.
    #[arg(long, value_name = "UID")]
    pub(crate) peer_uid: Vec<u32>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Transport {
    /// gRPC, as Sysbox's own daemons: for Sysbox's clients and ours.
    Grpc,
    /// tarpc: faster, for clients of this project alone.
    Tarpc,
}

impl Transport {
    /// Where clients look for the sockets unless told otherwise.
    pub(crate) fn default_dir(self) -> PathBuf {
        PathBuf::from(match self {
            Self::Grpc => Backend::DEFAULT_SOCKET_DIR,
            Self::Tarpc => Backend::DEFAULT_TARPC_SOCKET_DIR,
        })
    }
}

#[cfg(feature = "bench")]
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Print JSON; docs/bench.md says what is in it.
    #[arg(long)]
    pub(crate) json: bool,
    /// Also write the report with charts, as one HTML file that needs nothing else.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// How long to measure. Figures of less than 30 seconds are rough.
    #[arg(long, value_name = "N", default_value = "45", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: u64,
    /// Be the server of a way, until standard input is closed.
    #[arg(long, hide = true, value_name = "WAY", requires = "dir")]
    pub(crate) serve: Option<crate::command::bench::Way>,
    /// Where the server puts its sockets.
    #[arg(long, hide = true, value_name = "DIR", requires = "serve")]
    pub(crate) dir: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_id_that_leaves_its_directory_is_refused_with_the_rule() {
        let error = Cli::try_parse_from(["sysbox", "run", "../x"]).expect_err("refused").to_string();
        assert!(error.contains(r#"container id "../x" has '/'"#), "{error}");
    }
}
