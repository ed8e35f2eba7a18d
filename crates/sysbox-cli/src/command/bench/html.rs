//! The report for people who do not sit at the machine: one file of HTML, without scripts and without anything from elsewhere.

use std::{
    fmt::{self, Display, Write as _},
    fs::Permissions,
    io::Write as _,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

use super::{
    Way, chart, machine,
    report::{Call, Latency, Named, Report, Throughput},
    step::{LIFE, Step, WITH_MANY},
    table::{mebibytes, time},
};

/// Where the file is to be; of a symbolic link, where it leads.
#[derive(Debug)]
pub(crate) struct Target {
    path: PathBuf,
    dir: PathBuf,
}

impl Target {
    /// Refuses what cannot become the file, before anything is measured.
    pub(crate) fn new(named: &Path) -> anyhow::Result<Self> {
        let path = &followed(named)?;
        if path.metadata().is_ok_and(|found| !found.is_file()) {
            bail!("--html {} is there and is no file; name a file", path.display());
        }
        let (Some(_), Some(dir)) = (path.file_name(), path.parent()) else {
            bail!("--html {} names no file", path.display());
        };
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        if !dir.is_dir() {
            bail!("--html {} would be in a directory that is not there; make it first", path.display());
        }
        // It has no name, so nothing is left of it whenever this process is ended.
        tempfile::tempfile_in(dir).with_context(|| {
            format!(
                "cannot write --html {}; name a file in a directory that can be written to",
                path.display()
            )
        })?;
        Ok(Self { path: path.to_owned(), dir: dir.to_owned() })
    }

    /// Writes it, all of it or nothing.
    pub(crate) fn write(&self, report: &Report) -> anyhow::Result<()> {
        let page = page(report).context("cannot draw the report")?;
        let write = || -> anyhow::Result<()> {
            let readable = Permissions::from_mode(0o644);
            let mut file = tempfile::Builder::new()
                .prefix(".sysbox-bench-")
                .permissions(readable)
                .tempfile_in(&self.dir)?;
            file.write_all(page.as_bytes())?;
            file.persist(&self.path)?;
            Ok(())
        };
        write().with_context(|| format!("cannot write --html {}", self.path.display()))
    }
}

/// The file that a symbolic link leads to: the link stays, and the file is replaced.
fn followed(path: &Path) -> anyhow::Result<PathBuf> {
    if !path.is_symlink() {
        return Ok(path.to_owned());
    }
    let explain =
        || format!("--html {} is a symbolic link that leads to no file; name the file", path.display());
    path.canonicalize().with_context(explain)
}

/// Text that is shown as it is.
pub(crate) struct Escaped<T>(pub(crate) T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.to_string().chars().try_for_each(|character| match character {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            other => f.write_char(other),
        })
    }
}

const HEAD: &str = r#"<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>sysbox bench</title><style>
body { font: 15px/1.5 sans-serif; max-width: 1180px; margin: 2em auto; padding: 0 1em; color: #222; background: #fff }
table { border-collapse: collapse; margin: 1em 0 } caption { text-align: left; font-weight: bold; padding: .3em 0 }
th, td { padding: .2em .8em; text-align: right; border-bottom: 1px solid #ddd } th:first-child, td:first-child { text-align: left }
small { color: #666 } .charts { display: flex; flex-wrap: wrap; gap: 1em } svg { max-width: 100%; height: auto }
</style></head><body>
<h1>What a call costs, by each way to a backend</h1>
"#;

const HOW: &str = "Every way is measured in the same run, in short turns. A ratio compares with the floor of \
    the same round, and is the median of all rounds: a bare exchange of messages over a unix socket, as long as the shortest that \
    any way needs for the call. The backend is a model in memory, so the way there is what is measured. Each server is a process of \
    its own with one thread, the client has one thread. One caller waits as sysbox::blocking does, attentively for 100 microseconds; \
    several callers are tasks. Bars: median, 90th and 99th percentile.";

fn page(report: &Report) -> anyhow::Result<String> {
    let mut page = HEAD.to_owned();
    about(&mut page, report)?;
    for placement in &report.placements {
        write!(page, "<h2>One call at a time, {}</h2>", Escaped(placement.meaning))?;
        latency_charts(&mut page, report, placement)?;
        latency_table(&mut page, report, placement)?;
    }
    page.push_str("<h2>Several callers</h2>");
    throughput_charts(&mut page, report)?;
    throughput_table(&mut page, report)?;
    page.push_str("<h2>Bytes, allocations and memory</h2>");
    call_table(&mut page, report)?;
    let servers = report.servers.iter().map(|server| {
        let [start, end, growth] =
            [server.resident_bytes_at_start, server.resident_bytes_at_end, server.growth_bytes]
                .map(mebibytes);
        vec![server.way.name().to_owned(), start, end, growth]
    });
    table(&mut page, "Memory of the servers", &["way", "at the start", "at the end", "grown by"], servers)?;
    page.push_str("</body></html>\n");
    Ok(page)
}

fn about(page: &mut String, report: &Report) -> fmt::Result {
    let machine = &report.machine;
    write!(
        page,
        "<p>{}, for {:.0} s. sysbox {}{}, Linux {} on {}, {} cores, {}, {} of memory.</p><p>{}</p><ul>",
        Escaped(machine::date(report.began_unix_seconds)),
        report.took_seconds,
        Escaped(report.program.version),
        if report.program.optimized { "" } else { " (built without optimizations: the figures say little)" },
        Escaped(&machine.kernel),
        Escaped(machine.processor.as_deref().unwrap_or("a processor without a name")),
        machine.cores.map_or_else(|| "?".to_owned(), |cores| cores.to_string()),
        Escaped(&machine.architecture),
        machine.memory_bytes.map_or_else(|| "?".to_owned(), mebibytes),
        Escaped(HOW),
    )?;
    for way in &report.ways {
        write!(page, "<li><b>{}</b>: {}</li>", Escaped(way.name), Escaped(way.meaning))?;
    }
    page.push_str("</ul>");
    Ok(())
}

fn latency_charts(page: &mut String, report: &Report, placement: &Named) -> anyhow::Result<()> {
    page.push_str("<div class=\"charts\">");
    for call in WITH_MANY.map(Step::name).into_iter().chain([LIFE]) {
        let rows = of_placement(report, placement).filter(|row| row.call == call);
        let ways = in_order(rows, |row| row.way).map(|row| (row.way, row.times));
        let svg = chart::percentiles(call, &ways.collect::<Vec<_>>())?;
        let title = format!("{call}, {}: microseconds of a call by each way", placement.meaning);
        page.push_str(&chart::entitled(&svg, &title));
    }
    page.push_str("</div>");
    Ok(())
}

fn throughput_charts(page: &mut String, report: &Report) -> anyhow::Result<()> {
    page.push_str("<div class=\"charts\">");
    for call in WITH_MANY.map(Step::name) {
        let rows: Vec<&Throughput> = report.throughput.iter().filter(|row| row.call == call).collect();
        let of_floor = rows.iter().filter(|row| row.way == Way::FLOOR);
        let callers: Vec<usize> = of_floor.map(|row| row.callers).collect();
        let figures = |way| {
            let of_way = rows.iter().filter(|row| row.way == way);
            (way, of_way.map(|row| row.calls_per_second).collect())
        };
        let svg = chart::throughput(call, &callers, &Way::ALL.map(figures))?;
        let title = format!("{call}: calls per second by each way, with several callers");
        page.push_str(&chart::entitled(&svg, &title));
    }
    page.push_str("</div>");
    Ok(())
}

fn latency_table(page: &mut String, report: &Report, placement: &Named) -> fmt::Result {
    let rows = of_placement(report, placement).map(|row| {
        let [p50, p90, p99] = [row.times.p50_ns, row.times.p90_ns, row.times.p99_ns].map(time);
        let ratio = format!("{:.2}", row.ratio_to_floor);
        vec![
            row.call.to_owned(),
            row.way.name().to_owned(),
            p50,
            p90,
            p99,
            ratio,
            row.times.samples.to_string(),
        ]
    });
    let caption = format!("Time of a call, {}", placement.meaning);
    table(page, &caption, &["call", "way", "p50", "p90", "p99", "times the floor", "calls measured"], rows)
}

fn throughput_table(page: &mut String, report: &Report) -> fmt::Result {
    let rows = report.throughput.iter().map(|row| {
        let micros = |nanoseconds: f64| format!("{:.1} us", nanoseconds / 1e3);
        vec![
            row.call.to_owned(),
            row.callers.to_string(),
            row.way.name().to_owned(),
            format!("{:.0}", row.calls_per_second),
            format!("{:.2}", row.ratio_to_floor),
            time(row.times.p50_ns),
            time(row.times.p99_ns),
            micros(row.client_cpu_ns),
            row.server_cpu_ns.map_or_else(|| "-".to_owned(), micros),
        ]
    });
    let header = [
        "call",
        "callers",
        "way",
        "calls/s",
        "times the floor",
        "p50",
        "p99",
        "client's CPU",
        "server's CPU",
    ];
    table(page, "What gets through, and what a call costs both ends", &header, rows)
}

fn call_table(page: &mut String, report: &Report) -> fmt::Result {
    let or_dash =
        |figure: Option<f64>| figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.1}"));
    let rows = report.calls.iter().map(|row: &Call| {
        vec![
            row.call.to_owned(),
            row.way.name().to_owned(),
            or_dash(row.request_bytes),
            or_dash(row.reply_bytes),
            or_dash(Some(row.client_allocations)),
            or_dash(row.server_allocations),
        ]
    });
    let header = ["call", "way", "bytes there", "bytes back", "client's allocations", "server's allocations"];
    table(page, "Per call", &header, rows)
}

fn table(
    page: &mut String,
    caption: &str,
    header: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
) -> fmt::Result {
    write!(page, "<table><caption>{}</caption><tr>", Escaped(caption))?;
    header.iter().try_for_each(|cell| write!(page, "<th scope=\"col\">{}</th>", Escaped(cell)))?;
    for row in rows {
        page.push_str("</tr><tr>");
        row.iter().try_for_each(|cell| write!(page, "<td>{}</td>", Escaped(cell)))?;
    }
    page.push_str("</tr></table>\n");
    Ok(())
}

fn of_placement<'a>(report: &'a Report, placement: &'a Named) -> impl Iterator<Item = &'a Latency> {
    report.latency.iter().filter(|row| row.placement.name() == placement.name)
}

fn in_order<T>(rows: impl Iterator<Item = T>, way: impl Fn(&T) -> Way) -> impl Iterator<Item = T> {
    let mut rows: Vec<T> = rows.collect();
    rows.sort_by_key(way);
    rows.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn text_is_shown_as_it_is() {
        assert_eq!(Escaped("<a href='x'>\"&").to_string(), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;");
    }

    #[test]
    fn a_directory_is_refused_by_its_path() {
        let dir = tempfile::tempdir().expect("a directory");
        let error = Target::new(dir.path()).expect_err("refused").to_string();
        assert!(error.contains(&dir.path().display().to_string()), "{error}");
        let inside = dir.path().join("missing/report.html");
        let error = Target::new(&inside).expect_err("refused").to_string();
        assert!(error.contains(&inside.display().to_string()), "{error}");
        Target::new(&dir.path().join("report.html")).expect("can be made");
        assert_eq!(dir.path().read_dir().expect("readable").count(), 0, "looking makes nothing");
    }

    #[test]
    fn a_directory_that_takes_no_file_is_refused() {
        let error = Target::new(Path::new("/proc/report.html")).expect_err("refused").to_string();
        assert!(error.contains("cannot write --html /proc/report.html"), "{error}");
    }

    #[test]
    fn a_link_is_followed_and_one_that_leads_nowhere_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let (link, file) = (dir.path().join("link"), dir.path().join("file"));
        symlink(&file, &link).expect("made");
        let error = Target::new(&link).expect_err("refused").to_string();
        assert!(error.contains(&link.display().to_string()), "{error}");
        std::fs::write(&file, "an earlier one").expect("written");
        assert_eq!(Target::new(&link).expect("can be replaced").path, file.canonicalize().expect("there"));
    }
}
