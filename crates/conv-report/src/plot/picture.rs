//! A picture as a list of shapes and texts, drawn to SVG or PNG by plotters.
//!
//! Layout happens once, in floating-point pixels, and does not know the backend; so tests can ask the list itself whether
//! texts overlap or leave the picture.

use std::sync::Once;

use plotters::backend::{BitMapBackend, SVGBackend};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{PathElement, Polygon, Rectangle, Text};
use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontDesc, FontFamily, FontStyle, RGBColor, register_font};

use super::PlotError;

/// Pixels of a PNG for each pixel of layout.
const PNG_SCALE: f64 = 2.0;
/// Layout pixels of the largest picture: a PNG of 400 MB before it is compressed.
const MAX_PIXELS: f64 = 32e6;
/// Generic, so that an SVG takes the reader's own font. The registered one is wider than most: what fits here fits there.
const FAMILY: FontFamily<'static> = FontFamily::SansSerif;
/// Height of DejaVu Sans (ascent and descent) for an em of 1, which is what plotters' font size means when it rasterises.
const LINE_HEIGHT: f64 = 1.164;

static REGULAR: &[u8] = include_bytes!("../../assets/dejavu/DejaVuSans.ttf");
static BOLD: &[u8] = include_bytes!("../../assets/dejavu/DejaVuSans-Bold.ttf");

/// Size and weight of a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Font {
    /// Pixels an em.
    pub size: f64,
    pub bold: bool,
}

/// Where a text's position lies in it, along its baseline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

#[derive(Debug, Clone)]
pub(super) enum Item {
    /// Filled.
    Shape {
        points: Vec<(f64, f64)>,
        fill: RGBColor,
    },
    Line {
        from: (f64, f64),
        to: (f64, f64),
        colour: RGBColor,
    },
    Text {
        at: (f64, f64),
        text: String,
        font: Font,
        anchor: Anchor,
        colour: RGBColor,
    },
}

/// Shapes and texts on white; x grows to the right and y downwards.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    pub width: f64,
    pub height: f64,
    pub(super) items: Vec<Item>,
    /// What it is a picture of, and what is to be known to read it: for those who do not see it.
    pub title: String,
    pub description: String,
}

impl Font {
    pub const fn regular(size: f64) -> Font {
        Font { size, bold: false }
    }

    pub const fn bold(size: f64) -> Font {
        Font { size, bold: true }
    }

    /// Pixels that `text` is wide.
    pub fn width(self, text: &str) -> f64 {
        // plotters rounds down to whole pixels, so measured large.
        let measured = self.describe(100.0 * LINE_HEIGHT).box_size(text).map_or(0, |(width, _)| width);
        f64::from(measured) / 100.0 * self.size
    }

    fn describe(self, size: f64) -> FontDesc<'static> {
        static REGISTER: Once = Once::new();
        REGISTER.call_once(|| {
            for (style, font) in [(FontStyle::Normal, REGULAR), (FontStyle::Bold, BOLD)] {
                let registered = register_font(FAMILY.as_str(), style, font);
                assert!(registered.is_ok(), "the bundled font is a valid font");
            }
        });
        FontDesc::new(FAMILY, size, if self.bold { FontStyle::Bold } else { FontStyle::Normal })
    }
}

impl Picture {
    /// A picture of about this size: what stands around its charts comes to it.
    ///
    /// # Errors
    /// As [`Picture::admit`].
    pub fn new(width: f64, height: f64) -> Result<Picture, PlotError> {
        Picture::admit(width, height)?;
        Ok(Picture { width, height, items: Vec::new(), title: String::new(), description: String::new() })
    }

    /// Whether a picture may have this size.
    ///
    /// # Errors
    /// [`PlotError::TooLarge`] if that is more than [`MAX_PIXELS`].
    pub fn admit(width: f64, height: f64) -> Result<(), PlotError> {
        if width * height > MAX_PIXELS {
            return Err(PlotError::TooLarge { width: width as u64, height: height as u64 });
        }
        Ok(())
    }

    pub fn rect(&mut self, (left, top): (f64, f64), (right, bottom): (f64, f64), fill: RGBColor) {
        let points = vec![(left, top), (right, top), (right, bottom), (left, bottom)];
        self.items.push(Item::Shape { points, fill });
    }

    pub fn diamond(&mut self, (x, y): (f64, f64), radius: f64, fill: RGBColor) {
        let points = vec![(x - radius, y), (x, y - radius), (x + radius, y), (x, y + radius)];
        self.items.push(Item::Shape { points, fill });
    }

    pub fn triangle(&mut self, (x, y): (f64, f64), radius: f64, fill: RGBColor) {
        let points = vec![(x - radius, y + 0.7 * radius), (x, y - radius), (x + radius, y + 0.7 * radius)];
        self.items.push(Item::Shape { points, fill });
    }

    /// A disc, as a polygon whose corners nobody sees.
    pub fn disc(&mut self, (x, y): (f64, f64), radius: f64, fill: RGBColor) {
        let corner = |i: u32| f64::from(i) * std::f64::consts::TAU / 24.0;
        let points = (0..24).map(corner).map(|angle| (x + radius * angle.cos(), y + radius * angle.sin())).collect();
        self.items.push(Item::Shape { points, fill });
    }

    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: RGBColor) {
        self.items.push(Item::Line { from, to, colour });
    }

    /// A line of which by turns so many pixels are drawn and so many left out, again and again.
    pub fn dashed<const N: usize>(&mut self, from: (f64, f64), to: (f64, f64), pattern: [f64; N], colour: RGBColor) {
        let (x, y) = (to.0 - from.0, to.1 - from.1);
        let length = x.hypot(y);
        let at = |along: f64| (from.0 + x * along / length, from.1 + y * along / length);
        let mut start = 0.0;
        for (pixels, drawn) in pattern.into_iter().cycle().zip([true, false].into_iter().cycle()) {
            if start >= length {
                break;
            }
            if drawn {
                self.line(at(start), at((start + pixels).min(length)), colour);
            }
            start += pixels;
        }
    }

    /// `text` with its baseline at `at`.
    pub(super) fn text(
        &mut self,
        at: (f64, f64),
        text: impl Into<String>,
        font: Font,
        anchor: Anchor,
        colour: RGBColor,
    ) {
        // No SVG may hold a control character.
        let text = text.into().replace(|c: char| c.is_control() || c == '\u{fffe}' || c == '\u{ffff}', " ");
        self.items.push(Item::Text { at, text, font, anchor, colour });
    }

    /// The picture as an SVG document.
    pub fn svg(&self) -> Result<String, PlotError> {
        let size = self.size(1.0);
        let mut svg = String::new();
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        // An SVG places a text's top 0.76 em above the baseline, and plotters divides sizes by 1.24.
        self.paint(&area, 1.0, TextMetrics { size_per_em: 1.24, top_to_baseline: 0.76 })?;
        drop(area);
        Ok(svg)
    }

    /// The picture's pixels for a PNG: RGB, and its width and height.
    pub fn pixels(&self) -> Result<(Vec<u8>, [u32; 2]), PlotError> {
        let size = self.size(PNG_SCALE);
        let mut pixels = vec![0; size.0 as usize * size.1 as usize * 3];
        let area = BitMapBackend::with_buffer(&mut pixels, size).into_drawing_area();
        // plotters puts the baseline half a font size below the position.
        let metrics = TextMetrics { size_per_em: LINE_HEIGHT, top_to_baseline: LINE_HEIGHT / 2.0 };
        self.paint(&area, PNG_SCALE, metrics)?;
        drop(area);
        Ok((pixels, [size.0, size.1]))
    }

    fn size(&self, scale: f64) -> (u32, u32) {
        ((self.width * scale).ceil() as u32, (self.height * scale).ceil() as u32)
    }

    fn paint<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
        scale: f64,
        metrics: TextMetrics,
    ) -> Result<(), PlotError> {
        let pixel = |(x, y): (f64, f64)| ((x * scale).round() as i32, (y * scale).round() as i32);
        area.fill(&plotters::style::WHITE).map_err(drawing)?;
        for item in &self.items {
            match item {
                Item::Shape { points, fill } => {
                    let points: Vec<_> = points.iter().map(|&point| pixel(point)).collect();
                    // Rectangles are drawn as such: a polygon's edges are blurred by anti-aliasing.
                    match points[..] {
                        [a, b, c, d] if a.1 == b.1 && c.1 == d.1 && a.0 == d.0 => {
                            area.draw(&Rectangle::new([a, c], fill.filled()))
                        }
                        _ => area.draw(&Polygon::new(points, fill.filled())),
                    }
                }
                Item::Line { from, to, colour } => {
                    let stroke = colour.stroke_width(scale as u32);
                    area.draw(&PathElement::new([pixel(*from), pixel(*to)], stroke))
                }
                Item::Text { at, text, font, anchor, colour } => {
                    let top = (at.0, at.1 - metrics.top_to_baseline * font.size);
                    let horizontal = match anchor {
                        Anchor::Start => HPos::Left,
                        Anchor::Middle => HPos::Center,
                        Anchor::End => HPos::Right,
                    };
                    let font = font.describe(font.size * metrics.size_per_em * scale);
                    let style = font.color(colour).pos(Pos::new(horizontal, VPos::Top));
                    area.draw(&Text::new(text.as_str(), pixel(top), style))
                }
            }
            .map_err(drawing)?;
        }
        area.present().map_err(drawing)
    }
}

/// How a backend of plotters places text.
#[derive(Clone, Copy)]
struct TextMetrics {
    /// Its font size for an em of 1.
    size_per_em: f64,
    /// Ems from the position given to the baseline.
    top_to_baseline: f64,
}

fn drawing(error: impl std::fmt::Display) -> PlotError {
    PlotError::Drawing(error.to_string())
}
