//! The two pictures of `docs/rollouts.md`.

use std::error::Error;

use pinion_fleet::ejection::{self, Second};
use pinion_fleet::fleet::Proxy;
use pinion_fleet::ramp::{Bin, Plan, Seen};
use plotters::prelude::{RGBColor, SeriesLabelPosition};

use crate::charts::{Axis, Look, Panel, Scale, Series, draw};

const BLUE: RGBColor = RGBColor(31, 95, 168);
const ORANGE: RGBColor = RGBColor(217, 130, 43);
const RED: RGBColor = RGBColor(192, 57, 43);
const GREY: RGBColor = RGBColor(136, 136, 136);

type Picture = Result<String, Box<dyn Error>>;

/// The shares and flips of two ramps over time: an even one, and one in steps.
pub(crate) fn ramp(even: (&Plan, &Seen), stepped: (&Plan, &Seen)) -> Picture {
    let margin = even.0.margin() / 3600.0;
    let hours = f64::from(even.0.duration) / 3600.0;
    let x = || Axis {
        ends: (-margin, hours + margin),
        labels: 9,
        label: |hour| format!("{hour} h"),
        scale: Scale::Linear,
    };
    let shares = Panel {
        title: "Requests on v2",
        x: x(),
        y: Axis {
            ends: (0.0, 1.0),
            labels: 6,
            label: |share| format!("{:.0} %", 100.0 * share),
            scale: Scale::Linear,
        },
        shade: None,
        legend: SeriesLabelPosition::UpperLeft,
        series: vec![
            series("configured, evenly", GREY, Look::Line, configured(even.0)),
            series(
                "seen, evenly",
                BLUE,
                Look::Dots,
                points(even, |bin| share(bin.new, bin.requests)),
            ),
            series(
                "configured, in 12 steps",
                GREY,
                Look::Dashed,
                configured(stepped.0),
            ),
            series(
                "seen, in 12 steps",
                ORANGE,
                Look::Dots,
                points(stepped, |bin| share(bin.new, bin.requests)),
            ),
        ],
    };
    let flips = Panel {
        title: "Requests that go back from v2 to v1, in every five minutes",
        x: x(),
        y: Axis {
            ends: (0.5, 200_000.0),
            labels: 7,
            label: thousands,
            scale: Scale::Log,
        },
        shade: None,
        legend: SeriesLabelPosition::MiddleMiddle,
        series: vec![
            series(
                "plain weights",
                RED,
                Look::Line,
                points(even, |bin| bin.coin_flips as f64),
            ),
            series(
                "skewed clocks, evenly",
                BLUE,
                Look::Dots,
                points(even, |bin| bin.flips as f64),
            ),
            series(
                "skewed clocks, 12 steps",
                ORANGE,
                Look::Dots,
                points(stepped, |bin| bin.flips as f64),
            ),
            series("clocks that agree: none", GREY, Look::Dots, Vec::new()),
        ],
    };
    draw(&[shares, flips])
}

/// The requests and errors of each second of an ejection.
pub(crate) fn ejection(plan: &ejection::Plan, seen: &ejection::Seen) -> Picture {
    let length = 60 * plan.minutes;
    let by_second = |value: fn(&Second) -> u32| {
        let seconds = seen.seconds.iter().take(length).enumerate();
        seconds
            .map(|(at, second)| ((at as f64 + 0.5) / 60.0, f64::from(value(second))))
            .collect::<Vec<_>>()
    };
    let panel = |title, highest: u32, series| Panel {
        title,
        x: Axis {
            ends: (0.0, plan.minutes as f64),
            labels: 8,
            label: |minute| format!("{minute} min"),
            scale: Scale::Linear,
        },
        y: Axis {
            ends: (0.0, f64::from(highest)),
            labels: 6,
            label: thousands,
            scale: Scale::Linear,
        },
        shade: Some((plan.outage.start / 60.0, plan.outage.end / 60.0)),
        legend: SeriesLabelPosition::UpperRight,
        series,
    };
    let requests = vec![
        series("to v1", BLUE, Look::Line, by_second(|second| second.old)),
        series(
            "to v2, answered with 200",
            ORANGE,
            Look::Line,
            by_second(|second| second.new),
        ),
    ];
    let errors = vec![
        series(
            "with outlierDetection",
            RED,
            Look::Line,
            by_second(|second| second.errors),
        ),
        series("without", GREY, Look::Dashed, by_second(|second| second.without)),
    ];
    draw(&[
        panel("Requests per second (shaded: v2 answers 503)", 25_000, requests),
        panel("Errors per second", 5000, errors),
    ])
}

/// A point for the middle of each bin, with the bin's value.
fn points((plan, seen): (&Plan, &Seen), value: impl Fn(&Bin) -> f64) -> Vec<(f64, f64)> {
    let hour = |part: usize| ((part as f64 + 0.5) * plan.bin() - plan.margin()) / 3600.0;
    seen.bins
        .iter()
        .enumerate()
        .map(|(part, bin)| (hour(part), value(bin)))
        .collect()
}

/// The share of v2 over time by a correct clock: the points at which the slope changes.
fn configured(plan: &Plan) -> Vec<(f64, f64)> {
    let proxy = Proxy::new(&plan.config(), 0.0);
    let (first, last) = (
        -plan.margin() as i64,
        (f64::from(plan.duration) + plan.margin()) as i64,
    );
    let all = (first..=last).map(|at| (at as f64 / 3600.0, proxy.share(at as f64)));
    let mut points: Vec<(f64, f64)> = Vec::new();
    for point in all {
        let bends = |from: &[(f64, f64)]| match from {
            [.., (x0, y0), (x1, y1)] => {
                let there = y0 + (y1 - y0) * (point.0 - x0) / (x1 - x0);
                // Rounding to slots changes the share by up to one slot.
                (there - point.1).abs() > 1.1e-5
            }
            _ => true,
        };
        if !bends(&points) {
            points.pop();
        }
        points.push(point);
    }
    points
}

fn series(label: &'static str, color: RGBColor, look: Look, points: Vec<(f64, f64)>) -> Series {
    Series {
        label,
        color,
        look,
        points,
    }
}

fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// A count with a comma between thousands, for the text at a tick.
fn thousands(count: &f64) -> String {
    let count = count.round() as u32;
    match (count / 1000, count % 1000) {
        (0, ones) => ones.to_string(),
        (thousands, ones) => format!("{thousands},{ones:03}"),
    }
}
