//! What a run executes, counted by running the transforms on nothing.

use std::cell::Cell;

use conv_simd::Counter;

use super::geometry::{Geometry, Side};
use super::layout::Layout;
use super::products::Products;
use super::transform::{Work, column_forward, column_inverse, rows_forward, rows_inverse};

/// Operations of one vector lane of one transform.
fn counted<const N: usize>(transform: impl for<'a> Fn(Counter<'a>, &mut Work<'_, Counter<'a>, N>)) -> u128 {
    let count = Cell::new(0);
    transform(Counter(&count), &mut Work::new(&mut vec![(); Work::<Counter<'_>, N>::VALUES]));
    count.get()
}

/// Operations of one run, `[products, transforms]`: products with all the channels that the register tile computes,
/// transforms of the rows that some output needs, the third part of V, and the sums of three real products.
pub(super) fn executed<const N: usize>(geometry: &Geometry, layout: &Layout) -> [u128; 2] {
    let row_in = counted::<N>(|a, work| rows_forward(a, work, |_| [(); 2], |_, _, _| {}));
    let row_out = counted::<N>(|a, work| rows_inverse(a, work, |_, _| [(); 2], |_, _| {}));
    let columns = |forward: bool| -> u128 {
        let one = |column| {
            counted::<N>(|a, work| {
                if forward {
                    column_forward(a, work, column, |_| [(); 2], |_, _| {});
                } else {
                    column_inverse(a, work, column, |_| [(); 2], |_, _| {});
                }
            })
        };
        (0..N / 2).map(one).sum()
    };
    let (height, width) = (&geometry.height, &geometry.width);
    let pairs = |rows: fn(&Side, usize) -> std::ops::Range<usize>| -> u128 {
        let rows = (0..height.count).map(|row| rows(height, row).len().div_ceil(2) as u128).sum::<u128>();
        rows * (width.count * geometry.problem.batch()) as u128
    };
    let tiles = geometry.tiles() as u128;
    let third_parts = (N * N / 2) as u128;
    // N²/2 complex frequencies, of which four real ones are counted as two.
    let complex = (N * N / 2 - 2) as u128;
    let sums = if layout.products == Products::Three { 2 * complex } else { 0 };
    let input = pairs(Side::samples) * row_in + tiles * (columns(true) + third_parts);
    let output = pairs(Side::outputs) * row_out + tiles * (columns(false) + sums);
    // Two operations a multiply-add.
    let multiply_adds = layout.products.multiply_adds() as u128 * complex + 4;
    let products = 2 * tiles * multiply_adds * layout.depth as u128;
    let (depth, channels) = (layout.depth as u128, layout.channels as u128);
    [products * channels, input * depth + output * channels].map(|flops| geometry.problem.groups() as u128 * flops)
}

#[cfg(test)]
mod tests {
    use conv_core::{PlanOptions, Problem};

    use super::*;
    use crate::tiled::transform::{is_real, planes};

    #[test]
    fn products_are_those_of_the_planes() {
        // A split-radix transform of 16 complex points has 168 operations; fourteen are twice 96 and seven times four.
        check::<14>(220);
        check::<16>(168);
    }

    fn check<const N: usize>(operations: u128) {
        let problem: Problem = format!("mb1ic16ih{N}oc16kh3").parse().unwrap();
        let geometry = Geometry::new(&problem, N);
        for products in [Products::Four, Products::Three] {
            let layout = Layout::new::<N>(&geometry, products, &PlanOptions::new(1));
            let [_, inputs] = executed::<N>(&geometry, &Layout { channels: 0, ..layout });
            let [all, _] = executed::<N>(&geometry, &layout);
            let calls = |column, plane| products.calls(is_real::<N>(column, plane));
            let multiply_adds =
                |column, plane| calls(column, plane).iter().map(|call| call.terms as u128).sum::<u128>();
            let products: u128 = (0..N / 2)
                .flat_map(|column| (0..planes::<N>(column)).map(move |plane| multiply_adds(column, plane)))
                .sum();
            assert_eq!(all, 2 * products * 16 * layout.channels as u128);
            // N/2 pairs of rows and as many columns, without the third part of V.
            let one = (inputs / 16 - (N * N / 2) as u128) / N as u128;
            assert!((operations..3 * operations / 2).contains(&one), "{one}");
        }
    }
}
