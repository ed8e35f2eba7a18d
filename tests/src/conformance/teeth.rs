//! Whether the suite bites: over every backend and transport of this project it fails for each flaw that can be seen there.
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

use super::{ROWS, Rights, Row};

/// Sees a flaw in a kind of backend, or does not.
struct Bite {
    row: Row,
    flaw: Flaw,
    /// The case that failed first.
    case: Option<&'static Case>,
}

/// Requires a case to see each flaw: with the rights of root, of those that cannot be seen without.
///
/// # Panics
/// When one is not seen, or has no backend to be seen in.
pub fn every_flaw_is_seen(rights: Rights) {
    let mut bites = bites(rights);
    let has_bite = |row: &Row| bites.iter().any(|bite| bite.row.name == row.name);
    assert!(rows(rights).all(|row| has_bite(&row)), "a backend has no flaw");
    let has_backend = |flaw: &Flaw| bites.iter().any(|bite| bite.flaw == *flaw);
    let in_files = |flaw: &Flaw| flaw.needs().contains(&Ability::Files);
    let mut flaws = Flaw::ALL.iter().filter(|flaw| in_files(flaw) == (rights == Rights::Root));
    assert!(flaws.all(has_backend), "a flaw has no backend");
    bites.sort_by_key(|bite| (bite.row.name, bite.flaw.name()));
    if let Some(file) = env::var_os("SYSBOX_TEETH_REPORT") {
        fs::write(file, bites.iter().map(told).collect::<String>()).expect("the report is written");
    }
    let unseen: String = bites.iter().filter(|bite| bite.case.is_none()).map(told).collect();
    assert!(unseen.is_empty(), "these flaws are not seen:\n{unseen}");
}

fn rows(rights: Rights) -> impl Iterator<Item = Row> {
    ROWS.into_iter().filter(move |row| rights == Rights::None || row.is_able_as_root())
}

/// Tries every flaw over every backend in which it can be seen, several at a time: much of it is waiting for disks and sockets.
fn bites(rights: Rights) -> Vec<Bite> {
    const AT_A_TIME: usize = 4;
    let (next, bites) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(&flaw) = Flaw::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = bites_of(rights, flaw);
                    bites.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
                }
            });
        }
    });
    bites.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Tries one flaw. Where it was seen in one backend, the same case comes first for the next one.
fn bites_of(rights: Rights, flaw: Flaw) -> Vec<Bite> {
    let mut bites: Vec<Bite> = Vec::new();
    for row in rows(rights) {
        let harness = row.harness(rights, Some(flaw));
        let lacks = lacks_of(row, rights);
        let is_seen_without = rights == Rights::Root && can_be_seen(flaw, &lacks_of(row, Rights::None));
        if can_be_seen(flaw, &lacks) && !is_seen_without {
            let before: Vec<_> = bites.iter().filter_map(|bite| bite.case).map(|case| case.name).collect();
            let case = first_failure(&harness, flaw, &lacks, &before);
            bites.push(Bite { row, flaw, case });
        }
    }
    bites
}

fn lacks_of(row: Row, rights: Rights) -> Vec<Ability> {
    row.harness(rights, None).lacks().iter().map(|lack| lack.ability).collect()
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
