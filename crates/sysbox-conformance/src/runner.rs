//! Runs the suite: what is asked of each harness, as trials of a test program of the standard form.
//!
//! Nothing is left out in silence. What a harness cannot do is reported by name, and checked to be answered so; no harness at
//! all is a failure, and a filter that nothing goes by is told.

mod lacking;
mod limit;

use std::{process::ExitCode, sync::Arc};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::{Ability, Case, Harness, Lack, Outcome, cases, sequence::Check};

pub(crate) use self::limit::{Working, in_world};

/// Runs every case over every harness, and random sequences of calls; what a harness lacks is checked. The arguments are those
/// of the process, as `cargo test` gives them.
///
/// To be called by the `main` of a test target that has `harness = false`. A trial is named
/// `<harness>/<group>/<name>`, and fails when a rule is broken, at a panic, and after a minute.
pub fn main(harnesses: Vec<Arc<dyn Harness>>) -> ExitCode {
    let arguments = Arguments::from_args();
    let suites: Vec<_> = harnesses.into_iter().map(Suite::new).collect();
    let trials: Vec<_> = suites.iter().flat_map(Suite::trials).collect();
    let selected: Vec<_> = trials
        .iter()
        .filter(|trial| !arguments.is_filtered_out(trial))
        .map(|trial| trial.name().to_owned())
        .collect();
    let is_asked_for_names = arguments.list;
    match &arguments.filter {
        None if trials.is_empty() => {
            tell("there is nothing to run; give a harness");
            return ExitCode::FAILURE;
        }
        // As with any test program, one of several that a filter is given to.
        Some(filter) if selected.is_empty() && !is_asked_for_names => {
            tell(&format!("no trial goes by the name {filter:?}; --list tells all names"));
        }
        _ => {}
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !is_asked_for_names {
        suites.iter().flat_map(|suite| suite.not_run(&selected)).for_each(|line| tell(&line));
    }
    conclusion.exit_code()
}

/// Runs one case over one harness.
///
/// # Errors
/// When the rule is broken, the case panics, or takes longer than a minute.
pub fn run(harness: &Arc<dyn Harness>, case: &'static Case) -> Outcome {
    in_world(harness, |world| (case.run)(world))
}

/// What is asked of one harness.
struct Suite {
    harness: Arc<dyn Harness>,
    lacks: Vec<Lack>,
}

impl Suite {
    fn new(harness: Arc<dyn Harness>) -> Self {
        Self { lacks: harness.lacks(), harness }
    }

    fn trials(&self) -> Vec<Trial> {
        let of_cases = cases().into_iter().map(|case| {
            let harness = self.harness.clone();
            self.trial(self.name_of(case), case.needs, move || run(&harness, case))
        });
        let of_lacks = self.lacks.iter().filter(|lack| lacking::can_be_checked(lack.ability)).map(|&lack| {
            let harness = self.harness.clone();
            let name = format!("{}/lacks/{:?}", harness.name(), lack.ability);
            Trial::test(name, move || Ok(lacking::check(&harness, lack.ability)?))
        });
        let of_sequences = Check::ALL.into_iter().map(|check| {
            let (harness, lacks) = (self.harness.clone(), self.lacks.clone());
            let name = format!("{}/sequences/{}", harness.name(), check.name);
            self.trial(name, &[check.needs], move || check.run(&harness, &lacks))
        });
        of_cases.chain(of_lacks).chain(of_sequences).collect()
    }

    /// One that is not run where something that it needs is lacking.
    fn trial(
        &self,
        name: String,
        needs: &[Ability],
        run: impl FnOnce() -> Outcome + Send + 'static,
    ) -> Trial {
        let lack = self.lacks.iter().copied().find(|lack| needs.contains(&lack.ability));
        Trial::ignorable_test(name, move || match lack {
            Some(Lack { reason, .. }) => Ok(Completion::ignored_with(format!("cannot: {reason}"))),
            None => run().map(|()| Completion::Completed).map_err(Failed::from),
        })
    }

    fn name_of(&self, case: &Case) -> String {
        format!("{}/{}/{}", self.harness.name(), case.group, case.name)
    }

    /// What it lacks, and how many of the selected cases were not run for it.
    fn not_run(&self, selected: &[String]) -> impl Iterator<Item = String> {
        self.lacks.iter().filter_map(|Lack { ability, reason }| {
            let needing = cases().into_iter().filter(|case| case.needs.contains(ability));
            let count = needing.filter(|case| selected.contains(&self.name_of(case))).count();
            let name = self.harness.name();
            (count > 0).then(|| format!("{name} lacks {ability:?}, {count} cases not run; cannot: {reason}"))
        })
    }
}

#[expect(
    clippy::print_stdout,
    reason = "this is the output of a test program, where libtest-mimic prints too"
)]
fn tell(line: &str) {
    println!("{line}");
}
