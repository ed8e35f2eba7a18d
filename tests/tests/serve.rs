//! `sysbox serve` as an operator and as a runtime see it: how it starts, stops, dies and comes back. Needs root.

#![expect(clippy::expect_used, reason = "a test may fail by a panic, also in its helpers")]

use std::{
    fs,
    os::{
        fd::OwnedFd,
        unix::{
            fs::{MetadataExt, PermissionsExt},
            net::{UnixDatagram, UnixListener, UnixStream},
        },
    },
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use sysbox_tests::{
    Bundle, Daemon, Ground, Kind, PATIENCE, Running, Site, Snapshot, Transport, binary, busybox, daemon,
    finish, path,
};

fn stage(transport: Transport, script: &str) -> (Site, Ground, Bundle) {
    let site = Site::embedded(1).with_daemon(transport);
    let ground = Ground::new(Kind::Ext4, busybox);
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), script);
    (site, ground, bundle)
}

fn mode(file: impl AsRef<Path>) -> u32 {
    fs::metadata(file).expect("there").mode() & 0o7777
}

fn a_daemon_that_is_killed_keeps_its_containers_and_they_end_as_usual_when_it_is_back(transport: Transport) {
    let (mut site, ground, bundle) = stage(transport, "echo up; cat; exit 7");
    let before = Snapshot::of(ground.rootfs());
    let id = site.id("a");
    let mut run = Running::start(&mut site.run(&bundle, &id));
    assert_eq!(run.line(), "up");
    let row = site.row(&id);
    site.take_daemon().kill();
    assert_eq!(site.row(&id), row, "what the runtime knows needs no daemon");
    site.start_daemon();
    // Its range is still its own: another of the same name is refused, and one of another name has no range left.
    let other = site.id("b");
    finish(&mut site.run(&bundle, &other)).failure(1, &["no such range free"]);
    assert_eq!(run.end().code(), 7);
    site.assert_nothing_left("after a run whose daemon was killed and came back");
    before.assert_same(&Snapshot::of(ground.rootfs()), "after the run");
}

fn a_container_whose_daemon_is_gone_at_its_end_is_cleaned_up_when_the_daemon_is_back(transport: Transport) {
    let (mut site, ground, bundle) = stage(transport, "echo up; cat");
    let before = Snapshot::of(ground.rootfs());
    let id = site.id("a");
    let mut run = Running::start(&mut site.run(&bundle, &id));
    assert_eq!(run.line(), "up");
    site.take_daemon().kill();
    let socket = site.dir("run").join("sysmgr.sock");
    run.end().failure(1, &["was not cleaned up", "sysbox delete --force", path(&socket)]);
    before.assert_same(&Snapshot::of(ground.rootfs()), "the rootfs is given back without a daemon");
    site.start_daemon();
    assert_eq!(site.delete(&id).code(), 0);
    site.assert_nothing_left("after the delete");
}

fn without_a_daemon_a_run_ends_soon_tells_the_socket_and_what_to_do_and_changes_nothing(
    transport: Transport,
) {
    let (mut site, ground, bundle) = stage(transport, "true");
    let before = Snapshot::of(ground.rootfs());
    let socket = site.dir("run").join("sysmgr.sock");
    let mut run = site.run(&bundle, &site.id("a"));
    site.take_daemon().kill();
    let began = Instant::now();
    finish(&mut run).failure(1, &[path(&socket), "start the daemon"]);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    before.assert_same(&Snapshot::of(ground.rootfs()), "after a run without a daemon");
    site.start_daemon();
    site.assert_nothing_left("after a run without a daemon");
}

fn sockets_are_roots_alone_and_go_when_the_daemon_is_told_to_stop(transport: Transport) {
    let site = Site::embedded(1);
    let dir = site.dir("x").join("run");
    let daemon = Daemon::start(transport, &dir, &["--data-root", path(&site.data_root())]);
    let sockets = ["sysmgr.sock", "sysfs.sock"].map(|name| dir.join(name));
    assert_eq!(mode(&dir), 0o700);
    for socket in &sockets {
        assert_eq!(mode(socket), 0o600);
    }
    daemon.signal(Signal::TERM);
    let outcome = daemon.end();
    assert_eq!(outcome.code(), 0, "{outcome:?}");
    assert!(sockets.iter().all(|socket| !socket.exists()));
}

fn a_second_daemon_on_the_same_sockets_is_refused_and_the_first_goes_on(transport: Transport) {
    let mut site = Site::embedded(1).with_daemon(transport);
    let dir = site.dir("run");
    let second = finish(&mut daemon::command(transport, &dir, &["--data-root", path(&site.data_root())]));
    second.failure(1, &["a daemon already listens", path(&dir.join("sysmgr.sock"))]);
    UnixStream::connect(dir.join("sysmgr.sock")).expect("the first listens");
    // One that was killed has left its sockets behind: they are replaced.
    site.take_daemon().kill();
    assert!(dir.join("sysmgr.sock").exists());
    site.start_daemon();
}

fn a_runtime_that_speaks_another_transport_is_told_so_and_changes_nothing(transport: Transport) {
    let (site, ground, bundle) = stage(transport, "true");
    let before = Snapshot::of(ground.rootfs());
    let (other, named) = match transport {
        Transport::Grpc => ("tarpc", "gRPC"),
        Transport::Tarpc => ("grpc", "does not speak gRPC"),
    };
    let url = format!("{other}+unix://{}", site.dir("run").display());
    let mut run = site.command_without_range("run");
    run.args(["--backend", &url, "--bundle"]).arg(bundle.dir()).arg(site.id("a"));
    finish(&mut run).failure(1, &[path(&site.dir("run").join("sysmgr.sock")), named]);
    before.assert_same(&Snapshot::of(ground.rootfs()), "after a run that was not served");
    site.assert_nothing_left("after a run that was not served");
}

fn what_an_operator_gets_wrong_is_told_and_makes_no_socket(transport: Transport) {
    let site = Site::embedded(1);
    let dir = site.dir("open");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).expect("set");
    let data = site.data_root();
    let serve = |arguments: &[&str]| finish(&mut daemon::command(transport, &dir, arguments));
    serve(&["--data-root", path(&data)]).failure(1, &["0755", "chmod 0700", path(&dir)]);
    let own = format!("{}+unix://{}", transport.name(), dir.display());
    serve(&["--backend", &own]).failure(1, &["itself", "another --backend"]);
    let other = format!("{}+unix://{}/other", transport.name(), dir.display());
    let with_range = ["--backend", &other, "--subid-range", "65536:65536"];
    serve(&with_range).failure(1, &["--subid-range", "embedded"]);
    serve(&["--backend", "grpc+unix://relative"]).failure(2, &["no absolute path"]);
    assert_eq!(fs::read_dir(&dir).expect("there").count(), 0);
}

fn systemd_is_told_when_it_is_ready_and_when_it_stops(transport: Transport) {
    let site = Site::embedded(1);
    let notify = site.dir("notify").join("s");
    let told = UnixDatagram::bind(&notify).expect("bound");
    told.set_read_timeout(Some(PATIENCE)).expect("set");
    let next = || {
        let mut message = [0; 256];
        let length = told.recv(&mut message).expect("told in time");
        String::from_utf8_lossy(&message[..length]).into_owned()
    };
    let dir = site.dir("x").join("run");
    let mut command = daemon::command(transport, &dir, &["--data-root", path(&site.data_root())]);
    let daemon = Running::start(command.env("NOTIFY_SOCKET", &notify));
    assert!(next().contains("READY=1"));
    UnixStream::connect(dir.join("sysmgr.sock")).expect("ready means that it listens");
    daemon.signal(Signal::TERM);
    assert!(next().contains("STOPPING=1"));
    assert_eq!(daemon.end().code(), 0);
}

fn sockets_that_systemd_hands_over_are_served_and_left(transport: Transport) {
    let site = Site::embedded(1);
    let dir = site.dir("activated");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).expect("set");
    let socket = dir.join("sysmgr.sock");
    let listener = UnixListener::bind(&socket).expect("bound");
    // A shell hands its standard input over as the first descriptor, as sd_listen_fds(3) has it.
    let mut shell = Command::new("sh");
    shell
        .args(["-c", r#"exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@""#, "sh"])
        .arg(binary())
        .args(["serve", "--transport", transport.name()])
        .args(["--dir", path(&dir), "--data-root", path(&site.data_root())])
        .env_remove("SYSBOX_BACKEND")
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stderr(Stdio::piped());
    let mut child = shell.spawn().expect("started");
    let url = format!("{}+unix://{}", transport.name(), dir.display());
    let check = finish(Command::new(binary()).args(["check", "--json", "--backend", &url]));
    assert!(check.stdout.contains("answers"), "{check:?}");
    // It answers, too: a container that it does not know is none to delete.
    let id = site.id("a");
    let ground = Ground::new(Kind::Tmpfs, busybox);
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), "exit 5");
    let mut run = Command::new(binary());
    run.args(["run", "--backend", &url, "--data-root", path(&site.dir("runtime"))]);
    let outcome = finish(run.arg("--bundle").arg(bundle.dir()).arg(&id).stdin(Stdio::null()));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::TERM).expect("it runs");
    let status = sysbox_tests::wait_for_end(&mut child, PATIENCE).expect("it ends");
    assert_eq!(outcome.code(), 5, "{outcome:?}");
    assert!(status.success() && socket.exists());
}

#[test]
fn an_unknown_transport_is_refused_and_those_that_are_known_are_named() {
    let mut serve = Command::new(binary());
    finish(serve.args(["serve", "--transport", "carrier-pigeon"])).failure(2, &["grpc", "tarpc"]);
}

#[test]
fn its_log_can_be_read_by_programs() {
    let site = Site::embedded(1);
    let dir = site.dir("x").join("run");
    let daemon = Daemon::start(
        Transport::Grpc,
        &dir,
        &["--data-root", path(&site.data_root()), "--log-format", "json"],
    );
    daemon.signal(Signal::INT);
    let said = daemon.end().stderr;
    assert!(said.lines().count() >= 2, "{said}");
    for line in said.lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect("a JSON object a line");
        assert!(event["timestamp"].is_string() && event["level"].is_string(), "{line}");
    }
}

/// The rules hold whatever is spoken.
macro_rules! over_each_transport {
    ($($rule:ident),+ $(,)?) => {
        mod grpc {
            $(#[test] fn $rule() { super::$rule(super::Transport::Grpc); })+
        }
        mod tarpc {
            $(#[test] fn $rule() { super::$rule(super::Transport::Tarpc); })+
        }
    };
}

over_each_transport!(
    a_daemon_that_is_killed_keeps_its_containers_and_they_end_as_usual_when_it_is_back,
    a_container_whose_daemon_is_gone_at_its_end_is_cleaned_up_when_the_daemon_is_back,
    without_a_daemon_a_run_ends_soon_tells_the_socket_and_what_to_do_and_changes_nothing,
    sockets_are_roots_alone_and_go_when_the_daemon_is_told_to_stop,
    a_second_daemon_on_the_same_sockets_is_refused_and_the_first_goes_on,
    a_runtime_that_speaks_another_transport_is_told_so_and_changes_nothing,
    what_an_operator_gets_wrong_is_told_and_makes_no_socket,
    systemd_is_told_when_it_is_ready_and_when_it_stops,
    sockets_that_systemd_hands_over_are_served_and_left,
);
