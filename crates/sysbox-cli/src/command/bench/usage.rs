//! What a process has used so far.

use std::{alloc::System, fs, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// Counts what is allocated. It counts always, for the allocator of a program cannot be changed while it runs.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What a process has used since it started.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// Time on a core, of all its threads.
    pub(crate) cpu: Duration,
    /// How often it allocated memory, or had an allocation made larger or smaller.
    pub(crate) allocations: u64,
    /// The memory that is there for it now, in bytes; 0 where the kernel does not tell.
    pub(crate) resident_bytes: u64,
    /// How many bytes came in over its counted sockets.
    pub(crate) received_bytes: u64,
    /// How many bytes went out over its counted sockets.
    pub(crate) sent_bytes: u64,
}

impl Usage {
    /// That of this process, which has no counted sockets.
    pub(crate) fn of_this_process() -> Self {
        Self { resident_bytes: resident_bytes(), allocations: allocations(), cpu: cpu(), ..Self::default() }
    }
}

/// How often this process allocated.
pub(crate) fn allocations() -> u64 {
    let stats = ALLOCATOR.stats();
    u64::try_from(stats.allocations + stats.reallocations).unwrap_or(u64::MAX)
}

/// The time that this process had on a core.
pub(crate) fn cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// `proc_pid_status(5)`.
fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB"));
    resident.and_then(|text| text.trim().parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allocated_and_computed_is_seen() {
        let before = Usage::of_this_process();
        let held = std::hint::black_box(vec![1_u8; 1 << 25]);
        let after = Usage::of_this_process();
        assert!(after.allocations > before.allocations && after.cpu > before.cpu);
        assert!(after.resident_bytes >= before.resident_bytes + (1 << 24), "{before:?} {after:?}");
        drop(held);
    }
}
