//! The variants, as data: name, points, tile sizes, filters.

use conv_core::{
    Algorithm, Axis, Epilogue, Filter, Parameter, Parameters, Plan, PlanError, PlanOptions, Problem, Unsupported, Work,
};

use crate::blocking;
use crate::cover::{Cover, Sizes};
use crate::error::error_growth;
use crate::fraction::Fraction;
use crate::geometry::{AxisPlan, Geometry};
use crate::line::{MAX_TAPS, Points};
use crate::plan::{self, WinogradPlan};

/// Points 0, ±1, ∞.
const FOUR: Points = Points { pairs: &[Fraction::new(1, 1)], zero: true };
/// Points 0, ±5/8, ±3/2, ∞.
const SIX: Points = Points { pairs: &[Fraction::new(5, 8), Fraction::new(3, 2)], zero: true };
/// Points ±7/8, ±3/8, ±7/4, ∞; tiles one output smaller leave out −7/4.
const SEVEN: Points = Points { pairs: &[Fraction::new(7, 8), Fraction::new(3, 8), Fraction::new(7, 4)], zero: false };
/// Points 0, ±1, ±2, ±1/2, ∞; tiles one output smaller leave out −1/2.
const EIGHT: Points = Points { pairs: &[Fraction::new(1, 1), Fraction::new(2, 1), Fraction::new(1, 2)], zero: true };
/// An axis of one tap gains nothing from points: F(2, 1) at 0 and ∞ is the identity.
const TWO: Points = Points { pairs: &[], zero: true };

/// The filters of a variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filters {
    /// Stride 1, any dilation, this many taps along each axis or 1 along one of them.
    Taps(usize, &'static str),
    /// Strided.
    Strided,
}

/// A Winograd algorithm: which points, which tiles, which filters.
#[derive(Debug)]
pub(crate) struct Variant {
    name: &'static str,
    points: Points,
    sizes: Sizes,
    filters: Filters,
}

const fn dense(name: &'static str, points: Points, sizes: Sizes, taps: usize, supported: &'static str) -> Variant {
    Variant { name, points, sizes, filters: Filters::Taps(taps, supported) }
}

/// Named by the points along an axis: the filter decides how many outputs a tile has.
const fn strided(name: &'static str, points: Points, sizes: Sizes) -> Variant {
    Variant { name, points, sizes, filters: Filters::Strided }
}

const THREE: &str = "3x3, 3x1 and 1x3";
const FIVE: &str = "5x5, 5x1 and 1x5";

static F2X3: Variant = dense("winograd/f2x3", FOUR, Sizes::Extended, 3, THREE);
static F4X3: Variant = dense("winograd/f4x3", SIX, Sizes::Extended, 3, THREE);
static F5X3: Variant = dense("winograd/f5x3", SEVEN, Sizes::Extended, 3, THREE);
static MIX4X3: Variant = dense("winograd/mix4x3", SEVEN, Sizes::Mixed, 3, THREE);
static F6X3: Variant = dense("winograd/f6x3", EIGHT, Sizes::Extended, 3, THREE);
static F2X5: Variant = dense("winograd/f2x5", SIX, Sizes::Extended, 5, FIVE);
static F3X5: Variant = dense("winograd/f3x5", SEVEN, Sizes::Extended, 5, FIVE);
static F4X5: Variant = dense("winograd/f4x5", EIGHT, Sizes::Extended, 5, FIVE);
static MIX3X5: Variant = dense("winograd/mix3x5", EIGHT, Sizes::Mixed, 5, FIVE);
static POLY_6: Variant = strided("winograd/poly-6", SIX, Sizes::Extended);
static POLY_4: Variant = strided("winograd/poly-4", FOUR, Sizes::Extended);
static POLY_67: Variant = strided("winograd/poly-67", SEVEN, Sizes::Mixed);
static POLY_7: Variant = strided("winograd/poly-7", SEVEN, Sizes::Extended);

/// Every algorithm of this crate.
#[cfg(not(test))]
pub static ALGORITHMS: &[&dyn Algorithm] =
    &[&F2X3, &F4X3, &F5X3, &MIX4X3, &F6X3, &F2X5, &F3X5, &F4X5, &MIX3X5, &POLY_4, &POLY_6, &POLY_67, &POLY_7];

impl Variant {
    pub(crate) fn geometry(&self, problem: &Problem) -> Result<Geometry, Unsupported> {
        self.supports(problem)?;
        let axis = |axis: &Axis| {
            let taps = axis.kernel.div_ceil(axis.stride);
            let (points, sizes) = if taps == 1 { (TWO, Sizes::Base) } else { (self.points, self.sizes) };
            AxisPlan::new(axis, points, Cover::new(axis, sizes, points.base() + 1 - taps, points.base()))
        };
        Ok(Geometry::new(problem, [axis(problem.height()), axis(problem.width())]))
    }
}

/// Lanes of whole vectors over those of half as wide ones from which on these are faster. On a Zen 4 all variants take 0.86 to 0.97 of
/// the time to 24 output channels (1.33), 0.93 to 1.03 to 40 (1.2), and 0.96 to 1.07 to 72 and 88 (1.11 and 1.09).
const LEAST_SAVED: f64 = 1.2;

/// `options` with the instruction set whose vectors `problem` is computed in.
fn narrowed(problem: &Problem, options: &PlanOptions) -> PlanOptions {
    options.isa(options.isa.tiles_filled_by(problem.group_out_channels(), LEAST_SAVED))
}

impl Algorithm for Variant {
    fn name(&self) -> &'static str {
        self.name
    }

    fn supports(&self, problem: &Problem) -> Result<(), Unsupported> {
        let axes = [problem.height(), problem.width()];
        let kernel = |supported| Unsupported::Kernel {
            algorithm: self.name,
            supported,
            kernel_h: axes[0].kernel,
            kernel_w: axes[1].kernel,
        };
        match self.filters {
            Filters::Taps(taps, supported) => {
                if axes.iter().any(|axis| axis.stride > 1) {
                    let [stride_h, stride_w] = axes.map(|axis| axis.stride);
                    return Err(Unsupported::Stride { algorithm: self.name, stride_h, stride_w });
                }
                let fits = axes.iter().all(|axis| axis.kernel == taps || axis.kernel == 1);
                if fits && axes.iter().any(|axis| axis.kernel == taps) { Ok(()) } else { Err(kernel(supported)) }
            }
            Filters::Strided => {
                if axes.iter().any(|axis| axis.dilation > 1) {
                    let [dilation_h, dilation_w] = axes.map(|axis| axis.dilation);
                    return Err(Unsupported::Dilation { algorithm: self.name, dilation_h, dilation_w });
                }
                // Two outputs of a whole tile at least, and more than one tap along some axis.
                let taps = axes.map(|axis| axis.kernel.div_ceil(axis.stride));
                let strided = axes.iter().any(|axis| axis.stride > 1);
                let fits = taps.iter().all(|&taps| taps <= self.points.base().min(MAX_TAPS)) && taps != [1, 1];
                if strided && fits { Ok(()) } else { Err(kernel("strided (2 to 5 strides long)")) }
            }
        }
    }

    fn plan(
        &self,
        problem: &Problem,
        filter: Filter<'_>,
        epilogue: Epilogue,
        options: &PlanOptions,
    ) -> Result<Box<dyn Plan>, PlanError> {
        let geometry = self.geometry(problem)?;
        filter.check(problem)?;
        Ok(Box::new(WinogradPlan::new(geometry, filter, epilogue, &narrowed(problem, options))?))
    }

    fn parameters(&self) -> &'static [Parameter] {
        blocking::PARAMETERS
    }

    fn tunings(&self, problem: &Problem, options: &PlanOptions) -> Vec<Parameters> {
        let options = &narrowed(problem, options);
        self.geometry(problem).map_or(Vec::new(), |geometry| blocking::tunings(self, &geometry, options))
    }

    fn work(&self, problem: &Problem, options: &PlanOptions) -> Option<Work> {
        plan::work(&self.geometry(problem).ok()?, &narrowed(problem, options))
    }

    fn error_growth(&self, problem: &Problem) -> f64 {
        self.geometry(problem).map_or(f64::INFINITY, |geometry| error_growth(&geometry))
    }
}
