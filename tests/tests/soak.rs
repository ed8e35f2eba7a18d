//! 200 processes at once on one data root, some of them killed at any moment: no id is given twice, calls fail only by the
//! rules, and in the end nothing is left. Needs root.
//!
//! It takes 20 seconds, or as many as `SYSBOX_SOAK_SECONDS` says.

#![expect(clippy::expect_used, reason = "a test may fail by a panic, also in its helpers")]

use std::{
    env, fs,
    os::unix::fs::lchown,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use pollster::block_on;
use sysbox::{
    ErrorKind, MgrPort,
    embedded::{ContainerState, EmbeddedMgr},
};
use sysbox_tests::{
    Snapshot,
    crash::{Scene, Story, left, unsound},
    soak::{CLONED, CONTAINERS, Random, id, rootfs},
};

const PROCESSES: u32 = 200;

#[test]
fn many_processes_some_of_them_killed_share_a_data_root_and_leave_nothing() {
    let seconds =
        env::var("SYSBOX_SOAK_SECONDS").map_or(20, |value| value.parse().expect("a number of seconds"));
    let mut scene = Scene::bare(Story::Cloned, CONTAINERS + 2);
    furnish(&mut scene);
    let before = trees(&scene);
    let mgr = scene.place.open();
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut random = Random(u64::from(std::process::id()));
    let mut children: Vec<Child> = (0..PROCESSES).map(|nth| worker(&scene, nth.into(), seconds)).collect();
    let (mut kills, mut looks) = (0, 0);
    while Instant::now() < end {
        // Between two looks, some are killed wherever they are, and others come in their place.
        for _ in 0..4 {
            let nth = usize::try_from(random.below(PROCESSES)).expect("few");
            let left = end.saturating_duration_since(Instant::now()).as_secs();
            if children[nth].try_wait().expect("our child").is_none() {
                children[nth].kill().and_then(|()| children[nth].wait()).expect("our child");
                kills += 1;
                children[nth] = worker(&scene, 1_000_000 + kills, left);
            }
        }
        assert_disjoint(&mgr);
        assert_eq!(unsound(&scene.place), [""; 0]);
        looks += 1;
        thread::sleep(Duration::from_millis(100));
    }
    let mut failures: Vec<String> = children.into_iter().filter_map(failure_of).collect();
    let repairs = mgr.repair().expect("readable");
    failures
        .extend(repairs.mended.iter().filter_map(|mended| mended.failure.as_ref().map(|e| format!("{e:?}"))));
    for nth in 0..CONTAINERS {
        failures.extend(end_of(&mgr, nth));
    }
    failures.extend(left(&scene.place, &mgr));
    for ((name, before), (_, after)) in before.iter().zip(trees(&scene)) {
        failures.extend(before.differences(&after).into_iter().map(|line| format!("{name}: {line}")));
    }
    println!(
        "{PROCESSES} processes for {seconds} s, {kills} killed, {looks} looks, {} failures",
        failures.len()
    );
    failures.truncate(20);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn worker(scene: &Scene, seed: u64, seconds: u64) -> Child {
    let ids = scene.place.ids();
    let mut command = Command::new(env!("CARGO_BIN_EXE_manager-worker"));
    command.arg("soak").arg(scene.place.dir());
    command.args([ids.first(), ids.count() / 65_536].map(|number| number.to_string()));
    command.args([seed, seconds].map(|number| number.to_string()));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started")
}

/// What a worker says that did not end well.
fn failure_of(child: Child) -> Option<String> {
    let output = child.wait_with_output().expect("our child");
    let text = [output.stdout, output.stderr].concat();
    (!output.status.success()).then(|| String::from_utf8_lossy(&text).into_owned())
}

/// Stops and removes a container, whatever was left of it.
fn end_of(mgr: &EmbeddedMgr, nth: u32) -> Option<String> {
    let record = mgr.status(&id(nth)).expect("readable")?;
    let stopped = match record.state {
        ContainerState::Stopped => Ok(()),
        _ => block_on(mgr.unregister(&id(nth))),
    };
    match stopped.and_then(|()| block_on(mgr.remove(&id(nth)))) {
        Err(error) if error.kind == ErrorKind::NotFound => None,
        outcome => outcome.err().map(|error| format!("at the end: {error:?}")),
    }
}

/// Fails if two containers have an id in common.
fn assert_disjoint(mgr: &EmbeddedMgr) {
    let records = mgr.list().expect("readable");
    let mut ranges: Vec<_> = records.iter().filter_map(|record| Some((record.uids?, &record.id))).collect();
    ranges.sort_by_key(|(range, _)| range.first());
    for pair in ranges.windows(2) {
        assert!(!pair[0].0.overlaps(pair[1].0), "{pair:?} overlap");
    }
}

fn furnish(scene: &mut Scene) {
    let dir = scene.place.dir().to_owned();
    for nth in 0..CONTAINERS {
        let at = rootfs(&scene.place, nth);
        let tree = if nth < CLONED { dir.join(format!("lower-{nth}")) } else { at.clone() };
        small_tree(&tree.join("var/lib/docker"), 0);
        if nth < CLONED {
            let [upper, work] = ["upper", "work"].map(|name| dir.join(format!("{name}-{nth}")));
            scene.overlay(&tree, &upper, &work, &at);
        }
    }
    for nth in 0..2 {
        let [lower, upper, work] =
            ["lower", "upper", "work"].map(|name| dir.join(format!("source-{name}-{nth}")));
        small_tree(&lower, 1000);
        scene.overlay(&lower, &upper, &work, &dir.join(format!("source-{nth}")));
    }
}

fn small_tree(dir: &Path, owner: u32) {
    fs::create_dir_all(dir.join("sub")).expect("made");
    for name in ["one", "sub/two"] {
        fs::write(dir.join(name), name).expect("written");
    }
    for name in ["", "one", "sub", "sub/two"] {
        lchown(dir.join(name), Some(owner), Some(owner)).expect("root may");
    }
}

/// Every rootfs and source, without what containers wrote on purpose.
fn trees(scene: &Scene) -> Vec<(String, Snapshot)> {
    let dir = scene.place.dir();
    let roots = (0..CONTAINERS).map(|nth| rootfs(&scene.place, nth));
    let all = roots.chain((0..2).map(|nth| dir.join(format!("source-{nth}"))));
    let tree = |path: &Path| {
        Snapshot::of(path).without("var/lib/docker/written").without_times_of_directories().without_links()
    };
    all.map(|path| (path.display().to_string(), tree(&path))).collect()
}
