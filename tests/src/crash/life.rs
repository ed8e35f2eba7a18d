//! Lives that are led up to a call, disturbed there, put in order, and ended.
//!
//! What they are compared with is the same life undisturbed: what is on record after each act, and the rootfs that it ends with.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use sysbox::embedded::{ContainerState, EmbeddedMgr, Intent};

use super::{
    act::{Act, assert_written, give_back, give_back_upper},
    call::{Call, Failure},
    check::{half_shifted, left, problems},
    place::Place,
    scene::{Scene, Story},
    strace::Fault,
    view::View,
    worker::{End, Worker},
};
use crate::Snapshot;

/// The life of a story, known undisturbed.
#[derive(Debug)]
pub struct Life {
    scene: Scene,
    worker: Worker,
    acts: Vec<Act>,
    /// What is on record before the nth act.
    views: Vec<View>,
    /// The rootfs at the end of a life that is ended before the nth act.
    ends: Vec<Snapshot>,
    source: Snapshot,
    /// Every step that was taken, by calls and repairs.
    pub steps: Vec<String>,
    /// Every intent that was left.
    pub intents: Vec<Intent>,
}

/// What is done about a call that did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Another process repairs.
    Repair,
    /// Another process repairs, and is killed after this step too; then another one.
    RepairKilledAfter(usize),
    /// The call is made again.
    Again,
    /// The container is stopped and removed.
    Remove,
}

/// How a call is disturbed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// It is killed after its nth step, from 1 on.
    KilledAfter(usize),
    /// A system call of it fails, or it is killed there.
    Fault(Fault),
}

/// What became of a disturbed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Where it was cut short.
    pub point: String,
    /// What it came to, in words.
    pub outcome: String,
    /// How many steps the repair took.
    pub repair_steps: usize,
}

impl Life {
    /// Lives it undisturbed, ended before each act, and remembers what that came to.
    ///
    /// # Panics
    /// When even that is not as it should be.
    pub fn new(story: Story, worker: Worker) -> Self {
        let scene = Scene::new(story);
        let source = Snapshot::of(&scene.place.source()).without_times_of_directories().without_links();
        let acts = story.acts();
        let (views, ends, steps, intents) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut life = Self { scene, worker, acts, views, ends, source, steps, intents };
        for at in 0..=life.acts.len() {
            let mgr = life.lead_to(at);
            let mut found = problems(life.place(), &mgr);
            found.extend(half_shifted(life.place(), &mgr));
            assert!(found.is_empty(), "{story:?} before act {at}: {found:#?}");
            life.views.push(View::of(life.place(), &mgr));
            let end = life
                .finish(&mgr, true)
                .unwrap_or_else(|error| panic!("{story:?} ended before act {at}: {error}"));
            if let Some(nth) = life.last_written(at) {
                assert_written(&life.place().rootfs(), nth);
            } else {
                life.ends.iter().for_each(|begin| begin.assert_same(&end, "nothing was written"));
            }
            life.ends.push(end);
        }
        life
    }

    fn last_written(&self, before: usize) -> Option<u32> {
        let written = |act: &Act| if let Act::Write(nth) = act { Some(*nth) } else { None };
        self.acts[..before].iter().rev().find_map(written)
    }

    /// The calls of it, with the number of their act.
    pub fn calls(&self) -> Vec<(usize, Call)> {
        let call =
            |(at, act): (usize, &Act)| if let Act::Call(call) = act { Some((at, *call)) } else { None };
        self.acts.iter().enumerate().filter_map(call).collect()
    }

    /// What it is about.
    pub const fn story(&self) -> Story {
        self.scene.story
    }

    /// Where it is lived.
    pub const fn place(&self) -> &Place {
        &self.scene.place
    }

    /// Lives it anew up to this act.
    ///
    /// # Panics
    /// When a call fails.
    pub fn lead_to(&mut self, at: usize) -> EmbeddedMgr {
        self.scene.reset();
        let mgr = self.place().open();
        for (nth, act) in self.acts[..at].iter().enumerate() {
            act.perform(self.place(), &mgr).unwrap_or_else(|error| panic!("act {nth}: {error}"));
        }
        mgr
    }

    /// The steps of a call that is not disturbed.
    ///
    /// # Errors
    /// When it fails.
    pub fn count_steps(&mut self, at: usize, call: Call) -> Result<Vec<String>, String> {
        self.on_a_sound_scene(|life| {
            let mgr = life.lead_to(at);
            let (end, steps) = life.worker.call(life.place(), call, None);
            life.steps.extend(steps.iter().cloned());
            if end != End::Done {
                return Err(format!("undisturbed it ended: {end}"));
            }
            life.finish(&mgr, true).map(|_| steps)
        })
    }

    /// What strace tells of a call that is not disturbed.
    ///
    /// # Errors
    /// When it or the rest of the life does not end well.
    pub fn log(&mut self, at: usize, call: Call) -> Result<String, String> {
        self.on_a_sound_scene(|life| {
            let mgr = life.lead_to(at);
            let log = life.worker.log(life.place(), call);
            life.finish(&mgr, true).map(|_| log)
        })
    }

    /// Disturbs the call that is this act, recovers from that, and looks whether all is as it must be; `None` if the call ended
    /// before it could be disturbed.
    ///
    /// # Errors
    /// All that is not.
    pub fn disturb(
        &mut self,
        at: usize,
        call: Call,
        disturbance: &Disturbance,
        recovery: Recovery,
    ) -> Result<Option<Case>, String> {
        self.on_a_sound_scene(|life| {
            let mgr = life.lead_to(at);
            let (end, steps) = match disturbance {
                Disturbance::KilledAfter(step) => life.worker.call(life.place(), call, Some(*step)),
                Disturbance::Fault(fault) => life.worker.traced(life.place(), call, fault),
            };
            life.steps.extend(steps.iter().cloned());
            let is_kill = matches!(disturbance, Disturbance::KilledAfter(_));
            match &end {
                End::Broken(text) => return Err(text.clone()),
                End::Done | End::Failed(_) if is_kill => {
                    life.finish(&mgr, true)?;
                    return Ok(None);
                }
                End::Failed(failure) => is_telling(failure)?,
                End::Done | End::Killed => {}
            }
            let point = match disturbance {
                Disturbance::KilledAfter(_) => steps.last().cloned().unwrap_or_default(),
                Disturbance::Fault(fault) => fault.to_string(),
            };
            let left = mgr.unrepaired().expect("readable").mended.into_iter().map(|mended| mended.intent);
            let left: Vec<_> = left.collect();
            life.intents.extend(&left);
            let (how, repair_steps) = life.recover(&mgr, at, call, recovery, &end)?;
            let is_settled = recovery != Recovery::Remove;
            life.finish(&mgr, is_settled).and_then(|rootfs| life.compare(at, &rootfs))?;
            let had = left.first().map_or_else(String::new, |intent| format!(", left in {intent:?}"));
            Ok(Some(Case { point, outcome: format!("{}{had}; {how}", end.name()), repair_steps }))
        })
    }

    /// A scene in which something went wrong is not used again.
    fn on_a_sound_scene<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Result<T, String> {
        let outcome = catch_unwind(AssertUnwindSafe(|| work(self))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            Err(text
                .or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
                .unwrap_or_default())
        });
        if outcome.is_err() {
            self.scene = self.scene.afresh();
        }
        outcome
    }

    fn recover(
        &mut self,
        mgr: &EmbeddedMgr,
        at: usize,
        call: Call,
        recovery: Recovery,
        end: &End,
    ) -> Result<(&'static str, usize), String> {
        let (before, after) = (self.views[at].clone(), self.views[at + 1].clone());
        let mut repair_steps = 0;
        match recovery {
            Recovery::Remove => return Ok(("removed", 0)),
            Recovery::Again => {
                let again = call.make(self.place(), mgr);
                again.or_else(|failure| is_done_already(&failure))?;
            }
            Recovery::Repair => repair_steps = self.repair()?,
            Recovery::RepairKilledAfter(step) => {
                let (end, _) = self.worker.call(self.place(), Call::Repair, Some(step));
                if end != End::Killed {
                    return Err(format!("a repair that was to be killed after step {step} ended: {end}"));
                }
                repair_steps = self.repair()?;
            }
        }
        let mut found = problems(self.place(), mgr);
        if *end == End::Done || recovery == Recovery::Again {
            found.extend(half_shifted(self.place(), mgr));
        }
        if !found.is_empty() {
            return Err(found.join("\n    "));
        }
        let now = View::of(self.place(), mgr);
        match recovery {
            _ if now == after && before == after => Ok(("as before and after", repair_steps)),
            _ if now == after => Ok(("done", repair_steps)),
            Recovery::Again => Err(format!("done again it is {now:?} and not {after:?}")),
            _ if now == before => Ok(("undone", repair_steps)),
            _ => Err(format!("it is {now:?}, which is neither {before:?} nor {after:?}")),
        }
    }

    fn repair(&mut self) -> Result<usize, String> {
        let (end, steps) = self.worker.call(self.place(), Call::Repair, None);
        self.steps.extend(steps.iter().cloned());
        if end == End::Done { Ok(steps.len()) } else { Err(format!("the repair ended: {end}")) }
    }

    /// Stops and removes the container, if it is there, and gives the rootfs as it is then.
    fn finish(&mut self, mgr: &EmbeddedMgr, is_settled: bool) -> Result<Snapshot, String> {
        let place = self.place();
        let make = |call: Call| match call.make(place, mgr) {
            Err(failure) => is_done_already(&failure).map_err(|text| format!("{call} at the end: {text}")),
            Ok(()) => Ok(()),
        };
        let view = View::of(place, mgr);
        if view.state.is_some_and(|state| state != ContainerState::Stopped) {
            make(Call::Unregister)?;
        }
        give_back(place);
        if self.scene.story == Story::Upper && !view.has_upper {
            give_back_upper(place);
        }
        if view.state.is_some() {
            // What an unregistration has begun and not finished, the removal is to finish.
            let found = if is_settled { problems(place, mgr) } else { Vec::new() };
            if !found.is_empty() {
                return Err(format!("when it was stopped: {}", found.join("\n    ")));
            }
            make(Call::Remove)?;
        }
        let mut found = left(place, mgr);
        let source = Snapshot::of(&place.source()).without_times_of_directories().without_links();
        found.extend(self.source.differences(&source));
        if found.is_empty() {
            Ok(Snapshot::of(&place.rootfs()).without_times_of_directories().without_links())
        } else {
            Err(format!("at the end: {}", found.join("\n    ")))
        }
    }

    /// Compares a rootfs with the one at the end of a life that ends before or after this act.
    fn compare(&self, at: usize, rootfs: &Snapshot) -> Result<(), String> {
        if self.ends[at] == *rootfs {
            return Ok(());
        }
        let mut differences = self.ends[at + 1].differences(rootfs);
        let count = differences.len();
        differences.truncate(8);
        if count == 0 {
            Ok(())
        } else {
            Err(format!("{count} differ in the rootfs: {}", differences.join("\n    ")))
        }
    }
}

/// Whether a failure says what failed, on which container.
fn is_telling(failure: &Failure) -> Result<(), String> {
    let is_about_it = failure.text.contains("victim") || failure.kind == "OpenError";
    if is_about_it { Ok(()) } else { Err(format!("the failure does not tell on what: {failure}")) }
}

/// Passes the refusals of a call that was done before.
fn is_done_already(failure: &Failure) -> Result<(), String> {
    let passes = ["FailedPrecondition", "AlreadyExists", "NotFound"].contains(&&*failure.kind);
    if passes { Ok(()) } else { Err(failure.to_string()) }
}

impl fmt::Display for Disturbance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KilledAfter(step) => write!(f, "killed after step {step}"),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}
