//! The suite of `sysbox-conformance` bites: over every backend and transport of this project it fails for each flaw that can be
//! seen there.
//!
//! With `SYSBOX_TEETH_REPORT=FILE` it writes down which case saw each flaw first, and over which backend.

use std::{
    env, fs,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use sysbox_conformance::{Ability, Case, Flaw, Harness, cases, run};
use sysbox_tests::conformance::{ROWS, Row};

/// Sees a flaw in a kind of backend, or does not.
struct Bite {
    row: Row,
    flaw: Flaw,
    /// The case that failed first.
    case: Option<&'static Case>,
}

#[test]
fn every_flaw_of_every_backend_is_seen_by_a_case() {
    let mut bites = bites();
    assert!(
        ROWS.iter().all(|row| bites.iter().any(|bite| bite.row.name == row.name)),
        "a backend has no flaw"
    );
    assert!(
        Flaw::ALL.iter().all(|flaw| bites.iter().any(|bite| bite.flaw == *flaw)),
        "a flaw has no backend"
    );
    bites.sort_by_key(|bite| (bite.row.name, bite.flaw.name()));
    if let Some(file) = env::var_os("SYSBOX_TEETH_REPORT") {
        fs::write(file, bites.iter().map(told).collect::<String>()).expect("the report is written");
    }
    let unseen: String = bites.iter().filter(|bite| bite.case.is_none()).map(told).collect();
    assert!(unseen.is_empty(), "these flaws are not seen:\n{unseen}");
}

/// Tries every flaw over every backend in which it can be seen, several at a time: much of it is waiting for disks and sockets.
fn bites() -> Vec<Bite> {
    const AT_A_TIME: usize = 4;
    let (next, bites) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(&flaw) = Flaw::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = bites_of(flaw);
                    bites.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
                }
            });
        }
    });
    bites.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Tries one flaw. Where it was seen in one backend, the same case comes first for the next one.
fn bites_of(flaw: Flaw) -> Vec<Bite> {
    let mut bites: Vec<Bite> = Vec::new();
    for row in ROWS {
        let harness = row.harness(Some(flaw));
        let lacks: Vec<Ability> = harness.lacks().iter().map(|lack| lack.ability).collect();
        if can_be_seen(flaw, &lacks) {
            let before: Vec<_> = bites.iter().filter_map(|bite| bite.case).map(|case| case.name).collect();
            let case = first_failure(&harness, flaw, &lacks, &before);
            bites.push(Bite { row, flaw, case });
        }
    }
    bites
}

fn can_be_seen(flaw: Flaw, lacks: &[Ability]) -> bool {
    let is_transport = !lacks.contains(&Ability::Relay);
    flaw.needs().iter().all(|ability| !lacks.contains(ability))
        && !(is_transport && flaw.is_mended_by_transports())
}

/// The first case that fails: those that saw the flaw before, then those of the flaw's group, then all others.
fn first_failure(
    harness: &Arc<dyn Harness>,
    flaw: Flaw,
    lacks: &[Ability],
    before: &[&str],
) -> Option<&'static Case> {
    let mut cases = cases();
    cases.retain(|case| case.needs.iter().all(|ability| !lacks.contains(ability)));
    cases.sort_by_key(|case| (!before.contains(&case.name), case.group != flaw.group()));
    cases.into_iter().find(|case| is_bitten(harness, flaw, case))
}

/// Whether a case sees a flaw. That there was no backend, or no directory for it, is no bite.
fn is_bitten(harness: &Arc<dyn Harness>, flaw: Flaw, case: &'static Case) -> bool {
    let broken = run(harness, case).err();
    if let Some(unseen) = broken.as_ref().filter(|broken| !broken.is_seen()) {
        panic!("{} with {}, {}: {unseen}", harness.name(), flaw.name(), case.name);
    }
    broken.is_some()
}

/// A line of a table.
fn told(Bite { row, flaw, case }: &Bite) -> String {
    let (seen, rule) = (case.map_or("-", |case| case.name), flaw.rule());
    format!("{:<20} {:<40} {seen:<75} {rule}\n", row.name, flaw.name())
}
