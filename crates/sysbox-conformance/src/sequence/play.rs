//! Plays a script on a backend and on the model, and compares their answers.

use std::{fmt::Debug, sync::Arc};

use sysbox_core::{ContainerConfig, IdMappings, IdRange, MgrPort, PortError, Subids};

use super::{
    call::{Answer, make_of_fs},
    pairs::{Mapped, Pairs, single},
    scene::Scene,
    script::{FsStep, MgrStep, Named, Script, Size, Who},
};
use crate::{Broken, Model, Outcome, World, case::same};

/// Plays calls of the manager. The model has as many ranges as the subject, if that number `is_exact`, else more than a script
/// needs.
pub(super) async fn mgr(world: &mut World, script: Script<MgrStep>, is_exact: bool) -> Outcome {
    let mut play = Play {
        subject: world.mgr()?,
        model: model(if is_exact { world.capacity()? } else { MANY })?,
        pairs: Pairs::default(),
        scene: Scene::new(world)?,
    };
    for (nth, step) in (1..).zip(script.0) {
        let outcome = match step {
            MgrStep::Restart => match world.restart().await.and_then(|()| world.mgr()) {
                Ok(restarted) => {
                    play.subject = restarted;
                    Ok(())
                }
                Err(broken) => Err(broken),
            },
            step => play.step(step).await,
        };
        outcome.map_err(|broken| in_step(nth, step, &broken))?;
    }
    Ok(())
}

/// Plays calls of the fs daemon.
pub(super) async fn fs(world: &mut World, script: Script<FsStep>) -> Outcome {
    let (subject, model) = (world.fs()?, model(MANY)?);
    let mut mountpoint = None;
    for (nth, step) in (1..).zip(script.0) {
        let answers = (make_of_fs(step, &model).await, make_of_fs(step, &*subject).await);
        let outcome = alike(answers).and_then(|both| match both {
            // Where it is, is the backend's own choice, once.
            Some((Some(_), told @ Some(_))) => {
                let first = mountpoint.get_or_insert_with(|| told.clone());
                same("the mountpoint", &told, first)
            }
            _ => Ok(()),
        });
        outcome.map_err(|broken| in_step(nth, step, &broken))?;
    }
    Ok(())
}

/// Both managers, and what is known of what they chose.
struct Play {
    subject: Arc<dyn MgrPort>,
    model: Model,
    pairs: Pairs,
    scene: Scene,
}

impl Play {
    async fn step(&mut self, step: MgrStep) -> Outcome {
        let mapped = self.mapped(step)?;
        let mapped_by_subject = self.pairs.subjects(&mapped)?;
        let calls = (self.scene.call(step, mapped)?, self.scene.call(step, mapped_by_subject)?);
        let (Some(to_model), Some(to_subject)) = calls else { return Ok(()) };
        let before = Who::ALL.map(|who| self.model.ids_of(&who.id()));
        let answers = (to_model.make(&self.model).await, to_subject.make(&*self.subject).await);
        match alike(answers)? {
            Some(answers) => self.compare(step, answers, before),
            None => Ok(()),
        }
    }

    /// The mappings that a step names, in the model's ids.
    fn mapped(&self, step: MgrStep) -> Result<Mapped, Broken> {
        let (MgrStep::Register { uids, gids, .. } | MgrStep::Update { uids, gids, .. }) = step else {
            return Ok(Mapped::default());
        };
        Ok(Mapped { uids: self.named(uids)?.uids, gids: self.named(gids)?.gids })
    }

    fn named(&self, named: Named) -> Result<Mapped, Broken> {
        let both = |mappings: IdMappings| Mapped { uids: mappings.clone(), gids: mappings };
        Ok(match named {
            Named::Nothing => Mapped::default(),
            // Below 65,536 no range is given.
            Named::Some => both(single(2000, 10)?),
            Named::SomeOfThem => both(single(2005, 10)?),
            Named::HostRoot => both(single(0, 10)?),
            Named::GivenTo(who) => match self.model.ids_of(&who.id()) {
                Some(given) => self.pairs.all_of(given)?,
                None => Mapped::default(),
            },
        })
    }

    /// Compares what was answered, knowing what ids each container had `before`.
    fn compare(
        &mut self,
        step: MgrStep,
        answers: (Answer, Answer),
        before: [Option<Subids>; Who::ALL.len()],
    ) -> Outcome {
        match (step, answers) {
            (_, (Answer::Done, Answer::Done)) => {
                if let MgrStep::Remove(who) = step {
                    self.pairs.removed(who);
                }
                Ok(())
            }
            (_, (Answer::Config(model), Answer::Config(subject))) => self.same_config(model, &subject),
            (MgrStep::AllocSubids(who, size), (Answer::Ids(model), Answer::Ids(subject))) => {
                self.same_ids(who, size, (model, subject), before)
            }
            (MgrStep::ReqMounts(who, _), (Answer::Mounts(model), Answer::Mounts(subject))) => {
                self.pairs.mounts(who, &model, &subject)
            }
            (_, (Answer::Marks(model), Answer::Marks(subject))) => same("the marks made", &subject, &model),
            (MgrStep::CloneRootfs(who), (Answer::Path(model), Answer::Path(subject))) => {
                self.pairs.place(who, &model.to_string(), &subject.to_string())
            }
            (_, (model, subject)) => {
                Err(Broken::new(format!("{subject:?} was answered, {model:?} expected")))
            }
        }
    }

    /// What it says of the host's abilities is the host's.
    fn same_config(&self, model: ContainerConfig, subject: &ContainerConfig) -> Outcome {
        let mandated = Mapped { uids: model.uid_mappings, gids: model.gid_mappings };
        let mandated = self.pairs.subjects(&mandated)?;
        same("the user namespace to join", &subject.userns, &model.userns)?;
        same("the mandated user id mappings", &subject.uid_mappings, &mandated.uids)?;
        same("the mandated group id mappings", &subject.gid_mappings, &mandated.gids)?;
        same("the earlier shift", &subject.rootfs_shift, &model.rootfs_shift)
    }

    fn same_ids(
        &mut self,
        who: Who,
        size: Size,
        answers: (Subids, Subids),
        before: [Option<Subids>; Who::ALL.len()],
    ) -> Outcome {
        let had = Who::ALL.into_iter().zip(before).any(|(other, had)| other == who && had.is_some());
        if had {
            return self.pairs.given_again(answers);
        }
        self.pairs.given(answers, size.number().get(), before.into_iter().flatten())
    }
}

/// Both answers, if both are some; a refusal must be of the same call and kind.
fn alike<T: Debug>(answers: (Result<T, PortError>, Result<T, PortError>)) -> Result<Option<(T, T)>, Broken> {
    match answers {
        (Ok(model), Ok(subject)) => Ok(Some((model, subject))),
        (Err(model), Err(subject)) => {
            let (expected, found) = ((model.operation, model.kind), (subject.operation, subject.kind));
            same(&format!("the refusal ({subject})"), &found, &expected).map(|()| None)
        }
        (Ok(model), Err(error)) => {
            Err(Broken::new(format!("refused as {:?} ({error}), where {model:?} was expected", error.kind)))
        }
        (Err(error), Ok(subject)) => Err(Broken::new(format!(
            "answered {subject:?}, where a refusal as {:?} was expected ({error})",
            error.kind
        ))),
    }
}

/// More ranges than there are containers in a script.
const MANY: u32 = 100;

/// A model with a pool of so many ranges, as far as there are ids.
fn model(capacity: u32) -> Result<Model, Broken> {
    const SLOT: u32 = 65_536;
    let count = capacity.clamp(1, 60_000).saturating_mul(SLOT);
    let pool = IdRange::new(SLOT, count).map_err(|invalid| Broken::new(invalid.to_string()))?;
    Ok(Model::new(pool))
}

fn in_step(nth: usize, step: impl Debug, broken: &Broken) -> Broken {
    Broken::new(format!("step {nth}, {step:?}: {broken}"))
}
