//! A call of the embedded manager that is killed after any of its steps, or of which any system call fails, is done or undone
//! as a whole by a repair, by the next call, and by the removal of its container. Needs root.
//!
//! What each case came to is printed, and written to `crash-matrix-*.txt` in cargo's directory for the files of tests. A
//! part of the cases is chosen; with `SYSBOX_CRASH_MATRIX=full` all are tried.

#![expect(clippy::expect_used, reason = "a test may fail by a panic, also in its helpers")]
#![expect(clippy::print_stdout, reason = "what each case came to is what this test has to tell")]

use std::{collections::BTreeSet, env, fs, path::Path, sync::Mutex, thread};

use sysbox::embedded::Intent;
use sysbox_tests::crash::{Case, Disturbance, Life, Recovery, Story, Table, Worker, faults_of};

/// Faults for each call where not all are tried.
const FAULTS: usize = 7;

/// Steps that cannot be taken here, each with the reason.
const NOT_HERE: &[(&str, &str)] = &[
    ("mark", "the kernel has no shiftfs: the call is refused before it begins"),
    ("unmark a source", "the same"),
    (
        "put a volume on record",
        "it takes a volume that needed no shift in an earlier run, which no story has",
    ),
];

/// What the lives of all stories came to.
#[derive(Default)]
struct Whole {
    table: Table,
    steps: BTreeSet<String>,
    intents: Vec<Intent>,
}

fn is_full() -> bool {
    env::var("SYSBOX_CRASH_MATRIX").is_ok_and(|value| value == "full")
}

fn worker() -> Worker {
    Worker::new(env!("CARGO_BIN_EXE_manager-worker").into())
}

/// Lives each story in a thread of its own.
fn of_all_stories(name: &str, live: impl Fn(&mut Life, &mut Table) + Sync) -> Whole {
    let whole = Mutex::new(Whole::default());
    thread::scope(|scope| {
        for story in Story::ALL {
            let (whole, live) = (&whole, &live);
            scope.spawn(move || {
                let (mut life, mut table) = (Life::new(story, worker()), Table::default());
                live(&mut life, &mut table);
                let mut whole = whole.lock().expect("no thread has failed");
                whole.table.merge(table);
                whole.steps.extend(life.steps.iter().cloned());
                whole.intents.extend(&life.intents);
            });
        }
    });
    let whole = whole.into_inner().expect("no thread has failed");
    println!("{name}: {}", whole.table);
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("crash-matrix-{name}.txt"));
    fs::write(file, whole.table.to_string()).expect("written");
    whole
}

#[test]
fn a_call_killed_after_any_step_is_done_or_undone_as_a_whole() {
    let whole = of_all_stories("kills", |life, table| {
        for (at, call) in life.calls() {
            let steps = life.count_steps(at, call);
            if let Err(error) = &steps {
                table.add(life.story(), at, &call.to_string(), "counting its steps", Err(error));
            }
            for step in 1..=steps.map_or(0, |steps| steps.len()) {
                kill(life, table, at, step);
            }
        }
    });
    let wanted = steps_in_the_source();
    let hit: BTreeSet<_> = whole.steps.iter().map(String::as_str).collect();
    let is_here = |step: &&String| !NOT_HERE.iter().any(|(name, _)| name == step);
    let missed: Vec<_> = wanted.iter().filter(|step| !hit.contains(step.as_str())).filter(is_here).collect();
    assert!(whole.table.failures.is_empty(), "{}", whole.table.failures.join("\n"));
    assert!(missed.is_empty(), "steps after which nothing was ever killed: {missed:?}");
    let never: Vec<_> = every_intent().into_iter().filter(|intent| !whole.intents.contains(intent)).collect();
    assert!(never.is_empty(), "intents that were never left: {never:?}");
}

#[test]
fn a_call_of_which_a_system_call_fails_is_done_or_undone_as_a_whole_and_says_what_failed() {
    let whole = of_all_stories("faults", |life, table| {
        for (at, call) in life.calls() {
            let count = if is_full() { None } else { Some(FAULTS) };
            for fault in faults_of(life, at, call, count) {
                disturb(life, table, at, &Disturbance::Fault(fault), Recovery::Repair);
            }
        }
    });
    assert!(whole.table.failures.is_empty(), "{}", whole.table.failures.join("\n"));
}

/// Kills a call after a step, and recovers from that in every way; where not all is tried, in a third of the ways each time.
fn kill(life: &mut Life, table: &mut Table, at: usize, step: usize) {
    let disturbance = Disturbance::KilledAfter(step);
    let repaired = disturb(life, table, at, &disturbance, Recovery::Repair);
    let turn = at + step;
    for (nth, recovery) in [Recovery::Again, Recovery::Remove].into_iter().enumerate() {
        if is_full() || turn % 3 == nth {
            disturb(life, table, at, &disturbance, recovery);
        }
    }
    let repair_steps = repaired.map_or(0, |case| case.repair_steps);
    for nth in 1..=repair_steps {
        if is_full() || (turn % 3 == 2 && nth % repair_steps == turn % repair_steps) {
            disturb(life, table, at, &disturbance, Recovery::RepairKilledAfter(nth));
        }
    }
}

fn disturb(
    life: &mut Life,
    table: &mut Table,
    at: usize,
    disturbance: &Disturbance,
    recovery: Recovery,
) -> Option<Case> {
    let call = life.calls().into_iter().find(|(nth, _)| *nth == at).expect("it is a call").1;
    let outcome = life.disturb(at, call, disturbance, recovery);
    match &outcome {
        Ok(None) => {}
        Ok(Some(case)) => table.add(life.story(), at, &call.to_string(), &format!("{recovery:?}"), Ok(case)),
        Err(error) => {
            let what = format!("{disturbance}, then {recovery:?}");
            table.add(life.story(), at, &call.to_string(), &what, Err(error));
            println!("FAILED {}", table.failures.last().expect("just added"));
        }
    }
    outcome.ok().flatten()
}

/// The names in `step("name")` in the source of the manager.
fn steps_in_the_source() -> BTreeSet<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/sysbox-embedded/src");
    let (mut waiting, mut found) = (vec![source], BTreeSet::new());
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting
                .extend(fs::read_dir(path).expect("readable").map(|entry| entry.expect("readable").path()));
        } else if let Ok(text) = fs::read_to_string(&path) {
            let names = text.split("step(\"").skip(1).filter_map(|rest| rest.split_once("\")"));
            found.extend(names.map(|(name, _)| name.to_owned()));
        }
    }
    assert!(found.contains("intend") && found.len() > 10, "the source is not as it was: {found:?}");
    found
}

/// Every intent that can be left on a kernel without shiftfs: there a call that would mark is refused before it writes one.
fn every_intent() -> Vec<Intent> {
    use Intent::*;
    let all =
        [ReqMounts, PrepMounts, Mark, CloneRootfs, ChownClone, RevertClone, Pause, Resume, Stop, Remove];
    let can_be_left = |intent: &Intent| match intent {
        Mark => false,
        ReqMounts | PrepMounts | CloneRootfs | ChownClone | RevertClone | Pause | Resume | Stop | Remove => {
            true
        }
    };
    all.into_iter().filter(can_be_left).collect()
}
