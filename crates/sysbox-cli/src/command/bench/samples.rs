//! What many measurements come to.

use std::time::Duration;

use serde::Serialize;

/// The measurements of one thing, in blocks that alternate with those of the others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    /// Of each call, in nanoseconds.
    times: Vec<u32>,
    /// The figure of each block: it is compared with that of another series' block of the same round.
    blocks: Vec<f64>,
}

/// Of 100 calls, so many took no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) samples: usize,
    pub(crate) p50_ns: u32,
    pub(crate) p90_ns: u32,
    pub(crate) p99_ns: u32,
}

impl Series {
    /// Adds a block of calls, its figure being their median.
    pub(crate) fn add_times(&mut self, mut times: Vec<u32>) {
        times.sort_unstable();
        let figure = f64::from(percentile(&times, 50));
        self.add(times, figure);
    }

    /// Adds a block of calls with a figure.
    pub(crate) fn add(&mut self, times: Vec<u32>, figure: f64) {
        self.times.extend(times);
        self.blocks.push(figure);
    }

    /// The percentiles of all calls.
    pub(crate) fn percentiles(&self) -> Percentiles {
        let mut times = self.times.clone();
        times.sort_unstable();
        let [p50_ns, p90_ns, p99_ns] = [50, 90, 99].map(|percent| percentile(&times, percent));
        Percentiles { samples: times.len(), p50_ns, p90_ns, p99_ns }
    }

    /// The median of the figures.
    pub(crate) fn figure(&self) -> f64 {
        median(self.blocks.clone())
    }

    /// The median of the ratios of the figures, block by block: what disturbs the machine for a while disturbs both alike.
    pub(crate) fn ratio_to(&self, floor: &Self) -> f64 {
        median(self.blocks.iter().zip(&floor.blocks).map(|(ours, floor)| ours / floor).collect())
    }
}

/// A time as it is kept; more than 4 seconds are 4 seconds.
pub(crate) fn nanoseconds(time: Duration) -> u32 {
    u32::try_from(time.as_nanos()).unwrap_or(u32::MAX)
}

/// To so many digits that the file can be read.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// The nearest rank of sorted times; 0 of none.
fn percentile(sorted: &[u32], percent: usize) -> u32 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

/// 0 of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.get(middle) {
        None => 0.0,
        Some(value) if values.len() % 2 == 1 => *value,
        Some(value) => f64::midpoint(*value, values[middle - 1]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let mut series = Series::default();
        series.add_times((1..=100).rev().collect());
        let expected = Percentiles { samples: 100, p50_ns: 50, p90_ns: 90, p99_ns: 99 };
        assert_eq!(series.percentiles(), expected);
        let mut one = Series::default();
        one.add_times(vec![7]);
        assert_eq!(one.percentiles(), Percentiles { samples: 1, p50_ns: 7, p90_ns: 7, p99_ns: 7 });
    }

    #[test]
    fn a_slow_round_of_both_does_not_change_their_ratio() {
        let (mut ours, mut floor) = (Series::default(), Series::default());
        for slowness in [1, 1, 9, 1, 5] {
            ours.add_times(vec![30 * slowness; 3]);
            floor.add_times(vec![20 * slowness; 3]);
        }
        assert_eq!(rounded(ours.ratio_to(&floor)), 1.5);
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
