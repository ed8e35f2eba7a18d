//! Ids by `/etc/subuid` and `/etc/subgid`: each command sees an `/etc` that the test made for it. Needs root.

#![expect(clippy::expect_used, reason = "a test may fail by a panic, also in its helpers")]

use std::{fs, path::PathBuf, process::Command};

use sysbox_tests::{Bundle, Ground, Kind, Outcome, Site, Snapshot, busybox, finish, uid_map};

struct Stage {
    site: Site,
    etc: PathBuf,
    ground: Ground,
    bundle: Bundle,
}

impl Stage {
    /// An `/etc` with accounts and no subordinate ids.
    fn new() -> Self {
        let site = Site::new(2);
        let ground = Ground::new(Kind::Ext4, busybox);
        let bundle =
            Bundle::new(&ground.bundle(), ground.rootfs(), "cat /proc/self/uid_map /proc/self/gid_map");
        let etc = site.dir("etc");
        for file in ["passwd", "group", "os-release"] {
            fs::copy(PathBuf::from("/etc").join(file), etc.join(file)).expect("every host has it");
        }
        Self { site, etc, ground, bundle }
    }

    fn give(&self, file: &str, text: &str) {
        fs::write(self.etc.join(file), text).expect("written");
    }

    /// Runs the binary in a mount namespace in which our `/etc` is the host's.
    fn finish(&self, command: &Command) -> Outcome {
        let mut program = Command::new("unshare");
        program.args(["--mount", "sh", "-c", r#"mount --bind "$0" /etc && exec "$@""#]).arg(&self.etc);
        finish(program.arg(command.get_program()).args(command.get_args()))
    }

    fn run(&self) -> Outcome {
        let mut run = self.site.command_without_range("run");
        run.arg("--bundle").arg(self.bundle.dir()).arg(self.site.id("a"));
        self.finish(&run)
    }

    /// The first user and group id of a run that has to succeed.
    #[track_caller]
    fn ids_of_a_run(&self) -> [u32; 2] {
        let before = [Snapshot::of(self.ground.rootfs()), Snapshot::of(&self.etc)];
        let output = self.run().success();
        for (before, dir) in before.iter().zip([self.ground.rootfs(), &self.etc]) {
            before.assert_same(&Snapshot::of(dir), "after the run");
        }
        self.site.assert_nothing_left("after the run");
        let [uids, gids] = [output.lines().next(), output.lines().nth(1)]
            .map(|line| line.and_then(uid_map).expect("a mapping"));
        assert_eq!([uids[0], uids[2], gids[0], gids[2]], [0, 65_536, 0, 65_536]);
        [uids[1], gids[1]]
    }
}

#[test]
fn what_the_files_give_to_the_user_sysbox_is_taken_and_user_and_group_ids_may_differ() {
    let stage = Stage::new();
    let [uid, gid] = [stage.site.ids().start, stage.site.ids().start + 65_536];
    stage.give("subuid", &format!("somebody:100000:65536\nsysbox:{uid}:65536\n"));
    stage.give("subgid", &format!("# groups\nsysbox:{gid}:65536\n"));
    assert_eq!(stage.ids_of_a_run(), [uid, gid]);
}

#[test]
fn without_the_files_a_built_in_range_is_taken_that_is_no_others_and_check_says_how_to_keep_it() {
    let stage = Stage::new();
    let [uid, gid] = stage.ids_of_a_run();
    assert!(uid >= 1 << 30 && gid >= 1 << 30, "{uid}, {gid}");
    // Everything but the block that was taken is given to somebody else.
    let others = format!("somebody:1073741824:{}\nother:{}:805306368\n", uid - (1 << 30), uid + 65_536);
    stage.give("subuid", &others);
    assert_eq!(stage.ids_of_a_run()[0], uid, "the one block that is left");
    let mut check = stage.site.command_without_range("check");
    let text = stage.finish(check.arg("--json")).success();
    assert!(
        text.contains("/etc/subuid") && text.contains("/etc/subgid") && text.contains("sysbox:"),
        "{text}"
    );
}

#[test]
fn a_file_that_is_malformed_or_gives_too_little_is_named_and_nothing_is_made() {
    let first = 500_039_680;
    for (text, words) in [
        ("sysbox:many:65536\n".to_owned(), ["/etc/subuid", "many"]),
        (format!("sysbox:{first}\n"), ["/etc/subuid", "500039680"]),
        (format!("sysbox:{first}:99999999999\n"), ["/etc/subuid", "99999999999"]),
        (format!("sysbox:{first}:1000\n"), ["/etc/subuid", "too small"]),
    ] {
        let stage = Stage::new();
        stage.give("subuid", &text);
        stage.give("subgid", &format!("sysbox:{}:65536\n", stage.site.ids().start));
        let before = Snapshot::of(&stage.etc);
        stage.run().failure(1, &words);
        before.assert_same(&Snapshot::of(&stage.etc), &text);
        assert!(!stage.site.data_root().exists(), "a data root was made: {text}");
    }
}
