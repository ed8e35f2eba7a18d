//! How long to wait before trying again.

use std::time::{Duration, Instant};

/// Waits that double from 5 ms to 200 ms, until a patience that began with the first one ends.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    patience: Duration,
    since: Option<Instant>,
    next: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(5);
    const LONGEST: Duration = Duration::from_millis(200);

    /// Waits for that long in all.
    pub const fn new(patience: Duration) -> Self {
        Self { patience, since: None, next: Self::FIRST }
    }

    /// Waits before the next try; `false` when there is to be none.
    pub async fn wait(&mut self) -> bool {
        let Some(wait) = self.next_wait() else { return false };
        tokio::time::sleep(wait).await;
        true
    }

    /// How long to wait before the next try; `None` when there is to be none.
    pub fn next_wait(&mut self) -> Option<Duration> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let left = self.patience.saturating_sub(since.elapsed());
        let wait = self.next.min(left);
        self.next = Self::LONGEST.min(self.next * 2);
        (!left.is_zero()).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_ends_with_the_patience_and_never_begins_without_one() {
        assert!(!Backoff::new(Duration::ZERO).wait().await);
        let began = Instant::now();
        let mut backoff = Backoff::new(Duration::from_millis(60));
        let mut tries = 0;
        while backoff.wait().await {
            tries += 1;
        }
        assert!(began.elapsed() >= Duration::from_millis(60));
        assert!((3..=8).contains(&tries), "5, 10, 20 and what is left of 60 ms, but {tries} tries");
    }
}
