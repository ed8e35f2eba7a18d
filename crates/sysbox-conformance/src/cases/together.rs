//! Callers that call at the same time, and callers that go away.

use std::sync::Arc;

use sysbox_core::{ContainerData, ErrorKind, PortError, Registration, Subids};
use tokio::task::JoinSet;

use super::life::{USUAL, abandoned, disjoint, try_start};
use crate::{
    Broken, Case, Outcome, World,
    case::{case, same},
    world::{container, usual_ids_of},
};

pub(super) static CASES: &[Case] = &[
    case!("mgr::together", of_two_that_register_one_container_exactly_one_does, [Mgr]),
    case!("mgr::together", of_many_that_stop_one_container_exactly_one_does, [Mgr]),
    case!("mgr::together", containers_started_at_once_have_ids_of_their_own, [Mgr, Capacity]),
    case!("mgr::together", all_that_ask_for_one_containers_ids_at_once_get_the_same, [Mgr]),
    case!("mgr::together", a_registration_whose_caller_goes_away_is_made_or_not_made, [Mgr]),
    case!(
        "mgr::together",
        a_wish_for_ids_whose_caller_goes_away_takes_no_more_than_it_would,
        [Mgr, Capacity]
    ),
    case!("fs::together", of_many_that_pre_register_one_container_exactly_one_does, [Fs]),
    case!("fs::together", containers_made_known_at_once_are_all_known, [Fs]),
];

/// Runs calls at once, and gives their answers in the order in which they came.
async fn at_once<T, F>(calls: impl IntoIterator<Item = F>) -> Result<Vec<T>, Broken>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let (mut tasks, mut answers): (JoinSet<T>, _) = (calls.into_iter().collect(), Vec::new());
    while let Some(answer) = tasks.join_next().await {
        answers
            .push(answer.map_err(|error| Broken::new(format!("a call ended without an answer: {error}")))?);
    }
    Ok(answers)
}

/// Requires that one call was answered, and all others refused with this kind.
fn one_wins<T>(answers: Vec<Result<T, PortError>>, kind: ErrorKind) -> Outcome {
    let refusals: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    same("how many were answered", &(answers.len() - refusals.len()), &1)?;
    let kinds: Vec<_> = refusals.iter().map(|error| error.kind).collect();
    same("how the others were refused", &kinds, &vec![kind; kinds.len()])
}

async fn of_two_that_register_one_container_exactly_one_does(world: &mut World) -> Outcome {
    let mgr = world.mgr()?;
    for round in 0..8 {
        let request = Arc::new(world.registration(&format!("c{round}"))?);
        let calls = (0..2).map(|_| {
            let (mgr, request) = (mgr.clone(), request.clone());
            async move { mgr.register(&request).await }
        });
        one_wins(at_once(calls).await?, ErrorKind::AlreadyExists)?;
    }
    Ok(())
}

async fn of_many_that_stop_one_container_exactly_one_does(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    let calls = (0..16).map(|_| {
        let (mgr, id) = (mgr.clone(), request.id.clone());
        async move { mgr.unregister(&id).await }
    });
    one_wins(at_once(calls).await?, ErrorKind::FailedPrecondition)
}

/// More than there are ranges for: as many get one as there are, and the others are told so.
async fn containers_started_at_once_have_ids_of_their_own(world: &mut World) -> Outcome {
    let (mgr, capacity) = (world.mgr()?, usize::try_from(world.capacity()?).unwrap_or(usize::MAX));
    let requests = (0..64).map(|n| world.registration(&format!("c{n}")));
    let requests: Vec<Registration> = requests.collect::<Result<_, _>>()?;
    let calls = requests.into_iter().map(|request| {
        let mgr = mgr.clone();
        async move { try_start(&*mgr, &request).await }
    });
    let answers = at_once(calls).await?;
    let refused: Vec<_> =
        answers.iter().filter_map(|answer| answer.as_ref().err()).map(|error| error.kind).collect();
    let kinds = vec![ErrorKind::ResourceExhausted; 64_usize.saturating_sub(capacity)];
    same("how those were refused for whom there are none", &refused, &kinds)?;
    let given: Vec<Subids> = answers.into_iter().flatten().collect();
    disjoint(&given, USUAL)
}

async fn all_that_ask_for_one_containers_ids_at_once_get_the_same(world: &mut World) -> Outcome {
    let (mgr, request) = (world.mgr()?, world.registration("c")?);
    mgr.register(&request).await?;
    let calls = (0..16).map(|_| {
        let (mgr, id) = (mgr.clone(), request.id.clone());
        async move { mgr.alloc_subids(&usual_ids_of(&id)).await }
    });
    let given: Vec<Subids> = at_once(calls).await?.into_iter().collect::<Result<_, _>>()?;
    let first = mgr.alloc_subids(&usual_ids_of(&request.id)).await?;
    same("the ids", &given, &vec![first; given.len()])
}

/// The container is another each time: what a caller that went away had sent may yet arrive.
async fn a_registration_whose_caller_goes_away_is_made_or_not_made(world: &mut World) -> Outcome {
    let mgr = world.mgr()?;
    for times in 0..world.capacity()?.min(12) {
        let request = world.registration(&format!("c{times}"))?;
        abandoned(mgr.register(&request), times).await;
        match mgr.register(&request).await {
            Ok(_) => {}
            Err(error) if error.kind == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
        mgr.alloc_subids(&usual_ids_of(&request.id)).await?;
        mgr.pause(&request.id).await?;
    }
    Ok(())
}

async fn a_wish_for_ids_whose_caller_goes_away_takes_no_more_than_it_would(world: &mut World) -> Outcome {
    let mgr = world.mgr()?;
    let mut given = Vec::new();
    for n in 0..world.capacity()? {
        let request = world.registration(&format!("c{n}"))?;
        mgr.register(&request).await?;
        abandoned(mgr.alloc_subids(&usual_ids_of(&request.id)), n % 12).await;
        given.push(mgr.alloc_subids(&usual_ids_of(&request.id)).await?);
    }
    disjoint(&given, USUAL)
}

async fn of_many_that_pre_register_one_container_exactly_one_does(world: &mut World) -> Outcome {
    let (fs, data) = (world.fs()?, ContainerData::new(container("c")));
    let calls = (0..16).map(|_| {
        let (fs, data) = (fs.clone(), data.clone());
        async move { fs.pre_register(&data).await }
    });
    one_wins(at_once(calls).await?, ErrorKind::AlreadyExists)
}

async fn containers_made_known_at_once_are_all_known(world: &mut World) -> Outcome {
    let fs = world.fs()?;
    let calls = (0..64).map(|n| {
        let (fs, data) = (fs.clone(), ContainerData::new(container(&format!("c{n}"))));
        async move {
            fs.pre_register(&data).await?;
            fs.register(&data).await?;
            fs.unregister(&data).await
        }
    });
    Ok(at_once(calls).await?.into_iter().collect::<Result<_, PortError>>()?)
}
