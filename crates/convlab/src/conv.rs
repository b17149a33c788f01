//! One convolution on anybody's arrays: from their layout into NHWC, through an algorithm, and back.

use conv_core::{Axis, Epilogue, Filter, Method, PlanError, PlanOptions, Problem, ProblemError, RunError, Scratch};
use conv_measure::memory::{self, TooLittleMemory};
use conv_net::npy::Array;
use conv_simd::{AlignedBuffer, AllocationError};

/// Where the channels of input and output are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Layout {
    /// `[n][c][h][w]`, as PyTorch and ONNX have it.
    #[default]
    Nchw,
    /// `[n][h][w][c]`, as TensorFlow and the kernels have it.
    Nhwc,
}

/// What arrays alone do not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// Vertical and horizontal stride.
    pub stride: [usize; 2],
    /// Zeros at the top, left, bottom and right.
    pub pad: [usize; 4],
    /// Input elements from one tap to the next, vertical and horizontal; 1 is a dense filter.
    pub dilation: [usize; 2],
    /// Groups of channels.
    pub groups: usize,
    /// Whether negative results become zero.
    pub relu: bool,
    /// Of input and output.
    pub layout: Layout,
}

/// The arrays of one convolution.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrays {
    /// Images of [`Parameters::layout`], or one image without the first dimension.
    pub input: Array,
    /// OIHW, `[oc][ic/groups][kh][kw]`, in either layout.
    pub weights: Array,
    /// One float an output channel.
    pub bias: Option<Array>,
}

/// Why arrays could not be convolved.
#[derive(Debug, thiserror::Error)]
pub enum ConvError {
    /// An array of too few or too many dimensions.
    #[error("the {array} has the shape {shape:?}; expected {expected}")]
    Shape {
        /// `input`, `weights` or `bias`.
        array: &'static str,
        /// Its shape.
        shape: Vec<usize>,
        /// What it should be.
        expected: String,
    },
    /// Weights for other channels than the input has.
    #[error(
        "the weights reach {reached} channels in each of {groups} groups, {} in all, but the input has {channels} \
         (its shape {shape:?} read as {layout}); check --groups and --layout",
        reached.saturating_mul(*groups)
    )]
    Channels {
        /// Input channels of a group, as the weights have it.
        reached: usize,
        /// Groups.
        groups: usize,
        /// Channels of the input.
        channels: usize,
        /// Shape of the input.
        shape: Vec<usize>,
        /// How it was read.
        layout: &'static str,
    },
    /// Sizes that are no convolution.
    #[error("these arrays make no convolution: {0}")]
    Problem(#[from] ProblemError),
    /// Not enough memory for the arrays.
    #[error(transparent)]
    Memory(#[from] TooLittleMemory),
    /// Memory that the system would not give.
    #[error(transparent)]
    Allocation(#[from] AllocationError),
    /// An algorithm that does not compute it, or not in this memory.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A run that was refused.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// The problem that `arrays` and `parameters` describe.
///
/// # Errors
/// [`ConvError`] if shapes do not fit together or sizes are out of bounds.
pub fn problem(arrays: &Arrays, parameters: &Parameters) -> Result<Problem, ConvError> {
    let [batch, channels, height, width] = input_sizes(&arrays.input.shape, parameters.layout)?;
    let &[out_channels, reached, kernel_h, kernel_w] = &arrays.weights.shape[..] else {
        return Err(shape_error("weights", &arrays.weights, "4 dimensions, [oc, ic/groups, kh, kw]"));
    };
    if let Some(bias) = arrays.bias.as_ref().filter(|bias| bias.shape != [out_channels]) {
        return Err(shape_error("bias", bias, &format!("[{out_channels}], one for each filter of the weights")));
    }
    let groups = parameters.groups;
    if reached.checked_mul(groups) != Some(channels) && groups > 0 {
        let layout = if parameters.layout == Layout::Nchw { "nchw" } else { "nhwc" };
        return Err(ConvError::Channels { reached, groups, channels, shape: arrays.input.shape.clone(), layout });
    }
    let [top, left, bottom, right] = parameters.pad;
    let ([stride_h, stride_w], [dilation_h, dilation_w]) = (parameters.stride, parameters.dilation);
    let axis_h = Axis::new(height, kernel_h).stride(stride_h).pad(top, bottom).dilation(dilation_h);
    let axis_w = Axis::new(width, kernel_w).stride(stride_w).pad(left, right).dilation(dilation_w);
    Ok(Problem::new(batch, groups, [channels, out_channels], [axis_h, axis_w])?)
}

/// Convolves `arrays` by `algorithm` on the current rayon pool. The result has the input's layout, and a first dimension
/// for images only if the input has one.
///
/// # Errors
/// [`ConvError`] if shapes do not fit together, the algorithm does not compute the problem, or memory does not suffice.
pub fn convolve(
    arrays: &Arrays,
    parameters: &Parameters,
    method: Method,
    options: &PlanOptions,
) -> Result<Array, ConvError> {
    let problem = problem(arrays, parameters)?;
    method.algorithm.supports(&problem).map_err(PlanError::from)?;
    // Output in both layouts, and the input once more.
    let needed = 4 * (problem.input_len() as u128 + 2 * problem.output_len() as u128);
    memory::admit("this convolution", needed)?;
    let left = memory::available_bytes().min(options.memory_limit).saturating_sub(needed as usize);
    let filter = Filter { weights: &arrays.weights.data, bias: arrays.bias.as_ref().map(|bias| &bias.data[..]) };
    let epilogue = if parameters.relu { Epilogue::RELU } else { Epilogue::default() };
    let plan =
        method.algorithm.plan(&problem, filter, epilogue, &options.memory_limit(left).parameters(method.parameters))?;
    let mut scratch = Scratch::with_bytes(plan.footprint().scratch_bytes)?;
    let mut output = AlignedBuffer::zeroed(problem.output_len())?;

    let [oh, ow] = problem.output_size();
    let (batch, channels) = (problem.batch(), problem.out_channels());
    let (data, mut shape) = match parameters.layout {
        Layout::Nhwc => {
            plan.run(&arrays.input.data, &mut output, &mut scratch)?;
            (output.to_vec(), vec![batch, oh, ow, channels])
        }
        Layout::Nchw => {
            let pixels = problem.height().input * problem.width().input;
            plan.run(&transpose(&arrays.input.data, [problem.in_channels(), pixels])?, &mut output, &mut scratch)?;
            (transpose(&output, [oh * ow, channels])?.to_vec(), vec![batch, channels, oh, ow])
        }
    };
    if arrays.input.shape.len() == 3 {
        shape.remove(0);
    }
    Ok(Array { shape, data })
}

/// Transposes each `rows` × `columns` matrix of `data`: from NCHW to NHWC with `[channels, pixels]`, and back with
/// `[pixels, channels]`.
///
/// # Errors
/// [`AllocationError`] if there is no memory for the result.
pub fn transpose(data: &[f32], [rows, columns]: [usize; 2]) -> Result<AlignedBuffer, AllocationError> {
    let mut transposed = AlignedBuffer::zeroed(data.len())?;
    let matrices = transposed.chunks_exact_mut(rows * columns).zip(data.chunks_exact(rows * columns));
    for (to, from) in matrices {
        for (column, to) in to.chunks_exact_mut(rows).enumerate() {
            for (to, from) in to.iter_mut().zip(from[column..].iter().step_by(columns)) {
                *to = *from;
            }
        }
    }
    Ok(transposed)
}

/// `[n, c, h, w]` of an input's shape.
fn input_sizes(shape: &[usize], layout: Layout) -> Result<[usize; 4], ConvError> {
    let [batch, a, b, c] = match *shape {
        [a, b, c] => [1, a, b, c],
        [batch, a, b, c] => [batch, a, b, c],
        _ => {
            let expected = match layout {
                Layout::Nchw => "[n, c, h, w] or [c, h, w]",
                Layout::Nhwc => "[n, h, w, c] or [h, w, c]",
            };
            return Err(ConvError::Shape { array: "input", shape: shape.into(), expected: expected.into() });
        }
    };
    Ok(match layout {
        Layout::Nchw => [batch, a, b, c],
        Layout::Nhwc => [batch, c, a, b],
    })
}

fn shape_error(array: &'static str, got: &Array, expected: &str) -> ConvError {
    ConvError::Shape { array, shape: got.shape.clone(), expected: expected.into() }
}
