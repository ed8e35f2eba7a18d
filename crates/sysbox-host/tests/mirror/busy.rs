//! Files of a live source that cannot be read now, and callers that break off: nobody waits for them.
#![expect(unsafe_code, reason = "no safe call takes a lease")]

use std::{
    fs,
    io::Error,
    os::fd::{AsFd, AsRawFd},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    sync::mpsc,
    thread,
    time::Duration,
};

use sysbox_host::mirror::{Options, Owners, clock_after_changes};

use super::support::*;

/// Of the kernel's `include/uapi/asm-generic/fcntl.h`.
const F_SETSIG: libc::c_int = 10;

/// Takes a write lease on a file, as a container can on its own ones. It ends with what is returned.
fn lease(path: &Path) -> fs::File {
    let file = fs::File::options().write(true).open(path).expect("it is there");
    // The signal that tells the holder to give it back would otherwise be SIGIO, and end the tests.
    for (operation, argument) in [(F_SETSIG, libc::SIGURG), (libc::F_SETLEASE, libc::F_WRLCK)] {
        // SAFETY: neither operation touches memory, and the descriptor is open.
        let result = unsafe { libc::fcntl(file.as_raw_fd(), operation, argument) };
        assert_eq!(result, 0, "{path:?}: {}", Error::last_os_error());
    }
    file
}

#[test]
fn a_leased_file_is_left_as_it_was_and_taken_by_the_next_call() {
    on_each_file_system(|place| {
        let (source, target) = (place.source(), place.target());
        for name in ["same time", "linked", "other"] {
            set_modified(&file(&source.join(name), "old", 0o644, (1, 1)), 1, 1);
        }
        fs::hard_link(source.join("linked"), source.join("linked too")).expect("same file system");
        mirror_and_check(place);
        let synced = Some(clock_after_changes());
        let mut wanted = snapshot(&target);
        for name in ["same time", "linked", "other", "new"] {
            file(&source.join(name), "new", 0o600, (2, 2));
        }
        set_modified(&source.join("same time"), 1, 1);
        let leases = ["same time", "linked", "new"].map(|name| lease(&source.join(name)));
        let sync = || mirror_as(&source, &target, Owners::Kept, synced).expect("it can be mirrored");
        for _ in 0..2 {
            let report = sync();
            // The file of the same size and time, two names of one inode, and one that the target has not.
            assert_eq!((report.busy, report.removed, report.vanished), (4, 0, 0), "{report:?}");
        }
        let found = snapshot(&target);
        drop(leases);
        wanted.insert("other".into(), snapshot(&source).remove(Path::new("other")).expect("it is there"));
        assert_same(&found, &wanted);
        assert_eq!(sync().busy, 0);
        assert_same(&snapshot(&target), &snapshot(&source));
    });
}

#[test]
fn a_callback_that_panics_ends_the_call() {
    require_root();
    let place = Place::tmpfs();
    for index in 0..300 {
        file(&place.source().join(index.to_string()), "x", 0o644, (0, 0));
    }
    let (ended, end) = mpsc::channel();
    let (source, target) = (dir(&place.source()), dir(&place.target()));
    // Not one of a scope, which would wait for it.
    thread::spawn(move || {
        let progress = |_| resume_unwind(Box::new("of the caller"));
        let options = Options { owners: Owners::Kept, unchanged_since: None, progress: &progress };
        let call = || sysbox_host::mirror::mirror(source.as_fd(), target.as_fd(), &options).is_ok();
        // Nobody listens once the test has failed.
        let _ = ended.send(catch_unwind(AssertUnwindSafe(call)));
    });
    let result = end.recv_timeout(Duration::from_secs(60)).expect("it ends");
    let panic = result.expect_err("the panic is the caller's");
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"of the caller"));
}
