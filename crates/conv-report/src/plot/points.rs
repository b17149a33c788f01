//! Small multiples of points: a panel for each layer, or for each size of map.

use plotters::style::RGBColor;

use super::PlotError;
use super::content::colour;
use super::frame::{Frame, GREY, GRID, HEADING, INK, LABEL, Look, MARGIN, SMALL, WHITE, shorten};
use super::picture::{Anchor, Picture};
use super::scale::Scale;
use crate::record::Record;

const PANELS_A_ROW: usize = 3;
/// Pixels of a plot of many, width and height.
pub(super) const SMALL_PLOT: [f64; 2] = [290.0, 190.0];
const PANEL_GAP: f64 = 24.0;
/// At the left of a plot, for the values along its height.
const PANEL_LEFT: f64 = 34.0;
/// Above a plot: its name, the layer's shape, what is measured along its height.
const PANEL_HEAD: f64 = 52.0;
/// Below it: marked values and what is measured along its width.
const PANEL_FOOT: f64 = 46.0;
const RADIUS: f64 = 4.0;
/// What is left of a hollow point.
const STROKE: f64 = 1.5;

/// Along the width and along the height.
pub(super) type Point = (f64, f64);

/// A point with its name.
pub(super) type Named = (Point, String);

/// How points are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Join {
    No,
    /// By straight lines.
    Lines,
    /// To the right first, then up: what can be had so far.
    Steps,
}

/// Points of one colour, from left to right.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub colour: RGBColor,
    pub points: Vec<Point>,
    pub join: Join,
    pub look: Look,
    /// Whether the points themselves are drawn.
    pub marked: bool,
    /// Those of them that are drawn hollow.
    pub hollow: Vec<Point>,
}

impl Series {
    /// A line without marks.
    pub fn line(colour: RGBColor, points: Vec<Point>, join: Join) -> Series {
        Series { colour, points, join, look: Look::Plain, marked: false, hollow: Vec::new() }
    }

    /// What `record` reached, hollow if it was disturbed.
    pub fn of_record(record: &Record, point: Point) -> Series {
        let hollow = record.disturbed.iter().map(|_| point).collect();
        Series { marked: true, hollow, ..Series::line(colour(record), vec![point], Join::No) }
    }
}

/// One plot.
#[derive(Debug, Clone)]
pub(super) struct Panel {
    pub name: String,
    pub detail: String,
    pub series: Vec<Series>,
    /// A value of the height to compare with.
    pub reference: Option<f64>,
    /// Names of points, the most important first: of the others those without room are left out.
    pub labels: Vec<Named>,
    /// Names of lines, which end a little above and left of a point of theirs; those without room are left out too.
    pub line_names: Vec<Named>,
    /// Of the width and of the height.
    pub scales: [Scale; 2],
}

/// The whole chart.
#[derive(Debug, Clone)]
pub(super) struct PointChart {
    pub frame: Frame,
    /// Panels by network; each network begins a new line of panels.
    pub groups: Vec<Vec<Panel>>,
    /// What is measured along the width and along the height, with the unit.
    pub axes: [String; 2],
    /// Pixels of each plot, width and height.
    pub plot: [f64; 2],
}

/// Left, top, right, bottom.
type Area = [f64; 4];

impl PointChart {
    /// # Errors
    /// [`PlotError::TooLarge`].
    pub fn picture(&self) -> Result<Picture, PlotError> {
        let panel_width = PANEL_LEFT + self.plot[0] + PANEL_GAP;
        let panel_height = PANEL_HEAD + self.plot[1] + PANEL_FOOT;
        let columns = self.groups.iter().map(Vec::len).max().unwrap_or(0).clamp(1, PANELS_A_ROW);
        let width = 2.0 * MARGIN + columns as f64 * panel_width;
        let lines = || self.groups.iter().flat_map(|group| group.chunks(PANELS_A_ROW));
        let mut picture = Picture::new(width.max(self.frame.min_width()), lines().count() as f64 * panel_height)?;
        let mut top = self.frame.draw_head(&mut picture);
        for line in lines() {
            for (i, panel) in line.iter().enumerate() {
                self.draw_panel(&mut picture, (MARGIN + i as f64 * panel_width, top), panel);
            }
            top += panel_height;
        }
        self.frame.draw_foot(&mut picture, top)?;
        Ok(picture)
    }

    fn draw_panel(&self, picture: &mut Picture, (left, top): (f64, f64), panel: &Panel) {
        let width = PANEL_LEFT + self.plot[0];
        let texts =
            [(14.0, &panel.name, HEADING, INK), (26.0, &panel.detail, SMALL, GREY), (43.0, &self.axes[1], SMALL, GREY)];
        for (down, text, font, colour) in texts {
            picture.text((left, top + down), shorten(text, font, width), font, Anchor::Start, colour);
        }
        let plot = Plot {
            area: [left + PANEL_LEFT, top + PANEL_HEAD, left + width, top + PANEL_HEAD + self.plot[1]],
            scales: &panel.scales,
        };
        plot.draw_axes(picture, &self.axes[0]);
        if let Some(value) = panel.reference {
            let y = plot.at((0.0, value)).1;
            picture.dashed((plot.area[0], y), (plot.area[2], y), [3.0, 3.0], INK);
        }
        let mut taken: Vec<Area> = Vec::new();
        for series in &panel.series {
            for [from, to] in plot.lines(series) {
                series.look.line(picture, from, to, series.colour);
                taken.push([from.0.min(to.0), from.1.min(to.1), from.0.max(to.0), from.1.max(to.1)]);
            }
        }
        for series in panel.series.iter().filter(|series| series.marked) {
            for &point in &series.points {
                let (x, y) = plot.at(point);
                let mut mark = |radius, colour| series.look.mark(picture, (x, y), radius, colour);
                mark(RADIUS + 1.0, WHITE);
                mark(RADIUS, series.colour);
                if series.hollow.contains(&point) {
                    mark(RADIUS - STROKE, WHITE);
                }
                taken.push([x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS]);
            }
        }
        let mut names: Vec<Area> = Vec::new();
        for (i, (point, text)) in panel.labels.iter().enumerate() {
            let (at, width) = (plot.at(*point), LABEL.width(text));
            let taken = [&taken[..], &names].concat();
            let placed = place(at, width, &taken, &plot.area);
            if let Some((start, area)) = placed.or_else(|| (i == 0).then(|| above(at, width, &plot.area))) {
                picture.text(start, text, LABEL, Anchor::Start, INK);
                names.push(area);
            }
        }
        for (point, text) in &panel.line_names {
            let (x, y) = plot.at(*point);
            let start = (x - 4.0 - SMALL.width(text), y - 4.0);
            let area = text_area(start, SMALL.width(text));
            if is_free(&area, &names, &plot.area) {
                picture.text(start, text, SMALL, Anchor::Start, GREY);
                names.push(area);
            }
        }
    }
}

/// Where one panel's points are.
struct Plot<'a> {
    area: Area,
    scales: &'a [Scale; 2],
}

impl Plot<'_> {
    fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let [left, top, right, bottom] = self.area;
        (left + (right - left) * self.scales[0].at(x), bottom - (bottom - top) * self.scales[1].at(y))
    }

    fn draw_axes(&self, picture: &mut Picture, axis: &str) {
        let [left, top, right, bottom] = self.area;
        for (value, label) in &self.scales[1].ticks {
            let y = bottom - (bottom - top) * self.scales[1].at(*value);
            picture.line((left, y), (right, y), GRID);
            picture.text((left - 5.0, y + 3.5), label, SMALL, Anchor::End, GREY);
        }
        let mut free_from = f64::NEG_INFINITY;
        for (value, label) in &self.scales[0].ticks {
            let x = left + (right - left) * self.scales[0].at(*value);
            let half = SMALL.width(label) / 2.0;
            picture.line((x, top), (x, bottom + 3.0), GRID);
            if x - half > free_from {
                picture.text((x, bottom + 14.0), label, SMALL, Anchor::Middle, GREY);
                free_from = x + half + 4.0;
            }
        }
        picture.line((left, bottom), (right, bottom), GREY);
        picture.line((left, top), (left, bottom), GREY);
        picture.text(((left + right) / 2.0, bottom + 28.0), axis, SMALL, Anchor::Middle, GREY);
    }

    /// The lines that join the points.
    fn lines(&self, series: &Series) -> Vec<[(f64, f64); 2]> {
        let mut lines = Vec::new();
        for pair in series.points.windows(2) {
            let (from, to) = (self.at(pair[0]), self.at(pair[1]));
            match series.join {
                Join::No => {}
                Join::Lines => lines.push([from, to]),
                Join::Steps => lines.extend([[from, (to.0, from.1)], [(to.0, from.1), to]]),
            }
        }
        if let (Join::Steps, Some(&last)) = (series.join, series.points.last()) {
            let (x, y) = self.at(last);
            lines.push([(x, y), (self.area[2], y)]);
        }
        lines
    }
}

/// Where a label of `width` has room beside the point at `(x, y)`: to the right, to the left, above, below, or at a corner.
/// Returns the start of its baseline and its area.
fn place((x, y): (f64, f64), width: f64, taken: &[Area], bounds: &Area) -> Option<((f64, f64), Area)> {
    let (right, left, middle) = (x + RADIUS + 3.0, x - RADIUS - 3.0 - width, x - width / 2.0);
    let (level, above, below) = (y + 3.5, y - RADIUS - 4.0, y + RADIUS + 11.0);
    let starts = [
        (right, level),
        (left, level),
        (middle, above),
        (middle, below),
        (right, above),
        (left, above),
        (right, below),
        (left, below),
    ];
    starts.into_iter().map(|start| (start, text_area(start, width))).find(|(_, area)| is_free(area, taken, bounds))
}

/// Above the point, as far from it as the edges of the plot demand.
fn above((x, y): (f64, f64), width: f64, [left, top, right, _]: &Area) -> ((f64, f64), Area) {
    let start = ((x - width / 2.0).min(right - width - 1.0).max(left + 1.0), (y - RADIUS - 4.0).max(top + 9.0));
    (start, text_area(start, width))
}

/// What a text of `width` covers that starts at `(x, baseline)`.
fn text_area((x, baseline): (f64, f64), width: f64) -> Area {
    [x - 1.0, baseline - 9.0, x + width + 1.0, baseline + 2.0]
}

fn is_free(a: &Area, taken: &[Area], bounds: &Area) -> bool {
    let inside = a[0] >= bounds[0] && a[1] >= bounds[1] && a[2] <= bounds[2] && a[3] <= bounds[3];
    inside && taken.iter().all(|b| a[2] <= b[0] || b[2] <= a[0] || a[3] <= b[1] || b[3] <= a[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_go_where_there_is_room() {
        let bounds = [0.0, 0.0, 100.0, 100.0];
        let start = |point, taken: &[Area]| place(point, 40.0, taken, &bounds).map(|(start, _)| start);
        assert_eq!(start((50.0, 50.0), &[]), Some((57.0, 53.5)));
        assert_eq!(start((90.0, 50.0), &[]), Some((43.0, 53.5)), "the right edge is near");
        assert_eq!(start((50.0, 50.0), &[[60.0, 40.0, 99.0, 60.0]]), Some((3.0, 53.5)));
        assert_eq!(start((50.0, 50.0), &[bounds]), None);
    }
}
