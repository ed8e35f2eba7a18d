//! Waiting without falling asleep.

use std::{
    future::poll_fn,
    pin::pin,
    task::Poll,
    time::{Duration, Instant},
};

/// How long a call is waited for actively: a few times what a call to a daemon takes that answers at once.
const ATTENTION: Duration = Duration::from_micros(100);

/// Waits for a call, actively at first.
///
/// A core that has nothing to do is put to sleep, and to wake it takes longer than most calls to a daemon take. So this keeps the
/// runtime looking for the answer for 100 microseconds before it lets the thread sleep; on a core that others need, it gives
/// way to them each time. It is for a thread that has nothing else to do: in a runtime with other tasks it would slow them.
pub async fn attentively<F: Future>(call: F) -> F::Output {
    let mut call = pin!(call);
    let mut began = None;
    poll_fn(|cx| {
        let polled = call.as_mut().poll(cx);
        if polled.is_pending() && began.get_or_insert_with(Instant::now).elapsed() < ATTENTION {
            std::thread::yield_now();
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        polled
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_is_waited_for_however_long_it_takes() {
        assert_eq!(attentively(async { 1 }).await, 1);
        let late = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            2
        };
        assert_eq!(attentively(late).await, 2);
    }

    #[tokio::test]
    async fn attention_ends() {
        let mut polls = 0;
        let call = attentively(poll_fn(|_| {
            polls += 1;
            Poll::<()>::Pending
        }));
        assert!(tokio::time::timeout(Duration::from_millis(50), call).await.is_err());
        assert!((2..100_000).contains(&polls), "{polls} polls");
    }
}
