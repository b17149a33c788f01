//! `fft/t8`, `fft/t14`, `fft/t16`, `fft/t30`, `fft/t32`: tiles of a fixed size, transformed across channels, multiplied by the
//! register tile; and `fft/t14-gauss` to `fft/t32-gauss`, whose complex products are three real ones.
//!
//! **Sizes.** A tile of N keeps `N + 1 − k` results along an axis of a filter of k. Where one tile covers a map, the padding
//! behind the map and that before it may be the same zeros (see [`geometry::Side`]): AlexNet's 27 × 27 map with a filter of 5
//! needs 29 samples instead of 31, its 13 × 13 ones with 3 need 14 instead of 15. With tiles of 30 and of 14 they have an
//! eighth and a quarter fewer frequencies than with 32 and 16, and took 0.88 to 0.90 and 0.75 to 0.79 of the time (Zen 4,
//! batch 16).
//!
//! A vector holds one element of a tile for as many channels as it has lanes, real and imaginary parts apart, so that no
//! step of a transform moves data between lanes. A complex product of tiles with weights is two or three calls of the
//! register tile, which is every other algorithm's here too: see [`Products`].
//!
//! **Stages.** Rows of all tiles of a block (X); then, column by column of the transformed tiles, forward transforms (V),
//! products (M) and inverse transforms (Y), for which V and M stay near the core; then rows back to outputs.
//!
//! **Price.** By symmetry a spectrum has as many floats as the tile has points, so the prepared weights take
//! `4·N²·oc·ic/groups` bytes, times the phases of a strided filter: 48 MiB for conv2 of AlexNet with N = 32, and half as
//! many again for three products. They are read from memory once for each block of tiles, which is what bounds the speed.

use conv_core::{
    Algorithm, Axis, Epilogue, Filter, Parameter, Parameters, Plan, PlanError, PlanOptions, Problem, Unsupported, Work,
};

mod arithmetic;
mod flops;
mod geometry;
mod input;
mod layout;
mod output;
mod plan;
mod products;
mod schedule;
mod transform;
mod weights;

use geometry::{Geometry, Side};
use layout::Layout;
use plan::TiledPlan;
pub(crate) use products::Products;

/// The algorithm with tiles of `N × N`; see the [module](self).
pub(crate) struct Tiled<const N: usize> {
    pub name: &'static str,
    /// What it computes, as its refusals say it.
    pub supported: &'static str,
    /// How its complex products are made.
    pub products: Products,
}

impl<const N: usize> Tiled<N> {
    fn axes(problem: &Problem) -> [&Axis; 2] {
        [problem.height(), problem.width()]
    }
}

impl<const N: usize> Algorithm for Tiled<N> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn supports(&self, problem: &Problem) -> Result<(), Unsupported> {
        if Self::axes(problem).iter().all(|axis| Side::fits(axis, N)) {
            return Ok(());
        }
        let [kernel_h, kernel_w] = Self::axes(problem).map(|axis| axis.kernel);
        Err(Unsupported::Kernel { algorithm: self.name, supported: self.supported, kernel_h, kernel_w })
    }

    fn plan(
        &self,
        problem: &Problem,
        filter: Filter<'_>,
        epilogue: Epilogue,
        options: &PlanOptions,
    ) -> Result<Box<dyn Plan>, PlanError> {
        self.supports(problem)?;
        filter.check(problem)?;
        Ok(Box::new(TiledPlan::<N>::new(problem, self.products, filter, epilogue, options)?))
    }

    /// With `T = N²` points in a tile and u the unit roundoff, a transform errs by at most `7u·log₂T` in the 2-norm
    /// (Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., theorem 24.2, with `η ≤ 7u`; a radix of 4 or 8
    /// rounds no more than its steps of 2). P points by definition, P odd, round `(P − 1)/2 + 3` times in each part: pairs
    /// are added, multiplied by rounded roots and summed, two such sums are added. So each value errs by at most
    /// `√2·((P − 1)/2 + 3)·u·Σ|x|`, and all of them by √P of that factor: no more than `7u·log₂P` for 3 and 5 points,
    /// `8u·log₂P` for 7. Separating and joining err by u each, the rounded weights by u. A real part of a
    /// sum over `c` channels has `2c` products, and so errs by at most `2c·u·Σ_c |X_c||W_c|`, a complex one by √2 of that.
    /// Gauss's products are three sums of `c` real ones of at most `√2·|X_c||W_c|` each, with two roundings more. A part is
    /// two of them, and so errs by at most `2√2·(c + 2)·u·Σ_c |X_c||W_c|`, a complex value by √2 of that.
    ///
    /// All this is relative to a spectrum whose 2-norm is at most `T·max|x|·Σ|w|`; the inverse divides by `√T` and errs
    /// like the forward transform. The 2-norm bounds every element, whence the factor `√T`, which measured errors stay far
    /// below.
    fn error_growth(&self, problem: &Problem) -> f64 {
        if self.supports(problem).is_err() {
            return f64::INFINITY;
        }
        let points = (N * N) as f64;
        let stage = if N.is_multiple_of(7) { 8.0 } else { 7.0 };
        let transforms = 2.0 * (stage * points.log2() + 2.0);
        let depth = Geometry::new(problem, N).depth() as f64;
        let products = match self.products {
            Products::Four => 2.0 * std::f64::consts::SQRT_2 * depth,
            Products::Three => 4.0 * (depth + 2.0),
        };
        points.sqrt() * (transforms + products + 2.0)
    }

    fn parameters(&self) -> &'static [Parameter] {
        layout::PARAMETERS
    }

    fn tunings(&self, problem: &Problem, options: &PlanOptions) -> Vec<Parameters> {
        if self.supports(problem).is_err() {
            return Vec::new();
        }
        let Layout { tiles, task_tiles, .. } = Layout::new::<N>(&Geometry::new(problem, N), self.products, options);
        let tasks = [task_tiles.div_ceil(2), task_tiles, 2 * task_tiles];
        let values = [2 * tiles, tiles, tiles.div_ceil(2)].into_iter().flat_map(|block| {
            let of = move |task| [1, 2, 4].map(|chunk| (block, task, chunk));
            tasks.into_iter().filter(move |&task| task <= block).flat_map(of)
        });
        let named = |(block, task, chunk)| {
            [(layout::BLOCK_TILES, block), (layout::TASK_TILES, task), (layout::TASK_CHUNK, chunk)] //
        };
        values.filter_map(|values| Parameters::new(self, named(values)).ok()).collect()
    }

    fn work(&self, problem: &Problem, options: &PlanOptions) -> Option<Work> {
        self.supports(problem).ok().and_then(|()| TiledPlan::<N>::work(problem, self.products, options))
    }
}
