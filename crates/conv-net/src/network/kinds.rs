//! What layers compute.

use conv_core::Axis;

use super::Shape;

/// One layer of a [`Network`](super::Network).
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Its name, unique in the network, for example `conv2`.
    pub name: String,
    /// What it computes.
    pub kind: LayerKind,
}

impl Layer {
    /// A layer called `name`.
    pub fn new(name: impl Into<String>, kind: LayerKind) -> Self {
        Layer { name: name.into(), kind }
    }
}

/// What a layer computes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LayerKind {
    /// Convolution with bias.
    Conv(Conv),
    /// Local response normalisation across channels.
    Lrn(Lrn),
    /// Maximum over a window; padding never wins.
    MaxPool(Pool),
    /// Mean over a window.
    AveragePool(AveragePool),
    /// Negative values become zero, where no convolution or fully connected layer does it at once.
    Relu,
    /// Dropout, which is the identity in a forward pass.
    Dropout,
    /// Fully connected, with bias, on the flattened map.
    Linear(Linear),
    /// Softmax over the channels of each pixel.
    Softmax,
}

impl LayerKind {
    /// Whether negative results become zero.
    pub fn relu(&self) -> bool {
        match self {
            LayerKind::Conv(conv) => conv.relu,
            LayerKind::Linear(linear) => linear.relu,
            _ => false,
        }
    }
}

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

    /// Over `input` elements.
    pub fn over(&self, input: usize) -> Axis {
        Axis::new(input, self.kernel).stride(self.stride).pad(self.pad[0], self.pad[1]).dilation(self.dilation)
    }
}

/// A convolution with bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv {
    /// Filters, all groups together.
    pub out_channels: usize,
    /// The filter, vertically and horizontally.
    pub windows: [Window; 2],
    /// Groups: 2 where the paper keeps its two GPUs apart.
    pub groups: usize,
    /// Whether negative results become zero.
    pub relu: bool,
}

/// Local response normalisation (section 3.3 of the paper):
/// `y[c] = x[c] / (k + alpha · Σ x[j]²) ^ beta`, the sum over the `size` channels around `c` that exist.
///
/// `alpha` multiplies the sum itself, **as the paper prints it**. Caffe, PyTorch and ONNX divide theirs by `size`:
/// their 1e-4 at size 5 is 2e-5 here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lrn {
    /// Channels in the window, odd: `c` and as many on either side.
    pub size: usize,
    /// What the sum is added to; above zero.
    pub k: f32,
    /// Factor of the sum of squares; not negative.
    pub alpha: f32,
    /// Exponent.
    pub beta: f32,
}

/// The windows of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Vertically and horizontally; dense, and each holds something else than padding.
    pub windows: [Window; 2],
    /// Whether a window that passes the end of the padded map counts, if it begins before that of the map's end.
    pub ceil: bool,
}

impl Pool {
    /// Square windows, none of which passes the end of the padded map.
    pub const fn square(kernel: usize, stride: usize, pad: usize) -> Self {
        Pool { windows: Window::square(kernel, stride, pad), ceil: false }
    }

    /// The axes over a map, with the padding that the windows reach.
    pub(crate) fn axes(&self, map: Shape) -> [Axis; 2] {
        let [height, width] = self.windows;
        [height.over(map.height), width.over(map.width)].map(|axis| if self.ceil { reach_further(axis) } else { axis })
    }
}

/// `axis` with one more output if its last window leaves elements over, and would begin before the padding at the end.
fn reach_further(axis: Axis) -> Axis {
    let start = axis.output() * axis.stride;
    let padded = axis.input + axis.pad_before;
    let left_over = start - axis.stride + axis.kernel < padded + axis.pad_after;
    if left_over && start < padded { axis.pad(axis.pad_before, start + axis.kernel - padded) } else { axis }
}

/// A pool that computes means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AveragePool {
    /// Its windows.
    pub pool: Pool,
    /// Whether padding counts, as zeros; else the mean is over what is not padding.
    pub count_padding: bool,
}

/// A fully connected layer with bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Linear {
    /// Outputs.
    pub out_features: usize,
    /// Whether negative results become zero.
    pub relu: bool,
}
