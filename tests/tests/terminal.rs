//! A container with a terminal: the program has one, it is as wide as ours, keys reach it, and ours is as it was afterwards.
//! Needs root.

use serde_json::json;
use sysbox_tests::{Bundle, Ground, Kind, Pty, Site, busybox, finish};

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
