//! Every backend and transport of this project keeps the contract of the ports: the suite of `sysbox-conformance`.

use std::process::ExitCode;

use sysbox_tests::conformance::ROWS;

fn main() -> ExitCode {
    sysbox_conformance::main(ROWS.map(|row| row.harness(None)).into())
}
