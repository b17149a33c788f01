//! The table of pixel pointers: which input each output pixel meets at each step of the reduction.

use std::ops::Range;

use conv_core::{PlanError, Problem};
use conv_simd::AlignedBuffer;

/// Input of one panel of tiles, which stays in about half of a 1 MiB L2 while all blocks of output channels pass over it.
const PANEL_BYTES: usize = 512 << 10;

/// Stands for the row of zeros, in place of an input offset.
pub(super) const ZEROS: usize = usize::MAX;

/// Multiply-adds of every pixel of a tile: `len` consecutive floats of each against `len` rows of the weights from `w` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub w: usize,
    pub len: usize,
    /// The filter's tap (vertical, horizontal) with which it begins.
    tap: [usize; 2],
}

/// Some output pixels whose sums stand in registers together, from anywhere in the image.
#[derive(Debug, Clone)]
pub(crate) struct Tile {
    /// Among the table's pixels.
    pub pixels: Range<usize>,
    /// Among its steps.
    pub steps: Range<usize>,
    /// Its first offset; there is one for each pixel at each step.
    pub inputs: usize,
}

/// Pointers of one image (or of a whole batch of images too small to fill a tile), as offsets, so that it serves any
/// input and every image.
///
/// Pixels with the same taps inside the image stand side by side: the corners, the edges, the inside. A tap that is
/// padding for a whole tile has no step; only a tile that spans two kinds of pixels multiplies zeros (1% on 13×13 maps).
#[derive(Debug)]
pub(crate) struct Table {
    /// Images that it covers.
    pub images: usize,
    /// Output pixels, counted through the images.
    pub pixels: Box<[usize]>,
    pub tiles: Box<[Tile]>,
    pub steps: Box<[Step]>,
    /// Floats from the first of the images to where a pixel's input at a step begins in group 0, or [`ZEROS`].
    pub inputs: Box<[usize]>,
    /// The row that [`ZEROS`] stands for.
    pub zeros: AlignedBuffer,
    /// Floats that it needs.
    zeros_len: usize,
    /// Tiles of a panel.
    panel: usize,
}

impl Table {
    /// Cuts the output into tiles of at most `largest` pixels, as equal as can be; the offsets are still to be written.
    pub fn new(problem: &Problem, largest: usize) -> Self {
        let [oh, ow] = problem.output_size();
        let images = if oh * ow < largest { problem.batch() } else { 1 };
        let (pixels, kinds) = sorted_pixels(problem, images);
        let (mut tiles, mut steps, mut inputs, mut zeros_len) = (Vec::new(), Vec::new(), 0, 0);
        for tile in tile_pixels(&kinds, largest) {
            let first = steps.len();
            zeros_len = zeros_len.max(push_steps(problem, &pixels[tile.clone()], &mut steps));
            tiles.push(Tile { pixels: tile.clone(), steps: first..steps.len(), inputs });
            inputs += (steps.len() - first) * tile.len();
        }
        Table {
            images,
            pixels,
            panel: tiles.len(),
            tiles: tiles.into(),
            steps: steps.into(),
            inputs: Box::default(),
            zeros: AlignedBuffer::default(),
            zeros_len,
        }
    }

    /// The same in panels of as many tiles as [`PANEL_BYTES`] hold the input of, fewer where `workers` would have too little
    /// to share, each panel `parts` times.
    pub fn in_panels(self, problem: &Problem, parts: usize, workers: usize) -> Self {
        let tiles = self.tiles.len();
        let input = 4 * problem.input_len() / problem.batch() * self.images;
        let wanted = (8 * workers).div_ceil(self.copies(problem) * parts);
        Table { panel: (PANEL_BYTES / input.div_ceil(tiles)).clamp(1, tiles.div_ceil(wanted)), ..self }
    }

    /// How many panels there are.
    pub fn panels(&self) -> usize {
        self.tiles.len().div_ceil(self.panel)
    }

    /// The tiles of one.
    pub fn panel(&self, panel: usize) -> &[Tile] {
        let first = panel * self.panel;
        &self.tiles[first..(first + self.panel).min(self.tiles.len())]
    }

    /// How often a batch uses the table.
    pub fn copies(&self, problem: &Problem) -> usize {
        problem.batch() / self.images
    }

    /// Bytes of the finished table, its zeros included.
    pub fn bytes(&self) -> u128 {
        (size_of_val(&*self.pixels)
            + size_of_val(&*self.tiles)
            + size_of_val(&*self.steps)
            + size_of::<usize>() * self.input_count()
            + size_of::<f32>() * self.zeros_len) as u128
    }

    fn input_count(&self) -> usize {
        self.tiles.iter().map(|tile| tile.pixels.len() * tile.steps.len()).sum()
    }

    /// Writes the offsets and the zeros.
    ///
    /// # Errors
    /// [`PlanError::Allocation`].
    pub fn point(&mut self, problem: &Problem) -> Result<(), PlanError> {
        self.zeros = AlignedBuffer::zeroed(self.zeros_len)?;
        let mut inputs = Vec::with_capacity(self.input_count());
        for tile in &self.tiles {
            for step in &self.steps[tile.steps.clone()] {
                inputs.extend(self.pixels[tile.pixels.clone()].iter().map(|&pixel| offset(problem, pixel, step.tap)));
            }
        }
        self.inputs = inputs.into();
        Ok(())
    }

    /// Multiply-adds of one image's output channel, zeros included, over all images of the table.
    pub fn multiply_adds(&self) -> usize {
        let of = |tile: &Tile| self.steps[tile.steps.clone()].iter().map(|step| step.len).sum::<usize>();
        self.tiles.iter().map(|tile| tile.pixels.len() * of(tile)).sum()
    }
}

/// Image, row and column of an output pixel.
fn place(problem: &Problem, pixel: usize) -> [usize; 3] {
    let [oh, ow] = problem.output_size();
    [pixel / ow / oh, pixel / ow % oh, pixel % ow]
}

/// The output pixels of `images`, those with the same taps inside the image together, and how many there are of each
/// kind: first by the vertical taps, then by the horizontal ones.
fn sorted_pixels(problem: &Problem, images: usize) -> (Box<[usize]>, Vec<Vec<usize>>) {
    let [oh, ow] = problem.output_size();
    let [rows, columns]: [Vec<Range<usize>>; 2] =
        [(problem.height(), oh), (problem.width(), ow)].map(|(axis, size)| {
            let outputs: Vec<usize> = (0..size).collect();
            let kinds = outputs.chunk_by(|&a, &b| axis.valid_taps(a) == axis.valid_taps(b));
            kinds.map(|kind| kind[0]..kind[0] + kind.len()).collect()
        });
    let (mut pixels, mut counts) = (Vec::with_capacity(images * oh * ow), Vec::new());
    for rows in &rows {
        for columns in &columns {
            for image in 0..images {
                for y in rows.clone() {
                    pixels.extend(columns.clone().map(|x| (image * oh + y) * ow + x));
                }
            }
        }
        counts.push(columns.iter().map(|columns| images * rows.len() * columns.len()).collect());
    }
    (pixels.into(), counts)
}

/// Cuts pixels into tiles. A kind has tiles of its own, as equal as can be, unless it is small and there is room for it
/// in those of a neighbour with the same vertical taps: a tile more costs more than some zeros.
fn tile_pixels(kinds: &[Vec<usize>], largest: usize) -> Vec<Range<usize>> {
    let mut runs: Vec<usize> = Vec::new();
    for kinds in kinds {
        runs.push(kinds[0]);
        for &kind in &kinds[1..] {
            let run = runs.last_mut().expect("the row's first kind was pushed");
            let apart = run.div_ceil(largest) + kind.div_ceil(largest);
            if 2 * kind.min(*run) < largest && (*run + kind).div_ceil(largest) < apart {
                *run += kind;
            } else {
                runs.push(kind);
            }
        }
    }
    let (mut tiles, mut first) = (Vec::new(), 0);
    for run in runs {
        let count = run.div_ceil(largest);
        tiles.extend((0..count).map(|tile| first + tile * run / count..first + (tile + 1) * run / count));
        first += run;
    }
    tiles
}

/// Appends the steps of a tile, taps that are neighbours in memory joined where each pixel has both or neither. Returns
/// the longest at which some pixel meets padding.
fn push_steps(problem: &Problem, pixels: &[usize], steps: &mut Vec<Step>) -> usize {
    let (height, width, channels) = (problem.height(), problem.width(), problem.group_in_channels());
    let contiguous = problem.groups() == 1 && width.dilation == 1;
    let valid: Vec<[Range<usize>; 2]> = pixels
        .iter()
        .map(|&pixel| {
            let [_, y, x] = place(problem, pixel);
            [height.valid_taps(y), width.valid_taps(x)]
        })
        .collect();
    let mut zeros = 0;
    for tap_y in 0..height.kernel {
        let mut last: Option<Vec<bool>> = None;
        for tap_x in 0..width.kernel {
            let inside: Vec<bool> = valid.iter().map(|[y, x]| y.contains(&tap_y) && x.contains(&tap_x)).collect();
            if !inside.contains(&true) {
                last = None;
                continue;
            }
            match steps.last_mut() {
                Some(step) if contiguous && last.as_ref() == Some(&inside) => step.len += channels,
                _ => steps.push(Step {
                    w: (tap_y * width.kernel + tap_x) * channels,
                    len: channels,
                    tap: [tap_y, tap_x],
                }),
            }
            if inside.contains(&false) {
                zeros = zeros.max(steps.last().map_or(0, |step| step.len));
            }
            last = Some(inside);
        }
    }
    zeros
}

/// Where the input of `pixel` under `tap` begins.
fn offset(problem: &Problem, pixel: usize, [tap_y, tap_x]: [usize; 2]) -> usize {
    let (height, width) = (problem.height(), problem.width());
    let [image, y, x] = place(problem, pixel);
    if height.valid_taps(y).contains(&tap_y) && width.valid_taps(x).contains(&tap_x) {
        // A valid tap lies inside the input: its position is not negative.
        let row = image * height.input + height.position(y, tap_y) as usize;
        (row * width.input + width.position(x, tap_x) as usize) * problem.in_channels()
    } else {
        ZEROS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(descriptor: &str, largest: usize) -> Table {
        let problem: Problem = descriptor.parse().unwrap();
        let mut table = Table::new(&problem, largest);
        table.point(&problem).unwrap();
        table
    }

    #[test]
    fn padding_is_dropped_but_where_kinds_of_pixels_meet() {
        let table = table("mb1ic8ih13oc8kh3ph1", 14);
        assert_eq!((table.images, table.tiles.len()), (1, 13));
        let inside = 8 * 37 * 37;
        assert!((inside..inside * 101 / 100).contains(&table.multiply_adds()), "{}", table.multiply_adds());
    }

    #[test]
    fn contiguous_taps_are_one_step() {
        let table = table("mb1ic3ih227oc8kh11sh4", 14);
        assert!(table.tiles.iter().all(|tile| tile.steps.len() == 11));
        assert!(table.zeros.is_empty());
    }

    #[test]
    fn small_images_share_tiles() {
        let table = table("mb16ic8ih3oc8kh3", 14);
        assert_eq!((table.images, table.tiles.len()), (16, 2));
    }
}
