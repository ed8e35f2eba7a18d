//! Every backend and transport of this project keeps the contract of the ports: the suite of `sysbox-conformance`, without root.

use std::process::ExitCode;

use sysbox_tests::conformance::{ROWS, Rights};

fn main() -> ExitCode {
    let rights = Rights::give_up();
    sysbox_conformance::main(ROWS.map(|row| row.harness(rights, None)).into())
}
