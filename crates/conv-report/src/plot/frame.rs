//! What all charts share: colours, fonts, title, legend, caption.

use plotters::style::RGBColor;

use super::PlotError;
use super::picture::{Anchor, Font, Picture};
use crate::family::{FAMILIES, family_rank};

pub(super) const MARGIN: f64 = 20.0;
pub(super) const INK: RGBColor = RGBColor(0x1a, 0x1a, 0x1a);
pub(super) const GREY: RGBColor = RGBColor(0x59, 0x59, 0x59);
pub(super) const GRID: RGBColor = RGBColor(0xe0, 0xe0, 0xe0);
pub(super) const WHITE: RGBColor = RGBColor(0xff, 0xff, 0xff);

pub(super) const LABEL: Font = Font::regular(10.0);
pub(super) const SMALL: Font = Font::regular(9.0);
pub(super) const SMALL_BOLD: Font = Font::bold(9.0);
pub(super) const HEADING: Font = Font::bold(11.0);
const TITLE: Font = Font::bold(17.0);
const SUBTITLE: Font = Font::regular(11.0);
const CAPTION: Font = Font::regular(10.0);

const LEGEND_LINE: f64 = 17.0;
const CAPTION_LINE: f64 = 14.0;

/// The palette of Okabe and Ito (2008), which colour-blind readers can tell apart, without black.
pub(super) const PALETTE: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xf0, 0xe4, 0x42),
];

/// The family's colour; families that this page does not know share one.
pub(super) fn family_colour(algorithm: &str) -> RGBColor {
    match family_rank(algorithm) {
        rank if rank < FAMILIES.len() => PALETTE[rank],
        _ if algorithm == "auto" => PALETTE[5],
        _ => PALETTE[4],
    }
}

/// How lines of one colour, and the marks of their points, are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// A whole line with discs.
    Plain,
    /// Dashes with squares.
    Dashed,
    /// Dots with diamonds.
    Dotted,
    /// Dashes and dots by turns with triangles.
    DashDotted,
}

impl Look {
    pub const ALL: [Look; 4] = [Look::Plain, Look::Dashed, Look::Dotted, Look::DashDotted];

    pub fn line(self, picture: &mut Picture, from: (f64, f64), to: (f64, f64), colour: RGBColor) {
        match self {
            Look::Plain => picture.line(from, to, colour),
            Look::Dashed => picture.dashed(from, to, [7.0, 4.0], colour),
            Look::Dotted => picture.dashed(from, to, [2.0, 3.0], colour),
            Look::DashDotted => picture.dashed(from, to, [8.0, 3.0, 2.0, 3.0], colour),
        }
    }

    /// A mark as large as a disc of `radius`.
    pub fn mark(self, picture: &mut Picture, (x, y): (f64, f64), radius: f64, colour: RGBColor) {
        let half = 0.9 * radius;
        match self {
            Look::Plain => picture.disc((x, y), radius, colour),
            Look::Dashed => picture.rect((x - half, y - half), (x + half, y + half), colour),
            Look::Dotted => picture.diamond((x, y), 1.25 * radius, colour),
            Look::DashDotted => picture.triangle((x, y), 1.2 * radius, colour),
        }
    }
}

/// The sample before a legend's text.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sample {
    Swatch(RGBColor),
    Line(RGBColor),
    Marked(RGBColor, Look),
    Diamond,
    Dashes,
    Dash,
}

/// One entry of a legend.
pub(super) type Entry = (Sample, String);

/// Texts around a chart.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub title: String,
    pub subtitle: String,
    pub legend: Vec<Entry>,
    pub caption: String,
}

impl Frame {
    /// Draws title and legend; returns the height that they take.
    pub fn draw_head(&self, picture: &mut Picture) -> f64 {
        picture.title = format!("{}: {}", self.title, self.subtitle);
        let width = picture.width - 2.0 * MARGIN;
        picture.text((MARGIN, 34.0), shorten(&self.title, TITLE, width), TITLE, Anchor::Start, INK);
        picture.text((MARGIN, 54.0), shorten(&self.subtitle, SUBTITLE, width), SUBTITLE, Anchor::Start, GREY);
        let (mut x, mut y) = (MARGIN, 80.0);
        for (sample, text) in &self.legend {
            let end = x + sample.width() + 8.0 + LABEL.width(text);
            if end > picture.width - MARGIN && x > MARGIN {
                (x, y) = (MARGIN, y + LEGEND_LINE);
            }
            draw_sample(picture, (x, y), *sample);
            let start = x + sample.width() + 5.0;
            picture.text((start, y), text, LABEL, Anchor::Start, INK);
            x = start + LABEL.width(text) + 20.0;
        }
        y + 14.0
    }

    /// Draws the caption under `top` and ends the picture below it.
    ///
    /// # Errors
    /// [`PlotError::TooLarge`] if with this and the legend it has too many pixels.
    pub fn draw_foot(&self, picture: &mut Picture, top: f64) -> Result<(), PlotError> {
        picture.description.clone_from(&self.caption);
        let mut y = top + 18.0;
        for line in wrap(&self.caption, CAPTION, picture.width - 2.0 * MARGIN) {
            picture.text((MARGIN, y), line, CAPTION, Anchor::Start, GREY);
            y += CAPTION_LINE;
        }
        picture.height = y + MARGIN - CAPTION_LINE + 4.0;
        Picture::admit(picture.width, picture.height)
    }

    /// The least width at which title and subtitle are whole.
    pub fn min_width(&self) -> f64 {
        TITLE.width(&self.title).max(SUBTITLE.width(&self.subtitle)).clamp(520.0, 900.0) + 2.0 * MARGIN
    }
}

impl Sample {
    fn width(self) -> f64 {
        if matches!(self, Sample::Marked(..)) { 34.0 } else { 12.0 }
    }
}

fn draw_sample(picture: &mut Picture, (x, y): (f64, f64), sample: Sample) {
    let middle = y - 3.5;
    match sample {
        Sample::Swatch(colour) => picture.rect((x, middle - 5.0), (x + 12.0, middle + 5.0), colour),
        Sample::Line(colour) => picture.line((x, middle), (x + 12.0, middle), colour),
        Sample::Marked(colour, look) => {
            look.line(picture, (x, middle), (x + sample.width(), middle), colour);
            look.mark(picture, (x + sample.width() / 2.0, middle), 4.0, colour);
        }
        Sample::Diamond => draw_marker(picture, (x + 6.0, middle)),
        Sample::Dashes => picture.dashed((x + 6.0, middle - 7.0), (x + 6.0, middle + 7.0), [3.0, 3.0], INK),
        Sample::Dash => picture.text((x + 6.0, y), "–", LABEL, Anchor::Middle, GREY),
    }
}

/// A diamond that shows on any colour.
pub(super) fn draw_marker(picture: &mut Picture, at: (f64, f64)) {
    picture.diamond(at, 4.5, WHITE);
    picture.diamond(at, 3.0, INK);
}

/// `text`, or as much of it as fits `width` with an ellipsis in its middle. The end tells layers apart: most of it
/// stays.
pub(super) fn shorten(text: &str, font: Font, width: f64) -> String {
    if font.width(text) <= width {
        return text.to_owned();
    }
    let chars: Vec<char> = text.chars().collect();
    let shortened = |keep: usize| {
        let (head, tail) = (keep / 5, keep - keep / 5);
        chars[..head].iter().chain(&['…']).chain(&chars[chars.len() - tail..]).collect::<String>()
    };
    let most = chars.len().min(400);
    (0..most).rev().map(shortened).find(|text| font.width(text) <= width).unwrap_or_default()
}

/// Breaks `text` at spaces into lines of at most `width`.
fn wrap(text: &str, font: Font, width: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if font.width(&format!("{line} {word}")) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(shorten(word, font, width)),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_middle() {
        let name = "densenet121/denseblock3.denselayer12.conv1";
        let shortened = shorten(name, HEADING, 186.0);
        assert!(shortened.starts_with("dense") && shortened.ends_with("3.denselayer12.conv1"), "{shortened}");
        assert!(HEADING.width(&shortened) <= 186.0);
        assert_eq!(shorten("paper/conv1", HEADING, 186.0), "paper/conv1");
        assert_eq!(shorten(name, HEADING, 1.0), "");
    }
}
