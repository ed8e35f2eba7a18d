//! The same suite with root, over the backends that can do more then: what they do with files is seen in files.

use std::process::ExitCode;

use sysbox_tests::conformance::{ROWS, Rights};

fn main() -> ExitCode {
    let rights = Rights::of_root();
    let able = ROWS.into_iter().filter(|row| row.is_able_as_root());
    sysbox_conformance::main(able.map(|row| row.harness(rights, None)).collect())
}
