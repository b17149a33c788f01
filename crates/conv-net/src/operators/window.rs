//! Windows that move over a map.

use conv_core::Axis;

/// How a filter or a pool moves along one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Elements of it.
    pub kernel: usize,
    /// Input elements from one output to the next; less than `kernel` makes windows overlap.
    pub stride: usize,
    /// Padding before and after the input.
    pub pad: [usize; 2],
    /// Input elements from one element to the next, 1 if it is dense.
    pub dilation: usize,
}

impl Window {
    /// The same dense window along both axes, with `pad` on all four sides.
    pub const fn square(kernel: usize, stride: usize, pad: usize) -> [Window; 2] {
        [Window { kernel, stride, pad: [pad; 2], dilation: 1 }; 2]
    }

    /// A window of one element, as along the missing axis of one-dimensional tensors.
    pub const fn point() -> Window {
        Window { kernel: 1, stride: 1, pad: [0; 2], dilation: 1 }
    }

    /// Over `input` elements.
    pub fn over(&self, input: usize) -> Axis {
        Axis::new(input, self.kernel).stride(self.stride).pad(self.pad[0], self.pad[1]).dilation(self.dilation)
    }
}
