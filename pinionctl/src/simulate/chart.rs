//! Pictures: shares over time as stacked areas, and a change of configuration as two bars with bands between them.

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::moves::Change;
use super::ramps::Course;
use crate::clock::utc;

/// The size of one app's picture, in pixels.
const WIDTH: u32 = 900;
const HEIGHT: u32 = 380;

/// The palette of Okabe and Ito, whose colours people with colour blindness can distinguish.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(213, 94, 0),
    RGBColor(240, 228, 66),
    RGBColor(120, 120, 120),
];

/// The opacity at which black text on the colours is readable.
const OPACITY: f64 = 0.75;

type Drawn = Result<(), Box<dyn Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The shares of apps over time.
pub(super) fn courses(courses: &[Course<'_>]) -> Result<String, String> {
    picture(courses, course)
}

/// The changes of apps.
pub(super) fn changes(changes: &[Change<'_>]) -> Result<String, String> {
    picture(changes, change)
}

/// A picture of some items, one below the other.
fn picture<T>(items: &[T], draw: impl Fn(&Area<'_>, &T) -> Drawn) -> Result<String, String> {
    let mut svg = String::new();
    let mut drawn = || -> Drawn {
        let height = HEIGHT * u32::try_from(items.len())?;
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        root.fill(&WHITE)?;
        for (area, item) in root.split_evenly((items.len(), 1)).iter().zip(items) {
            draw(area, item)?;
        }
        root.present()?;
        Ok(())
    };
    drawn().map_err(|error| format!("the picture can't be drawn: {error}"))?;
    Ok(svg)
}

fn colour(i: usize) -> RGBColor {
    COLOURS.get(i % COLOURS.len()).copied().unwrap_or(BLACK)
}

fn course(area: &Area<'_>, course: &Course<'_>) -> Drawn {
    // The unit is chosen so that the labels are round numbers.
    let (unit, seconds) = match course.until - course.from {
        0..7200 => ("minutes", 60.0),
        7200..345_600 => ("hours", 3600.0),
        _ => ("days", 86_400.0),
    };
    let units = |time: u64| (time - course.from) as f64 / seconds;
    let mut chart = ChartBuilder::on(area)
        .caption(
            format!("{}: shares in percent", course.app.name),
            ("sans-serif", 20),
        )
        .margin(12)
        .x_label_area_size(45)
        .y_label_area_size(45)
        .build_cartesian_2d(0.0..units(course.until), 0.0..100.0)?;
    chart
        .configure_mesh()
        .disable_mesh()
        .y_label_formatter(&|share| format!("{share:.0}"))
        .x_desc(format!("{unit} from {}", utc(course.from)))
        .y_labels(6)
        .draw()?;
    let shares: Vec<_> = course
        .fine_times()
        .into_iter()
        .map(|time| (units(time), course.shares(time)))
        .collect();
    for (i, version) in course.app.versions.iter().enumerate() {
        let edge = |count: usize| {
            let sum = move |shares: &[pinion::rollout::slots::Share]| {
                shares
                    .iter()
                    .take(count)
                    .map(|share| share.percent())
                    .sum::<f64>()
            };
            shares.iter().map(move |(time, shares)| (*time, sum(shares)))
        };
        let outline: Vec<_> = edge(i)
            .chain(edge(i + 1).collect::<Vec<_>>().into_iter().rev())
            .collect();
        let colour = colour(i);
        chart
            .draw_series([Polygon::new(outline, colour.mix(OPACITY).filled())])?
            .label(version.name.clone())
            .legend(move |(x, y)| {
                Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.mix(OPACITY).filled())
            });
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3))
        .position(SeriesLabelPosition::UpperLeft)
        .draw()?;
    Ok(())
}

fn change(area: &Area<'_>, change: &Change<'_>) -> Drawn {
    let mut chart = ChartBuilder::on(area)
        .caption(
            format!(
                "{}: returning clients in percent, before and after",
                change.before.name
            ),
            ("sans-serif", 20),
        )
        .margin(12)
        .y_label_area_size(45)
        .build_cartesian_2d(0.0..10.0, 0.0..100.0)?;
    chart
        .configure_mesh()
        .disable_mesh()
        .disable_x_axis()
        .y_label_formatter(&|share| format!("{share:.0}"))
        .y_labels(6)
        .draw()?;
    let names = change.names();
    let flows = change.flows(&change.pinned);
    let percent = |from: &str, to: &str| {
        let flow = flows.get(&(from.to_owned(), to.to_owned()));
        flow.map_or(0.0, |flow| flow.slots() / 1000.0)
    };
    let sums = |of: &dyn Fn(&str) -> f64| {
        let mut sum = 0.0;
        names
            .iter()
            .map(|name| {
                (sum, {
                    sum += of(name);
                    sum
                })
            })
            .collect::<Vec<_>>()
    };
    let old = sums(&|name| names.iter().map(|to| percent(name, to)).sum());
    let new = sums(&|name| names.iter().map(|from| percent(from, name)).sum());
    let mut arrived: Vec<f64> = new.iter().map(|(start, _)| *start).collect();
    for (i, from) in names.iter().enumerate() {
        let mut left = old.get(i).map_or(0.0, |(start, _)| *start);
        for (to, arrived) in names.iter().zip(&mut arrived) {
            let share = percent(from, to);
            let band = vec![
                (2.0, left),
                (8.0, *arrived),
                (8.0, *arrived + share),
                (2.0, left + share),
            ];
            let opacity = if from == to { 0.2 } else { 0.6 };
            if share > 0.0 {
                chart.draw_series([Polygon::new(band, colour(i).mix(opacity).filled())])?;
            }
            left += share;
            *arrived += share;
        }
    }
    for (x, bars) in [(0.5, &old), (8.0, &new)] {
        for (i, ((start, end), name)) in bars.iter().zip(&names).enumerate() {
            if end <= start {
                continue;
            }
            chart.draw_series([Rectangle::new(
                [(x, *start), (x + 1.5, *end)],
                colour(i).mix(OPACITY).filled(),
            )])?;
            let label = format!("{name} {:.3} %", end - start);
            // The name does not fit into a thin bar; the table has it.
            if end - start > 5.0 {
                let at = (x + 0.1, (start + end) / 2.0 + 2.0);
                chart.draw_series([Text::new(label, at, ("sans-serif", 14))])?;
            }
        }
    }
    Ok(())
}
