//! How wide vectors are: as wide as the instruction set has them, or half as wide where that leaves fewer lanes idle.

use conv_core::{PlanOptions, Problem};

use crate::grouped::Packing;
use crate::linear;

/// Lanes of whole vectors over those of half as wide ones from which on these are faster: DECISIONS.md, "Half vectors".
const LEAST_SAVED: f64 = 1.05;

/// Outputs of a row for each pixel that is computed alone at its ends, up to which groups that fill half a vector each are faster alone
/// than two in a vector.
const MOST_OUTPUTS: usize = 5;

/// Outputs of a row that the loops of several groups compute together, at least: in shorter rows all pixels are alone.
const LEAST_OUTPUTS: usize = 7;

/// `options` with the instruction set whose vectors `problem` is computed in.
pub(super) fn narrowed(problem: &Problem, options: &PlanOptions) -> PlanOptions {
    let (filters, isa, width) = (problem.group_out_channels(), options.isa, problem.width());
    if linear::applies(problem) {
        return *options;
    }
    if Packing::new(problem, isa).is_none() {
        return options.isa(isa.tiles_filled_by(filters, LEAST_SAVED));
    }
    // Of three columns, and five of neighbours, the tiles of several groups have loops for the ends of a row; of more all pixels
    // there are alone.
    let ends = match (width.kernel, width.stride, width.dilation) {
        (..=3, ..) => 0,
        (5, 1, 1) if width.output() >= LEAST_OUTPUTS => 0,
        (taps, ..) => taps - 1,
    };
    let half = isa.half_vectors().filter(|half| [problem.group_in_channels(), filters] == [half.lanes(); 2]);
    options.isa(half.filter(|_| width.output() < MOST_OUTPUTS * ends).unwrap_or(isa))
}
