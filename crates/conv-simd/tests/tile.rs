//! Every register tile of every instruction set of this machine against plain loops, on integers, hence bit for bit.

use conv_simd::{AlignedBuffer, Bounds, Init, Isa, Later, MAX_CLIP, Run, TileArgs};

/// Small integers that repeat with no power of two.
fn integers(len: usize, period: usize) -> Vec<f32> {
    (0..len).map(|i| (i * 7 % period) as f32 - (period / 2) as f32).collect()
}

struct Case {
    isa: Isa,
    pixels: usize,
    vectors: usize,
    channels: usize,
    runs: Vec<Run>,
    rows: usize,
    bounds: Bounds,
    output: Output,
}

/// Where the output lies.
#[derive(Clone, Copy)]
struct Output {
    stream: bool,
    /// Floats before it in its buffer, which begins with a cache line.
    start: usize,
    /// Floats between its pixels; if not given, as many as fill the line.
    gap: Option<usize>,
}

/// Whole lines are streamed; where they are none, asking for it must do no harm.
const OUTPUTS: [Output; 4] = [
    Output { stream: false, start: 0, gap: Some(3) },
    Output { stream: true, start: 0, gap: None },
    Output { stream: true, start: 0, gap: Some(3) },
    Output { stream: true, start: 3, gap: None },
];

const X_PIXEL: usize = 6;
const X_ROW: usize = 131;
/// Room for runs that start before pixel 0.
const X_ORIGIN: usize = 64;

impl Case {
    fn check(&self, init: &str) {
        let width = self.vectors * self.isa.lanes();
        let w_row = 40 * width;
        let x = integers(X_ORIGIN + self.rows * X_ROW + 200, 13);
        let w = integers(self.rows * w_row, 11);
        let bias = integers(width, 5);
        let Output { stream, start, gap } = self.output;
        let y_pixel = gap.map_or(width.next_multiple_of(16), |gap| width + gap);
        let before = integers(start + self.pixels * y_pixel, 9);
        let mut y = AlignedBuffer::copy_of(&before).unwrap();
        let args = TileArgs {
            x: x[X_ORIGIN..].as_ptr(),
            x_pixel: X_PIXEL,
            w: w.as_ptr(),
            rows: self.rows,
            x_row: X_ROW,
            ahead: 9,
            next: -7,
            w_row,
            later: Some(Later { weights: w.as_ptr(), step: 3 }),
            outputs_at_once: 1,
            runs: &self.runs,
            y: y[start..].as_mut_ptr(),
            y_pixel,
            channels: self.channels,
            init: match init {
                "zero" => Init::Zero,
                "bias" | "both" => Init::Bias(bias.as_ptr()),
                _ => Init::Zero,
            },
            accumulate: ["output", "both"].contains(&init),
            bounds: self.bounds,
            stream,
        };
        // SAFETY: all arrays are larger than what the runs and sizes of `cases` reach; the plain loops below index the
        // same elements with bounds checks.
        unsafe { self.isa.tile(self.pixels, self.vectors).run(&args) };
        self.isa.fence();

        let mut expected = before.clone();
        for p in 0..self.pixels {
            for k in 0..self.channels {
                let mut sum = match init {
                    "zero" => 0.0,
                    "bias" => bias[k],
                    "output" => before[start + p * y_pixel + k],
                    _ => before[start + p * y_pixel + k] + bias[k],
                };
                for row in 0..self.rows {
                    for run in &self.runs {
                        if (run.skip_first..self.pixels.saturating_sub(run.skip_last)).contains(&p) {
                            for c in 0..run.len {
                                let at = (X_ORIGIN + row * X_ROW + p * X_PIXEL + c) as isize + run.x;
                                sum += x[at as usize] * w[row * w_row + (run.w + c) * width + k];
                            }
                        }
                    }
                }
                expected[start + p * y_pixel + k] = self.bounds.clamp_one(sum);
            }
        }
        assert_eq!(y[..], expected, "{} {}x{} channels {} {init}", self.isa, self.pixels, self.vectors, self.channels);
    }
}

/// Those of this machine, and that of half vectors which are not whole.
fn instruction_sets() -> Vec<Isa> {
    let half = Some(Isa::best().tiles_filled_by(9, 1.0)).filter(|half| *half != Isa::best());
    Isa::available().into_iter().chain(half).collect()
}

#[test]
fn tiles_agree_with_plain_loops() {
    let run = |x, w, len, skip_first, skip_last| Run { x, w, len, skip_first, skip_last };
    for isa in instruction_sets() {
        let shape = isa.tile_shape();
        for vectors in 1..=isa.most_vectors() {
            for pixels in 1..=isa.tile_pixels(vectors) {
                for channels in [vectors * shape.lanes, (vectors - 1) * shape.lanes + 1, vectors * shape.lanes - 1] {
                    let clip = Bounds { least: -20.0, most: 60.0 };
                    let kinds = [
                        ("zero", Bounds::NONE, 1),
                        ("bias", Bounds::RELU, 3),
                        ("output", Bounds::NONE, 2),
                        ("both", clip, 2),
                    ];
                    for (init, bounds, rows) in kinds {
                        let mut runs = vec![run(0, 0, 7, 0, 0), run(-5, 7, 1, 0, 0), run(11, 8, 5, 0, 0)];
                        for skip in 1..=MAX_CLIP {
                            runs.push(run(-4, 13 + skip, 3, skip, 0));
                            runs.push(run(2, 20 + skip, 2, 0, skip));
                        }
                        runs.push(run(1, 30, 0, 0, 0));
                        for output in OUTPUTS {
                            Case { isa, pixels, vectors, channels, runs: runs.clone(), rows, bounds, output }
                                .check(init);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn relu_keeps_nan() {
    for isa in instruction_sets() {
        let lanes = isa.lanes();
        let (x, w, mut y) = ([f32::NAN], vec![1.0; lanes], vec![0.0; lanes]);
        let runs = [Run { x: 0, w: 0, len: 1, skip_first: 0, skip_last: 0 }];
        let args = TileArgs {
            x: x.as_ptr(),
            x_pixel: 0,
            w: w.as_ptr(),
            rows: 1,
            x_row: 0,
            ahead: 0,
            next: 0,
            w_row: 0,
            later: None,
            outputs_at_once: 1,
            runs: &runs,
            y: y.as_mut_ptr(),
            y_pixel: 0,
            channels: lanes,
            init: Init::Zero,
            accumulate: false,
            bounds: Bounds::RELU,
            stream: false,
        };
        // SAFETY: one pixel, one row of weights, one vector of output.
        unsafe { isa.tile(1, 1).run(&args) };
        assert!(y.iter().all(|y| y.is_nan()), "{isa}");
    }
}
