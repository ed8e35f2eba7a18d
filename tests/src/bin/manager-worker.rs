//! A process that makes calls of the embedded manager, to be killed in the middle of them by tests.
//!
//! `manager-worker call DIR FIRST-ID SLOTS STEP CALL` makes one call in the scene in DIR, and kills itself after its STEPth
//! step, from 1 on. `manager-worker soak DIR FIRST-ID SLOTS SEED SECONDS` makes calls at random. It tells on standard output
//! what it does: a line `step NAME` for each step, and then `done` or `failed KIND<tab>TEXT`.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "telling is what it is for")]

use std::{
    env,
    io::{Write, stdout},
    num::ParseIntError,
    process::ExitCode,
    str::FromStr,
    sync::atomic::{AtomicUsize, Ordering},
};

use rustix::process::{Signal, getpid, kill_process};
use sysbox_tests::crash::{Call, Failure, Place};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["call", dir, first, slots, step, call] => {
            place(dir, first, slots).and_then(|place| make(&place, number(step)?, call))
        }
        ["soak", dir, first, slots, seed, seconds] => place(dir, first, slots).and_then(|place| {
            let (seed, seconds) = (number(seed)?, number(seconds)?);
            sysbox_tests::soak::live(&place, seed, seconds)
        }),
        _ => Err(format!("it does not know what to do: {words:?}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            println!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn place(dir: &str, first: &str, slots: &str) -> Result<Place, String> {
    Ok(Place::new(dir, number(first)?, number(slots)?))
}

fn number<T: FromStr<Err = ParseIntError>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: ParseIntError| format!("{text:?}: {error}"))
}

fn make(place: &Place, killed_after: usize, call: &str) -> Result<(), String> {
    static STEPS: AtomicUsize = AtomicUsize::new(0);
    sysbox::embedded::on_step(move |name| {
        tell(&format!("step {name}"));
        if STEPS.fetch_add(1, Ordering::SeqCst) + 1 == killed_after {
            // It does not return.
            let _ = kill_process(getpid(), Signal::KILL);
        }
    });
    let call: Call = call.parse()?;
    let opened = place.try_open().map_err(|text| Failure { kind: "OpenError".to_owned(), text });
    match opened.and_then(|mgr| call.make(place, &mgr)) {
        Ok(()) => tell("done"),
        Err(Failure { kind, text }) => tell(&format!("failed {kind}\t{}", text.escape_debug())),
    }
    Ok(())
}

fn tell(line: &str) {
    let mut output = stdout().lock();
    // Who is told may have gone.
    drop(writeln!(output, "{line}").and_then(|()| output.flush()));
}
