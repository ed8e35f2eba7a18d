//! A signal that should end a runtime ends it wherever it is, and it undoes what it did by itself. Needs root.

use rustix::process::{Signal, kill_process};
use sysbox_tests::{Bundle, Ground, Kind, Site, Snapshot, Stepper, busybox};

#[test]
fn sigterm_at_any_step_ends_the_run_and_everything_is_undone() {
    let site = Site::new(1);
    let ground = Ground::new(Kind::Ext4, busybox);
    // The kernel drops signals to an init process that handles them not, so a program that is up ends by itself.
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), "echo done");
    let before = Snapshot::of(ground.rootfs());
    let run = || {
        let mut run = site.run(&bundle, &site.id("a"));
        run.args(["--log", "sysbox=debug", "--shift-policy", "reference"]);
        Stepper::start(run)
    };
    let (steps, outcome) = run().go_to_end();
    assert_eq!(outcome.success(), "done\n");
    let mut ended = 0;
    for step in &steps {
        let mut stepper = run();
        assert!(stepper.go_to_step(step), "{step} is not reached");
        let sent = kill_process(stepper.pid(), Signal::TERM);
        let (_, outcome) = stepper.go_to_end();
        match outcome.status.code() {
            Some(143) => ended += 1,
            // It had made nothing yet that it would have to undo.
            None => assert_eq!(step, "enter a mount namespace"),
            code => assert_eq!(
                (code, outcome.stdout.as_str()),
                (Some(0), "done\n"),
                "after {step} ({sent:?}): {outcome:?}"
            ),
        }
        site.assert_nothing_left(&format!("SIGTERM after {step}"));
        before.assert_same(&Snapshot::of(ground.rootfs()), step);
    }
    assert!(ended > 3, "the signal ended {ended} of {} runs", steps.len());
}
