//! What is called in which order, and how such scripts are made up.

use std::fmt;

use proptest::{
    collection::vec,
    prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof},
    sample::select,
    strategy::Union,
};
use sysbox_core::{ContainerId, MountKind, ShiftType};

use crate::{Ability, Lack, world::container};

/// Calls to be made, one after the other.
#[derive(Clone)]
pub(super) struct Script<S>(pub(super) Vec<S>);

/// One call a line, with its number.
impl<S: fmt::Debug> fmt::Debug for Script<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().zip(1..).try_for_each(|(step, nth)| writeln!(f, "{nth:>3}. {step:?}"))
    }
}

/// A call of the manager.
#[derive(Clone, Copy, Debug)]
pub(super) enum MgrStep {
    Register {
        id: Who,
        joins: Spaces,
        uids: Named,
        gids: Named,
    },
    Update {
        id: Who,
        runs_in: Spaces,
        uids: Named,
        gids: Named,
        shift: ShiftType,
    },
    Unregister(Who),
    Remove(Who),
    AllocSubids(Who, Size),
    PrepMounts(Who),
    ReqMounts(Who, [MountKind; 2]),
    ReqShiftfsMark(Who, [Mark; 2]),
    ReqFsState(Who),
    Pause(Who),
    Resume(Who),
    CloneRootfs(Who),
    ChownClonedRootfs(Who, i32),
    RevertClonedRootfsChown(Who),
    /// Not a call: the backend is ended and started anew.
    Restart,
}

/// A call of the fs daemon.
#[derive(Clone, Copy, Debug)]
pub(super) enum FsStep {
    Mountpoint,
    PreRegister(Who),
    Register(Who),
    Update(Who),
    Unregister(Who),
}

/// A container, by its id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Who(pub(super) &'static str);

impl Who {
    pub(super) const ALL: [Self; 5] = [Self("a"), Self("b"), Self("c"), Self("d"), Self("e")];

    pub(super) fn id(self) -> ContainerId {
        container(self.0)
    }
}

impl fmt::Debug for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The namespaces of a container.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spaces {
    pub(super) user: Option<Space>,
    pub(super) net: Option<Space>,
}

/// One of two namespaces of a kind, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    First,
    FirstByAnotherPath,
    Second,
    NotThere,
}

/// The ids of the host that mappings name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Named {
    Nothing,
    /// Ids that nobody is given.
    Some,
    /// Such ids too, and some of the same.
    SomeOfThem,
    HostRoot,
    /// Those that the container was given; nothing, if it was given none.
    GivenTo(Who),
}

/// How many ids are asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Size {
    One,
    Usual,
    MoreThanThereAre,
}

/// A directory to be marked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) directory: Who,
    pub(super) readonly: bool,
}

/// Scripts for a manager that lacks this.
pub(super) fn of_mgr(lacks: &[Lack]) -> impl Strategy<Value = Script<MgrStep>> + use<> {
    use MgrStep as S;
    // What a container lives through most comes most often.
    let always = [
        (
            8,
            (who(), spaces(), named(), named())
                .prop_map(|(id, joins, uids, gids)| S::Register { id, joins, uids, gids })
                .boxed(),
        ),
        (
            5,
            (who(), spaces(), named(), named(), select(&ShiftType::ALL[..]))
                .prop_map(|(id, runs_in, uids, gids, shift)| S::Update { id, runs_in, uids, gids, shift })
                .boxed(),
        ),
        (5, who().prop_map(S::Unregister).boxed()),
        (6, (who(), size(lacks)).prop_map(|(id, size)| S::AllocSubids(id, size)).boxed()),
        (1, who().prop_map(S::Pause).boxed()),
        (1, who().prop_map(S::Resume).boxed()),
    ];
    let kind = || select(&MountKind::ALL[..]);
    let where_able: [(Ability, u32, BoxedStrategy<MgrStep>); 9] = [
        (Ability::Restart, 1, Just(S::Restart).boxed()),
        (Ability::Remove, 3, who().prop_map(S::Remove).boxed()),
        (Ability::PrepMounts, 1, who().prop_map(S::PrepMounts).boxed()),
        (
            Ability::ReqMounts,
            2,
            (who(), [kind(), kind()]).prop_map(|(id, kinds)| S::ReqMounts(id, kinds)).boxed(),
        ),
        (
            Ability::ShiftfsMarks,
            2,
            (who(), [mark(), mark()]).prop_map(|(id, marks)| S::ReqShiftfsMark(id, marks)).boxed(),
        ),
        (Ability::FsState, 1, who().prop_map(S::ReqFsState).boxed()),
        (Ability::CloneRootfs, 2, who().prop_map(S::CloneRootfs).boxed()),
        (
            Ability::CloneRootfs,
            2,
            (who(), offset()).prop_map(|(id, offset)| S::ChownClonedRootfs(id, offset)).boxed(),
        ),
        (Ability::CloneRootfs, 2, who().prop_map(S::RevertClonedRootfsChown).boxed()),
    ];
    let able = where_able.into_iter().filter(|(ability, ..)| !is_lacking(lacks, *ability));
    let steps = always.into_iter().chain(able.map(|(_, weight, step)| (weight, step)));
    scripts(Union::new_weighted(steps.collect()))
}

/// Scripts for an fs daemon.
pub(super) fn of_fs() -> impl Strategy<Value = Script<FsStep>> {
    scripts(prop_oneof![
        Just(FsStep::Mountpoint),
        who().prop_map(FsStep::PreRegister),
        who().prop_map(FsStep::Register),
        who().prop_map(FsStep::Update),
        who().prop_map(FsStep::Unregister),
    ])
}

fn scripts<S: fmt::Debug>(step: impl Strategy<Value = S>) -> impl Strategy<Value = Script<S>> {
    vec(step, 1..=40).prop_map(Script)
}

/// The first comes most often, so that much happens to it.
fn who() -> impl Strategy<Value = Who> {
    let weights = [5, 2, 1, 1, 1];
    Union::new_weighted(weights.into_iter().zip(Who::ALL.map(Just)).collect())
}

fn spaces() -> impl Strategy<Value = Spaces> {
    let space = || {
        prop_oneof![
            24 => Just(None),
            6 => Just(Some(Space::First)),
            2 => Just(Some(Space::FirstByAnotherPath)),
            2 => Just(Some(Space::Second)),
            1 => Just(Some(Space::NotThere)),
        ]
    };
    (space(), space()).prop_map(|(user, net)| Spaces { user, net })
}

fn named() -> impl Strategy<Value = Named> {
    prop_oneof![
        24 => Just(Named::Nothing),
        3 => Just(Named::Some),
        1 => Just(Named::SomeOfThem),
        1 => Just(Named::HostRoot),
        4 => who().prop_map(Named::GivenTo),
    ]
}

/// More than there are is asked for only where it is known how many there are.
fn size(lacks: &[Lack]) -> impl Strategy<Value = Size> + use<> {
    let mut sizes = vec![(6, Just(Size::Usual)), (1, Just(Size::One))];
    if !is_lacking(lacks, Ability::Capacity) {
        sizes.push((1, Just(Size::MoreThanThereAre)));
    }
    Union::new_weighted(sizes)
}

/// Most lead to ids of the host; the others to the container's own, or to none.
fn offset() -> impl Strategy<Value = i32> {
    prop_oneof![8 => Just(1 << 30), 1 => Just(0), 1 => Just(-1 << 30), 1 => Just(65_535)]
}

fn mark() -> impl Strategy<Value = Mark> {
    (who(), any::<bool>()).prop_map(|(directory, readonly)| Mark { directory, readonly })
}

pub(super) fn is_lacking(lacks: &[Lack], ability: Ability) -> bool {
    lacks.iter().any(|lack| lack.ability == ability)
}
