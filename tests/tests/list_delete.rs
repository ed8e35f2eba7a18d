//! `sysbox list` and `sysbox delete`: what is there is shown, and deleted on demand only. Needs root.

use std::{
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use sysbox_tests::{Bundle, Ground, Kind, Running, Site, Snapshot, Stepper, Transport, busybox, finish};

fn stage() -> (Site, Ground, Bundle) {
    let site = Site::new(2);
    let ground = Ground::new(Kind::Ext4, busybox);
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), "sleep 1000 & echo up; cat; wait");
    (site, ground, bundle)
}

fn start(site: &Site, bundle: &Bundle, id: &str) -> Running {
    let mut run = Running::start(&mut site.run(bundle, id));
    assert_eq!(run.line(), "up");
    run
}

#[test]
fn a_running_container_is_deleted_by_force_alone() {
    let (site, ground, bundle) = stage();
    let before = Snapshot::of(ground.rootfs());
    let id = site.id("a");
    let run = start(&site, &bundle, &id);
    let with_root = format!("--data-root {}", site.data_root().display());
    finish(site.command("delete").arg(&id)).failure(1, &[&id, "--force", &with_root]);
    assert_eq!(site.row(&id)["status"], "running");
    // By whatever backend: its runtime cleans up, so there is nothing to ask of one.
    let nobody = format!("grpc+unix://{}", site.dir("nobody").display());
    let mut delete = site.command_without_range("delete");
    let deleted = finish(delete.args(["--backend", &nobody, "--force", &id]));
    assert_eq!((deleted.code(), &*deleted.stderr), (0, ""), "{deleted:?}");
    // The runtime that waited for it tells how it ended, and has cleaned up before delete returns.
    site.assert_nothing_left("after delete --force");
    assert_eq!(run.end().code(), 128 + 9);
    before.assert_same(&Snapshot::of(ground.rootfs()), "after delete --force");
}

#[test]
fn delete_by_force_wakes_a_runtime_that_is_stopped() {
    let (site, ground, bundle) = stage();
    let before = Snapshot::of(ground.rootfs());
    let id = site.id("a");
    let run = start(&site, &bundle, &id);
    run.signal(Signal::STOP);
    site.delete(&id).success();
    assert_eq!(run.end().code(), 128 + 9);
    site.assert_nothing_left("after delete --force");
    before.assert_same(&Snapshot::of(ground.rootfs()), "after delete --force");
}

#[test]
fn a_container_whose_runtime_died_is_shown_as_orphaned_and_deleted_by_force_alone() {
    let (site, ground, bundle) = stage();
    let before = Snapshot::of(ground.rootfs());
    let id = site.id("a");
    start(&site, &bundle, &id).kill();
    let row = site.row(&id);
    assert_eq!(row["status"], "orphaned");
    assert!(row["pid"].is_number() && row["uids"].is_string() && row["shift"] == "IDMappedMount", "{row}");
    finish(site.command("delete").arg(&id)).failure(1, &[&id, "--force"]);
    assert_eq!(site.row(&id), row);
    assert_eq!(site.delete(&id).code(), 0);
    site.assert_nothing_left("after delete --force");
    before.assert_same(&Snapshot::of(ground.rootfs()), "after delete --force");
}

#[test]
fn what_a_dead_runtime_left_of_a_stopped_container_needs_no_force() {
    let (site, _ground, bundle) = stage();
    let id = site.id("a");
    let run = start(&site, &bundle, &id);
    let init = site.row(&id)["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
    let init = rustix::process::Pid::from_raw(init.expect("it runs")).expect("a pid");
    let pidfd = rustix::process::pidfd_open(init, rustix::process::PidfdFlags::empty()).expect("it runs");
    run.kill();
    rustix::process::pidfd_send_signal(&pidfd, Signal::KILL).expect("it runs");
    let mut gone = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
    rustix::event::poll(&mut gone, None).expect("it ends");
    assert_eq!(site.row(&id)["status"], "stopped");
    finish(site.command("delete").arg(&id)).success();
    site.assert_nothing_left("after delete");
}

#[test]
fn delete_of_a_container_that_is_not_there_fails_and_names_it_but_not_with_force() {
    let site = Site::new(1);
    let id = site.id("nobody");
    finish(site.command("delete").arg(&id)).failure(1, &[&id]);
    assert_eq!(site.delete(&id).code(), 0);
    assert!(!site.data_root().exists(), "a data root was made");
}

#[test]
fn delete_by_force_ends_a_runtime_at_any_step_and_waits_until_it_has_undone_everything() {
    let (site, ground, _) = stage();
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), "echo done");
    let before = Snapshot::of(ground.rootfs());
    let id = site.id("a");
    let run = || {
        let mut run = site.run(&bundle, &id);
        run.args(["--log", "sysbox=debug", "--shift-policy", "reference"]);
        Stepper::start(run)
    };
    let (steps, _) = run().go_to_end();
    for step in &steps {
        let mut stepper = run();
        assert!(stepper.go_to_step(step), "{step} is not reached");
        let run = thread::spawn(|| stepper.go_to_end());
        let deleted = site.delete(&id);
        assert_eq!(deleted.code(), 0, "after {step}: {deleted:?}");
        let (_, outcome) = run.join().expect("it ends");
        // Before it has claimed the container there is nothing to delete, and when its program has ended nothing to end. It
        // cannot start one whose init process was ended in between.
        let code = outcome.code();
        assert!(
            [0, 128 + 9, 128 + 15].contains(&code)
                || (code == 1 && outcome.stderr.contains("cannot start container")),
            "after {step}: {outcome:?}"
        );
        site.assert_nothing_left(&format!("delete --force after {step}"));
        before.assert_same(&Snapshot::of(ground.rootfs()), step);
    }
}

#[test]
fn the_state_is_in_one_data_root_whichever_option_names_it() {
    let (_, _ground, bundle) = stage();
    let site = Site::embedded(1);
    let id = site.id("a");
    let elsewhere = site.dir("elsewhere").join("data");
    let other = format!("embedded://{}", elsewhere.display());
    finish(site.run(&bundle, &id).args(["--backend", &other])).failure(1, &["--data-root", "--backend"]);
    assert!(!elsewhere.exists(), "it is refused before anything is made");
    let same = format!("embedded://{}", site.data_root().display());
    let mut run = Running::start(site.run(&bundle, &id).args(["--backend", &same]));
    assert_eq!(run.line(), "up");
    assert_eq!(site.row(&id)["status"], "running");
    assert_eq!(site.delete(&id).code(), 0);
    assert_eq!(run.end().code(), 128 + 9);
    site.assert_nothing_left("after delete --force");
}

#[test]
fn delete_of_one_container_leaves_the_other_alone() {
    let (site, _ground, bundle) = stage();
    let (a, b) = (site.id("a"), site.id("b"));
    let (first, mut second) = (start(&site, &bundle, &a), start(&site, &bundle, &b));
    assert_eq!(site.list().len(), 2);
    assert_eq!(site.delete(&a).code(), 0);
    assert_eq!(first.end().code(), 128 + 9);
    assert_eq!(site.row(&b)["status"], "running");
    second.send("still here\n");
    assert_eq!(second.line(), "still here");
    assert_eq!(site.delete(&b).code(), 0);
    assert_eq!(second.end().code(), 128 + 9);
    site.assert_nothing_left("after both");
}

#[test]
fn the_table_shows_what_json_does() {
    let (site, ground, bundle) = stage();
    let id = site.id("a");
    let run = start(&site, &bundle, &id);
    let row = site.row(&id);
    let json = finish(site.command("list").arg("--json")).success();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).expect("JSON"), serde_json::json!([row]));
    let table = finish(&mut site.command("list")).success();
    let mut lines = table.lines();
    let header: Vec<_> = lines.next().expect("a header").split_whitespace().collect();
    assert_eq!(header, ["ID", "STATUS", "PID", "UIDS", "GIDS", "SHIFT", "VOLUMES", "AGE", "ROOTFS"]);
    let cells: Vec<_> = lines.next().expect("a row").split_whitespace().collect();
    let pid = row["pid"].to_string();
    let uids = row["uids"].as_str().expect("it has some");
    let rootfs = ground.rootfs().to_str().expect("UTF-8");
    assert_eq!(cells[..7], [id.as_str(), "running", &pid, uids, uids, "IDMappedMount", "-"]);
    assert_eq!(cells[8..], [rootfs]);
    assert_eq!(lines.next(), None);
    assert_eq!(site.delete(&id).code(), 0);
    assert_eq!(run.end().code(), 128 + 9);
}

#[test]
fn without_a_data_root_the_list_is_empty_and_none_is_made() {
    let site = Site::new(1);
    assert_eq!(finish(site.command("list").args(["--format", "json"])).success().trim(), "[]");
    assert!(!site.data_root().exists(), "a data root was made");
}

#[test]
fn a_daemon_that_is_gone_is_waited_for_once_and_its_container_is_deleted_when_it_is_back() {
    let (_, _ground, bundle) = stage();
    for transport in [Transport::Grpc, Transport::Tarpc] {
        let mut site = Site::embedded(1).with_daemon(transport);
        let id = site.id("a");
        start(&site, &bundle, &id).kill();
        let command = |site: &Site| {
            let mut delete = site.command_without_range("delete");
            delete.args(["--force", &id]);
            delete
        };
        site.take_daemon().kill();
        let began = Instant::now();
        let advice = format!("sysbox delete --force --data-root {} {id}", site.data_root().display());
        finish(&mut command(&site)).failure(1, &["was not cleaned up", &advice]);
        assert!(
            began.elapsed() < Duration::from_secs(6),
            "each of three calls waited: {:?}",
            began.elapsed()
        );
        site.start_daemon();
        finish(&mut command(&site)).success();
        site.assert_nothing_left("after the daemon was back");
    }
}

#[test]
fn a_run_that_no_daemon_has_taken_tells_why_and_not_that_cleaning_up_failed() {
    let (_, _ground, bundle) = stage();
    for (transport, other) in [(Transport::Grpc, "tarpc"), (Transport::Tarpc, "grpc")] {
        let site = Site::embedded(1).with_daemon(transport);
        let mut run = site.command_without_range("run");
        run.args(["--backend", &format!("{other}+unix://{}", site.dir("run").display())]);
        let said =
            finish(run.arg("--bundle").arg(bundle.dir()).arg(site.id("a"))).failure(1, &["does not speak"]);
        assert!(!said.contains("cleaning up"), "{said}");
        site.assert_nothing_left("after a run that was not taken");
    }
}
