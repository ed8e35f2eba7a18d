//! Mirroring killed by SIGKILL while it works, in a process of its own; and what a call leaves behind in its process. Needs root.
//!
//! It brings its own `main`, since it starts itself anew as the process to be killed, and counts its threads.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "it is a test")]

use std::{
    collections::BTreeSet,
    env, fs,
    io::{Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Instant,
};

#[expect(dead_code, reason = "the other tests of mirroring need the rest of it")]
#[path = "mirror/support.rs"]
mod support;

use support::*;

/// So many kills in the midst of a call are wanted, on each file system.
const KILLS: u32 = 25;
/// At so many different times of a call it is killed, in turn.
const TIMES: u32 = 40;
/// The contents of the files of the target before, and those of the source.
const OLD: &[u8] = &[b'o'; 20_000];
const NEW: &[u8] = &[b'n'; 20_000];

fn main() {
    let arguments: Vec<String> = env::args().collect();
    if let [_, mark, source, target] = arguments.as_slice()
        && mark == "child"
    {
        return child(Path::new(source), Path::new(target));
    }
    require_root();
    nothing_is_left_in_the_process();
    println!("test nothing_is_left_in_the_process ... ok");
    for (name, place) in [("temporary directory", Place::temporary()), ("tmpfs", Place::tmpfs())] {
        killed_anywhere_it_is_finished_by_the_next_call(name, &place);
        println!("test killed_anywhere_it_is_finished_by_the_next_call ({name}) ... ok");
    }
}

/// What the process to be killed does: it says that it is there, and then makes the call.
fn child(source: &Path, target: &Path) {
    std::io::stdout().write_all(b".").and_then(|()| std::io::stdout().flush()).expect("the parent listens");
    mirror(source, target).expect("nothing is in the way");
}

/// A process that has just begun with a call.
fn start(place: &Place) -> Child {
    let program = env::current_exe().expect("it is running");
    let mut child = Command::new(program)
        .arg("child")
        .args([place.source(), place.target()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it can be started");
    child.stdout.as_mut().expect("a pipe").read_exact(&mut [0]).expect("the child says that it is there");
    child
}

fn killed_anywhere_it_is_finished_by_the_next_call(name: &str, place: &Place) {
    make_source(&place.source());
    let wanted = snapshot(&place.source());
    make_target(&place.target());
    let mut child = start(place);
    let begun = Instant::now();
    assert!(child.wait().expect("it was started").success());
    let duration = begun.elapsed();
    assert_same(&snapshot(&place.target()), &wanted);

    let (mut kills, mut temporary) = (0, 0);
    for attempt in 0.. {
        assert!(attempt < 40 * KILLS, "only {kills} of {attempt} kills came in time");
        if kills >= KILLS {
            break;
        }
        sysbox_host::remove::remove_tree(&abs(&place.target())).expect("it can be removed");
        directory(&place.target(), 0o755, (0, 0));
        make_target(&place.target());
        let before = snapshot(&place.target());
        let mut child = start(place);
        // No rule depends on this time: whatever state the kill leaves must be mended.
        thread::sleep(duration * (attempt % TIMES) / TIMES);
        child.kill().expect("it was started");
        child.wait().expect("it was started");
        let found = snapshot(&place.target());
        kills += u32::from(found != wanted && found != before);
        temporary += u32::from(found.keys().any(|path| path.to_string_lossy().contains("/.sysbox-mirror-")));
        never_half(&found);
        assert!(
            mirror(&place.source(), &place.target()).expect("it can be finished").changed()
                || found == wanted
        );
        assert_same(&snapshot(&place.target()), &wanted);
    }
    println!("{name}: killed {kills} times in the midst; {temporary} times a temporary name was left");
}

/// An existing file has its old contents or the new ones.
fn never_half(found: &Snapshot) {
    let existing = found.iter().filter(|(path, _)| path.ends_with("existing"));
    for (path, facts) in existing {
        assert!(facts.content == OLD || facts.content == NEW, "{path:?} is half done");
    }
}

fn make_source(source: &Path) {
    for outer in 0..40 {
        let inner = directory(&source.join(outer.to_string()), 0o2755, (outer, 0));
        set_modified(&file(&inner.join("existing"), NEW, 0o4755, (outer, 1)), 5, 5);
        for index in 0..40 {
            let path = inner.join(index.to_string());
            match index % 5 {
                0 => drop(file(&path, NEW, 0o4755, (index, 1))),
                1 => {
                    set_attribute(&file(&path, b"capable", 0o755, (index, 2)), CAPABILITY, &capability(0));
                    set_attribute(&path, ACCESS_ACL, &acl(index, 70_000));
                }
                2 => symlink("nowhere", &path, (index, 4)),
                3 => fs::hard_link(inner.join("0"), &path).expect("same file system"),
                _ => drop(file(&directory(&path, 0o700, (index, 5)).join("inner"), NEW, 0o644, (0, 0))),
            }
        }
    }
}

fn make_target(target: &Path) {
    for outer in 0..40 {
        let inner = directory(&target.join(outer.to_string()), 0o755, (0, 0));
        set_modified(&file(&inner.join("existing"), OLD, 0o644, (0, 0)), 4, 5);
        file(&inner.join("surplus"), OLD, 0o644, (0, 0));
        fs::hard_link(inner.join("surplus"), inner.join("0")).expect("same file system");
        file(&directory(&inner.join("2"), 0o700, (0, 0)).join("surplus"), OLD, 0o644, (0, 0));
    }
}

fn nothing_is_left_in_the_process() {
    let place = Place::tmpfs();
    make_source(&place.source());
    make_target(&place.target());
    let state = || {
        let list = |directory: &str| {
            let entries = fs::read_dir(directory).expect("proc(5)");
            entries.map(|entry| entry.expect("proc(5)").file_name()).collect::<BTreeSet<_>>()
        };
        (list("/proc/self/task"), list("/proc/self/fd").len(), env::current_dir().expect("it is there"))
    };
    let before = state();
    mirror(&place.source(), &place.target()).expect("it can be mirrored");
    assert_eq!(state(), before);
    let device = rustix::fs::makedev(1, 3);
    let point = directory(&place.target().join("point"), 0o755, (0, 0));
    node(&point.join("null"), rustix::fs::FileType::CharacterDevice, device, 0o600, (0, 0));
    let mounted = Mount::new(&["-t", "tmpfs", "none"], &point);
    mirror(&place.source(), &place.target()).expect_err("a mount is in the way");
    drop(mounted);
    assert_eq!(state(), before, "after a failure as well");
}
