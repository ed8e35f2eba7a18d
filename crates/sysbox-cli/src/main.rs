//! The runtime `sysbox`: runs OCI bundles as system containers.
//!
//! It is a composition root: [`args`] says what is asked for, [`wire_up`] makes host and backend, [`command`] does it with
//! [`container`] (what is on disk of a container) and [`runtime`] (what is in the kernel), [`render`] alone prints.
#![forbid(unsafe_code)]

mod args;
mod bundle;
mod command;
mod container;
mod exit;
mod render;
mod runtime;
mod timings;
mod wire_up;

use clap::Parser;

use args::{Cli, Command};

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    render::set_up_log(&cli);
    let outcome = match &cli.command {
        Command::Run(args) => command::run::run(args),
        Command::Delete(args) => command::delete::run(args),
        Command::List(args) => command::list::run(args),
        Command::Status(args) => command::status::run(args),
        Command::Repair(args) => command::repair::run(args),
        Command::Gc(args) => command::gc::run(args),
        Command::Check(args) => command::check::run(args),
        Command::Convert(args) => command::convert::run(args),
        Command::Demo(args) => command::demo::run(args),
        Command::Serve(args) => command::serve::run(args),
        #[cfg(feature = "bench")]
        Command::Bench(args) => command::bench::run(args),
    };
    outcome.unwrap_or_else(|error| {
        render::error(&error, cli.log_format);
        exit::code_of(&error)
    })
}
