//! A runtime that is killed with SIGKILL anywhere leaves nothing that `sysbox delete --force`, or the next `sysbox run` of
//! that name, does not undo. Needs root.
//!
//! Where it is killed is chosen by its log: after single lines of it, and some milliseconds after a step was done.

#![expect(clippy::expect_used, reason = "a test may fail by a panic, also in its helpers")]

use std::{collections::BTreeMap, fs, path::Path, process::Command, time::Duration};

use sysbox_tests::{
    Bundle, Ground, Kind, Running, Site, Snapshot, Stepper, busybox, finish, furnish, step_of, took_of,
};

/// Where a runtime is killed.
#[derive(Clone, Debug)]
enum Point {
    /// Between the line of the log with this number and the next.
    Line(usize),
    /// This long after a step was done; `None` is the start.
    After(Option<String>, Duration),
}

/// A container whose runtime is killed again and again.
struct Victim {
    site: Site,
    ground: Ground,
    bundle: Bundle,
    policy: &'static str,
    /// The rootfs as it always has to be again, but for what overlayfs makes of links.
    before: Snapshot,
}

/// What is known of a run that nobody kills.
struct Reference {
    lines: Vec<String>,
    steps: Vec<String>,
    /// How long each step takes.
    times: BTreeMap<String, Duration>,
}

impl Victim {
    fn new(kind: Kind, policy: &'static str, files: usize) -> Self {
        Self::filled(kind, policy, |rootfs| many_files(rootfs, files))
    }

    /// One whose rootfs has this many files where Docker keeps its data: they are copied into a volume, and back.
    fn with_volume(kind: Kind, policy: &'static str, files: usize) -> Self {
        Self::filled(kind, policy, |rootfs| {
            let docker = rootfs.join("var/lib/docker");
            fs::create_dir_all(&docker).expect("made");
            furnish(&docker);
            many_files(&docker, files);
        })
    }

    fn filled(kind: Kind, policy: &'static str, fill: impl Fn(&Path)) -> Self {
        let site = Site::new(1);
        let ground = Ground::new(kind, |rootfs| {
            busybox(rootfs);
            furnish(rootfs);
            fill(rootfs);
        });
        let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), "echo done");
        let before = Snapshot::of(ground.rootfs()).without_links();
        Self { site, ground, bundle, policy, before }
    }

    fn id(&self) -> String {
        self.site.id("victim")
    }

    fn run(&self) -> Command {
        let mut run = self.site.run(&self.bundle, &self.id());
        run.args(["--log", "debug", "--shift-policy", self.policy]);
        run
    }

    fn reference(&self) -> Reference {
        let mut stepper = Stepper::start(self.run());
        let mut seen = 0;
        while stepper.go_to_line(seen + 2) && stepper.lines().len() > seen {
            seen += 1;
        }
        let lines = stepper.lines().to_vec();
        let times = lines.iter().filter_map(|line| step_of(line).zip(took_of(line))).collect();
        let (steps, outcome) = stepper.go_to_end();
        assert_eq!(outcome.success(), "done\n");
        Reference { lines, steps, times }
    }

    /// Kills a run at a point; tells the steps that it had done.
    fn kill(&self, point: &Point) -> Vec<String> {
        let mut stepper = Stepper::start(self.run());
        match point {
            Point::Line(number) => drop(stepper.go_to_line(*number)),
            Point::After(step, delay) => {
                if step.as_ref().is_none_or(|step| stepper.go_to_step(step)) {
                    stepper.go_on_for(*delay);
                }
            }
        }
        stepper.kill()
    }

    /// How many inodes have been given to the container.
    fn shifted(&self) -> usize {
        Snapshot::of(self.ground.rootfs()).count_from(self.site.ids().start)
    }

    fn recover(&self, nth: usize, what: &str) {
        if nth.is_multiple_of(2) {
            let outcome = self.site.delete(&self.id());
            assert_eq!(outcome.code(), 0, "{what}: {outcome:?}");
        } else {
            let mut run = self.site.run(&self.bundle, &self.id());
            let outcome = finish(run.args(["--shift-policy", self.policy]));
            assert_eq!((outcome.code(), outcome.stdout.as_str()), (0, "done\n"), "{what}: {outcome:?}");
        }
        self.site.assert_nothing_left(what);
        self.before.assert_same(&Snapshot::of(self.ground.rootfs()).without_links(), what);
    }

    /// Kills and recovers at every point, and then in every step that was missed.
    fn sweep(&self, reference: &Reference, points: &[Point]) -> Tally {
        let mut tally = Tally::default();
        for point in points {
            self.kill_and_recover(reference, point, &mut tally);
        }
        for (nth, step) in reference.steps.iter().enumerate() {
            let before = nth.checked_sub(1).map(|before| reference.steps[before].clone());
            let point = Point::After(before, Duration::ZERO);
            // A short step may be over when the runtime is killed, so a few tries may be needed.
            for _ in 0..20 {
                if !tally.hits.contains_key(step) {
                    self.kill_and_recover(reference, &point, &mut tally);
                }
            }
        }
        tally
    }

    fn kill_and_recover(&self, reference: &Reference, point: &Point, tally: &mut Tally) {
        let done = self.kill(point);
        let cut = reference.steps.get(done.len()).map_or("after all", String::as_str);
        let shifted = self.shifted();
        *tally.hits.entry(cut.to_owned()).or_default() += 1;
        tally.halves += usize::from(shifted > 0 && shifted < self.before.len());
        tally.kills += 1;
        let how = if tally.kills.is_multiple_of(2) { "delete --force" } else { "the next run" };
        let what = format!("killed at {point:?} in {cut} with {shifted} inodes shifted, then {how}");
        self.recover(tally.kills, &what);
    }
}

/// Where the kills of a sweep hit.
#[derive(Debug, Default)]
struct Tally {
    kills: usize,
    /// How often each step was cut short.
    hits: BTreeMap<String, usize>,
    /// How often a part of the tree was shifted.
    halves: usize,
}

impl Tally {
    /// Tells it, and fails if some step was never hit.
    #[expect(clippy::print_stdout, reason = "how often each step was hit is what this test has to tell")]
    fn report(&self, title: &str, reference: &Reference) {
        println!("{title}: {} kills, {} with a part of the tree shifted", self.kills, self.halves);
        for step in &reference.steps {
            println!("{:6} in {step}", self.hits.get(step).unwrap_or(&0));
        }
        let missed: Vec<_> = reference.steps.iter().filter(|step| !self.hits.contains_key(*step)).collect();
        assert!(missed.is_empty(), "never killed in {missed:?}");
    }
}

fn many_files(rootfs: &Path, count: usize) {
    for nth in 0..count {
        let dir = rootfs.join(format!("many/{}", nth / 250));
        if nth.is_multiple_of(250) {
            fs::create_dir_all(&dir).expect("made");
        }
        fs::write(dir.join(nth.to_string()), "").expect("made");
    }
}

/// In each of the first milliseconds.
fn from_the_start(milliseconds: u64) -> Vec<Point> {
    (0..milliseconds).map(|nth| Point::After(None, Duration::from_millis(nth))).collect()
}

/// After every line that reports a step, and after every few others.
fn lines(reference: &Reference, every: usize) -> Vec<Point> {
    let chosen = reference.lines.iter().enumerate();
    let chosen = chosen.filter(|(nth, line)| step_of(line).is_some() || nth.is_multiple_of(every));
    chosen.map(|(nth, _)| Point::Line(nth + 1)).collect()
}

/// At `count` times spread evenly over the time that a step takes.
fn within(reference: &Reference, step: &str, count: u32) -> Vec<Point> {
    let time =
        reference.times.get(step).copied().unwrap_or_else(|| panic!("no step {step}: {:?}", reference.times));
    let nth = reference.steps.iter().position(|other| other == step).expect("it has a time");
    let before = nth.checked_sub(1).map(|before| reference.steps[before].clone());
    (0..count).map(|nth| Point::After(before.clone(), time * nth / count)).collect()
}

#[test]
fn anywhere_in_the_life_of_an_id_mapped_container() {
    let victim = Victim::new(Kind::Ext4, "prefer-id-mapped", 100);
    let reference = victim.reference();
    let mut points = from_the_start(10);
    points.extend(lines(&reference, 3));
    points.extend(within(&reference, "create the container", 20));
    let tally = victim.sweep(&reference, &points);
    tally.report("ID-mapped", &reference);
    assert_eq!(tally.halves, 0, "an ID-mapped tree is never touched");
}

#[test]
fn anywhere_in_the_life_of_a_chowned_container() {
    let victim = Victim::new(Kind::Ext4, "reference", 4000);
    let reference = victim.reference();
    let mut points = from_the_start(3);
    points.extend(lines(&reference, 20));
    points.extend(within(&reference, "chown the rootfs", 25));
    points.extend(within(&reference, "give the rootfs back", 25));
    let tally = victim.sweep(&reference, &points);
    tally.report("chowned", &reference);
    assert!(tally.halves > 0, "never killed with a part of the tree shifted");
}

#[test]
fn anywhere_in_the_life_of_a_container_with_a_volume() {
    for (policy, title) in [("prefer-id-mapped", "with a volume"), ("reference", "with a volume, chowned")] {
        let victim = Victim::with_volume(Kind::Ext4, policy, 1500);
        let reference = victim.reference();
        let mut points = lines(&reference, 20);
        let longest = reference.times.iter().max_by_key(|(_, time)| **time).expect("it has steps").0.clone();
        for step in reference.steps.iter().filter(|step| step.contains("volume") || **step == longest) {
            points.extend(within(&reference, step, 12));
        }
        victim.sweep(&reference, &points).report(title, &reference);
    }
}

#[test]
fn on_overlayfs_that_is_id_mapped_or_chowned() {
    for (kind, title) in [(Kind::Overlay, "ID-mapped overlay"), (Kind::NestedOverlay, "chowned overlay")] {
        let victim = Victim::new(kind, "prefer-id-mapped", 100);
        let reference = victim.reference();
        victim.sweep(&reference, &lines(&reference, 20)).report(title, &reference);
    }
}

#[test]
fn again_and_again_without_anybody_cleaning_up_in_between() {
    for (policy, files) in [("prefer-id-mapped", 100), ("reference", 1000)] {
        let victim = Victim::new(Kind::Ext4, policy, files);
        let reference = victim.reference();
        let points = lines(&reference, 10);
        for last in 0..2 {
            for point in points.iter().rev() {
                victim.kill(point);
            }
            victim.recover(last, &format!("{policy}, killed {} times in a row", points.len()));
        }
    }
}

#[test]
fn while_deleting_what_a_killed_runtime_left() {
    let victim = Victim::new(Kind::Ext4, "reference", 1000);
    let leave_chowned = || {
        let mut run = Stepper::start(victim.run());
        assert!(run.go_to_step("start the container"), "it starts");
        run.kill();
    };
    let delete = || {
        let mut delete = victim.site.command("delete");
        delete.args(["--log", "debug", "--force", &victim.id()]);
        Stepper::start(delete)
    };
    leave_chowned();
    let mut whole = delete();
    while whole.go_to_line(whole.lines().len() + 2)
        && whole.lines().last().is_none_or(|line| !line.is_empty())
    {}
    let count = whole.lines().len();
    let (steps, outcome) = whole.go_to_end();
    assert_eq!(outcome.code(), 0, "{outcome:?}");
    assert!(steps.iter().any(|step| step == "give the rootfs back"), "{steps:?}");
    for line in 1..=count {
        leave_chowned();
        let mut killed = delete();
        killed.go_to_line(line);
        killed.kill();
        victim.recover(line, &format!("delete was killed at line {line} of {count}"));
    }
}

#[test]
fn while_the_program_runs() {
    for (nth, policy) in
        ["prefer-id-mapped", "reference", "prefer-id-mapped", "reference"].into_iter().enumerate()
    {
        let victim = Victim::new(Kind::Ext4, policy, 10);
        let bundle =
            Bundle::new(&victim.ground.bundle(), victim.ground.rootfs(), "sleep 1000 & echo up; wait");
        let mut run = Running::start(victim.site.run(&bundle, &victim.id()).args(["--shift-policy", policy]));
        assert_eq!(run.line(), "up");
        run.kill();
        assert_eq!(victim.site.row(&victim.id())["status"], "orphaned");
        // The same bundle with a program that ends.
        let Victim { site, ground, before, .. } = victim;
        let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), "echo done");
        let victim = Victim { site, ground, bundle, policy, before };
        victim.recover(nth / 2, &format!("{policy}, killed while the program ran"));
    }
}

#[test]
fn while_the_state_file_of_libcontainer_was_written() {
    // libcontainer empties its file before it writes it anew, which is too short to be hit on purpose.
    for text in ["", "{", "{}"] {
        for nth in 0..2 {
            let victim = Victim::new(Kind::Ext4, "reference", 10);
            let mut run = Stepper::start(victim.run());
            assert!(run.go_to_step("create the container"), "it is created");
            run.kill();
            let dir = victim.site.data_root().join("containers").join(victim.id()).join("libcontainer");
            let state = dir.join(victim.id()).join("state.json");
            assert!(state.is_file(), "the state of libcontainer is not at {state:?}");
            fs::write(state, text).expect("written");
            victim.recover(nth, &format!("the state file was {text:?}"));
        }
    }
}

#[test]
fn what_is_a_living_processes_is_not_undone_under_it() {
    let victim = Victim::new(Kind::Ext4, "reference", 10);
    let id = victim.id();
    let parent = format!("{id}-frozen");
    let bundle = Bundle::new(&victim.ground.bundle(), victim.ground.rootfs(), "sleep 1000 & echo up; wait")
        .with("/linux/cgroupsPath", format!("/{parent}/child").into());
    let mut run = Running::start(victim.site.run(&bundle, &id).args(["--shift-policy", "reference"]));
    assert_eq!(run.line(), "up");
    // A process in a frozen cgroup of version 1 does not end before it is thawed; one of version 2 does.
    let freezer = Path::new("/sys/fs/cgroup/freezer").join(&parent).join("freezer.state");
    let stays = freezer.exists();
    if stays {
        fs::write(&freezer, "FROZEN").expect("frozen");
    }
    run.kill();
    let ids = victim.site.row(&id)["uids"].clone();
    let outcome = victim.site.delete(&id);
    if stays {
        fs::write(&freezer, "THAWED").expect("thawed");
        outcome.failure(1, &["do not end", &id]);
        assert!(victim.shifted() > 0, "the rootfs is still the container's");
        assert_eq!(victim.site.row(&id)["uids"], ids, "and so are its ids");
        assert_eq!(victim.site.delete(&id).code(), 0);
    } else {
        outcome.success();
    }
    victim.site.assert_nothing_left("after the processes have ended");
    victim.before.assert_same(&Snapshot::of(victim.ground.rootfs()).without_links(), "at the end");
}
