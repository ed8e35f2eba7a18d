//! `sysbox check`: what it says of this host, to programs and to people. Needs root.

#![expect(clippy::expect_used, reason = "a test may fail by a panic, also in its helpers")]

use std::process::Command;

use serde_json::Value;
use sysbox_tests::{Site, Transport, finish};

#[test]
fn json_has_a_row_for_everything_with_what_found_needed_verdict_and_mend() {
    let site = Site::new(1);
    let text = finish(site.command("check").arg("--json")).success();
    let rows: Vec<Value> = serde_json::from_str(&text).expect("a list in JSON");
    for row in &rows {
        let row = row.as_object().expect("an object");
        assert_eq!(row.keys().collect::<Vec<_>>(), ["found", "mend", "needed", "verdict", "what"]);
        for field in ["what", "found", "needed"] {
            assert!(row[field].as_str().is_some_and(|text| !text.is_empty()), "{field} of {row:?}");
        }
        assert!(
            ["ok", "warn"].iter().any(|verdict| row["verdict"] == *verdict),
            "this host will do: {row:?}"
        );
        assert!(row["mend"].is_null() || row["mend"].is_string(), "{row:?}");
    }
    let has =
        |word: &str| rows.iter().any(|row| row["what"].as_str().is_some_and(|what| what.contains(word)));
    for word in [
        "kernel",
        "user namespaces",
        "ID-mapped",
        "overlay",
        "metacopy",
        "seccomp",
        "FUSE",
        "AppArmor",
        "user ids",
        "group ids",
    ] {
        assert!(has(word), "nothing is said of {word}: {text}");
    }
}

#[test]
fn people_get_a_table_of_the_same_rows() {
    let site = Site::new(1);
    let table = finish(&mut site.command("check")).success();
    let json = finish(site.command("check").arg("--json")).success();
    let rows: Vec<Value> = serde_json::from_str(&json).expect("a list in JSON");
    assert!(table.trim_start().starts_with("WHAT"), "{table}");
    for row in rows {
        let what = row["what"].as_str().expect("a text");
        assert!(table.contains(what), "{what} is not in the table: {table}");
    }
}

#[test]
fn the_range_that_was_given_is_told_with_how_much_of_it_is_in_use() {
    let site = Site::new(3);
    let text = finish(site.command("check").arg("--json")).success();
    let rows: Vec<Value> = serde_json::from_str(&text).expect("a list in JSON");
    let found = |what: &str| {
        let row = rows.iter().find(|row| row["what"].as_str().is_some_and(|text| text.starts_with(what)));
        row.expect(what)["found"].as_str().expect("a text").to_owned()
    };
    for what in ["user ids", "group ids"] {
        assert!(found(what).contains("3 ranges of 65536, 0 in use"), "{}", found(what));
    }
}

#[test]
fn looking_makes_nothing() {
    let site = Site::new(1);
    finish(site.command("check").arg("--json")).success();
    assert!(!site.data_root().exists());
    site.assert_nothing_left("after a check");
}

/// The rows of the manager and of sysbox-fs, of a check that succeeds or not.
fn daemons(check: &mut Command, fit: bool) -> [Value; 2] {
    let outcome = finish(check.arg("--json"));
    assert_eq!(outcome.code(), i32::from(!fit), "{outcome:?}");
    let rows: Vec<Value> = serde_json::from_str(&outcome.stdout).expect("a list in JSON");
    ["manager", "sysbox-fs"].map(|what| rows.iter().find(|row| row["what"] == what).expect(what).clone())
}

fn check(site: &Site, backend: &str) -> Command {
    let mut check = site.command_without_range("check");
    check.args(["--backend", backend]);
    check
}

#[test]
fn a_daemon_that_answers_is_told_from_one_that_only_listens() {
    for (transport, other) in [(Transport::Grpc, "tarpc"), (Transport::Tarpc, "grpc")] {
        let site = Site::embedded(1).with_daemon(transport);
        let [manager, fs] = daemons(&mut check(&site, &site.backend().expect("a daemon")), true);
        assert_eq!((&manager["verdict"], &manager["found"]), (&"ok".into(), &"answers".into()));
        assert_eq!(fs["verdict"], "warn", "the embedded manager has no sysbox-fs: {fs}");
        let by_other = format!("{other}+unix://{}", site.dir("run").display());
        for row in daemons(&mut check(&site, &by_other), false) {
            assert_eq!(row["verdict"], "fail", "{row}");
            assert!(row["mend"].as_str().is_some_and(|mend| mend.contains("transport")), "{row}");
        }
        site.assert_nothing_left("after a check that asked a daemon");
    }
}

#[test]
fn a_daemon_that_is_not_there_is_to_be_started_with_the_transport_that_was_named() {
    let site = Site::embedded(1);
    for (transport, serve) in
        [("grpc", "sysbox serve --dir"), ("tarpc", "sysbox serve --transport tarpc --dir")]
    {
        let dir = site.dir("nobody");
        for row in daemons(&mut check(&site, &format!("{transport}+unix://{}", dir.display())), false) {
            assert_eq!(row["verdict"], "fail");
            let mend = row["mend"].as_str().expect("a text");
            assert!(mend.contains(serve) && mend.contains(&dir.display().to_string()), "{row}");
        }
    }
}
