//! Where it was measured.

use std::fs;

use serde::Serialize;

/// The machine; what the kernel does not tell is `None`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    /// The name of its processor.
    pub(crate) processor: Option<String>,
    /// How many cores this program may use.
    pub(crate) cores: Option<usize>,
    pub(crate) memory_bytes: Option<u64>,
    /// The release of its kernel.
    pub(crate) kernel: String,
    /// What it is built for, such as `x86_64`.
    pub(crate) architecture: String,
}

impl Machine {
    /// This machine.
    pub(crate) fn look() -> Self {
        let name = rustix::system::uname();
        Self {
            processor: field("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().ok().map(usize::from),
            memory_bytes: field("/proc/meminfo", "MemTotal").and_then(|text| bytes(&text)),
            kernel: name.release().to_string_lossy().into_owned(),
            architecture: name.machine().to_string_lossy().into_owned(),
        }
    }
}

/// The value of the first line `name : value` of a file.
fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let values = text.lines().filter_map(|line| line.split_once(':'));
    values.into_iter().find_map(|(key, value)| (key.trim() == name).then(|| value.trim().to_owned()))
}

/// `proc_meminfo(5)` counts in units of 1,024.
fn bytes(text: &str) -> Option<u64> {
    Some(text.strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Seconds since 1970 as a date and time in UTC.
pub(crate) fn date(unix_seconds: u64) -> String {
    let (days, second) = (unix_seconds / 86_400, unix_seconds % 86_400);
    // Years are counted from March on, so that the day that some have more is their last (the algorithm civil_from_days).
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", second / 3600, second / 60 % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_what_date_1_says() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_399, "2000-02-28 23:59 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (951_868_800, "2000-03-01 00:00 UTC"),
            (1_735_689_599, "2024-12-31 23:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00 UTC"),
        ] {
            assert_eq!(date(seconds), text);
        }
    }

    #[test]
    fn this_machine_has_memory_and_cores() {
        let machine = Machine::look();
        assert!(machine.memory_bytes.is_some_and(|bytes| bytes > 1 << 20), "{machine:?}");
        assert!(machine.cores.is_some_and(|cores| cores > 0), "{machine:?}");
    }
}
