//! Pools.

use conv_core::Axis;

use super::{OperatorError, Window, map_of};
use crate::shape::{Map, Shape};

/// Largest kernel and stride of a pool.
const MAX_WINDOW: usize = 1 << 24;

/// The windows of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Vertically and horizontally; dense, and each holds something else than padding.
    pub windows: [Window; 2],
    /// Whether a window that passes the end of the padded map counts, if it begins before that of the map's end.
    pub ceil: bool,
}

/// A pool that computes means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AveragePool {
    /// Its windows.
    pub pool: Pool,
    /// Whether padding counts, as zeros; else the mean is over what is not padding.
    pub count_padding: bool,
}

impl Pool {
    /// Square windows, none of which passes the end of the padded map.
    pub const fn square(kernel: usize, stride: usize, pad: usize) -> Self {
        Pool { windows: Window::square(kernel, stride, pad), ceil: false }
    }

    /// One window over the whole of `map`.
    pub const fn whole(map: Map) -> Self {
        let [height, width] = [Window::point(); 2];
        let windows = [Window { kernel: map.height, ..height }, Window { kernel: map.width, ..width }];
        Pool { windows, ceil: false }
    }

    /// The axes over a map, with the padding that the windows reach.
    pub(crate) fn axes(&self, map: Map) -> [Axis; 2] {
        let [height, width] = self.windows;
        [height.over(map.height), width.over(map.width)].map(|axis| if self.ceil { reach_further(axis) } else { axis })
    }

    pub(super) fn shape(&self, input: &Shape) -> Result<Shape, OperatorError> {
        let map = map_of(input)?;
        for (window, size) in self.windows.iter().zip([map.height, map.width]) {
            OperatorError::require("kernel", &window.kernel, window.kernel > 0, "at least 1")?;
            OperatorError::require("stride", &window.stride, window.stride > 0, "at least 1")?;
            OperatorError::require("dilation", &window.dilation, window.dilation == 1, "1")?;
            let [before, after] = window.pad;
            // Then every window holds at least one element that is not padding.
            let smaller = before < window.kernel && after < window.kernel;
            OperatorError::require("pad", &before.max(after), smaller, "smaller than the kernel")?;
            // No overflow: both are smaller than the kernel.
            let fits = window.kernel <= MAX_WINDOW && window.kernel <= size + before + after;
            let expected = format!("at most the padded input, which is {map} without its padding, and {MAX_WINDOW}");
            OperatorError::require("kernel", &window.kernel, fits, expected)?;
            let stride = window.stride;
            OperatorError::require("stride", &stride, stride <= MAX_WINDOW, format!("at most {MAX_WINDOW}"))?;
        }
        Ok(input.with_map(self.axes(map).map(|axis| axis.output()), map.channels)?)
    }
}

/// `axis` with one more output if its last window leaves elements over, and would begin before the padding at the end.
fn reach_further(axis: Axis) -> Axis {
    let start = axis.output() * axis.stride;
    let padded = axis.input + axis.pad_before;
    let left_over = start - axis.stride + axis.kernel < padded + axis.pad_after;
    if left_over && start < padded { axis.pad(axis.pad_before, start + axis.kernel - padded) } else { axis }
}
