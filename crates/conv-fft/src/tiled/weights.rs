//! Transformed weights, conjugated because a network's convolution is a correlation, packed for the register tile.

use conv_core::{Filter, PlanError};
use conv_simd::{AlignedBuffer, Arithmetic};

use super::arithmetic::{Complex, WIDE, Wide};
use super::geometry::Geometry;
use super::layout::Layout;
use super::transform::{Work, column_forward, is_real, rows_forward, scale};

/// Packs U (see [`super::layout`]), and after it the bias, `[group][channel]`, both padded with zeros to whole vectors.
/// Transforms are computed in f64 and rounded once.
pub(super) fn pack<const N: usize>(
    geometry: &Geometry,
    layout: &Layout,
    filter: Filter<'_>,
) -> Result<AlignedBuffer, PlanError> {
    let problem = &geometry.problem;
    let (groups, channels) = (problem.groups(), problem.group_out_channels());
    let mut packed = AlignedBuffer::zeroed(groups * layout.channels * (layout.depth * N * N + 1))?;
    let (weights, bias) = packed.split_at_mut(groups * layout.channels * layout.depth * N * N);
    if let Some(values) = filter.bias {
        for (padded, values) in bias.chunks_mut(layout.channels).zip(values.chunks(channels)) {
            padded[..channels].copy_from_slice(values);
        }
    }
    let mut packer = Packer::<N> { geometry, layout, rows: vec![[Wide.zero(); 2]; N * N / 2], work: Work::new(Wide) };
    for group in 0..groups {
        // Each within one register block, so that they stand side by side.
        for first in (0..channels).step_by(WIDE) {
            let outputs = first..(first + WIDE).min(channels);
            for depth in 0..layout.depth {
                packer.filters(weights, filter.weights, (group, outputs.clone(), depth));
            }
        }
    }
    Ok(packed)
}

struct Packer<'a, const N: usize> {
    geometry: &'a Geometry,
    layout: &'a Layout,
    /// Transformed rows, `[column][row]`.
    rows: Vec<Complex<Wide>>,
    work: Work<Wide, N>,
}

impl<const N: usize> Packer<'_, N> {
    /// Transforms and writes the filters of a group from input channel `depth`, counted through all phases, to some
    /// neighbouring output channels.
    fn filters(
        &mut self,
        packed: &mut [f32],
        weights: &[f32],
        (group, outputs, depth): (usize, std::ops::Range<usize>, usize),
    ) {
        let Geometry { problem, height, width } = self.geometry;
        let (kh, kw) = (problem.height().kernel, problem.width().kernel);
        let channels = problem.group_in_channels();
        let (phase, channel) = (depth / channels, depth % channels);
        let phase = [phase / width.phases, phase % width.phases];
        let mut tile = vec![Wide.zero(); height.taps * N];
        for r in 0..kh {
            for s in 0..kw {
                let ((y, down), (x, right)) = (height.tap(r), width.tap(s));
                if [down, right] == phase {
                    for (lane, output) in outputs.clone().enumerate() {
                        let filter = (group * problem.group_out_channels() + output) * channels + channel;
                        tile[y * N + x][lane] = f64::from(weights[(filter * kh + r) * kw + s]);
                    }
                }
            }
        }
        let element = |row: usize, j: usize| tile.get(row * N + j).copied().unwrap_or(Wide.zero());
        let Packer { layout, rows, work, .. } = self;
        for pair in (0..height.taps).step_by(2) {
            rows_forward(
                Wide,
                work,
                |j| [element(pair, j), element(pair + 1, j)],
                |row, column, value| rows[column * N + pair + row] = value,
            );
        }
        let taps = height.taps.next_multiple_of(2);
        for (column, rows) in rows.chunks_exact(N).enumerate() {
            let at = Place { layout, columns: group * N / 2 + column, output: outputs.start, depth };
            let row = |j: usize| if j < taps { rows[j] } else { [Wide.zero(); 2] };
            column_forward(Wide, work, column, row, |plane, [re, im]| {
                let scale = scale::<N>(column, plane);
                let mut write = |part: usize, values: [f64; WIDE], scale: f64| {
                    let to = &mut packed[at.offset::<N>(plane, is_real::<N>(column, plane), part)..];
                    for (to, value) in to[..outputs.len()].iter_mut().zip(values) {
                        *to = (value * scale) as f32;
                    }
                };
                write(0, re, scale);
                if !is_real::<N>(column, plane) {
                    write(1, im, -scale);
                }
            });
        }
    }
}

/// Where weights stand.
struct Place<'a> {
    layout: &'a Layout,
    /// Columns before this one, those of the groups before included.
    columns: usize,
    output: usize,
    depth: usize,
}

impl Place<'_> {
    /// The first float of the real (0) or imaginary (1) part at a plane.
    fn offset<const N: usize>(&self, plane: usize, real: bool, part: usize) -> usize {
        let layout = self.layout;
        let chunk = self.output / layout.chunk;
        let (chunk_start, chunk_width) = (chunk * layout.chunk, layout.chunk_width(chunk));
        let block_start = (self.output - chunk_start) / layout.block * layout.block;
        let width = layout.block.min(chunk_width - block_start);
        let lane = self.output - chunk_start - block_start;
        // Rows of one part before this plane: real ones, which come last, have half as many.
        let before = if real { (N - 2) + plane } else { 2 * plane };
        let rows = if real { layout.depth } else { 2 * layout.depth };
        (self.columns * layout.channels + chunk_start) * 2 * N * layout.depth
            + before * layout.depth * chunk_width
            + block_start * rows
            + (part * layout.depth + self.depth) * width
            + lane
    }
}
