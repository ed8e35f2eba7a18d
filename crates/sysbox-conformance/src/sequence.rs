//! Random sequences of calls: each is made on a backend and on a fresh [`Model`](crate::Model), and answered alike.
//!
//! A sequence is a script about a few containers, so that its calls meet. One that is answered otherwise is made as short as it
//! can be before it is told. Which ids are given and where mounts come from is each backend's own choice; such values are
//! compared by what they stand for (`pairs`).

mod call;
mod pairs;
mod play;
mod scene;
mod script;

use std::{env, fmt::Debug, sync::Arc};

use proptest::{
    strategy::Strategy,
    test_runner::{Config, TestCaseError, TestError, TestRunner},
};

use self::script::Script;
use crate::{
    Ability, Broken, Harness, Lack, Outcome, World,
    runner::{Working, in_world},
};

/// How many scripts are played, where `PROPTEST_CASES` does not say otherwise.
const SCRIPTS: u32 = 64;

/// For how many milliseconds a shorter script is looked for.
const SHORTENING: u32 = 20_000;

/// What is held against the model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) needs: Ability,
    run: fn(&Arc<dyn Harness>, &[Lack], Config) -> Outcome,
}

impl Check {
    /// One for each port: they know nothing of one another.
    pub(crate) const ALL: [Self; 2] = [
        Self {
            name: "calls_of_the_manager_are_answered_as_by_the_model",
            needs: Ability::Mgr,
            run: |harness, lacks, config| {
                let is_exact = !script::is_lacking(lacks, Ability::Capacity);
                check(harness, config, script::of_mgr(lacks), move |world, script| {
                    Box::pin(play::mgr(world, script, is_exact))
                })
            },
        },
        Self {
            name: "calls_of_the_fs_daemon_are_answered_as_by_the_model",
            needs: Ability::Fs,
            run: |harness, _, config| {
                check(harness, config, script::of_fs(), |world, script| Box::pin(play::fs(world, script)))
            },
        },
    ];

    /// Plays scripts without the calls that the harness lacks.
    pub(crate) fn run(self, harness: &Arc<dyn Harness>, lacks: &[Lack]) -> Outcome {
        (self.run)(harness, lacks, Config::default())
    }
}

fn check<S: Clone + Debug + Send + 'static>(
    harness: &Arc<dyn Harness>,
    default: Config,
    scripts: impl Strategy<Value = Script<S>>,
    play: impl for<'a> Fn(&'a mut World, Script<S>) -> Working<'a> + Copy + Send + 'static,
) -> Outcome {
    let config = Config {
        cases: env::var_os("PROPTEST_CASES").map_or(SCRIPTS, |_| default.cases),
        failure_persistence: None,
        max_shrink_time: SHORTENING,
        ..default
    };
    if config.cases == 0 {
        return Err(Broken::new("no script is to be played; set PROPTEST_CASES to more than 0"));
    }
    let outcome = TestRunner::new(config).run(&scripts, |script| {
        let outcome = in_world(harness, move |world| play(world, script));
        outcome.map_err(|broken| TestCaseError::fail(broken.to_string()))
    });
    outcome.map_err(|error| match error {
        TestError::Fail(reason, script) => Broken::new(format!("{reason}\nin the script\n{script:?}")),
        TestError::Abort(reason) => Broken::new(format!("no scripts can be made: {reason}")),
    })
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use proptest::test_runner::RngSeed;
    use sysbox_core::{IdRange, session::Ports};

    use super::*;
    use crate::{BoxError, Flaw, Model, Subject};

    /// The model, with a flaw or without, of which it may be unknown how many ranges it has.
    #[derive(Debug)]
    struct OfModel {
        flaw: Option<Flaw>,
        lacks_capacity: bool,
    }

    #[async_trait]
    impl Harness for OfModel {
        fn name(&self) -> &str {
            "model"
        }

        async fn fresh(&self) -> Result<Subject, BoxError> {
            let ranges = if self.lacks_capacity { 50 } else { 4 };
            let model = Arc::new(Model::new(IdRange::new(1 << 30, ranges << 16)?));
            let mgr = self.flaw.map_or_else(|| model.clone() as _, |flaw| flaw.mgr(model.clone()));
            let ports = Ports { mgr: Some(mgr), fs: Some(model), seccomp: None };
            Ok(Subject { ports, capacity: 4, guard: Box::new(()) })
        }

        fn lacks(&self) -> Vec<Lack> {
            let capacity = Lack { ability: Ability::Capacity, reason: "others take ids too" };
            let restart = Lack { ability: Ability::Restart, reason: "it has no memory" };
            [restart].into_iter().chain(self.lacks_capacity.then_some(capacity)).collect()
        }
    }

    fn outcome(harness: OfModel) -> Outcome {
        let harness: Arc<dyn Harness> = Arc::new(harness);
        let config = Config { rng_seed: RngSeed::Fixed(1), ..Config::default() };
        (Check::ALL[0].run)(&harness, &harness.lacks(), config)
    }

    #[test]
    fn a_backend_of_unknown_capacity_is_not_held_to_one() {
        outcome(OfModel { flaw: None, lacks_capacity: true }).expect("the model is as a larger one");
    }

    #[test]
    fn a_backend_that_answers_otherwise_is_told_with_a_short_script() {
        outcome(OfModel { flaw: None, lacks_capacity: false }).expect("the model is as itself");
        for flaw in [Flaw::OneRangeForAll, Flaw::UpdateLosesShift, Flaw::StoppedUpdated] {
            let told = outcome(OfModel { flaw: Some(flaw), lacks_capacity: false });
            let told = told.expect_err(flaw.name()).to_string();
            assert!(told.contains("in the script\n  1. ") && told.lines().count() < 12, "{told}");
        }
    }
}
