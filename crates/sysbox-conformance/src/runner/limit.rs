//! Working with a backend on a runtime of its own, for a minute at most.

use std::{pin::Pin, sync::Arc, time::Duration};

use tokio::{runtime::Builder, task::spawn_blocking, time::timeout};

use crate::{Broken, Harness, Outcome, World};

/// Far more than any case takes.
const LIMIT: Duration = Duration::from_secs(60);

/// Work with a backend.
pub(crate) type Working<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// Works with a fresh backend of the harness. A panic in the work is its failure.
pub(crate) fn in_world(
    harness: &Arc<dyn Harness>,
    work: impl for<'a> FnOnce(&'a mut World) -> Working<'a> + Send + 'static,
) -> Outcome {
    let harness = harness.clone();
    within_limit(async move {
        let mut world = World::new(harness).await?;
        let outcome = work(&mut world).await;
        // A backend may wait for its callers' connections to end, which other threads of the runtime must see to.
        spawn_blocking(move || drop(world)).await.map_err(|panic| broke_off("ending the backend", &panic))?;
        outcome
    })
}

/// Waits for `work`, which may block: it has a thread for that.
fn within_limit(work: impl Future<Output = Outcome> + Send + 'static) -> Outcome {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Broken::unseen(format!("no runtime: {error}")))?;
    let task = runtime.spawn(work);
    let outcome = runtime.block_on(async { timeout(LIMIT, task).await });
    // What is still at work then must not hold up others.
    runtime.shutdown_background();
    match outcome {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => Err(broke_off("the case", &panic)),
        Err(_) => Err(Broken::new(format!("no end after {} s", LIMIT.as_secs()))),
    }
}

fn broke_off(what: &str, panic: &tokio::task::JoinError) -> Broken {
    Broken::new(format!("{what} broke off: {panic}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_failure_that_says_what_it_was() {
        let broken = within_limit(async { panic!("out of tea") }).expect_err("it panicked");
        assert!(broken.to_string().contains("out of tea"), "{broken}");
    }
}
