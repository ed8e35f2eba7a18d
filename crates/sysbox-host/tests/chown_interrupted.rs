//! Tree chown killed by SIGKILL while it works, in a process of its own; and what a call leaves behind in its process. Needs root.
//!
//! It brings its own `main`, since it starts itself anew as the process to be killed, and counts its threads.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "it is a test")]

use std::{
    collections::BTreeSet,
    env, fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use sysbox_core::tree::TreePhase;

#[expect(dead_code, reason = "the other tests of tree chown need the rest of it")]
#[path = "chown/support.rs"]
mod support;

use support::*;

/// So many kills in the midst of the changes are wanted, on each file system and in each direction.
const KILLS: u32 = 15;
/// At so many different times of a call it is killed, in turn.
const TIMES: u32 = 32;

fn main() {
    let arguments: Vec<String> = env::args().collect();
    if let [_, mark, call, root] = arguments.as_slice()
        && mark == "child"
    {
        return child(call, Path::new(root));
    }
    require_root();
    nothing_is_left_in_the_process();
    println!("test nothing_is_left_in_the_process ... ok");
    for (name, place) in
        [("temporary directory", Place::temporary()), ("tmpfs", Place::tmpfs()), ("ext4", Place::ext4())]
    {
        killed_anywhere_it_is_finished_or_undone(name, &place.root());
        println!("test killed_anywhere_it_is_finished_or_undone ({name}) ... ok");
    }
}

/// What the process to be killed does: it says that it is there, and then makes the call.
fn child(call: &str, root: &Path) {
    std::io::stdout().write_all(b".").and_then(|()| std::io::stdout().flush()).expect("the parent listens");
    match call {
        "shift" => shift(root),
        _ => revert(root),
    }
    .expect("nothing is in the way");
}

/// A process that has just begun with a call.
fn start(call: &str, root: &Path) -> Child {
    let program = env::current_exe().expect("it is running");
    let mut child = Command::new(program)
        .args(["child", call])
        .arg(root)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it can be started");
    child.stdout.as_mut().expect("a pipe").read_exact(&mut [0]).expect("the child says that it is there");
    child
}

/// How long a call takes that is not killed.
fn duration(call: &str, root: &Path) -> Duration {
    let mut child = start(call, root);
    let start = Instant::now();
    assert!(child.wait().expect("it was started").success());
    start.elapsed()
}

fn killed_anywhere_it_is_finished_or_undone(name: &str, root: &Path) {
    make_tree(root);
    let made = snapshot(root);
    let shift_duration = duration("shift", root);
    let shifted = snapshot(root);
    let revert_duration = duration("revert", root);
    assert_same(&snapshot(root), &made);
    kill_often(name, "shift", root, shift_duration, [&made, &shifted]);
    kill_often(name, "revert", root, revert_duration, [&made, &shifted]);
}

/// Kills the call until it was in the midst of the changes often enough, and mends the tree each time.
fn kill_often(name: &str, call: &str, root: &Path, duration: Duration, [made, shifted]: [&Snapshot; 2]) {
    let (mut kills, mut mixed, mut marked) = (0, 0, 0);
    for attempt in 0.. {
        assert!(attempt < 100 * KILLS, "only {kills} of {attempt} kills came in time");
        if kills >= KILLS {
            break;
        }
        if call == "revert" {
            shift(root).expect("it can be shifted");
        }
        let mut child = start(call, root);
        // No rule depends on this time: whatever state the kill leaves must be mended.
        thread::sleep(duration * (attempt % TIMES) / TIMES);
        child.kill().expect("it was started");
        child.wait().expect("it was started");
        let found = snapshot(root);
        let phase = record(root).map(|record| record.phase);
        kills += u32::from(matches!(phase, Some(TreePhase::Shifting | TreePhase::Reverting)));
        mixed += u32::from(is_mixed(&found));
        marked += u32::from(found.values().any(|facts| facts.attributes.keys().any(|name| name == MARK)));
        if attempt % 2 == 0 {
            shift(root).expect("it can be finished");
            assert_same(&snapshot(root), shifted);
        }
        revert(root).expect("it can be undone");
        assert_same(&snapshot(root), made);
    }
    println!(
        "{name}: {call} was killed {kills} times in the midst; {mixed} times some owners were shifted and some not, {marked} times a mark was left"
    );
    assert!(mixed > 0, "no kill came between two changes");
}

/// Whether some owners are shifted and some are not.
fn is_mixed(snapshot: &Snapshot) -> bool {
    snapshot.values().map(|facts| facts.owner.0 >= UIDS).collect::<BTreeSet<_>>().len() == 2
}

/// A tree in which half of the files lose something by a change of owner.
fn make_tree(root: &Path) {
    for outer in 0..20 {
        let inner = directory(&root.join(outer.to_string()), 0o2755, (outer, 0));
        for index in 0..60 {
            let path: PathBuf = inner.join(index.to_string());
            match index % 6 {
                0 => drop(file(&path, 0o4755, (index, 1))),
                1 => set_attribute(&file(&path, 0o755, (index, 2)), CAPABILITY, &capability(0)),
                2 => {
                    file(&path, 0o6751, (index, 3));
                    set_attribute(&path, ACCESS_ACL, &acl(&[index, 70_000], &[index]));
                    set_attribute(&path, CAPABILITY, &capability(index));
                }
                3 => symlink(Path::new("nowhere"), &path, (index, 4)),
                4 => fs::hard_link(inner.join("0"), &path).expect("same file system"),
                _ => drop(file(&path, 0o644, (index, 5))),
            }
        }
    }
}

fn nothing_is_left_in_the_process() {
    let place = Place::tmpfs();
    make_tree(&place.root());
    let state = || {
        let list = |directory: &str| {
            let entries = fs::read_dir(directory).expect("proc(5)");
            entries.map(|entry| entry.expect("proc(5)").file_name()).collect::<BTreeSet<_>>()
        };
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("proc(5)");
        (
            list("/proc/self/task"),
            list("/proc/self/fd").len(),
            env::current_dir().expect("it is there"),
            mounts,
        )
    };
    let before = state();
    shift(&place.root()).expect("it can be shifted");
    assert_eq!(state(), before);
    revert(&place.root()).expect("it can be reverted");
    assert_eq!(state(), before);
    set_attribute(&place.root().join("0/0"), MARK, b"1 755 -");
    shift(&place.root()).expect_err("a stray mark");
    assert_eq!(state(), before, "after a failure as well");
}
