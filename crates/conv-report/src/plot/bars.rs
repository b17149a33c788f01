//! Small multiples of horizontal bars: a panel for each layer, a row for each algorithm.
//!
//! Bars grouped in one plot would need a colour for each algorithm, and nobody tells fifteen colours apart. Here each row
//! carries its name, and the colour says the family.

use plotters::style::RGBColor;

use super::PlotError;
use super::frame::{Frame, GREY, GRID, HEADING, INK, LABEL, MARGIN, SMALL, SMALL_BOLD, WHITE, draw_marker, shorten};
use super::picture::{Anchor, Picture};
use super::scale::Scale;

const PANEL_WIDTH: f64 = 186.0;
const PANEL_GAP: f64 = 16.0;
const PANELS_A_ROW: usize = 5;
const ROW_HEIGHT: f64 = 15.0;
const BAR_HEIGHT: f64 = 10.0;
/// Above the bars: the layer's name, its shape, the reference line's label.
const PANEL_HEAD: f64 = 44.0;
/// Below them: marked values and unit.
const PANEL_FOOT: f64 = 46.0;

/// A bar of one algorithm in one panel.
#[derive(Debug, Clone)]
pub(super) struct Bar {
    /// What it is made of, from its start on.
    pub segments: Vec<(f64, RGBColor)>,
    pub label: String,
    /// A second value, drawn as a diamond.
    pub marker: Option<f64>,
    pub emphasised: bool,
}

impl Bar {
    /// Its length.
    pub fn value(&self) -> f64 {
        self.segments.iter().map(|(value, _)| value).sum()
    }
}

/// One layer.
#[derive(Debug, Clone)]
pub(super) struct Panel {
    pub name: String,
    /// The layer's shape.
    pub detail: String,
    /// A value to compare with, and its label.
    pub reference: Option<(f64, String)>,
    /// One for each row; `None` where nothing was recorded.
    pub bars: Vec<Option<Bar>>,
}

/// The whole chart.
#[derive(Debug, Clone)]
pub(super) struct BarChart {
    pub frame: Frame,
    /// Name of each row.
    pub rows: Vec<String>,
    /// Panels by network; each network begins a new line of panels.
    pub groups: Vec<Vec<Panel>>,
    pub scale: Scale,
    /// What the horizontal axes measure, with the unit.
    pub axis: String,
}

impl BarChart {
    /// # Errors
    /// [`PlotError::TooLarge`].
    pub fn picture(&self) -> Result<Picture, PlotError> {
        let names = self.rows.iter().map(|name| LABEL.width(name)).fold(0.0, f64::max) + 8.0;
        let columns = self.groups.iter().map(Vec::len).max().unwrap_or(0).clamp(1, PANELS_A_ROW);
        let width = 2.0 * MARGIN + names + (columns as f64) * (PANEL_WIDTH + PANEL_GAP) - PANEL_GAP;
        let height = PANEL_HEAD + self.rows.len() as f64 * ROW_HEIGHT + PANEL_FOOT;
        let lines = || self.groups.iter().flat_map(|group| group.chunks(PANELS_A_ROW));
        let mut picture = Picture::new(width.max(self.frame.min_width()), lines().count() as f64 * height)?;
        let mut top = self.frame.draw_head(&mut picture);
        for line in lines() {
            self.draw_names(&mut picture, (MARGIN + names - 8.0, top + PANEL_HEAD));
            for (i, panel) in line.iter().enumerate() {
                let left = MARGIN + names + i as f64 * (PANEL_WIDTH + PANEL_GAP);
                self.draw_panel(&mut picture, (left, top), panel);
            }
            top += height;
        }
        self.frame.draw_foot(&mut picture, top)?;
        Ok(picture)
    }

    fn draw_names(&self, picture: &mut Picture, (right, top): (f64, f64)) {
        for (i, name) in self.rows.iter().enumerate() {
            picture.text((right, baseline(top, i)), name, LABEL, Anchor::End, INK);
        }
    }

    /// Pixels at the right of each panel for the label of the longest bar.
    fn label_room(&self) -> f64 {
        let bars = self.groups.iter().flatten().flat_map(|panel| panel.bars.iter().flatten());
        bars.map(|bar| SMALL_BOLD.width(&bar.label)).fold(0.0, f64::max) + 6.0
    }

    fn draw_panel(&self, picture: &mut Picture, (left, top): (f64, f64), panel: &Panel) {
        picture.text((left, top + 14.0), shorten(&panel.name, HEADING, PANEL_WIDTH), HEADING, Anchor::Start, INK);
        picture.text((left, top + 26.0), shorten(&panel.detail, SMALL, PANEL_WIDTH), SMALL, Anchor::Start, GREY);
        let plot = Plot {
            left,
            top: top + PANEL_HEAD,
            width: PANEL_WIDTH - self.label_room(),
            bottom: top + PANEL_HEAD + self.rows.len() as f64 * ROW_HEIGHT,
        };
        self.draw_axis(picture, &plot);
        for (i, bar) in panel.bars.iter().enumerate() {
            let y = plot.top + i as f64 * ROW_HEIGHT + (ROW_HEIGHT - BAR_HEIGHT) / 2.0;
            let mut value = 0.0;
            for &(segment, colour) in bar.iter().flat_map(|bar| &bar.segments) {
                let start = plot.x(&self.scale, value);
                value += segment;
                picture.rect((start, y), (plot.x(&self.scale, value), y + BAR_HEIGHT), colour);
            }
        }
        if let Some((value, label)) = &panel.reference {
            let x = plot.x(&self.scale, *value);
            let half = SMALL.width(label) / 2.0;
            let middle = x.clamp(left + half, left + PANEL_WIDTH - half);
            picture.text((middle, plot.top - 5.0), label, SMALL, Anchor::Middle, INK);
            picture.dashed((x, plot.top - 2.0), (x, plot.bottom), [3.0, 3.0], INK);
        }
        for (i, bar) in panel.bars.iter().enumerate() {
            self.draw_label(picture, &plot, i, bar.as_ref());
        }
    }

    /// The value beside the bar, on white so that the reference line does not cross it.
    fn draw_label(&self, picture: &mut Picture, plot: &Plot, row: usize, bar: Option<&Bar>) {
        let y = baseline(plot.top, row);
        let Some(bar) = bar else {
            return picture.text((plot.left + 3.0, y), "–", SMALL, Anchor::Start, GREY);
        };
        let font = if bar.emphasised { SMALL_BOLD } else { SMALL };
        let marker = bar.marker.map(|value| (plot.x(&self.scale, value), y - 3.5));
        let bar_end = plot.x(&self.scale, bar.value());
        let x = marker.map_or(bar_end, |(x, _)| bar_end.max(x + 3.5)) + 3.0;
        picture.rect((x - 1.0, y - 9.0), (x + font.width(&bar.label) + 1.0, y + 2.0), WHITE);
        picture.text((x, y), &bar.label, font, Anchor::Start, INK);
        if let Some(marker) = marker {
            draw_marker(picture, marker);
        }
    }

    fn draw_axis(&self, picture: &mut Picture, plot: &Plot) {
        let mut free_from = f64::NEG_INFINITY;
        for (value, label) in &self.scale.ticks {
            let x = plot.x(&self.scale, *value);
            let half = SMALL.width(label) / 2.0;
            picture.line((x, plot.top), (x, plot.bottom + 3.0), GRID);
            if x - half > free_from {
                picture.text((x, plot.bottom + 14.0), label, SMALL, Anchor::Middle, GREY);
                free_from = x + half + 4.0;
            }
        }
        picture.line((plot.left, plot.bottom), (plot.left + plot.width, plot.bottom), GREY);
        let middle = plot.left + plot.width / 2.0;
        picture.text((middle, plot.bottom + 27.0), &self.axis, SMALL, Anchor::Middle, GREY);
    }
}

/// Where a panel's bars are.
struct Plot {
    left: f64,
    top: f64,
    width: f64,
    bottom: f64,
}

impl Plot {
    fn x(&self, scale: &Scale, value: f64) -> f64 {
        self.left + self.width * scale.at(value)
    }
}

/// The baseline of a row's texts, under bars that begin at `top`.
fn baseline(top: f64, row: usize) -> f64 {
    top + row as f64 * ROW_HEIGHT + ROW_HEIGHT / 2.0 + 3.5
}
