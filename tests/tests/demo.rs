//! `sysbox demo`: shows what a system container is, from inside and outside, and leaves nothing. Needs root.

use std::path::Path;

use sysbox_tests::{Running, Site, finish, uid_map};

#[test]
fn it_shows_root_inside_the_range_outside_and_whose_a_file_is() {
    let site = Site::new(1);
    let output = finish(&mut site.command("demo")).success();
    let lines: Vec<&str> = output.lines().collect();
    let after = |start: &str| lines.iter().position(|line| line.starts_with(start)).map(|nth| lines[nth + 1]);
    assert!(after("$ id").is_some_and(|id| id.starts_with("uid=0(root) gid=0(root)")), "{output}");
    let [inside, first, count] = after("$ cat /proc/self/uid_map").and_then(uid_map).expect("a mapping");
    assert_eq!((inside, first, count), (0, site.ids().start, 65_536));
    assert!(output.contains(&format!("{first}-{}", first + 65_535)), "the range is told: {output}");
    assert!(output.contains("IDMappedMount"), "the shift is told: {output}");
    assert!(output.contains(&format!("root inside is outside    user {first} ")), "{output}");
    assert!(
        after("$ touch /root/made-inside")
            .is_some_and(|file| file.contains(" 0 0 ") || file.contains(" 0        0 ")),
        "{output}"
    );
    assert!(output.contains("made-inside on the host's disk belongs to 0:0"), "{output}");
    assert!(output.contains("create the container"), "the timings are told: {output}");
    assert!(!Path::new("/root/made-inside").exists(), "it was made on the host");
    site.assert_nothing_left("after the demo");
}

#[test]
fn two_at_once_have_ids_of_their_own() {
    let site = Site::new(2);
    let mut demos = [(); 2].map(|()| {
        let mut demo = site.command("demo");
        Running::start(demo.arg("cat /proc/self/uid_map; cat"))
    });
    // What is told from outside comes first.
    let mut map = |demo: &mut Running| loop {
        if let Some(map) = uid_map(&demo.line()) {
            return map;
        }
    };
    let [[_, first, _], [_, second, _]] = demos.each_mut().map(&mut map);
    assert!(first.abs_diff(second) >= 65_536, "{first} and {second}");
    assert_eq!(site.list().len(), 2);
    for demo in demos {
        assert_eq!(demo.end().code(), 0);
    }
    site.assert_nothing_left("after two demos");
}

#[test]
fn it_exits_with_the_commands_code_and_the_commands_writes_do_not_reach_the_host() {
    let site = Site::new(1);
    let name = site.id("made-by-the-demo");
    let outcome = finish(
        site.command("demo").arg(format!("echo x > /root/{name}; echo x > /{name}; rm -rf /usr/bin; exit 9")),
    );
    assert_eq!(outcome.code(), 9, "{outcome:?}");
    for dir in ["/", "/root"] {
        assert!(!Path::new(dir).join(&name).exists(), "{name} is in {dir} of the host");
    }
    assert!(Path::new("/usr/bin").read_dir().expect("it is there").next().is_some());
    site.assert_nothing_left("after the demo");
}
