//! Counting tests while their output passes through: a run of tests that tested nothing must not look like success.

use std::io::{self, BufRead, Write};

/// What the result lines of a test program add up to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Result lines seen: one from each program of the standard harness, none from others.
    pub(crate) results: u64,
}

impl Tally {
    /// Copies `output` to `screen` line by line and adds up its result lines.
    pub(crate) fn copy(output: &mut dyn BufRead, screen: &mut dyn Write) -> io::Result<Self> {
        let mut tally = Self::default();
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line)? > 0 {
            screen.write_all(&line)?;
            screen.flush()?;
            tally.count(&String::from_utf8_lossy(&line));
            line.clear();
        }
        Ok(tally)
    }

    /// Adds a line of the form `test result: ok. 3 passed; 0 failed; ...`; any other changes nothing.
    fn count(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        self.results += 1;
        for count in counts.split("; ") {
            match count.split_once(' ').map(|(number, what)| (number.parse::<u64>(), what)) {
                Some((Ok(number), "passed")) => self.passed += number,
                Some((Ok(number), "failed")) => self.failed += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_added_up_and_everything_is_passed_on() {
        let output = "\nrunning 4 tests\ntest a ... ok\nnot utf-8: \
            \ntest result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 9 filtered out; finished in 0.01s\n\
            \ntest result: ok. 40 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\nno newline";
        let mut screen = Vec::new();
        let tally = Tally::copy(&mut output.as_bytes(), &mut screen).unwrap();
        assert_eq!(tally, Tally { passed: 43, failed: 1, results: 2 });
        assert_eq!(String::from_utf8(screen).unwrap(), output);
    }

    #[test]
    fn what_only_looks_like_a_result_counts_nothing() {
        let output = b"the test result: ok. 3 passed; 0 failed\ntest result:\n\xff\xfe 3 passed;\n";
        let tally = Tally::copy(&mut output.as_slice(), &mut Vec::new()).unwrap();
        assert_eq!(tally, Tally::default());
    }
}
