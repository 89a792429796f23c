//! The two pictures of `docs/rollouts.md`.

use pinion_fleet::ejection::{self, Second};
use pinion_fleet::fleet::Proxy;
use pinion_fleet::ramp::{Bin, Plan, Seen};

use crate::svg::{Axis, Look, Panel, Scale, Series, draw};

const BLUE: &str = "#1f5fa8";
const ORANGE: &str = "#d9822b";
const RED: &str = "#c0392b";
const GREY: &str = "#888";

/// Shares and flips over the time of a ramp: one that goes evenly, and one in steps.
pub(crate) fn ramp(even: (&Plan, &Seen), stepped: (&Plan, &Seen)) -> String {
    let margin = even.0.margin() / 3600.0;
    let hours = f64::from(even.0.duration) / 3600.0;
    let x = || Axis {
        ends: (-margin, hours + margin),
        ticks: (0..=hours as u32)
            .map(|hour| (f64::from(hour), format!("{hour} h")))
            .collect(),
        scale: Scale::Linear,
    };
    let shares = Panel {
        title: "Requests on v2",
        x: x(),
        y: Axis {
            ends: (0.0, 1.0),
            ticks: (0..=4)
                .map(|i| (f64::from(i) / 4.0, format!("{} %", 25 * i)))
                .collect(),
            scale: Scale::Linear,
        },
        shade: None,
        series: vec![
            series("configured, evenly", GREY, Look::Line, configured(even.0)),
            series(
                "seen",
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
                "seen",
                ORANGE,
                Look::Dots,
                points(stepped, |bin| share(bin.new, bin.requests)),
            ),
        ],
    };
    let flips = Panel {
        title: "Requests that go back from v2 to v1, in each five minutes",
        x: x(),
        y: Axis {
            ends: (0.5, 200_000.0),
            ticks: (0..=5)
                .map(|i| 10_u32.pow(i))
                .map(|count| (f64::from(count), thousands(count)))
                .collect(),
            scale: Scale::Log,
        },
        shade: None,
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

/// Requests and errors by the second.
pub(crate) fn ejection(plan: &ejection::Plan, seen: &ejection::Seen) -> String {
    let length = 60 * plan.minutes;
    let by_second = |value: fn(&Second) -> u32| {
        let seconds = seen.seconds.iter().take(length).enumerate();
        seconds
            .map(|(at, second)| (at as f64 + 0.5, f64::from(value(second))))
            .collect::<Vec<_>>()
    };
    let panel = |title, highest: u32, tick: usize, series| Panel {
        title,
        x: Axis {
            ends: (0.0, length as f64),
            ticks: (0..=length)
                .step_by(60)
                .map(|at| (at as f64, format!("{at} s")))
                .collect(),
            scale: Scale::Linear,
        },
        y: Axis {
            ends: (0.0, f64::from(highest)),
            ticks: (0..=highest)
                .step_by(tick)
                .map(|at| (f64::from(at), thousands(at)))
                .collect(),
            scale: Scale::Linear,
        },
        shade: Some((plan.outage.start, plan.outage.end)),
        series,
    };
    let requests = vec![
        series("to v1", BLUE, Look::Line, by_second(|second| second.old)),
        series(
            "to v2, answered well",
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
        panel(
            "Requests per second (shaded: v2 answers 503)",
            25_000,
            5000,
            requests,
        ),
        panel("Errors per second", 5000, 1000, errors),
    ])
}

/// Parts of the time and what is seen in each, at its middle.
fn points((plan, seen): (&Plan, &Seen), value: impl Fn(&Bin) -> f64) -> Vec<(f64, f64)> {
    let hour = |part: usize| ((part as f64 + 0.5) * plan.bin() - plan.margin()) / 3600.0;
    seen.bins
        .iter()
        .enumerate()
        .map(|(part, bin)| (hour(part), value(bin)))
        .collect()
}

/// v2's share over time, as a clock that is right has it: where it begins to change, and where it ends to.
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
                // One slot is what rounding down to slots may come to.
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

fn series(label: &'static str, color: &'static str, look: Look, points: Vec<(f64, f64)>) -> Series {
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

fn thousands(count: u32) -> String {
    match (count / 1000, count % 1000) {
        (0, ones) => ones.to_string(),
        (thousands, ones) => format!("{thousands},{ones:03}"),
    }
}
