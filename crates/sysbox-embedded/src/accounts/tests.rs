//! The rules of the account files.

use proptest::prelude::*;

use super::*;

type Entry<'a> = (&'a str, u32, u32);

/// The entries, or the line and the rule that it breaks.
fn entries(text: &str) -> Result<Vec<Entry<'_>>, (usize, String)> {
    match subid_entries(Path::new("/etc/subuid"), text) {
        Ok(entries) => {
            Ok(entries.iter().map(|entry| (entry.owner, entry.range.first(), entry.range.count())).collect())
        }
        Err(AccountFileError::Malformed { line, rule, .. }) => Err((line, rule)),
        Err(other) => panic!("not read here: {other}"),
    }
}

#[test]
fn entries_are_read_and_comments_passed_over() {
    let text = "# ours\n\nsysbox:100000:65536\n  1000:165536:1  \n";
    assert_eq!(entries(text), Ok(vec![("sysbox", 100_000, 65_536), ("1000", 165_536, 1)]));
    assert_eq!(entries(""), Ok(vec![]));
}

#[test]
fn a_malformed_line_is_told_by_its_number_and_rule() {
    for line in
        ["sysbox", "sysbox:1", ":1:1", "a:b:1", "a:1:", "a:+1:1", "a:1:1:1", "a:-1:1", "a:99999999999:1"]
    {
        let (at, rule) = entries(&format!("ok:1:1\n\n{line}\n")).expect_err(line);
        assert_eq!(at, 3);
        assert!(rule.contains("NAME:FIRST:COUNT"), "{rule}");
    }
    assert!(entries("a:1:0").expect_err("empty").1.contains("at least 1"));
    assert!(entries("a:4294967295:1").expect_err("beyond").1.contains("4294967294"));
}

#[test]
fn the_error_names_file_line_text_and_rule() {
    let error = subid_entries(Path::new("/etc/subuid"), "ok:1:1\nbroken").expect_err("malformed");
    let told = "line 2 of /etc/subuid is \"broken\": it must be NAME:FIRST:COUNT, the last two whole numbers; \
                mend or remove the line";
    assert_eq!(error.to_string(), told);
}

#[test]
fn accounts_are_the_lines_that_the_c_library_takes_for_one() {
    let passwd = "root:x:0:0:root:/root:/bin/sh\n+::::::\nnobody:x:65534:\nbroken\nuser:x:no:1\n";
    assert_eq!(accounts(passwd).collect::<Vec<_>>(), [("root", 0), ("nobody", 65_534)]);
}

#[test]
fn a_file_that_is_not_there_is_empty_and_one_that_cannot_be_read_is_an_error() {
    assert_eq!(read(Path::new("/nonexistent/subuid")).expect("as if empty"), "");
    assert!(matches!(read(Path::new("/proc")), Err(AccountFileError::Unreadable { .. })));
}

proptest! {
    #[test]
    fn reading_never_panics(text in "([a-z]{0,3}:?[0-9]{0,11}:?[0-9]{0,11}\n?|.){0,20}") {
        let _ = subid_entries(Path::new("/etc/subuid"), &text);
        let _ = accounts(&text).count();
    }
}
