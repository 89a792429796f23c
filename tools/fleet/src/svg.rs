//! Line charts in SVG: panels one below the other, each with axes, a legend and series.

use std::fmt::Write;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 52.0;
const HEIGHT: f64 = 190.0;
const BOTTOM: f64 = 44.0;

/// A chart.
pub(crate) struct Panel {
    pub(crate) title: &'static str,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    /// What is shaded, from where to where.
    pub(crate) shade: Option<(f64, f64)>,
    pub(crate) series: Vec<Series>,
}

/// An axis: where it begins and ends, and what is written at which place.
pub(crate) struct Axis {
    pub(crate) ends: (f64, f64),
    pub(crate) ticks: Vec<(f64, String)>,
    pub(crate) scale: Scale,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Scale {
    Linear,
    /// What is not above 0 is not drawn.
    Log,
}

pub(crate) struct Series {
    pub(crate) label: &'static str,
    pub(crate) color: &'static str,
    pub(crate) look: Look,
    pub(crate) points: Vec<(f64, f64)>,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Look {
    Line,
    Dashed,
    Dots,
}

impl Axis {
    /// How far along the axis a value is, 0 to 1.
    fn part(&self, value: f64) -> Option<f64> {
        let (low, high) = self.ends;
        match self.scale {
            Scale::Linear => Some((value - low) / (high - low)),
            Scale::Log => (value > 0.0).then(|| (value / low).ln() / (high / low).ln()),
        }
    }
}

/// Draws panels below each other.
pub(crate) fn draw(panels: &[Panel]) -> String {
    let each = TOP + HEIGHT + BOTTOM;
    let height = each * panels.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    for (i, panel) in panels.iter().enumerate() {
        let _ = writeln!(svg, "<g transform=\"translate(0 {})\">", each * i as f64);
        panel.draw(&mut svg);
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg>\n");
    svg
}

impl Panel {
    fn place(&self, (x, y): (f64, f64)) -> Option<(f64, f64)> {
        let x = LEFT + self.x.part(x)? * (WIDTH - LEFT - RIGHT);
        Some((x, TOP + HEIGHT * (1.0 - self.y.part(y)?)))
    }

    fn draw(&self, svg: &mut String) {
        let (right, foot) = (WIDTH - RIGHT, TOP + HEIGHT);
        let _ = writeln!(
            svg,
            "<text x=\"{LEFT}\" y=\"18\" font-weight=\"bold\">{}</text>",
            self.title
        );
        let low = (self.x.ends.0, self.y.ends.0);
        if let Some((from, to)) = self.shade
            && let (Some((from, _)), Some((to, _))) = (self.place((from, low.1)), self.place((to, low.1)))
        {
            let width = to - from;
            let _ = writeln!(
                svg,
                "<rect x=\"{from:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{HEIGHT}\" \
                 fill=\"#f4e3e3\"/>"
            );
        }
        for (value, text) in &self.y.ticks {
            if let Some((_, y)) = self.place((low.0, *value)) {
                let text_y = y + 4.0;
                let text_x = LEFT - 6.0;
                let _ = writeln!(
                    svg,
                    "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#ddd\"/>\
                     <text x=\"{text_x}\" y=\"{text_y:.1}\" text-anchor=\"end\">{text}</text>"
                );
            }
        }
        for (value, text) in &self.x.ticks {
            if let Some((x, _)) = self.place((*value, low.1)) {
                let text_y = foot + 18.0;
                let _ = writeln!(
                    svg,
                    "<path d=\"M{x:.1} {foot}v4\" stroke=\"#555\"/>\
                     <text x=\"{x:.1}\" y=\"{text_y}\" text-anchor=\"middle\">{text}</text>"
                );
            }
        }
        let _ = writeln!(svg, "<path d=\"M{LEFT} {foot}H{right}\" stroke=\"#555\"/>");
        let mut legend = LEFT;
        for series in &self.series {
            let _ = writeln!(
                svg,
                "<rect x=\"{legend}\" y=\"29\" width=\"12\" height=\"6\" fill=\"{0}\"/>\
                 <text x=\"{1}\" y=\"37\">{2}</text>",
                series.color,
                legend + 17.0,
                series.label
            );
            legend += 36.0 + 6.3 * series.label.chars().count() as f64;
            self.series(series, svg);
        }
    }

    fn series(&self, series: &Series, svg: &mut String) {
        let color = series.color;
        let places = series.points.iter().filter_map(|point| self.place(*point));
        if series.look == Look::Dots {
            // A line of no length with round ends is a dot.
            let dots: String = places.map(|(x, y)| format!("M{x:.1} {y:.1}h0")).collect();
            let round = "stroke-width=\"5\" stroke-linecap=\"round\"";
            let _ = writeln!(svg, "<path d=\"{dots}\" stroke=\"{color}\" {round}/>");
        } else {
            let points: Vec<String> = places.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let points = points.join(" ");
            let dashes = if series.look == Look::Dashed {
                " stroke-dasharray=\"5 4\""
            } else {
                ""
            };
            let _ = writeln!(
                svg,
                "<polyline points=\"{points}\" fill=\"none\" stroke=\"{color}\" \
                 stroke-width=\"1.6\"{dashes}/>"
            );
        }
    }
}
