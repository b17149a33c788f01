//! Resizing of maps, as ONNX defines it from Resize-11 on, without its cubic mode and cropping.

use conv_simd::{Isa, Simd, SimdOp};

use super::{for_each_chunk, read, task_len, write};

/// How a coordinate between two elements is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// To the nearest; downwards half-way.
    RoundPreferFloor,
    /// To the nearest; upwards half-way.
    RoundPreferCeil,
    /// Downwards.
    Floor,
    /// Upwards.
    Ceil,
}

/// What an element of the output is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResizeMode {
    /// One element of the input.
    Nearest(Rounding),
    /// Its neighbours along both axes, by their distance.
    Linear,
}

/// Where an element `x` of the output lies in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coordinates {
    /// `(x + ½) / scale - ½`.
    HalfPixel,
    /// The same, but 0 in an output of one element.
    PytorchHalfPixel,
    /// The outermost elements of both coincide.
    AlignCorners,
    /// `x / scale`.
    Asymmetric,
}

/// How maps are resized.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resize {
    /// What an element is made of.
    pub mode: ResizeMode,
    /// Where it lies in the input.
    pub coordinates: Coordinates,
    /// Output elements for each of the input along the height and the width, as far as the coordinates depend on them.
    pub scales: [f32; 2],
}

/// The elements of the input that one of the output is made of, and the second one's weight.
type Source = ([usize; 2], f32);

impl Resize {
    /// The source of element `x` of `output` along one axis. In `f32`, like the implementations whose results are expected:
    /// where scales are no binary fractions, that decides what is half-way.
    fn source(&self, axis: usize, input: usize, output: usize, x: usize) -> Source {
        let scale = self.scales[axis];
        let last = input.saturating_sub(1);
        let x = x as f32;
        let position = match self.coordinates {
            Coordinates::PytorchHalfPixel if output == 1 => 0.0,
            Coordinates::AlignCorners if output == 1 => 0.0,
            Coordinates::HalfPixel | Coordinates::PytorchHalfPixel => (x + 0.5) / scale - 0.5,
            Coordinates::AlignCorners => x * last as f32 / (output - 1) as f32,
            Coordinates::Asymmetric => x / scale,
        };
        // Casts saturate, so that no element before the first remains.
        match self.mode {
            ResizeMode::Nearest(rounding) => {
                let nearest = match rounding {
                    Rounding::RoundPreferFloor => (position - 0.5).ceil(),
                    Rounding::RoundPreferCeil => (position + 0.5).floor(),
                    Rounding::Floor => position.floor(),
                    Rounding::Ceil => position.ceil(),
                };
                ([(nearest as usize).min(last); 2], 0.0)
            }
            ResizeMode::Linear => {
                let position = position.clamp(0.0, last as f32);
                // Of more than 2²⁴ elements the last may be rounded to one behind it.
                let first = (position as usize).min(last);
                ([first, (first + 1).min(last)], position - first as f32)
            }
        }
    }

    /// The sources of `output` elements along one axis.
    fn sources(&self, axis: usize, input: usize, output: usize) -> Vec<Source> {
        (0..output).map(|x| self.source(axis, input, output, x)).collect()
    }
}

/// Resizes `[n][h][w][c]`.
#[derive(Debug)]
pub(crate) struct Resizer {
    linear: bool,
    input: [usize; 2],
    rows: Vec<Source>,
    columns: Vec<Source>,
    channels: usize,
}

impl Resizer {
    /// Resizes maps of `input` rows and columns to `output`.
    pub(crate) fn new(resize: &Resize, input: [usize; 2], output: [usize; 2], channels: usize) -> Self {
        Resizer {
            linear: resize.mode == ResizeMode::Linear,
            input,
            rows: resize.sources(0, input[0], output[0]),
            columns: resize.sources(1, input[1], output[1]),
            channels,
        }
    }

    /// Bytes of what it keeps for maps of `output` rows and columns.
    pub(crate) fn table_bytes(output: [usize; 2]) -> u128 {
        output.iter().map(|&size| size as u128 * size_of::<Source>() as u128).sum()
    }

    /// Bytes of what it keeps.
    pub(crate) fn bytes(&self) -> usize {
        (self.rows.len() + self.columns.len()) * size_of::<Source>()
    }

    /// Resizes each map of `input`.
    pub(crate) fn run(&self, isa: Isa, workers: usize, input: &[f32], output: &mut [f32]) {
        let row = (self.columns.len() * self.channels).max(1);
        let len = task_len(output.len(), row);
        for_each_chunk(workers, output, len, |index, output| {
            isa.run(Rows { resizer: self, first: index * (len / row), input, output });
        });
    }
}

/// Rows of the output from the `first` one of all maps.
struct Rows<'a> {
    resizer: &'a Resizer,
    first: usize,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl SimdOp for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        let Rows { resizer, first, input, output } = self;
        let &Resizer { linear, input: [height, width], ref rows, ref columns, channels } = resizer;
        let row_len = width * channels;
        for (row, output) in (first..).zip(output.chunks_exact_mut(columns.len() * channels)) {
            let map = &input[row / rows.len() * height * row_len..][..height * row_len];
            let (ys, weight) = rows[row % rows.len()];
            let [above, below] = ys.map(|y| &map[y * row_len..][..row_len]);
            let pixels = output.chunks_exact_mut(channels).zip(columns);
            if linear {
                let weight = simd.splat(weight);
                for (output, &(xs, across)) in pixels {
                    let corners = [above, below].map(|row| xs.map(|x| &row[x * channels..][..channels]));
                    blend(simd, corners, weight, simd.splat(across), output);
                }
            } else {
                for (output, ([x, _], _)) in pixels {
                    output.copy_from_slice(&above[x * channels..][..channels]);
                }
            }
        }
    }
}

/// One pixel between four.
#[inline(always)]
fn blend<S: Simd>(simd: S, [above, below]: [[&[f32]; 2]; 2], weight: S::Vec, across: S::Vec, output: &mut [f32]) {
    for c in (0..output.len()).step_by(S::LANES) {
        let between = |[left, right]: [&[f32]; 2]| {
            let (left, right) = (read(simd, &left[c..]), read(simd, &right[c..]));
            simd.mul_add(across, simd.sub(right, left), left)
        };
        let (above, below) = (between(above), between(below));
        write(simd, &mut output[c..], simd.mul_add(weight, simd.sub(below, above), above));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COORDINATES: [Coordinates; 4] =
        [Coordinates::HalfPixel, Coordinates::PytorchHalfPixel, Coordinates::AlignCorners, Coordinates::Asymmetric];
    const ROUNDINGS: [Rounding; 4] =
        [Rounding::RoundPreferFloor, Rounding::RoundPreferCeil, Rounding::Floor, Rounding::Ceil];

    /// The specification's formulas for one axis: weights of elements, which are those at the edge beyond it.
    fn taps(resize: &Resize, axis: usize, input: usize, output: usize, x: usize) -> Vec<(usize, f64)> {
        let (scale, x) = (resize.scales[axis], x as f32);
        let original = match resize.coordinates {
            Coordinates::HalfPixel => (x + 0.5) / scale - 0.5,
            Coordinates::PytorchHalfPixel => {
                if output > 1 {
                    (x + 0.5) / scale - 0.5
                } else {
                    0.0
                }
            }
            Coordinates::AlignCorners => {
                if output > 1 {
                    x * (input - 1) as f32 / (output - 1) as f32
                } else {
                    0.0
                }
            }
            Coordinates::Asymmetric => x / scale,
        };
        let at = |i: f32| (i.max(0.0) as usize).min(input - 1);
        let floor = original.floor();
        let half = original - floor == 0.5;
        match resize.mode {
            ResizeMode::Nearest(Rounding::Floor) => vec![(at(floor), 1.0)],
            ResizeMode::Nearest(Rounding::Ceil) => vec![(at(original.ceil()), 1.0)],
            ResizeMode::Nearest(Rounding::RoundPreferFloor) if half => vec![(at(floor), 1.0)],
            ResizeMode::Nearest(Rounding::RoundPreferCeil) if half => vec![(at(floor + 1.0), 1.0)],
            ResizeMode::Nearest(_) => vec![(at(original.round()), 1.0)],
            ResizeMode::Linear => {
                let ratio = f64::from(original - floor);
                vec![(at(floor), 1.0 - ratio), (at(floor + 1.0), ratio)]
            }
        }
    }

    /// Sizes that no 32-bit float is.
    #[test]
    fn no_source_lies_behind_the_last_element() {
        let modes = ROUNDINGS.map(ResizeMode::Nearest).into_iter().chain([ResizeMode::Linear]);
        for (mode, coordinates) in modes.flat_map(|mode| COORDINATES.map(|coordinates| (mode, coordinates))) {
            for input in (1 << 24)..(1 << 24) + 24 {
                for output in [input - 1, input + 1, 2 * input + 1] {
                    let resize = Resize { mode, coordinates, scales: [output as f32 / input as f32; 2] };
                    for x in output - 4..output {
                        let (elements, weight) = resize.source(1, input, output, x);
                        let inside = elements.iter().all(|&element| element < input) && (0.0..=1.0).contains(&weight);
                        assert!(inside, "{resize:?} of {input} to {output}: {x} is of {elements:?} by {weight}");
                    }
                }
            }
        }
    }

    #[test]
    fn as_specified() {
        let modes = ROUNDINGS.map(ResizeMode::Nearest).into_iter().chain([ResizeMode::Linear]);
        for (mode, coordinates) in modes.flat_map(|mode| COORDINATES.map(|coordinates| (mode, coordinates))) {
            for ([ih, iw], [oh, ow], channels) in [
                ([4, 5], [8, 10], 3),
                ([7, 5], [3, 2], 17),
                ([4, 6], [1, 1], 5),
                ([1, 1], [3, 4], 1),
                ([5, 3], [7, 11], 40),
                ([30, 20], [61, 43], 33),
            ] {
                let scales = [oh as f32 / ih as f32, ow as f32 / iw as f32];
                let resize = Resize { mode, coordinates, scales };
                let input: Vec<f32> = (0..2 * ih * iw * channels).map(|i| (i * 37 % 101) as f32 / 8.0).collect();
                let mut expected = vec![];
                for (n, y, x, c) in (0..2 * oh * ow * channels)
                    .map(|i| (i / (oh * ow * channels), i / (ow * channels) % oh, i / channels % ow, i % channels))
                {
                    let mut sum = 0.0;
                    for (y, a) in taps(&resize, 0, ih, oh, y) {
                        for &(x, b) in &taps(&resize, 1, iw, ow, x) {
                            sum += a * b * f64::from(input[((n * ih + y) * iw + x) * channels + c]);
                        }
                    }
                    expected.push(sum);
                }
                let resizer = Resizer::new(&resize, [ih, iw], [oh, ow], channels);
                for (isa, workers) in Isa::available().into_iter().flat_map(|isa| [(isa, 1), (isa, 3)]) {
                    let mut output = vec![f32::NAN; expected.len()];
                    resizer.run(isa, workers, &input, &mut output);
                    for (i, (&y, &exact)) in output.iter().zip(&expected).enumerate() {
                        let error = (f64::from(y) - exact).abs();
                        assert!(error < 1e-5, "{resize:?} of {ih}×{iw} to {oh}×{ow} on {isa}: {i} is {y} for {exact}");
                    }
                }
            }
        }
    }
}
