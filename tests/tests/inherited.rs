//! What a container's program has of the process that runs it: what was meant for it, and nothing else. Needs root.

use std::process::Command;

use sysbox_tests::{Bundle, Ground, Kind, Site, busybox, finish};

/// Tells the session keyring of the process, after it was given one of its own if that is asked for, and then becomes another
/// program. `KEYCTL_GET_KEYRING_ID` is 0, `KEYCTL_JOIN_SESSION_KEYRING` 1, `KEY_SPEC_SESSION_KEYRING` -3.
const KEYRING: &str = "
import ctypes, os, sys
number = {'x86_64': 250, 'aarch64': 219}[os.uname().machine]
keyctl = lambda *arguments: ctypes.CDLL(None).syscall(number, *arguments)
if sys.argv[1:]:
    assert keyctl(1, None) > 0
print(keyctl(0, ctypes.c_int(-3), 0), flush=True)
if sys.argv[1:]:
    os.execv(sys.argv[1], sys.argv[1:])
";

/// The same command, in a shell that does `first` and becomes it.
fn after(first: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{first}; exec \"$0\" \"$@\"")]).arg(command.get_program());
    shell.args(command.get_args());
    shell
}

/// A bundle that runs a script.
fn stage(script: &str) -> (Site, Ground, Bundle) {
    let site = Site::new(1);
    let ground = Ground::new(Kind::Ext4, busybox);
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), script);
    (site, ground, bundle)
}

/// Tells what is open, and what was said of descriptors.
const LOOK_AROUND: &str = "ls /proc/self/fd; echo \"$LISTEN_FDS $LISTEN_PID\"";

#[test]
fn the_callers_session_keyring_is_not_the_containers() {
    let site = Site::new(1);
    let demo = {
        let mut demo = site.command("demo");
        demo.arg(format!("python3 -c \"{KEYRING}\" && echo told"));
        demo
    };
    let mut caller = Command::new("python3");
    caller.args(["-c", KEYRING]).arg(demo.get_program()).args(demo.get_args());
    let output = finish(&mut caller).success();
    let serials: Vec<i64> = output.lines().filter_map(|line| line.parse().ok()).collect();
    let [callers, containers] = serials[..] else { panic!("not two keyrings: {output}") };
    assert!(output.contains("told") && callers > 0, "{output}");
    assert_ne!(callers, containers);
}

#[test]
fn descriptors_that_were_passed_to_another_process_are_not_the_containers() {
    let (site, _ground, bundle) = stage(LOOK_AROUND);
    let run = site.run(&bundle, &site.id("a"));
    for listen in ["LISTEN_FDS=10 LISTEN_PID=1", "LISTEN_FDS=10"] {
        let outcome = finish(&mut after(&format!("exec 7</etc; export {listen}"), &run)).success();
        assert_eq!(outcome, "0\n1\n2\n3\n \n", "{listen}");
    }
}

#[test]
fn descriptors_that_were_passed_to_the_runtime_are_the_containers() {
    let (site, _ground, bundle) = stage(LOOK_AROUND);
    let run = site.run(&bundle, &site.id("a"));
    let outcome = finish(&mut after("exec 3</dev/null; export LISTEN_FDS=1 LISTEN_PID=$$", &run)).success();
    assert_eq!(outcome, "0\n1\n2\n3\n4\n1 1\n");
}

#[test]
fn the_callers_umask_is_not_the_containers() {
    let (site, _ground, bundle) = stage("umask");
    let run = site.run(&bundle, &site.id("a"));
    assert_eq!(finish(&mut after("umask 0777", &run)).success(), "0022\n");
    let bundle = bundle.with("/process/user/umask", 0o027.into());
    let run = site.run(&bundle, &site.id("a"));
    assert_eq!(finish(&mut after("umask 0777", &run)).success(), "0027\n");
    site.assert_nothing_left("after the runs");
}

#[test]
fn a_mount_whose_path_is_no_text_keeps_no_container_from_running() {
    let (site, _ground, bundle) = stage("echo up");
    let odd = site.dir("odd");
    let mount = format!("d=$(printf '{}/\\377'); mkdir -p \"$d\"; mount -t tmpfs none \"$d\"", odd.display());
    let run = site.run(&bundle, &site.id("a"));
    let shell = after(&mount, &run);
    let mut alone = Command::new("unshare");
    alone.args(["--mount", "--propagation", "private"]).arg(shell.get_program()).args(shell.get_args());
    assert_eq!(finish(&mut alone).success(), "up\n");
}
