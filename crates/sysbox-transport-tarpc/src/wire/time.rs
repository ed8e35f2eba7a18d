//! Times, by their distance from 1970. All that a clock can say crosses, to the nanosecond and before 1970 too.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{ConvertError, Rule};

/// A time. Serde sends a duration as its seconds and nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Time {
    Since1970(Duration),
    Before1970(Duration),
}

impl From<SystemTime> for Time {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(since) => Self::Since1970(since),
            Err(before) => Self::Before1970(before.duration()),
        }
    }
}

pub(super) fn read(field: &str, time: Option<Time>) -> Result<Option<SystemTime>, ConvertError> {
    let Some(time) = time else { return Ok(None) };
    let (read, seconds) = match time {
        Time::Since1970(since) => (UNIX_EPOCH.checked_add(since), i128::from(since.as_secs())),
        Time::Before1970(before) => (UNIX_EPOCH.checked_sub(before), -i128::from(before.as_secs())),
    };
    read.map(Some).ok_or_else(|| ConvertError::new(field, Rule::Time { seconds }))
}
