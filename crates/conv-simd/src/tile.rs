//! The register tile: the one inner loop of direct convolution, implicit GEMM, Winograd's products and the FFT's.

use crate::bounds::Bounds;
use crate::simd::Simd;
use crate::within::within;

/// Floats in a cache line.
const LINE: usize = 16;

/// Sums below which a tile waits for its own multiply-adds: two a cycle, four cycles each, are eight in flight, and some
/// more because weights arrive when they do. On AVX2 rows of 4 + 3 + 3 + 3 pixels, by three vectors, ran at 90% of the peak,
/// whole fours at 95%.
pub const STARVED_SUMS: usize = 10;

/// How many pixels a [`Run`] may leave out at one end of a tile.
pub const MAX_CLIP: usize = 3;

/// The usual tile of an instruction set: the most vectors, and the most pixels that fit beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TileShape {
    /// Pixels (rows of the product).
    pub pixels: usize,
    /// Vectors of output channels (columns of the product, in vectors).
    pub vectors: usize,
    /// Floats in a vector.
    pub lanes: usize,
}

impl TileShape {
    /// Output channels of a full tile.
    pub fn channels(self) -> usize {
        self.vectors * self.lanes
    }
}

/// One stretch of multiply-adds: `len` consecutive input floats of each pixel against `len` rows of weights.
///
/// The pixels `skip_first..PX - skip_last` take part. At most one of the two is above zero, and neither above
/// [`MAX_CLIP`]: each case is a loop of its own, so that taps in the padding cost nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Where pixel 0's floats start, in floats from [`TileArgs::x`]. Negative if pixel 0 is skipped.
    pub x: isize,
    /// Where the weights start, in rows of vectors × lanes floats from [`TileArgs::w`], so that tiles of different
    /// widths can share the run.
    pub w: usize,
    /// Input floats of each pixel.
    pub len: usize,
    /// Pixels left out at the start of the tile.
    pub skip_first: usize,
    /// Pixels left out at its end.
    pub skip_last: usize,
}

/// Weights to be read after this tile, of which it brings a row into L2 with each of its own.
#[derive(Debug, Clone, Copy)]
pub struct Later {
    /// The first of them.
    pub weights: *const f32,
    /// Floats from one row to the next: fewer than a row has where several tiles share them out.
    pub step: usize,
}

/// What a tile prefetches.
struct Soon {
    /// Floats from a pixel's to what is read next in its place.
    ahead: isize,
    /// Of [`TileArgs::later`], if there are any.
    later: *const f32,
    /// The outputs of the next pixel whose are not yet asked for.
    outputs: *const f32,
    /// How many pixels that is still to be done for.
    pixels: usize,
}

/// What a tile's sums start from.
#[derive(Debug, Clone, Copy)]
pub enum Init {
    /// Zero.
    Zero,
    /// The bias, one float a channel, padded to whole vectors.
    Bias(*const f32),
}

/// A tile's operands. With `b` the floats of a full row of weights (vectors × lanes):
/// `y[p·y_pixel + k] = init + Σ_row Σ_run Σ_c x[row·x_row + run.x + p·x_pixel + c] · w[row·w_row + (run.w + c)·b + k]`.
#[derive(Debug, Clone, Copy)]
pub struct TileArgs<'a> {
    /// The input floats of pixel 0.
    pub x: *const f32,
    /// Floats from one pixel to the next.
    pub x_pixel: usize,
    /// Packed weights: rows of vectors × lanes floats.
    pub w: *const f32,
    /// How often the runs are repeated (filter rows).
    pub rows: usize,
    /// Floats from one row's input to the next's.
    pub x_row: usize,
    /// Floats from what a row reads to what it prefetches line by line: the next row's.
    pub ahead: isize,
    /// The same for the last row: what will be read after this tile.
    pub next: isize,
    /// Floats from one row's weights to the next's.
    pub w_row: usize,
    /// What later tiles will read from beyond L2; `None`: the tile's own weights ([`weights_to_l2`]).
    pub later: Option<Later>,
    /// How many pixels' outputs are brought into L1 with every sixteen rows of weights, from the last filter row but one on (on
    /// AVX-512 alone); 0: all at its start.
    pub outputs_at_once: usize,
    /// The runs of one row.
    pub runs: &'a [Run],
    /// The output floats of pixel 0.
    pub y: *mut f32,
    /// Floats from one output pixel to the next.
    pub y_pixel: usize,
    /// Output channels that exist; the last vector may be partial, none may be empty.
    pub channels: usize,
    /// What the sums start from.
    pub init: Init,
    /// Whether what stands in the output is added at the end.
    pub accumulate: bool,
    /// Of the results, with what was added.
    pub bounds: Bounds,
    /// Whether the output is stored past the caches ([`Simd::stream_ptr`]), where it is whole cache lines.
    pub stream: bool,
}

impl TileArgs<'_> {
    /// Whether a tile of `pixels` by `width` channels, whole vectors, reads its input and its weights and writes its output in
    /// these slices alone. For debug assertions before [`Tile::run`].
    pub fn within(&self, [pixels, width]: [usize; 2], x: *const [f32], w: *const [f32], y: *const [f32]) -> bool {
        let reads = |run: &Run| {
            let taking_part = pixels.saturating_sub(run.skip_first + run.skip_last);
            if self.rows.min(run.len).min(taking_part) == 0 {
                return true;
            }
            let first = self.x.wrapping_offset(run.x).wrapping_add(run.skip_first * self.x_pixel);
            let rows_before = self.rows - 1;
            within(x, first, rows_before * self.x_row + (taking_part - 1) * self.x_pixel + run.len)
                && within(w, self.w.wrapping_add(run.w * width), rows_before * self.w_row + run.len * width)
        };
        self.runs.iter().all(reads) && within(y, self.y, (pixels - 1) * self.y_pixel + self.channels)
    }
}

pub(crate) type TileFn = unsafe fn(&TileArgs<'_>);

/// A register tile of one instruction set and one size; from [`crate::Isa::tile`].
#[derive(Debug, Clone, Copy)]
pub struct Tile(TileFn);

impl Tile {
    pub(crate) fn new(entry: TileFn) -> Self {
        Tile(entry)
    }

    /// Computes the tile.
    ///
    /// # Safety
    /// Every address named by the formula at [`TileArgs`] must be valid (reads of `x`, `w` and the bias, writes of `y`),
    /// no other thread may touch the written part of `y`, and the runs must keep the limits stated at [`Run`].
    #[inline]
    pub unsafe fn run(self, args: &TileArgs<'_>) {
        // SAFETY: the caller's promise; the instruction set was proven when the tile was made.
        unsafe { (self.0)(args) }
    }
}

/// The tile's body, inlined into each instruction set's entries.
///
/// # Safety
/// As [`Tile::run`].
#[inline(always)]
pub(crate) unsafe fn tile_body<S: Simd, const PX: usize, const NV: usize>(simd: S, args: &TileArgs<'_>) {
    debug_assert!(((NV - 1) * S::LANES + 1..=NV * S::LANES).contains(&args.channels));
    debug_assert!(args.runs.iter().all(|run| run.skip_first.min(run.skip_last) == 0));
    debug_assert!(args.runs.iter().all(|run| run.skip_first.max(run.skip_last) <= MAX_CLIP));
    let lines = |floats: usize| floats.is_multiple_of(LINE);
    // Half a line streamed now and half in another tile would be two slow writes to memory.
    let stream = args.stream
        && !args.accumulate
        && args.channels == NV * S::LANES
        && [args.channels, args.y_pixel, args.y.addr() / size_of::<f32>()].into_iter().all(lines);
    // SAFETY: all addresses are among those that the caller vouches for.
    unsafe {
        let mut acc = [[simd.zero(); NV]; PX];
        if let Init::Bias(bias) = args.init {
            for v in 0..NV {
                let value = simd.load_ptr(bias.add(v * S::LANES));
                for row in &mut acc {
                    row[v] = value;
                }
            }
        }
        let (mut x_row, mut w_row) = (args.x, args.w);
        let mut soon = Soon {
            ahead: args.ahead,
            later: args.later.map_or(args.w, |later| later.weights),
            outputs: args.y,
            pixels: 0,
        };
        for row in 0..args.rows {
            // A store that misses L2 holds up the store queue, and with it the next tile: without this, conv1 ran at 84–88%
            // of the peak instead of 90–97%. Two rows before the end, because at the start the lines are gone from L1
            // again, and one row is too late for a line from memory.
            if row == args.rows.saturating_sub(2) && !stream {
                if S::LANES == 16 && args.outputs_at_once > 0 {
                    soon.pixels = PX;
                } else {
                    let mut y = simd.opaque(args.y.cast_const());
                    for _ in 0..PX {
                        for v in 0..NV {
                            simd.prefetch(y.wrapping_add(v * S::LANES));
                        }
                        y = y.wrapping_add(args.y_pixel);
                    }
                }
            }
            // The next filter row's pixels, where its first run begins: with 16 registers not in the loop below, where it makes the
            // sums spill, nor at each run, which made the tiled FFT's products, two short runs a tile, 4% slower. Conv1 at
            // batch 16 takes 0.98 of the time, other layers the same.
            if let Some(run) = args.runs.first()
                && S::LANES == 8
                && row + 1 < args.rows
            {
                let mut pixel = simd.opaque(x_row.wrapping_add(args.x_row).wrapping_offset(run.x));
                for _ in 0..PX {
                    simd.prefetch(pixel);
                    pixel = pixel.wrapping_add(args.x_pixel);
                }
            }
            if row + 1 == args.rows {
                soon.ahead = args.next;
            }
            for run in args.runs {
                let x = x_row.wrapping_offset(run.x);
                let w = w_row.add(run.w * NV * S::LANES);
                match (run.skip_first, run.skip_last) {
                    (0, 0) => multiply_add::<S, PX, NV, 0, 0>(simd, &mut acc, x, args, w, run.len, &mut soon),
                    (1, _) => multiply_add::<S, PX, NV, 1, 0>(simd, &mut acc, x, args, w, run.len, &mut soon),
                    (2, _) => multiply_add::<S, PX, NV, 2, 0>(simd, &mut acc, x, args, w, run.len, &mut soon),
                    (3, _) => multiply_add::<S, PX, NV, 3, 0>(simd, &mut acc, x, args, w, run.len, &mut soon),
                    (_, 1) => multiply_add::<S, PX, NV, 0, 1>(simd, &mut acc, x, args, w, run.len, &mut soon),
                    (_, 2) => multiply_add::<S, PX, NV, 0, 2>(simd, &mut acc, x, args, w, run.len, &mut soon),
                    _ => multiply_add::<S, PX, NV, 0, 3>(simd, &mut acc, x, args, w, run.len, &mut soon),
                }
            }
            x_row = x_row.wrapping_add(args.x_row);
            w_row = w_row.wrapping_add(args.w_row);
        }
        if stream {
            store::<S, PX, NV, true>(simd, &acc, args);
        } else {
            store::<S, PX, NV, false>(simd, &acc, args);
        }
    }
}

/// Stores the sums, past the caches if `STREAM`: two loops, because a choice at each vector puts the sums into memory (38% of
/// the peak).
///
/// # Safety
/// As [`Tile::run`], and if `STREAM`, every vector of the output must be whole and aligned.
#[inline(always)]
unsafe fn store<S: Simd, const PX: usize, const NV: usize, const STREAM: bool>(
    simd: S,
    acc: &[[S::Vec; NV]; PX],
    args: &TileArgs<'_>,
) {
    let partial = args.channels - (NV - 1) * S::LANES;
    let mut y = simd.opaque(args.y.cast_const()).cast_mut();
    for row in acc {
        for (v, &sum) in row.iter().enumerate() {
            // SAFETY: all addresses are among those that the caller vouches for.
            unsafe {
                // Sums of pieces are more exact than one long sum.
                let sum = if args.accumulate {
                    let count = if v + 1 == NV { partial } else { S::LANES };
                    simd.add(simd.load_partial_ptr(y.add(v * S::LANES), count), sum)
                } else {
                    sum
                };
                let value = args.bounds.clamp(simd, sum);
                if v + 1 == NV && partial < S::LANES {
                    simd.store_partial_ptr(y.add(v * S::LANES), value, partial);
                } else if STREAM {
                    simd.stream_ptr(y.add(v * S::LANES), value);
                } else {
                    simd.store_ptr(y.add(v * S::LANES), value);
                }
            }
        }
        y = y.wrapping_add(args.y_pixel);
    }
}

/// `acc[p] += Σ_c x[p][c] · w[c]` for the pixels that this run does not skip; what `soon` names is prefetched.
///
/// # Safety
/// As [`Tile::run`].
// Plain indices: the loops must unroll into registers whatever the adaptors would make of them.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
unsafe fn multiply_add<S: Simd, const PX: usize, const NV: usize, const FIRST: usize, const LAST: usize>(
    simd: S,
    acc: &mut [[S::Vec; NV]; PX],
    x: *const f32,
    args: &TileArgs<'_>,
    w: *const f32,
    len: usize,
    soon: &mut Soon,
) {
    let x_pixel = args.x_pixel;
    if FIRST + LAST >= PX {
        return;
    }
    if S::LANES == 16 {
        // SAFETY: as the caller says.
        return unsafe { multiply_add_strided::<S, PX, NV, FIRST, LAST>(simd, acc, x, args, w, len, soon) };
    }
    // Opaque, or the compiler computes the address of every pixel of every kind of run before the first one, keeps them all
    // on the stack and moves each of them on from row to row: 300 instructions a tile, 100 cycles where 14 pixels × 48
    // channels take 672.
    let mut pixels = [simd.opaque(x); PX];
    for p in 1..PX {
        pixels[p] = simd.opaque(pixels[p - 1].wrapping_add(x_pixel));
    }
    let (mut later, later_step) = match args.later {
        Some(Later { step, .. }) => (soon.later, step),
        None => (weights_to_l2::<S>(w, NV), NV * S::LANES),
    };
    let mut w = w;
    for c in 0..len {
        let mut weights = [simd.zero(); NV];
        for (v, weight) in weights.iter_mut().enumerate() {
            // SAFETY: a row of weights is NV whole vectors.
            *weight = unsafe { simd.load_ptr(w.add(v * S::LANES)) };
            prefetch_weights(simd, w, later, NV, v);
        }
        for p in FIRST..PX - LAST {
            // SAFETY: pixels that take part are readable for `len` floats.
            let value = simd.splat(unsafe { *pixels[p].wrapping_add(c) });
            for v in 0..NV {
                acc[p][v] = simd.mul_add(value, weights[v], acc[p][v]);
            }
        }
        w = w.wrapping_add(NV * S::LANES);
        later = later.wrapping_add(later_step);
    }
    soon.later = later;
}

/// Pixels that one address and multiples of their distance reach, as x86 adds them: by none, one, two, three of it (a register of
/// its own) and four.
const REACH: usize = 5;

/// As [`multiply_add`], for tiles of more pixels than there are registers for their addresses: an address for each five. With one
/// for each of 14, three lay on the stack and others moved from register to register, 61 instructions a row of which 44 are of
/// use; with 51, 1×1 layers of 64 to 2048 channels ran 3 to 10% faster on a Xeon whose core another guest shares.
///
/// # Safety
/// As [`Tile::run`].
#[allow(clippy::needless_range_loop)]
#[inline(always)]
unsafe fn multiply_add_strided<S: Simd, const PX: usize, const NV: usize, const FIRST: usize, const LAST: usize>(
    simd: S,
    acc: &mut [[S::Vec; NV]; PX],
    x: *const f32,
    args: &TileArgs<'_>,
    w: *const f32,
    len: usize,
    soon: &mut Soon,
) {
    let x_pixel = args.x_pixel;
    const { assert!(PX <= 3 * REACH) };
    // Opaque, or the compiler has a pointer for each pixel again.
    let opaque = |bytes: usize| simd.opaque(std::ptr::without_provenance(bytes)).addr();
    let (step, three) = (opaque(size_of::<f32>() * x_pixel), opaque(3 * size_of::<f32>() * x_pixel));
    let (mut later, later_step) = match args.later {
        Some(Later { step, .. }) => (soon.later, step),
        None => (weights_to_l2::<S>(w, NV), NV * S::LANES),
    };
    let (mut x, mut w, mut left) = ([0, 1, 2].map(|i| x.wrapping_add(i * REACH * x_pixel)), w, len);
    while left > 0 {
        // The next filter row's pixels: two points for large batches of conv1, seven where the filter rows of one tile do
        // not fit into L1 (12 channels, 11×11), nothing elsewhere.
        let mut pixel = simd.opaque(x[0].wrapping_offset(soon.ahead));
        for p in 0..PX - LAST {
            if p >= FIRST {
                simd.prefetch(pixel);
            }
            pixel = pixel.wrapping_byte_add(step);
        }
        if soon.pixels > 0 {
            for _ in 0..args.outputs_at_once.min(soon.pixels) {
                for v in 0..NV {
                    simd.prefetch(soon.outputs.wrapping_add(v * S::LANES));
                }
                soon.outputs = soon.outputs.wrapping_add(args.y_pixel);
                soon.pixels -= 1;
            }
        }
        let rows = left.min(LINE);
        for _ in 0..rows {
            x = x.map(|x| simd.opaque(x));
            let mut weights = [simd.zero(); NV];
            for (v, weight) in weights.iter_mut().enumerate() {
                // SAFETY: a row of weights is NV whole vectors.
                *weight = unsafe { simd.load_ptr(w.add(v * S::LANES)) };
                prefetch_weights(simd, w, later, NV, v);
            }
            for (i, x) in x.into_iter().enumerate() {
                let steps = [0, step, 2 * step, three, 4 * step].map(|bytes| x.wrapping_byte_add(bytes));
                for (j, pixel) in steps.into_iter().enumerate() {
                    let p = i * REACH + j;
                    if (FIRST..PX - LAST).contains(&p) {
                        // SAFETY: pixels that take part are readable for `len` floats.
                        let value = simd.splat(unsafe { *pixel });
                        for v in 0..NV {
                            acc[p][v] = simd.mul_add(value, weights[v], acc[p][v]);
                        }
                    }
                }
            }
            x = x.map(|x| x.wrapping_add(1));
            w = w.wrapping_add(NV * S::LANES);
            later = later.wrapping_add(later_step);
        }
        left -= rows;
    }
    soon.later = later;
}

/// Where the weights are that are brought into L2 while the row at `w` of `vectors` vectors is multiplied: so early that weights from
/// memory, where Winograd's and the fully connected layers' are, arrive in time.
#[inline(always)]
pub fn weights_to_l2<S: Simd>(w: *const f32, vectors: usize) -> *const f32 {
    w.wrapping_add(256 * vectors * S::LANES)
}

/// Prefetches vector `v` of the weights at `to_l2`, and with AVX-512 into L1, no earlier than L2 demands, that of a later row than the
/// one at `w`, where each has `vectors` vectors.
///
/// A full tile of AVX-512 takes 14 cycles a row. Into L1 alone, 14 images of fc6 took 7.8, 5.6, 4.5 and 4.3 ms with 16, 32, 64
/// and 128 rows ahead on a Zen 5; but 128 rows are a third of L1, and on a Xeon of the fifth generation, whose L1 another
/// guest's thread probably shares, they seem to push the pixels out: with 32 rows into L1 and 256 into L2 direct convolution
/// took 0.92 to 1.03 of the time there, Winograd 0.90 to 0.99.
///
/// One of AVX2 takes six cycles a row, and L1's own prefetcher keeps up: on a Zen 4, against 128 rows into L1, direct convolution
/// took 0.96 to 0.99 of the time with 256 rows into L2 alone, Winograd 0.91 to 0.97, `fft/t32` on conv2 0.88, `im2col/implicit`
/// on conv3 0.86; with 32 into L1 alone about the half of that was won, and both together were behind either. AVX-512
/// without L1's took 0.98 to 1.14 there (`fft/t32` most).
#[inline(always)]
pub fn prefetch_weights<S: Simd>(simd: S, w: *const f32, to_l2: *const f32, vectors: usize, v: usize) {
    // Once a cache line.
    if !v.is_multiple_of(LINE / S::LANES) {
        return;
    }
    if S::LANES == 16 {
        simd.prefetch(w.wrapping_add((32 * vectors + v) * S::LANES));
    }
    simd.prefetch_l2(to_l2.wrapping_add(v * S::LANES));
}
