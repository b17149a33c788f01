//! `fft/rustfft`: overlap-save with rustfft's transforms, written to be understood. The yardstick of its family.
//!
//! The input is cut into overlapping tiles; each tile of each channel is transformed once, each filter was transformed
//! when the plan was made, and the result of one output channel is the inverse transform of
//! `Σ_c X_c · conj(W_c)` (conjugated, because a network's convolution is a correlation). Of an `N`-point tile the first
//! `N − extent + 1` results do not wrap around and are kept. Strides are computed at stride 1 and thinned out; dilated
//! filters are filled up with zeros.

use conv_core::{
    Algorithm, Epilogue, Filter, Footprint, Phase, Plan, PlanError, PlanOptions, Probe, Problem, Unsupported, Work,
    for_each_task,
};
use conv_simd::{AlignedBuffer, AllocationError, Isa, SharedSlice};

#[allow(unsafe_code)]
mod kernel;
mod plan;
mod tiling;
mod transform;

use plan::{Layout, PlainPlan};
use tiling::Tiling;
use transform::Transform;

/// Complex numbers that a task of the weights' transforms makes: what fits into an L1 of 32 KiB.
const TASK_SPECTRA: usize = 4096;

/// The algorithm; see the [module](self).
pub(crate) struct Plain;

impl Algorithm for Plain {
    fn name(&self) -> &'static str {
        "fft/rustfft"
    }

    fn supports(&self, _: &Problem) -> Result<(), Unsupported> {
        Ok(())
    }

    fn plan(
        &self,
        problem: &Problem,
        filter: Filter<'_>,
        epilogue: Epilogue,
        options: &PlanOptions,
    ) -> Result<Box<dyn Plan>, PlanError> {
        filter.check(problem)?;
        let pitch = epilogue.pitch_of(problem)?;
        let tiling = Tiling::new(problem);
        let transform = Transform::new(tiling.size(), options.isa);
        let layout = Layout::new(problem, &tiling, &transform, options.workers);
        let footprint = options.admit(layout.prepared_bytes, layout.scratch_bytes)?;
        let spectra = transform_weights(&tiling, filter.weights)?;
        let mut bias = AlignedBuffer::zeroed(problem.out_channels())?;
        if let Some(values) = filter.bias {
            bias.copy_from_slice(values);
        }
        let (problem, isa, workers) = (problem.clone(), options.isa, options.workers);
        Ok(Box::new(PlainPlan {
            problem,
            epilogue,
            pitch,
            isa,
            workers,
            footprint,
            tiling,
            layout,
            transform,
            spectra,
            bias,
        }))
    }

    /// With `T` points in a tile and u the unit roundoff, a transform errs by at most `7u·log₂T` in the 2-norm (Higham,
    /// *Accuracy and Stability of Numerical Algorithms*, 2nd ed., theorem 24.2, with `η ≤ 7u`), the rounded weights by u
    /// and the sum over `c` channels of complex products by `√2·(c + 3)·u`, all relative to a spectrum whose 2-norm is
    /// at most `T·max|x|·Σ|w|`; the inverse divides by `√T` and errs like the forward transform. The 2-norm bounds every
    /// element, whence the factor `√T`, which measured errors stay far below.
    fn error_growth(&self, problem: &Problem) -> f64 {
        let points = Tiling::new(problem).points() as f64;
        // Two more steps each for packing two real rows into one complex one.
        let transforms = 2.0 * 7.0 * (points.log2() + 2.0);
        let products = 1.5 * (problem.group_in_channels() as f64 + 3.0);
        points.sqrt() * (transforms + products + 2.0)
    }

    fn work(&self, problem: &Problem, options: &PlanOptions) -> Option<Work> {
        let tiling = Tiling::new(problem);
        let layout = Layout::new(problem, &tiling, &Transform::new(tiling.size(), options.isa), options.workers);
        let [products, transforms] = flops(problem, &tiling, layout.spectrum).map(|flops| flops as f64);
        Some(Work {
            footprint: options.admit(layout.prepared_bytes, layout.scratch_bytes).ok()?,
            product_flops: products,
            // Not by the register tile: one tile's spectrum after the other.
            rows: 1,
            depth: problem.group_in_channels(),
            transform_flops: transforms,
            tile_transforms: 0.0,
            weight_passes: (problem.batch() * tiling.tiles()) as f64,
            between_bytes: 8.0 * layout.shared as f64 + transformed_bytes(problem, &tiling),
            between_set: 8.0 * layout.shared as f64,
            tasks: problem.out_channels(),
        })
    }
}

/// Operations of one run, `[products, transforms]`: complex multiply-adds (eight operations each) and transforms of
/// `5·N·log₂N`, halved for real data.
fn flops(problem: &Problem, tiling: &Tiling, spectrum: usize) -> [u128; 2] {
    let tiles = (problem.batch() * tiling.tiles()) as u128;
    let pairs = (problem.out_channels() * problem.group_in_channels()) as u128;
    let points = tiling.points() as u128;
    let transform = 5 * points * u128::from(points.ilog2()) / 2;
    let channels = (problem.in_channels() + problem.out_channels()) as u128;
    [tiles * 8 * pairs * spectrum as u128, tiles * transform * channels]
}

/// Bytes that the transforms of one run pass through memory: a tile's rows and columns are transformed in place, about two
/// levels at a time, and transposed in between.
fn transformed_bytes(problem: &Problem, tiling: &Tiling) -> f64 {
    let tiles = (problem.batch() * tiling.tiles()) as f64;
    let passes = (tiling.points() as f64).log2() / 2.0 + 2.0;
    tiles * (problem.in_channels() + problem.out_channels()) as f64 * 4.0 * tiling.points() as f64 * passes
}

/// Spectra `[oc][ic/groups][spectrum]`, conjugated and divided by the tile's points, transformed in f64.
fn transform_weights(tiling: &Tiling, weights: &[f32]) -> Result<AlignedBuffer, AllocationError> {
    let transform = Transform::<f64>::new(tiling.size(), Isa::best());
    let (taps, spectrum, points) = (tiling.taps(), tiling.spectrum(), tiling.points());
    let (filters, task_filters) = (weights.len() / taps, (TASK_SPECTRA / spectrum).max(1));
    kernel::collect(filters * 2 * spectrum, task_filters * 2 * spectrum, |task| {
        let mut tile = vec![0.0; tiling.filter_rows() * tiling.size()[1]];
        let (mut result, mut scratch) = (vec![Default::default(); spectrum], transform.scratch());
        let weights = weights.chunks(task_filters * taps).nth(task).unwrap_or_default();
        let mut spectra = Vec::with_capacity(task_filters * 2 * spectrum);
        for filter in weights.chunks_exact(taps) {
            for (tap, &weight) in filter.iter().enumerate() {
                tile[tiling.tap_position(tap)] = f64::from(weight) / points as f64;
            }
            transform.forward(&tile, &mut result, &mut scratch);
            spectra.extend(result.iter().flat_map(|value| [value.re as f32, -value.im as f32]));
        }
        spectra
    })
}

impl Plan for PlainPlan {
    fn problem(&self) -> &Problem {
        &self.problem
    }

    fn footprint(&self) -> Footprint {
        self.footprint
    }

    fn output_pitch(&self) -> usize {
        self.pitch
    }

    fn executed_flops(&self) -> u128 {
        flops(&self.problem, &self.tiling, self.layout.spectrum).iter().sum()
    }

    fn execute(&self, input: &[f32], output: &mut [f32], scratch: &mut [f32], probe: &dyn Probe) {
        let (problem, tiling) = (&self.problem, &self.tiling);
        let (shared, workers) = scratch.split_at_mut(2 * self.layout.shared);
        let tiles = problem.batch() * tiling.tiles();

        let transformed = SharedSlice::new(shared);
        for_each_task(self.workers, tiles * problem.in_channels(), workers, |scratch, index| {
            probe.enter(Phase::TransformInput);
            let (tile, channel) = (index / problem.in_channels(), index % problem.in_channels());
            self.transform_input(input, tile, channel, kernel::as_complex(scratch), &transformed);
            probe.enter(Phase::Idle);
        });

        let output = SharedSlice::new(output);
        for_each_task(self.workers, problem.out_channels(), workers, |scratch, channel| {
            for tile in 0..tiles {
                let scratch = kernel::as_complex(scratch);
                let (sums, rest) = scratch.split_at_mut(self.layout.spectrum);
                probe.enter(Phase::Multiply);
                kernel::multiply(self, &transformed, tile, channel, sums);
                probe.enter(Phase::TransformOutput);
                let (result, rest) = rest.split_at_mut(tiling.points() / 2);
                let result = kernel::as_real(result);
                self.transform.inverse(sums, result, rest);
                kernel::store(self, &output, tile, channel, result);
            }
            probe.enter(Phase::Idle);
        });
    }
}

impl PlainPlan {
    /// Cuts out one tile of one channel, zeros where it leaves the image, and transforms it.
    fn transform_input(
        &self,
        input: &[f32],
        tile: usize,
        channel: usize,
        scratch: &mut [transform::Complex],
        transformed: &SharedSlice<'_, f32>,
    ) {
        let (problem, tiling) = (&self.problem, &self.tiling);
        let (real, rest) = scratch.split_at_mut(tiling.points() / 2);
        let real = kernel::as_real(real);
        real.fill(0.0);
        let area = tiling.input_area(tile % tiling.tiles());
        let image = tile / tiling.tiles() * problem.height().input;
        for y in area.rows.clone() {
            let row = (image + area.top(y)) * problem.width().input;
            for x in area.columns.clone() {
                real[y * tiling.size()[1] + x] = input[(row + area.left(x)) * problem.in_channels() + channel];
            }
        }
        let at = (tile * problem.in_channels() + channel) * self.layout.spectrum;
        self.transform.forward(real, kernel::complex_part(transformed, at, self.layout.spectrum), rest);
    }
}
