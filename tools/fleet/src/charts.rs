//! Charts in SVG: panels one below the other, each with axes, a legend and series.

use std::error::Error;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

/// The size of a panel, in pixels.
const WIDTH: u32 = 760;
const HEIGHT: u32 = 290;

const SHADE: RGBColor = RGBColor(244, 227, 227);
const GRID: RGBColor = RGBColor(221, 221, 221);

type Drawn = Result<(), Box<dyn Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, Y> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, Y>>;

/// A chart.
pub(crate) struct Panel {
    pub(crate) title: &'static str,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    /// The part of the x axis that is shaded.
    pub(crate) shade: Option<(f64, f64)>,
    /// The corner where the legend hides no data.
    pub(crate) legend: SeriesLabelPosition,
    pub(crate) series: Vec<Series>,
}

/// An axis.
pub(crate) struct Axis {
    pub(crate) ends: (f64, f64),
    /// The most labels that the axis gets.
    pub(crate) labels: usize,
    /// The label of a value.
    pub(crate) label: fn(&f64) -> String,
    pub(crate) scale: Scale,
}

/// The scale of a y axis. X axes are linear.
#[derive(Clone, Copy)]
pub(crate) enum Scale {
    Linear,
    /// Points that are not above 0 are left out.
    Log,
}

/// Points and how they are drawn.
pub(crate) struct Series {
    pub(crate) label: &'static str,
    pub(crate) color: RGBColor,
    pub(crate) look: Look,
    pub(crate) points: Vec<(f64, f64)>,
}

#[derive(Clone, Copy)]
pub(crate) enum Look {
    Line,
    Dashed,
    Dots,
}

/// The picture of some panels, as SVG.
pub(crate) fn draw(panels: &[Panel]) -> Result<String, Box<dyn Error>> {
    let mut svg = String::new();
    let height = HEIGHT * u32::try_from(panels.len())?;
    let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE)?;
    for (area, panel) in root.split_evenly((panels.len(), 1)).iter().zip(panels) {
        panel.draw(area)?;
    }
    root.present()?;
    drop(root);
    Ok(svg)
}

impl Panel {
    fn draw(&self, area: &Area<'_>) -> Drawn {
        let mut builder = ChartBuilder::on(area);
        builder
            .caption(self.title, ("sans-serif", 16))
            .margin(12)
            .x_label_area_size(28)
            .y_label_area_size(60);
        let [x, y] = [&self.x, &self.y].map(|axis| axis.ends.0..axis.ends.1);
        match self.y.scale {
            Scale::Linear => self.plot(builder.build_cartesian_2d(x, y)?),
            Scale::Log => self.plot(builder.build_cartesian_2d(x, y.log_scale())?),
        }
    }

    fn plot<Y>(&self, mut chart: Chart<'_, Y>) -> Drawn
    where
        Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let (low, high) = self.y.ends;
        if let Some((from, to)) = self.shade {
            chart.draw_series([Rectangle::new([(from, low), (to, high)], SHADE.filled())])?;
        }
        chart
            .configure_mesh()
            .disable_x_mesh()
            .max_light_lines(0)
            .bold_line_style(GRID)
            .x_labels(self.x.labels)
            .y_labels(self.y.labels)
            .x_label_formatter(&self.x.label)
            .y_label_formatter(&self.y.label)
            .draw()?;
        for series in &self.series {
            let (color, line) = (series.color, series.color.stroke_width(2));
            let points = series.points.iter().copied();
            let points = points.filter(|(_, y)| matches!(self.y.scale, Scale::Linear) || *y > 0.0);
            let drawn = match series.look {
                Look::Line => chart.draw_series(LineSeries::new(points, line))?,
                Look::Dashed => chart.draw_series(DashedLineSeries::new(points, 5, 4, line))?,
                Look::Dots => chart.draw_series(points.map(|at| Circle::new(at, 2, color.filled())))?,
            };
            drawn
                .label(series.label)
                .legend(move |(x, y)| Rectangle::new([(x, y - 3), (x + 12, y + 3)], color.filled()));
        }
        chart
            .configure_series_labels()
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.3))
            .position(self.legend.clone())
            .draw()?;
        Ok(())
    }
}
