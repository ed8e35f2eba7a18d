//! `sysbox check`: what it says of this host, to programs and to people. Needs root.

use serde_json::Value;
use sysbox_tests::{Site, finish};

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
