//! The charts of the HTML report, as SVG.

use plotters::{
    chart::{ChartBuilder, SeriesLabelPosition},
    drawing::IntoDrawingArea,
    element::{Circle, PathElement, Rectangle},
    prelude::{IntoLogRange, IntoSegmentedCoord, SVGBackend, SegmentValue},
    series::LineSeries,
    style::{BLACK, Color, RGBColor, WHITE},
};

use super::{Way, html::Escaped, samples::Percentiles};

/// Width and height; as text in SVG they scale with the page.
const SIZE: (u32, u32) = (560, 320);

const FONT: &str = "sans-serif";

/// Microseconds and calls per second are drawn from here on: on a logarithmic axis there is no 0.
const LOWEST: f64 = 0.1;

/// For each way the percentiles of its calls, one within the other.
pub(crate) fn percentiles(title: &str, ways: &[(Way, Percentiles)]) -> anyhow::Result<String> {
    let micros = |nanoseconds: u32| f64::from(nanoseconds) / 1e3;
    let highest = ways.iter().map(|(_, times)| micros(times.p99_ns)).fold(1.0, f64::max) * 1.5;
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption(title, (FONT, 15))
            .margin(8)
            .x_label_area_size(28)
            .y_label_area_size(60)
            .build_cartesian_2d(
                (0..ways.len().saturating_sub(1)).into_segmented(),
                (LOWEST..highest).log_scale(),
            )?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .y_desc("microseconds")
            .y_label_formatter(&|value| value.to_string())
            .x_label_formatter(&|value| match value {
                SegmentValue::CenterOf(index) => {
                    ways.get(*index).map_or("", |(way, _)| way.name()).to_owned()
                }
                _ => String::new(),
            })
            .light_line_style(WHITE)
            .label_style((FONT, 12))
            .draw()?;
        for (shown, opacity) in [(Shown::P99, 0.25), (Shown::P90, 0.5), (Shown::P50, 1.0)] {
            chart.draw_series(ways.iter().enumerate().map(|(index, (way, times))| {
                let corners = [
                    (SegmentValue::Exact(index), LOWEST),
                    (SegmentValue::Exact(index + 1), micros(shown.of(times)).max(LOWEST)),
                ];
                let mut bar = Rectangle::new(corners, colour(*way).mix(opacity).filled());
                bar.set_margin(0, 0, 16, 16);
                bar
            }))?;
        }
        root.present()?;
    }
    Ok(svg)
}

#[derive(Clone, Copy)]
enum Shown {
    P50,
    P90,
    P99,
}

impl Shown {
    const fn of(self, times: &Percentiles) -> u32 {
        match self {
            Self::P50 => times.p50_ns,
            Self::P90 => times.p90_ns,
            Self::P99 => times.p99_ns,
        }
    }
}

/// For each way how many calls a second get through with so many callers.
pub(crate) fn throughput(title: &str, callers: &[usize], ways: &[(Way, Vec<f64>)]) -> anyhow::Result<String> {
    let all = || ways.iter().flat_map(|(_, figures)| figures.iter().copied());
    let (lowest, highest) = (all().fold(f64::MAX, f64::min).max(LOWEST), all().fold(1.0, f64::max));
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption(title, (FONT, 15))
            .margin(8)
            .x_label_area_size(40)
            .y_label_area_size(80)
            .build_cartesian_2d(
                // One segment more than there are figures: the legend is drawn there.
                (0..callers.len()).into_segmented(),
                (lowest / 2.0..highest * 2.0).log_scale(),
            )?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_desc("callers")
            .y_desc("calls per second")
            .y_label_formatter(&|value| format!("{value:.0}"))
            .x_label_formatter(&|value| match value {
                SegmentValue::CenterOf(index) => {
                    callers.get(*index).map(usize::to_string).unwrap_or_default()
                }
                _ => String::new(),
            })
            .light_line_style(WHITE)
            .label_style((FONT, 12))
            .draw()?;
        for (way, figures) in ways {
            let colour = colour(*way);
            let points: Vec<_> = figures
                .iter()
                .enumerate()
                .map(|(index, figure)| (SegmentValue::CenterOf(index), figure.max(LOWEST)))
                .collect();
            chart
                .draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?
                .label(way.name())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], colour.stroke_width(2)));
            chart.draw_series(points.into_iter().map(|point| Circle::new(point, 3, colour.filled())))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::MiddleRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.2))
            .label_font((FONT, 12))
            .draw()?;
        root.present()?;
    }
    Ok(svg)
}

/// The chart with a title for those who do not see it.
pub(crate) fn entitled(svg: &str, title: &str) -> String {
    let title = Escaped(title);
    let svg = svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{title}\" "), 1);
    svg.replacen('>', &format!("><title>{title}</title>"), 1)
}

/// Told apart also by who does not see all colours (Okabe and Ito).
const fn colour(way: Way) -> RGBColor {
    match way {
        Way::InProcess => RGBColor(0, 158, 115),
        Way::PingPong => RGBColor(110, 110, 110),
        Way::Tarpc => RGBColor(0, 114, 178),
        Way::Grpc => RGBColor(230, 159, 0),
        Way::GrpcPerCall => RGBColor(213, 94, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_its_title_as_a_text_too() {
        let svg = throughput("call", &[1, 8], &[(Way::Tarpc, vec![1e5, 2e5])]).expect("drawn");
        let svg = entitled(&svg, "a < b");
        assert!(svg.trim_start().starts_with("<svg role=\"img\" aria-label=\"a &lt; b\" "), "{svg}");
        assert!(svg.contains("><title>a &lt; b</title>"), "{svg}");
    }
}
