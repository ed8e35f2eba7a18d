//! `sysbox run` as a user sees it: the program's exit code, output, input and signals, and nothing left behind.
//! Needs root.

#![expect(clippy::expect_used, reason = "a test may fail by a panic, also in its helpers")]

use std::{fs, process::Command};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use sysbox_tests::{Bundle, Ground, Kind, Running, Site, Snapshot, binary, busybox, finish, uid_map};

/// A site with room for one container, a busybox on a fresh ext4, and a bundle that runs a script in it.
fn stage(script: &str) -> (Site, Ground, Bundle) {
    let site = Site::new(1);
    let ground = Ground::new(Kind::Ext4, busybox);
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), script);
    (site, ground, bundle)
}

fn init_of(site: &Site, id: &str) -> Pid {
    let pid = site.row(id)["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
    Pid::from_raw(pid.expect("it has an init process")).expect("a pid")
}

#[test]
fn the_exit_code_is_the_programs() {
    let (site, ground, _) = stage("");
    let before = Snapshot::of(ground.rootfs());
    for code in [0, 7, 255] {
        let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), &format!("exit {code}"));
        let outcome = finish(&mut site.run(&bundle, &site.id("a")));
        assert_eq!(outcome.code(), code, "{outcome:?}");
        site.assert_nothing_left("after a run");
    }
    before.assert_same(&Snapshot::of(ground.rootfs()), "after three runs");
}

#[test]
fn a_program_that_a_signal_ended_gives_128_and_the_signal() {
    let (site, _ground, bundle) = stage("echo up; cat");
    let id = site.id("a");
    let mut run = Running::start(&mut site.run(&bundle, &id));
    assert_eq!(run.line(), "up");
    kill_process(init_of(&site, &id), Signal::KILL).expect("it runs");
    assert_eq!(run.end().code(), 128 + 9);
    site.assert_nothing_left("after the init process was killed");
}

#[test]
fn the_programs_output_and_input_are_those_of_the_runtime_and_nothing_is_added() {
    let (site, _ground, bundle) = stage("echo out; echo err >&2; cat");
    let mut run = Running::start(&mut site.run(&bundle, &site.id("a")));
    run.send("in\n");
    let outcome = run.end();
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("out\nin\n", "err\n"));
    assert_eq!(outcome.code(), 0);
}

#[test]
fn signals_to_the_runtime_reach_the_program() {
    let (site, _ground, bundle) = stage(
        "for s in HUP INT QUIT USR1 USR2 ALRM; do trap \"echo got $s\" $s; done; trap 'exit 3' TERM
         echo up; while :; do sleep 1000 & wait; done",
    );
    let mut run = Running::start(&mut site.run(&bundle, &site.id("a")));
    assert_eq!(run.line(), "up");
    for (signal, name) in [
        (Signal::HUP, "HUP"),
        (Signal::INT, "INT"),
        (Signal::QUIT, "QUIT"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
        (Signal::ALARM, "ALRM"),
    ] {
        run.signal(signal);
        assert_eq!(run.line(), format!("got {name}"));
    }
    run.signal(Signal::TERM);
    assert_eq!(run.end().code(), 3);
    site.assert_nothing_left("after SIGTERM");
}

#[test]
fn a_container_is_listed_while_it_runs_with_its_process_ids_shift_bundle_and_rootfs() {
    let (site, ground, bundle) = stage("cat /proc/self/uid_map; cat");
    let id = site.id("a");
    let mut run = Running::start(&mut site.run(&bundle, &id));
    let [inside, first, count] = uid_map(&run.line()).expect("a mapping");
    assert_eq!((inside, count), (0, 65_536));
    assert!(site.ids().contains(&first), "{first} is not of the range that was given");
    let row = site.row(&id);
    assert_eq!(row["status"], "running");
    assert_eq!(row["uids"], format!("{first}-{}", first + 65_535));
    assert_eq!(row["gids"], row["uids"]);
    assert_eq!(row["shift"], "IDMappedMount");
    assert_eq!(row["bundle"].as_str(), bundle.dir().to_str());
    assert_eq!(row["rootfs"].as_str(), ground.rootfs().to_str());
    let map = fs::read_to_string(format!("/proc/{}/uid_map", row["pid"])).expect("its init process runs");
    assert_eq!(uid_map(&map), Some([0, first, 65_536]));
    assert_eq!(run.end().code(), 0);
    site.assert_nothing_left("after the run");
}

#[test]
fn the_bundle_is_not_changed_and_may_be_the_working_directory() {
    let (site, _ground, bundle) = stage("echo here");
    let before = Snapshot::of(bundle.dir());
    let mut run = site.command("run");
    assert_eq!(finish(run.arg(site.id("a")).current_dir(bundle.dir())).success(), "here\n");
    before.assert_same(&Snapshot::of(bundle.dir()), "after a run");
}

#[test]
fn timings_are_told_step_by_step_on_standard_error() {
    let (site, _ground, bundle) = stage("echo out");
    let outcome = finish(site.run(&bundle, &site.id("a")).arg("--timings"));
    for step in [
        "register",
        "convert the spec",
        "make mount points",
        "attach the rootfs",
        "create the container",
        "run",
        "unregister",
        "remove mount points",
    ] {
        let line = outcome.stderr.lines().find(|line| line.starts_with(step));
        assert!(line.is_some_and(|line| line.ends_with(" ms")), "{step} is not timed in: {}", outcome.stderr);
    }
    assert_eq!(outcome.success(), "out\n");
}

#[test]
fn a_log_that_goes_to_no_terminal_has_no_colours() {
    let (site, _ground, bundle) = stage("echo out");
    let outcome = finish(site.run(&bundle, &site.id("a")).args(["--log", "debug"]));
    assert!(outcome.stderr.contains("step=") && !outcome.stderr.contains('\u{1b}'), "{outcome:?}");
}

#[test]
fn a_bundle_without_a_mount_at_dev_can_be_run_again() {
    let (site, ground, bundle) = stage("echo x > /dev/null && echo out");
    let bundle =
        bundle.with("/mounts", json!([{ "destination": "/proc", "type": "proc", "source": "proc" }]));
    let before = Snapshot::of(ground.rootfs());
    for _ in 0..2 {
        assert_eq!(finish(&mut site.run(&bundle, &site.id("a"))).success(), "out\n");
        before.assert_same(&Snapshot::of(ground.rootfs()), "after a run");
    }
}

#[test]
fn names_and_paths_may_be_as_long_as_the_file_system_lets_them() {
    let (site, _ground, bundle) = stage("echo out");
    let id = format!("{}{}", site.id(""), "x".repeat(255 - site.id("").len()));
    let deep = site.dir(&format!("{0}/{0}", "d".repeat(200)));
    let mut run = Command::new(binary());
    run.arg("run")
        .arg("--data-root")
        .arg(deep)
        .args(["--subid-range", &format!("{}:65536", site.ids().start)]);
    assert_eq!(finish(run.arg("--bundle").arg(bundle.dir()).arg(id)).success(), "out\n");
    site.assert_nothing_left("after the run");
}

#[test]
fn nothing_of_the_runtime_is_open_in_the_container() {
    let (site, _ground, bundle) = stage("ls /proc/self/fd");
    // The fourth is the directory that ls reads.
    assert_eq!(finish(&mut site.run(&bundle, &site.id("a"))).success(), "0\n1\n2\n3\n");
}

#[test]
fn the_programs_signals_are_as_those_of_any_program_that_we_start() {
    let (site, _ground, bundle) = stage("");
    // Without a shell, which changes what its children ignore.
    let bundle = bundle.with("/process/args", json!(["/bin/cat", "/proc/self/status"]));
    // The C library keeps the signals from 32 on for itself.
    let signals = |status: &str| {
        ["SigBlk:", "SigIgn:"].map(|name| {
            let mask = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
            u64::from_str_radix(mask.trim(), 16).expect("hexadecimal") & 0x7fff_ffff
        })
    };
    let inside = finish(&mut site.run(&bundle, &site.id("a"))).success();
    let outside = finish(Command::new("cat").arg("/proc/self/status")).success();
    assert_eq!(signals(&inside), signals(&outside));
}

#[test]
fn the_loopback_interface_is_up() {
    let site = Site::new(1);
    let ground = Ground::new(Kind::Tmpfs, busybox);
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), "ip link show lo; exit 0");
    let outcome = finish(&mut site.run(&bundle, &site.id("a"))).success();
    assert!(outcome.contains("LOOPBACK,UP"), "{outcome}");
    site.assert_nothing_left("after the run");
}
