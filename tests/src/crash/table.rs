//! The outcomes of all cases, as a table: of which call, cut short where, and what it came to.

use std::{collections::BTreeMap, fmt};

use super::{life::Case, scene::Story};

/// Outcomes, counted, and what went wrong.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// By story, number and name of the act, and point.
    outcomes: BTreeMap<(String, usize, String, String), BTreeMap<String, usize>>,
    /// What was not as it must be.
    pub failures: Vec<String>,
    /// How many cases there were.
    pub cases: usize,
}

impl Table {
    /// Adds a case.
    pub fn add(&mut self, story: Story, at: usize, call: &str, what: &str, case: Result<&Case, &String>) {
        self.cases += 1;
        match case {
            Ok(case) => {
                let key = (format!("{story:?}"), at, call.to_owned(), case.point.clone());
                let outcome = format!("{} ({what})", case.outcome);
                *self.outcomes.entry(key).or_default().entry(outcome).or_default() += 1;
            }
            Err(error) => {
                let mut shown: String = error.chars().take(2000).collect();
                shown = format!("{story:?} act {at} {call}, {what}:\n    {shown}");
                self.failures.push(shown);
            }
        }
    }

    /// Takes over all of another.
    pub fn merge(&mut self, other: Self) {
        self.cases += other.cases;
        self.failures.extend(other.failures);
        for (key, outcomes) in other.outcomes {
            let known = self.outcomes.entry(key).or_default();
            outcomes.into_iter().for_each(|(outcome, count)| *known.entry(outcome).or_default() += count);
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} cases, {} of them not as they must be", self.cases, self.failures.len())?;
        for ((story, at, call, point), outcomes) in &self.outcomes {
            writeln!(f, "{story:8} {at:2} {call:16} {point}")?;
            for (outcome, count) in outcomes {
                writeln!(f, "{:34}{count:3} x {outcome}", "")?;
            }
        }
        self.failures.iter().try_for_each(|failure| writeln!(f, "FAILED {failure}"))
    }
}
