//! What a plan really computes: products, and the transforms, counted by running them on nothing.

use std::cell::Cell;

use conv_simd::Counter;

use crate::geometry::Geometry;
use crate::layout::Layout;
use crate::line::{Coefficients, input_line, output_line, with_points, with_sizes};

/// Operations of one input line, and of one output line to `outputs`, at these points.
fn lines(points: usize, zero: bool, outputs: usize, k: &Coefficients<f32>) -> [u128; 2] {
    let counts = [Cell::new(0), Cell::new(0)];
    with_points!(points, zero, N, ZERO => {
        input_line::<_, N, ZERO>(Counter(&counts[0]), k, [(); N]);
    });
    with_sizes!(points, zero, outputs, N, ZERO, M => {
        output_line::<_, N, M, ZERO>(Counter(&counts[1]), k, [(); N]);
    });
    counts.map(|count| count.get())
}

/// Operations of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flops {
    /// Products with all the channels that the register tile computes.
    pub products: u128,
    /// Transforms without padding.
    pub transforms: u128,
}

impl Flops {
    /// Both.
    pub fn total(self) -> u128 {
        self.products + self.transforms
    }
}

/// Operations of one run.
pub(crate) fn executed(geometry: &Geometry, layout: &Layout) -> Flops {
    let problem = &geometry.problem;
    let ranks = geometry.ranks(geometry.tiles());
    let products: u128 = geometry
        .planes
        .iter()
        .map(|plane| {
            let [down, across] = plane.extra.map(usize::from);
            2 * ranks[down][across] as u128 * plane.depth() as u128
        })
        .sum();
    let [vertical, horizontal] = &geometry.axes;
    let mut transforms = 0;
    for down in [false, true] {
        for across in [false, true] {
            // Tiles with this pair of sizes, from those with at least it.
            let with = |down: bool, across: bool| ranks[usize::from(down)][usize::from(across)] as u128;
            let tiles = match (down, across) {
                (true, true) => with(true, true),
                (true, false) => with(true, false) - with(true, true),
                (false, true) => with(false, true) - with(true, true),
                (false, false) => with(false, false) + with(true, true) - with(true, false) - with(false, true),
            };
            if tiles == 0 {
                continue;
            }
            let points = [vertical.points_of(down), horizontal.points_of(across)];
            let outputs = [vertical.cover.size(down), horizontal.cover.size(across)];
            let columns = lines(points[0], vertical.points.zero, outputs[0], vertical.coefficients(down));
            let rows = lines(points[1], horizontal.points.zero, outputs[1], horizontal.coefficients(across));
            // A line for each column of the tile, then one for each row of what came out.
            let input = columns[0] * points[1] as u128 + rows[0] * points[0] as u128;
            let output = columns[1] * points[1] as u128 + rows[1] * outputs[0] as u128;
            transforms += tiles * (input * geometry.depth() as u128 + output * problem.group_out_channels() as u128);
        }
    }
    let groups = problem.groups() as u128;
    Flops { products: groups * products * layout.channels as u128, transforms: groups * transforms }
}

#[cfg(test)]
mod tests {
    use conv_simd::Isa;

    use super::*;
    use crate::blocking::{Blocking, Schedule};
    use crate::cover::Sizes;
    use crate::fraction::Fraction;
    use crate::geometry::tests::geometry;
    use crate::line::Points;

    #[test]
    fn the_smallest_transform_counted_by_hand() {
        // F(2, 3) on a 4x4 image: one tile of 16 products. A line of Bᵀ at 0, ±1, ∞ is three multiply-adds for each
        // pair of (even, odd) and two for 0 and ∞ alike; Aᵀ has four additions and multiply-adds.
        const POINTS: Points = Points { pairs: &[Fraction::new(1, 1)], zero: true };
        let geometry = geometry("mb1ic16ih4oc16kh3", POINTS, Sizes::Extended);
        let blocking = Blocking { schedule: Schedule::Fused, tiles: 1, chunk_blocks: 1 };
        let layout = Layout::new(&geometry, Isa::best().tile_shape(), blocking);
        let [input, output] = lines(4, true, 2, geometry.axes[0].coefficients(true));
        let transforms = 16 * (8 * input + 6 * output);
        assert_eq!(executed(&geometry, &layout), Flops { products: 2 * 16 * 16 * 16, transforms });
        assert!((4..=16).contains(&input) && (4..=16).contains(&output), "{input} {output}");
    }
}
