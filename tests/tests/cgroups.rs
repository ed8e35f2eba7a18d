//! A container has its cgroups to itself: its root makes others below them, the limits on the container stay the host's, and
//! whatever it has made is gone with it. Needs root.

#![expect(clippy::expect_used, reason = "a test may fail by a panic, also in its helpers")]

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sysbox_tests::{Bundle, Ground, Kind, Running, Site, Stepper, busybox};

const ROOT: &str = "/sys/fs/cgroup";

/// What its container's root is given of a cgroup.
const GIVEN: [&str; 4] = ["cgroup.procs", "cgroup.threads", "cgroup.subtree_control", "tasks"];

/// In a shell: the cgroups of the container, one in each hierarchy.
const CGROUPS: &str = "roots=/sys/fs/cgroup; [ -e $roots/cgroup.procs ] || roots=$(echo $roots/*/)";

/// A container that runs a script with the host's cgroups at their place.
fn stage(script: &str) -> (Site, Ground, Bundle) {
    let site = Site::new(1);
    let ground = Ground::new(Kind::Ext4, busybox);
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), &format!("{CGROUPS}\n{script}")).with(
        "/mounts",
        json!([
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/sys", "type": "sysfs", "source": "sysfs" },
            { "destination": ROOT, "type": "cgroup", "source": "cgroup" },
        ]),
    );
    (site, ground, bundle)
}

/// The cgroups of a container on the host.
fn cgroups(id: &str) -> Vec<PathBuf> {
    let hierarchies = fs::read_dir(ROOT).expect("mounted").flatten().map(|entry| entry.path());
    let hierarchies = hierarchies.filter(|path| !path.is_symlink()).chain([ROOT.into()]);
    let cgroups: Vec<_> =
        hierarchies.map(|root| root.join(format!("sysbox-{id}"))).filter(|dir| dir.is_dir()).collect();
    assert!(!cgroups.is_empty(), "it has none");
    cgroups
}

/// Waits until the cgroup of this name below the container's is frozen, with a process in it.
#[track_caller]
fn wait_until_frozen(id: &str, name: &str, pid: Option<&str>) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let is_frozen = || {
        cgroups(id).into_iter().map(|cgroup| cgroup.join(name)).any(|cgroup| {
            let read = |file| fs::read_to_string(cgroup.join(file)).unwrap_or_default();
            let pids = read("cgroup.procs");
            (read("freezer.state") == "FROZEN\n" || read("cgroup.events").contains("frozen 1"))
                && pids.lines().any(|line| pid.is_none_or(|pid| line == pid))
        })
    };
    while !is_frozen() {
        assert!(Instant::now() < deadline, "nothing is frozen in {name}");
        sleep(Duration::from_millis(20));
    }
}

/// A container whose init process has frozen itself; `meanwhile` is run in a shell before, and freezes it by `freeze`.
struct Frozen {
    site: Site,
    _ground: Ground,
    bundle: Bundle,
    id: String,
}

impl Frozen {
    fn new(meanwhile: &str) -> Self {
        let (site, ground, bundle) = stage(&format!(
            r#"trap 'exit 7' TERM
             freeze() {{ echo $value > $cgroup/$file; }}
             for root in $roots; do
                 for freezer in freezer.state:FROZEN cgroup.freeze:1; do
                     cgroup=$root/frozen file=${{freezer%:*}} value=${{freezer#*:}}
                     mkdir -p $cgroup; [ -e $cgroup/$file ] || continue
                     {meanwhile}
                     echo up
                     echo 0 > $cgroup/cgroup.procs; freeze
                 done
             done
             while :; do sleep 1; done"#
        ));
        let id = site.id("a");
        Self { site, _ground: ground, bundle, id }
    }

    /// Starts it; tells its init process.
    fn start(&self) -> (Running, Pid) {
        let mut run = Running::start(&mut self.site.run(&self.bundle, &self.id));
        assert_eq!(run.line(), "up");
        let pid = self.site.row(&self.id)["pid"].to_string();
        wait_until_frozen(&self.id, "frozen", Some(&pid));
        (run, pid.parse().ok().and_then(Pid::from_raw).expect("a pid"))
    }

    /// Ends it by force, which takes no time to speak of.
    fn delete(&self) {
        let begun = Instant::now();
        self.site.delete(&self.id).success();
        assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
    }
}

fn owner(path: &Path) -> u32 {
    fs::metadata(path).expect("there").uid()
}

#[test]
fn the_containers_root_owns_its_cgroups_and_not_the_limits_in_them() {
    let (site, _ground, bundle) = stage("echo up; cat");
    let id = site.id("a");
    let mut run = Running::start(&mut site.run(&bundle, &id));
    assert_eq!(run.line(), "up");
    for cgroup in cgroups(&id) {
        assert_eq!(owner(&cgroup), site.ids().start, "{}", cgroup.display());
        for file in fs::read_dir(&cgroup).expect("readable").flatten() {
            let is_given = GIVEN.iter().any(|given| file.file_name() == *given);
            let expected = if is_given { site.ids().start } else { 0 };
            assert_eq!(owner(&file.path()), expected, "{}", file.path().display());
        }
    }
    assert_eq!(run.end().code(), 0);
    site.assert_nothing_left("after a run");
}

#[test]
fn what_a_container_sees_of_each_hierarchy_begins_with_its_own_cgroup() {
    let (site, _ground, bundle) = stage("cat /proc/self/cgroup; echo done; cat");
    let id = site.id("a");
    let mut run = Running::start(&mut site.run(&bundle, &id));
    for line in std::iter::from_fn(|| Some(run.line()).filter(|line| line != "done")) {
        // A hierarchy that is mounted nowhere has no cgroup for it.
        let mounted = !line.starts_with("0::") || Path::new(ROOT).join("unified").exists() || is_v2();
        assert!(line.ends_with(":/") || !mounted, "{line}");
    }
    let pid = site.row(&id)["pid"].clone();
    let outside = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("it runs");
    assert_eq!(outside.matches(&format!(":/sysbox-{id}\n")).count(), cgroups(&id).len(), "{outside}");
    assert_eq!(run.end().code(), 0);
}

fn is_v2() -> bool {
    Path::new(ROOT).join("cgroup.procs").exists()
}

#[test]
fn a_process_moves_to_a_cgroup_that_the_containers_root_made_and_no_limit_is_lifted() {
    let (site, _ground, bundle) = stage(
        "for root in $roots; do
             mkdir $root/mine && [ -w $root/mine/cgroup.procs ] || echo no cgroup in $root
             case $root in */cpuset/) ;; *) echo 0 > $root/mine/cgroup.procs || echo not moved in $root;; esac
             for limit in $root/*max $root/*limit_in_bytes $root/*shares $root/cgroup.max.*; do
                 [ -e $limit ] && ( echo 1 > $limit ) 2> /dev/null && echo lifted $limit
             done
         done
         echo done; cat",
    );
    let id = site.id("a");
    let mut run = Running::start(&mut site.run(&bundle, &id));
    assert_eq!(run.line(), "done");
    // Beside v1's hierarchies that of v2 is not mounted in a container.
    let mut mounted = cgroups(&id);
    mounted.retain(|cgroup| !cgroup.starts_with("/sys/fs/cgroup/unified"));
    for cgroup in mounted {
        assert_eq!(owner(&cgroup.join("mine")), site.ids().start, "{}", cgroup.display());
    }
    assert_eq!(run.end().code(), 0);
    site.assert_nothing_left("after a run that made cgroups");
}

#[test]
fn cgroups_that_are_deep_frozen_or_threaded_go_with_the_container_whatever_ends_it() {
    let (site, _ground, bundle) = stage(
        r#"name=$(printf '%0250d' 0)
         for root in $roots; do
             case $root in */cpuset/) continue;; esac
             cd -P $root
             for level in $(seq 30); do mkdir $name && cd -P $name; done 2> /dev/null
             sleep 1000 & echo $! > cgroup.procs
             cd -P $root; mkdir frozen threads threads/a
             sleep 1000 & echo $! > frozen/cgroup.procs
             for freezer in frozen/cgroup.freeze:1 frozen/freezer.state:FROZEN threads/a/cgroup.type:threaded; do
                 [ -e ${freezer%:*} ] && echo ${freezer#*:} > ${freezer%:*}
             done
         done
         echo done; cat"#,
    );
    let id = site.id("a");
    let start = || {
        let mut run = Running::start(&mut site.run(&bundle, &id));
        assert_eq!(run.line(), "done");
        wait_until_frozen(&id, "frozen", None);
        assert!(cgroups(&id).iter().any(|cgroup| cgroup.join("0".repeat(250)).is_dir()));
        run
    };
    assert_eq!(start().end().code(), 0);
    site.assert_nothing_left("after a run");
    start().kill();
    site.delete(&id).success();
    site.assert_nothing_left("after its runtime was killed");
}

#[test]
fn a_container_that_freezes_its_init_process_again_and_again_is_ended_by_force() {
    let container = Frozen::new("(while :; do freeze; done) &");
    let (run, _) = container.start();
    container.delete();
    assert_eq!(run.end().code(), 137);
    container.site.assert_nothing_left("after a run that was ended by force");
    container.start().0.kill();
    container.delete();
    container.site.assert_nothing_left("after its runtime was killed");
}

#[test]
fn a_signal_to_the_runtime_comes_to_an_init_process_that_has_frozen_itself() {
    let container = Frozen::new("");
    let (run, _) = container.start();
    run.signal(Signal::TERM);
    assert_eq!(run.end().code(), 7);
    container.site.assert_nothing_left("after SIGTERM");
}

#[test]
fn sigkill_ends_an_init_process_that_has_frozen_itself() {
    let container = Frozen::new("");
    let (run, init) = container.start();
    kill_process(init, Signal::KILL).expect("it is there");
    assert_eq!(run.end().code(), 137);
    container.site.assert_nothing_left("after SIGKILL");
}

#[test]
fn cgroups_of_which_the_record_does_not_tell_yet_go_with_those_above_them() {
    let (site, _ground, bundle) = stage("echo not reached");
    let id = site.id("a");
    let bundle = bundle.with("/linux/cgroupsPath", json!(format!("/{id}-above/between/own")));
    let mut run = site.run(&bundle, &id);
    run.args(["--log", "debug"]);
    let mut stepper = Stepper::start(run);
    assert!(stepper.go_to_step("register"));
    stepper.kill();
    // As it is until they were made.
    let path = site.data_root().join("containers").join(&id).join("record.json");
    let text = fs::read_to_string(&path).expect("a record");
    let mut record: Value = serde_json::from_str(&text).expect("in JSON");
    assert_eq!(record["cgroups_claimed"].take(), true);
    record["cgroups_claimed"] = false.into();
    fs::write(&path, record.to_string()).expect("written");
    site.delete(&id).success();
    site.assert_nothing_left("after its runtime was killed");
}
