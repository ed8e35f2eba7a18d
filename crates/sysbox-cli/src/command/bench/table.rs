//! The report for people, on the terminal.

use super::{
    Way,
    report::{Latency, Named, Report, Throughput},
};
use crate::render;

/// Prints it.
pub(crate) fn print(report: &Report) -> anyhow::Result<()> {
    if !report.program.optimized {
        render::line("This program was built without optimizations: the figures say little.")?;
    }
    for placement in &report.placements {
        render::heading(&format!("one call at a time, {}", placement.meaning))?;
        render::line("median time, and how many times that of the floor (ping-pong)\n")?;
        render::table(&header(&["CALL"]), latency(report, placement).into_iter())?;
    }
    render::heading("several callers")?;
    render::line("calls per second, and how many times those of the floor\n")?;
    render::table(&header(&["CALL", "CALLERS"]), throughput(report).into_iter())?;
    render::heading("memory of the servers")?;
    render::line("")?;
    let rows = report.servers.iter().map(|server| {
        let [at_end, growth] = [server.resident_bytes_at_end, server.growth_bytes].map(mebibytes);
        vec![server.way.name().to_owned(), at_end, growth]
    });
    render::table(&["WAY", "AT THE END", "GROWN BY"], rows)?;
    render::line("")?;
    for way in &report.ways {
        render::line(&format!("{:14} {}", way.name, way.meaning))?;
    }
    Ok(())
}

fn header(first: &[&'static str]) -> Vec<&'static str> {
    first.iter().copied().chain(Way::ALL.map(Way::name)).collect()
}

fn latency(report: &Report, placement: &Named) -> Vec<Vec<String>> {
    let of_placement: Vec<&Latency> =
        report.latency.iter().filter(|row| row.placement.name() == placement.name).collect();
    let of_floor = of_placement.iter().filter(|row| row.way == Way::FLOOR);
    let line = |floor: &&Latency| {
        let cell = |way| {
            let row = of_placement.iter().find(|row| row.call == floor.call && row.way == way);
            row.map(|row| with_ratio(time(row.times.p50_ns), way, row.ratio_to_floor)).unwrap_or_default()
        };
        [floor.call.to_owned()].into_iter().chain(Way::ALL.map(cell)).collect()
    };
    of_floor.map(line).collect()
}

fn throughput(report: &Report) -> Vec<Vec<String>> {
    let of_floor = report.throughput.iter().filter(|row| row.way == Way::FLOOR);
    let line = |floor: &Throughput| {
        let cell = |way| {
            let is_it =
                |row: &&Throughput| row.call == floor.call && row.callers == floor.callers && row.way == way;
            let row = report.throughput.iter().find(is_it);
            row.map(|row| with_ratio(format!("{:.0}", row.calls_per_second), way, row.ratio_to_floor))
                .unwrap_or_default()
        };
        [floor.call.to_owned(), floor.callers.to_string()].into_iter().chain(Way::ALL.map(cell)).collect()
    };
    of_floor.map(line).collect()
}

fn with_ratio(figure: String, way: Way, ratio: f64) -> String {
    if way == Way::FLOOR { figure } else { format!("{figure}  x{ratio:.2}") }
}

/// A time with its unit.
pub(crate) fn time(nanoseconds: u32) -> String {
    let time = f64::from(nanoseconds);
    match nanoseconds {
        0..1_000 => format!("{time:.0} ns"),
        1_000..1_000_000 => format!("{:.1} us", time / 1e3),
        _ => format!("{:.2} ms", time / 1e6),
    }
}

/// An amount of memory with its unit.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_the_unit_that_suits_it() {
        for (nanoseconds, text) in
            [(999, "999 ns"), (1_000, "1.0 us"), (12_345, "12.3 us"), (1_234_567, "1.23 ms")]
        {
            assert_eq!(time(nanoseconds), text);
        }
    }
}
