//! The last words of `cargo xtask test`, and its verdict: a failed program or a group that tested nothing is never
//! reported as success.

use std::fmt;

use crate::tally::Tally;

/// Test programs that run with the same rights.
#[derive(Debug)]
pub(crate) struct Group {
    name: &'static str,
    programs: u64,
    passed: u64,
    failed: u64,
    failures: Vec<String>,
}

impl Group {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, programs: 0, passed: 0, failed: 0, failures: Vec::new() }
    }

    /// Books a program's end. One without the standard harness prints no result; it is one test by itself.
    pub(crate) fn book(&mut self, title: &str, tally: Tally, is_success: bool) {
        self.programs += 1;
        self.passed += tally.passed;
        self.failed += tally.failed;
        if tally.results == 0 {
            *(if is_success { &mut self.passed } else { &mut self.failed }) += 1;
        }
        if !is_success {
            self.failures.push(title.to_owned());
        }
    }
}

/// What all groups came to.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) without_root: Group,
    pub(crate) with_root: Group,
    pub(crate) documentation: Group,
    /// Whether arguments chose among the tests; then a whole group may be left out, but not all of them.
    pub(crate) is_filtered: bool,
}

impl Summary {
    /// Whether enough ran, and all of it passed.
    pub(crate) fn is_success(&self) -> bool {
        self.missing().is_empty() && self.groups().iter().all(|group| group.failures.is_empty())
    }

    /// Why too little ran; empty if enough did.
    fn missing(&self) -> Vec<String> {
        let ran_nothing = |group: &&Group| group.passed + group.failed == 0;
        if self.groups().iter().all(ran_nothing) {
            return vec!["no test ran at all".to_owned()];
        }
        let needed = if self.is_filtered { vec![] } else { vec![&self.without_root, &self.with_root] };
        needed.into_iter().filter(ran_nothing).map(|group| format!("no {} ran", group.name)).collect()
    }

    fn groups(&self) -> [&Group; 3] {
        [&self.without_root, &self.with_root, &self.documentation]
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<26} {:>8} {:>8} {:>8}", "summary", "programs", "passed", "failed")?;
        for Group { name, programs, passed, failed, .. } in self.groups() {
            writeln!(f, "{name:<26} {programs:>8} {passed:>8} {failed:>8}")?;
        }
        for title in self.groups().iter().flat_map(|group| &group.failures) {
            writeln!(f, "failed: {title}")?;
        }
        for complaint in self.missing() {
            writeln!(f, "failed: {complaint}")?;
        }
        write!(f, "test result of the workspace: {}", if self.is_success() { "ok" } else { "FAILED" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE_PASSED: Tally = Tally { passed: 3, failed: 0, results: 1 };
    const NOTHING_CHOSEN: Tally = Tally { passed: 0, failed: 0, results: 1 };

    fn summary(without_root: Tally, with_root: Tally, is_filtered: bool) -> Summary {
        let booked = |name, tally| {
            let mut group = Group::new(name);
            group.book("a.rs", tally, true);
            group
        };
        Summary {
            without_root: booked("tests without root", without_root),
            with_root: booked("tests with root", with_root),
            documentation: Group::new("examples"),
            is_filtered,
        }
    }

    #[test]
    fn all_passed_in_both_groups_is_success() {
        let summary = summary(THREE_PASSED, THREE_PASSED, false);
        assert!(summary.is_success());
        assert!(summary.to_string().ends_with("test result of the workspace: ok"));
    }

    #[test]
    fn a_group_that_tested_nothing_fails_the_whole() {
        let summary = summary(THREE_PASSED, NOTHING_CHOSEN, false);
        assert!(!summary.is_success());
        assert!(summary.to_string().contains("failed: no tests with root ran"));
    }

    #[test]
    fn a_choice_of_tests_may_leave_a_group_out_but_not_all() {
        assert!(summary(THREE_PASSED, NOTHING_CHOSEN, true).is_success());
        assert!(!summary(NOTHING_CHOSEN, NOTHING_CHOSEN, true).is_success());
    }

    #[test]
    fn a_program_that_dies_without_a_result_is_a_named_failure() {
        let mut summary = summary(THREE_PASSED, THREE_PASSED, false);
        summary.with_root.book("crates/a/tests/fork.rs", Tally::default(), false);
        assert!(!summary.is_success());
        assert_eq!(summary.with_root.failed, 1);
        assert!(summary.to_string().contains("failed: crates/a/tests/fork.rs"));
    }

    #[test]
    fn a_program_without_the_standard_harness_is_one_test() {
        let mut group = Group::new("tests with root");
        group.book("crates/a/tests/fork.rs", Tally::default(), true);
        assert_eq!((group.passed, group.failed), (1, 0));
    }
}
