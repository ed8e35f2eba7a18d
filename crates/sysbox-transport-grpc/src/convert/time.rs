//! The time that a container was created, which is always sent: sysbox-fs refuses a message without it.
//!
//! No time is sent as the zero time of Go, the first moment of the year 1.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost_types::Timestamp;

use super::{ConvertError, Rule};

/// The zero time of Go, in seconds since 1970; nothing earlier is a `google.protobuf.Timestamp` either.
const YEAR_1: i64 = -62_135_596_800;
/// The last second of the year 9999, where a `google.protobuf.Timestamp` ends.
const YEAR_9999: i64 = 253_402_300_799;

/// What stands for no time.
pub(super) const ZERO: Timestamp = Timestamp { seconds: YEAR_1, nanos: 0 };

pub(super) fn read(field: &str, timestamp: Option<Timestamp>) -> Result<Option<SystemTime>, ConvertError> {
    match timestamp {
        None | Some(ZERO) => Ok(None),
        Some(timestamp) => from_wire(timestamp).map(Some).map_err(|rule| ConvertError::new(field, rule)),
    }
}

pub(super) fn write(field: &str, time: Option<SystemTime>) -> Result<Timestamp, ConvertError> {
    time.map_or(Ok(ZERO), |time| to_wire(time).map_err(|rule| ConvertError::new(field, rule)))
}

/// Nanoseconds count forward from the second, also before 1970.
fn from_wire(Timestamp { seconds, nanos }: Timestamp) -> Result<SystemTime, Rule> {
    let year = Rule::Year { seconds: seconds.into() };
    if !(YEAR_1..=YEAR_9999).contains(&seconds) {
        return Err(year);
    }
    let fraction = match u32::try_from(nanos) {
        Ok(nanos) if nanos < 1_000_000_000 => Duration::new(0, nanos),
        _ => return Err(Rule::Nanos { nanos }),
    };
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let second = if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    second.and_then(|second| second.checked_add(fraction)).ok_or(year)
}

fn to_wire(time: SystemTime) -> Result<Timestamp, Rule> {
    const PER_SECOND: i128 = 1_000_000_000;
    let nanos = match time.duration_since(UNIX_EPOCH) {
        Ok(since) => signed(since),
        Err(before) => -signed(before.duration()),
    };
    let (seconds, nanos) = (nanos.div_euclid(PER_SECOND), nanos.rem_euclid(PER_SECOND));
    let (Ok(whole), Ok(nanos)) = (i64::try_from(seconds), i32::try_from(nanos)) else {
        return Err(Rule::Year { seconds });
    };
    match (Timestamp { seconds: whole, nanos }) {
        ZERO => Err(Rule::NoTime),
        timestamp if (YEAR_1..=YEAR_9999).contains(&whole) => Ok(timestamp),
        _ => Err(Rule::Year { seconds }),
    }
}

fn signed(duration: Duration) -> i128 {
    i128::from(duration.as_secs()) * 1_000_000_000 + i128::from(duration.subsec_nanos())
}
