//! A container with a terminal: the program has one, it is as wide as ours, keys reach it, and ours is as it was afterwards.
//! Needs root.

use std::{process::Command, time::Duration};

use rustix::process::Signal;
use serde_json::json;
use sysbox_tests::{Bundle, Ground, Kind, Pty, Running, Site, busybox, finish};

fn stage(script: &str) -> (Site, Ground, Bundle) {
    let site = Site::new(1);
    let ground = Ground::new(Kind::Ext4, busybox);
    let bundle =
        Bundle::new(&ground.bundle(), ground.rootfs(), script).with("/process/terminal", json!(true));
    (site, ground, bundle)
}

#[test]
fn the_program_has_a_terminal_as_wide_as_ours_also_when_that_changes() {
    let (site, _ground, bundle) =
        stage("trap 'stty size' WINCH; tty; stty size; echo up; while :; do sleep 1000 & wait; done");
    let mut pty = Pty::start(&site.run(&bundle, &site.id("a")), 33, 101);
    pty.expect("/dev/");
    pty.expect("33 101");
    pty.expect("up");
    pty.resize(44, 122);
    pty.expect("44 122");
    site.delete(&site.id("a")).success();
    assert_eq!(pty.end().code(), Some(128 + 9));
    site.assert_nothing_left("after the container was ended");
}

#[test]
fn keys_reach_the_program_and_our_terminal_is_as_it_was_afterwards() {
    let (site, _ground, bundle) = stage(
        "echo first; read -r line; echo \"<$line>\"; trap 'echo caught; exit 5' INT; echo up; while :; do sleep 1000 & wait; done",
    );
    let mut pty = Pty::start(&site.run(&bundle, &site.id("a")), 24, 80);
    pty.expect("first");
    pty.send("typed\r");
    pty.expect("<typed>");
    pty.expect("up");
    assert!(!pty.is_cooked(), "every key is the container's");
    pty.send("\u{3}");
    pty.expect("caught");
    assert_eq!(pty.end().code(), Some(5));
    assert!(pty.is_cooked());
    site.assert_nothing_left("after the run");
}

#[test]
fn what_was_typed_before_the_program_was_up_reaches_it() {
    let (site, _ground, bundle) = stage("read -r line; echo \"<$line>\"");
    let mut pty = Pty::start(&site.run(&bundle, &site.id("a")), 24, 80);
    assert!(pty.is_cooked());
    pty.send("typed\r");
    pty.expect("<typed>");
    assert_eq!(pty.end().code(), Some(0));
    assert!(pty.is_cooked());
}

#[test]
fn the_program_has_a_terminal_also_where_we_have_none() {
    let (site, _ground, bundle) = stage("tty > /dev/null && echo has one; exit 6");
    let outcome = finish(&mut site.run(&bundle, &site.id("a")));
    assert_eq!((outcome.code(), outcome.stdout.as_str()), (6, "has one\r\n"), "{outcome:?}");
    site.assert_nothing_left("after the run");
}

#[test]
fn the_end_of_our_input_is_told_to_the_program() {
    let (site, _ground, bundle) = stage("cat; echo ended; exit 6");
    let outcome = finish(&mut site.run(&bundle, &site.id("a")));
    assert_eq!(outcome.code(), 6, "{outcome:?}");
    assert!(outcome.stdout.ends_with("ended\r\n"), "{outcome:?}");
    site.assert_nothing_left("after the run");
}

/// Starts a program in a process group of its own, as a shell with job control does, and does the rest of the script with it.
const SHELL: &str = "
import os, signal, sys, termios, time

def is_raw():
    return not termios.tcgetattr(0)[3] & termios.ICANON

def give(group):
    os.tcsetpgrp(0, group)

def until_raw():
    while not is_raw():
        time.sleep(0.02)

def tell(*words):
    print(*words, 'raw' if is_raw() else 'cooked', flush=True)

cooked = termios.tcgetattr(0)
job = os.fork()
if job == 0:
    os.setpgid(0, 0)
    os.execv(sys.argv[2], sys.argv[2:])
# Not before the fork: what is blocked there stays so in the program.
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])
exec(sys.argv[1])
tell('code', os.waitstatus_to_exitcode(os.waitpid(job, 0)[1]))
";

/// A terminal with a shell on it that does `script` with a `job`.
fn shell(script: &str, job: &Command) -> Pty {
    let mut python = Command::new("python3");
    python.args(["-c", SHELL, script]).arg(job.get_program()).args(job.get_args());
    Pty::start(&python, 24, 80)
}

#[test]
fn in_the_background_it_leaves_our_terminal_alone_uses_no_time_and_takes_signals() {
    let (site, _ground, bundle) = stage("trap 'exit 3' TERM; echo up; while :; do sleep 1000 & wait; done");
    let script = "
def ticks():
    fields = open(f'/proc/{job}/stat').read().rsplit(') ', 1)[1].split()
    return int(fields[11]) + int(fields[12])
os.read(0, 1)
before = ticks()
time.sleep(1)
tell('calm' if ticks() - before < 20 else 'busy')
os.kill(job, signal.SIGTERM)";
    let mut pty = shell(script, &site.run(&bundle, &site.id("a")));
    pty.expect("up");
    pty.send("\r");
    pty.expect("calm cooked");
    pty.expect("code 3 cooked");
    assert_eq!(pty.end().code(), Some(0));
    site.assert_nothing_left("after a run in the background");
}

#[test]
fn who_has_lost_the_foreground_gives_our_terminal_its_mode_back_and_cleans_up() {
    let (site, _ground, bundle) = stage("sleep 1; exit 3");
    let script = "
give(job)
until_raw()
give(os.getpid())
tell('taken')";
    let mut pty = shell(script, &site.run(&bundle, &site.id("a")));
    pty.expect("taken raw");
    pty.expect("code 3 cooked");
    assert_eq!(pty.end().code(), Some(0));
    site.assert_nothing_left("after a run that lost the foreground");
}

#[test]
fn who_goes_on_after_a_stop_has_our_terminal_raw_again() {
    let (site, _ground, bundle) = stage("read -r line; echo \"<$line>\"; exit 4");
    let script = "
give(job)
until_raw()
os.kill(job, signal.SIGTSTP)
assert os.WIFSTOPPED(os.waitpid(job, os.WUNTRACED)[1])
termios.tcsetattr(0, termios.TCSANOW, cooked)
give(os.getpid())
tell('stopped')
give(job)
os.kill(job, signal.SIGCONT)
until_raw()
tell('again')";
    let mut pty = shell(script, &site.run(&bundle, &site.id("a")));
    pty.expect("stopped cooked");
    pty.expect("again raw");
    pty.send("typed\r");
    pty.expect("<typed>");
    pty.expect("code 4 cooked");
    assert_eq!(pty.end().code(), Some(0));
    site.assert_nothing_left("after a run that was stopped meanwhile");
}

/// Reads the numbers to `last`, each on a line as a terminal writes it.
fn read_numbers(run: &mut Running, last: u32) {
    for number in 1..=last {
        assert_eq!(run.line(), format!("{number}\r"));
    }
}

/// Until a pipe that nobody reads is full, or a program that needs no reader has ended.
fn let_it_fill() {
    std::thread::sleep(Duration::from_secs(1));
}

#[test]
fn output_that_would_have_to_wait_does_not_end_the_container() {
    let (site, _ground, bundle) = stage("seq 1 60000; exit 5");
    let script = "import os, sys; os.set_blocking(1, False); os.execv(sys.argv[1], sys.argv[1:])";
    let job = site.run(&bundle, &site.id("a"));
    let mut python = Command::new("python3");
    python.args(["-c", script]).arg(job.get_program()).args(job.get_args());
    let mut run = Running::start(&mut python);
    let_it_fill();
    read_numbers(&mut run, 60_000);
    assert_eq!(run.end().code(), 5);
    site.assert_nothing_left("after the run");
}

#[test]
fn output_is_kept_for_a_slow_reader_also_after_the_containers_end() {
    // More than a pipe takes, and not more than it and a terminal do.
    let (site, _ground, bundle) = stage("seq 1 15000; exit 6");
    let mut run = Running::start(&mut site.run(&bundle, &site.id("a")));
    let_it_fill();
    assert!(run.is_running(), "its output is not taken yet");
    read_numbers(&mut run, 15_000);
    assert_eq!(run.end().code(), 6);
    site.assert_nothing_left("after the run");
}

#[test]
fn signals_get_through_while_nobody_takes_the_output() {
    let (site, _ground, bundle) = stage("trap 'exit 3' TERM; yes & while :; do wait; done");
    let run = Running::start(&mut site.run(&bundle, &site.id("a")));
    let_it_fill();
    // The first is the container's, and one after its end is for who waits for the reader.
    for _ in 0..30 {
        run.signal(Signal::TERM);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(run.end().code(), 3);
    site.assert_nothing_left("after SIGTERM");
}

#[test]
fn a_container_is_deleted_by_force_while_nobody_takes_its_output() {
    for script in ["exec yes", "seq 1 15000"] {
        let (site, _ground, bundle) = stage(script);
        let run = Running::start(&mut site.run(&bundle, &site.id("a")));
        let_it_fill();
        site.delete(&site.id("a")).success();
        site.assert_nothing_left(&format!("after {script} was deleted"));
        drop(run);
    }
}
