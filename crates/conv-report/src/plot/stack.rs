//! Whole forward passes: a bar for each algorithm, cut by layer, a block of bars for each network.

use conv_core::format_value;
use plotters::style::RGBColor;

use super::PlotError;
use super::frame::{Frame, GREY, GRID, HEADING, INK, LABEL, MARGIN, SMALL, SMALL_BOLD, WHITE, shorten};
use super::picture::{Anchor, Picture};
use super::scale::Scale;
use crate::ranking::MARK;

const PLOT_WIDTH: f64 = 760.0;
const ROW_HEIGHT: f64 = 24.0;
const BAR_HEIGHT: f64 = 18.0;
const BLOCK_HEAD: f64 = 26.0;
const BLOCK_FOOT: f64 = 48.0;
/// White between two segments.
const SEAM: f64 = 1.0;

/// One forward pass: its time, whether it was disturbed, and the layers' times in order (index of the legend's layer, milliseconds).
#[derive(Debug, Clone)]
pub(super) struct Pass {
    pub algorithm: String,
    pub total_ms: f64,
    pub disturbed: bool,
    pub segments: Vec<(usize, f64)>,
}

/// The whole chart.
#[derive(Debug, Clone)]
pub(super) struct StackChart {
    pub frame: Frame,
    /// What the axis measures.
    pub axis: &'static str,
    /// Colour of each layer.
    pub colours: Vec<RGBColor>,
    /// Networks with their passes.
    pub blocks: Vec<(String, Vec<Pass>)>,
}

impl StackChart {
    /// # Errors
    /// [`PlotError::TooLarge`].
    pub fn picture(&self) -> Result<Picture, PlotError> {
        let passes = || self.blocks.iter().flat_map(|(_, passes)| passes);
        let names = passes().map(|pass| LABEL.width(&pass.algorithm)).fold(0.0, f64::max) + 8.0;
        let totals = passes().map(|pass| SMALL_BOLD.width(&total(pass))).fold(0.0, f64::max) + 8.0;
        let height = self.blocks.iter().map(|(_, passes)| block_height(passes)).sum();
        let mut picture = Picture::new(2.0 * MARGIN + names + PLOT_WIDTH + totals, height)?;
        let mut top = self.frame.draw_head(&mut picture);
        for (network, passes) in &self.blocks {
            self.draw_block(&mut picture, (MARGIN + names, top), network, passes);
            top += block_height(passes);
        }
        self.frame.draw_foot(&mut picture, top)?;
        Ok(picture)
    }

    /// Draws one network. Each has an axis of its own: networks differ, algorithms are compared.
    fn draw_block(&self, picture: &mut Picture, (left, top): (f64, f64), network: &str, passes: &[Pass]) {
        let longest = passes.iter().map(Pass::drawn_ms).fold(0.0, f64::max);
        let fastest = passes.iter().map(|pass| pass.total_ms).fold(f64::INFINITY, f64::min);
        let scale = Scale::linear(longest);
        let bars_top = top + BLOCK_HEAD;
        let bottom = bars_top + passes.len() as f64 * ROW_HEIGHT;
        let network = shorten(network, HEADING, PLOT_WIDTH);
        picture.text((left, top + 16.0), network, HEADING, Anchor::Start, INK);
        for (value, label) in &scale.ticks {
            let x = left + PLOT_WIDTH * scale.at(*value);
            picture.line((x, bars_top), (x, bottom + 3.0), GRID);
            picture.text((x, bottom + 14.0), label, SMALL, Anchor::Middle, GREY);
        }
        picture.line((left, bottom), (left + PLOT_WIDTH, bottom), GREY);
        let axis_middle = (left + PLOT_WIDTH / 2.0, bottom + 28.0);
        picture.text(axis_middle, self.axis, SMALL, Anchor::Middle, GREY);
        for (i, pass) in passes.iter().enumerate() {
            let middle = bars_top + (i as f64 + 0.5) * ROW_HEIGHT;
            picture.text((left - 8.0, middle + 3.5), &pass.algorithm, LABEL, Anchor::End, INK);
            let end = self.draw_pass(picture, (left, middle), PLOT_WIDTH / scale.ends().1, pass);
            let font = if pass.total_ms <= fastest { SMALL_BOLD } else { SMALL };
            picture.text((end + 5.0, middle + 3.5), total(pass), font, Anchor::Start, INK);
        }
    }

    /// Draws one bar; returns its end.
    fn draw_pass(&self, picture: &mut Picture, (left, middle): (f64, f64), pixels_a_ms: f64, pass: &Pass) -> f64 {
        let mut x = left;
        for &(layer, ms) in &pass.segments {
            let (colour, width) = (self.colours[layer], ms * pixels_a_ms);
            let (top, bottom) = (middle - BAR_HEIGHT / 2.0, middle + BAR_HEIGHT / 2.0);
            // The seam is left out where it would be all there is.
            let seam = if width > 3.0 * SEAM { SEAM } else { 0.0 };
            picture.rect((x, top), (x + width - seam, bottom), colour);
            let label = format_value(ms);
            if SMALL.width(&label) + 6.0 < width {
                let ink = if is_dark(colour) { WHITE } else { INK };
                picture.text((x + width / 2.0, middle + 3.5), label, SMALL, Anchor::Middle, ink);
            }
            x += width;
        }
        x
    }
}

impl Pass {
    /// Length of the bar: the segments together.
    fn drawn_ms(&self) -> f64 {
        self.segments.iter().map(|(_, ms)| ms).sum()
    }
}

fn block_height(passes: &[Pass]) -> f64 {
    BLOCK_HEAD + passes.len() as f64 * ROW_HEIGHT + BLOCK_FOOT
}

fn total(pass: &Pass) -> String {
    format!("{} ms{}", format_value(pass.total_ms), if pass.disturbed { MARK } else { "" })
}

/// Whether white text reads better on `colour` than [`INK`] (relative luminance as in WCAG 2, whose contrasts are equal at 0.2).
fn is_dark(colour: RGBColor) -> bool {
    let linear = |channel: u8| (f64::from(channel) / 255.0).powf(2.2);
    0.2126 * linear(colour.0) + 0.7152 * linear(colour.1) + 0.0722 * linear(colour.2) < 0.2
}
