//! Convolutions, products, and what scales channels.

use super::super::attributes::Attributes;
use super::super::graph::Refusal;
use super::super::parameters::Source;
use super::super::{listed, shown};
use super::{IN_TRAINING, Step, of_channels};
use crate::operators::{BatchNormalization, Conv, ConvTranspose, Linear, Lrn, Operator, Softmax, Window};
use crate::shape::Shape;

/// Attributes of convolutions and pools.
pub(super) const WINDOW: [&str; 5] = ["kernel_shape", "strides", "pads", "auto_pad", "dilations"];

impl Step<'_, '_> {
    pub(super) fn conv(mut self) -> Result<(), Refusal> {
        let attributes = Attributes::of(self.node, &[&WINDOW[..], &["group"]].concat())?;
        let input = self.import.value(self.node, 0)?;
        let shape = self.import.shape(input)?;
        let (sizes, weights) = self.import.source(self.node, 1)?;
        let (&[out_channels, group_channels], kernel) = sizes.split_first_chunk().ok_or("has weights of no filter")?;
        if shape.rank() != sizes.len() || !(3..=4).contains(&shape.rank()) {
            return Err(format!("has weights of the shape {} for an input of {shape}: convolutions of one and two dimensions are computed", listed(&sizes)).into());
        }
        let windows = windows(&attributes, &shape, Some(kernel))?;
        if kernel.iter().ne(windows[2 - kernel.len()..].iter().map(|window| &window.kernel)) {
            return Err(Refusal::Wrong(format!(
                "has a kernel_shape that its weights of {} do not have",
                listed(&sizes)
            )));
        }
        let groups = attributes.int("group", 1)?;
        let groups = usize::try_from(groups).map_err(|_| Refusal::Wrong(format!("has group = {groups}")))?;
        let channels = shape.sizes()[1];
        if group_channels.checked_mul(groups) != Some(channels) {
            let message = format!("has weights for {groups} times {group_channels} channels; its input has {channels}");
            return Err(Refusal::Wrong(message));
        }
        let bias = self.bias(2, out_channels)?;
        let operator = Operator::Conv(Conv { out_channels, windows, groups, bias: bias.is_some() });
        self.finish(operator, &[input], [weights].into_iter().chain(bias).collect())
    }

    pub(super) fn conv_transpose(mut self) -> Result<(), Refusal> {
        let known = [&WINDOW[..], &["group", "output_padding", "output_shape"]].concat();
        let attributes = Attributes::of(self.node, &known)?;
        let input = self.import.value(self.node, 0)?;
        let shape = self.import.shape(input)?;
        let (sizes, weights) = self.import.source(self.node, 1)?;
        let (&[in_channels, group_outputs], kernel) = sizes.split_first_chunk().ok_or("has weights of no filter")?;
        if shape.rank() != sizes.len() || !(3..=4).contains(&shape.rank()) || in_channels != shape.sizes()[1] {
            return Err(format!("has weights of the shape {} for an input of {shape}: transposed convolutions of one and two dimensions are computed", listed(&sizes)).into());
        }
        let groups = attributes.int("group", 1)?;
        let groups = usize::try_from(groups).map_err(|_| Refusal::Wrong(format!("has group = {groups}")))?;
        let out_channels = group_outputs.checked_mul(groups).ok_or("has too many groups")?;
        let spatial = kernel.len();
        let list = |name: &str, default: usize| attributes.size_list(name, spatial, default);
        let (strides, dilations, padding) = (list("strides", 1)?, list("dilations", 1)?, list("output_padding", 0)?);
        let given = attributes.size_list("pads", 2 * spatial, 0)?;
        let wanted = attributes.ints("output_shape")?;
        let auto = attributes.text("auto_pad")?.unwrap_or("NOTSET");
        let mut windows = [Window::point(); 2];
        let mut output_padding = [0; 2];
        for axis in 0..spatial {
            let place = axis + 2 - spatial;
            let (stride, dilation, kernel) = (strides[axis], dilations[axis], kernel[axis]);
            let mut pad = [given[axis], given[axis + spatial]];
            let size = match (wanted, auto) {
                (Some(wanted), _) => {
                    // Of all axes, or of the map's.
                    let size = wanted.len().checked_sub(spatial).and_then(|first| wanted.get(first + axis));
                    let size = size.and_then(|&size| usize::try_from(size).ok());
                    let wrong = || Refusal::Wrong(format!("has output_shape = {} for {shape}", listed(wanted)));
                    Some(size.ok_or_else(wrong)?)
                }
                (None, "SAME_UPPER" | "SAME_LOWER") => shape.sizes()[axis + 2].checked_mul(stride),
                (None, "VALID") => {
                    pad = [0; 2];
                    None
                }
                (None, _) => None,
            };
            let reach = (kernel.saturating_sub(1)).checked_mul(dilation).and_then(|reach| {
                (shape.sizes()[axis + 2] - 1).checked_mul(stride)?.checked_add(reach)?.checked_add(1 + padding[axis])
            });
            if let Some(size) = size {
                let reach = reach.ok_or("has a window that fits no map")?;
                let all = reach.saturating_sub(size);
                let (small, large) = (all / 2, all - all / 2);
                pad = if auto == "SAME_UPPER" { [small, large] } else { [large, small] };
                // What no input reaches is at the end.
                output_padding[place] = size.saturating_sub(reach);
            }
            windows[place] = Window { kernel, stride, pad, dilation };
            output_padding[place] += padding[axis];
        }
        let bias = self.bias(2, out_channels)?;
        let conv = ConvTranspose { out_channels, windows, output_padding, groups, bias: bias.is_some() };
        let sources = [weights].into_iter().chain(bias).collect();
        self.finish(Operator::ConvTranspose(conv), &[input], sources)
    }

    /// The bias that is the node's input number `index`, if it has one.
    fn bias(&self, index: usize, channels: usize) -> Result<Option<Source>, Refusal> {
        if self.import.input(self.node, index).is_none() {
            return Ok(None);
        }
        let (sizes, source) = self.import.source(self.node, index)?;
        of_channels(&sizes, channels, "a bias")?;
        Ok(Some(source))
    }

    pub(super) fn gemm(mut self) -> Result<(), Refusal> {
        let attributes = Attributes::of(self.node, &["alpha", "beta", "transA", "transB", "broadcast"])?;
        attributes.only("transA", &[0])?;
        let (sizes, weights) = self.import.source(self.node, 1)?;
        let weights = weights.times(attributes.float("alpha", 1.0)?);
        let beta = attributes.float("beta", 1.0)?;
        let mut bias = None;
        if self.import.input(self.node, 2).is_some() {
            let (of, source) = self.import.source(self.node, 2)?;
            bias = Some((of, source.times(beta)));
        }
        self.linear(&sizes, weights, attributes.int("transB", 0)? == 0, bias)
    }

    pub(super) fn matmul(mut self) -> Result<(), Refusal> {
        Attributes::of(self.node, &[])?;
        let (sizes, weights) = self.import.source(self.node, 1)?;
        self.linear(&sizes, weights, true, None)
    }

    /// A product by a matrix, `[in][out]` if it is `transposed`.
    fn linear(
        &mut self,
        sizes: &[usize],
        weights: Source,
        transposed: bool,
        bias: Option<(Vec<usize>, Source)>,
    ) -> Result<(), Refusal> {
        let input = self.import.value(self.node, 0)?;
        let shape = self.import.shape(input)?;
        let &[rows, columns] = sizes else {
            return Err(format!("has weights of the shape {}, no matrix", listed(sizes)).into());
        };
        if shape.rank() != 2 {
            return Err(format!("multiplies {shape}, which is no list of images' features").into());
        }
        let (inputs, out_features) = if transposed { (rows, columns) } else { (columns, rows) };
        if inputs != shape.sizes()[1] {
            let message = format!("has weights for {inputs} inputs; there are {}", shape.sizes()[1]);
            return Err(Refusal::Wrong(message));
        }
        let weights = if transposed { weights.transposed([out_features, inputs]) } else { weights };
        let bias = bias.map(|(of, mut source)| {
            if of.iter().product::<usize>() == 1 {
                let value = source.all(&mut self.import.files, 1).map_err(|error| error.source.to_string())?;
                return Ok(Source::fill(value[0]));
            }
            of_channels(&of, out_features, "a bias")?;
            Ok::<_, Refusal>(source)
        });
        let bias = bias.transpose()?;
        // A flattened map is multiplied as it is.
        let input = self.import.maps.get(&input).copied().unwrap_or(input);
        let operator = Operator::Linear(Linear { out_features, bias: bias.is_some() });
        self.finish(operator, &[input], [weights].into_iter().chain(bias).collect())
    }

    pub(super) fn batch_normalization(mut self) -> Result<(), Refusal> {
        let known = ["epsilon", "momentum", "spatial", "training_mode", "consumed_inputs", IN_TRAINING];
        let attributes = Attributes::of(self.node, &known)?;
        attributes.only("spatial", &[1])?;
        attributes.only("training_mode", &[0])?;
        attributes.only(IN_TRAINING, &[1])?;
        let input = self.import.value(self.node, 0)?;
        let channels = self.import.shape(input)?.sizes().get(1).copied().ok_or("reads what has no channels")?;
        let mut sources = Vec::new();
        for (index, what) in [(1, "a scale"), (2, "a bias"), (3, "a mean"), (4, "a variance")] {
            let (sizes, source) = self.import.source(self.node, index)?;
            of_channels(&sizes, channels, what)?;
            sources.push(source);
        }
        let epsilon = attributes.float("epsilon", 1e-5)?;
        self.finish(Operator::BatchNormalization(BatchNormalization { epsilon }), &[input], sources)
    }

    pub(super) fn lrn(mut self) -> Result<(), Refusal> {
        let attributes = Attributes::of(self.node, &["alpha", "beta", "bias", "size"])?;
        let input = self.import.value(self.node, 0)?;
        let size = attributes.int("size", 0)?;
        let size = usize::try_from(size).ok().filter(|&size| size > 0).ok_or_else(|| format!("has size = {size}"))?;
        // ONNX divides its alpha by the window.
        let alpha = attributes.float("alpha", 1e-4)? / size as f32;
        let (k, beta) = (attributes.float("bias", 1.0)?, attributes.float("beta", 0.75)?);
        self.finish(Operator::Lrn(Lrn { size, k, alpha, beta }), &[input], Vec::new())
    }

    pub(super) fn softmax(mut self) -> Result<(), Refusal> {
        let attributes = Attributes::of(self.node, &["axis"])?;
        let input = self.import.value(self.node, 0)?;
        let rank = self.import.shape(input)?.rank();
        let old = self.import.opset < 13;
        let axis = super::axis_of(attributes.int("axis", if old { 1 } else { -1 })?, rank)?;
        let log = self.node.op_type == "LogSoftmax";
        // Before opset 13 the sum was over all that follows the axis.
        let softmax = Softmax { axis, end: if old { rank } else { axis + 1 }, log };
        self.finish(Operator::Softmax(softmax), &[input], Vec::new())
    }
}

/// The windows that attributes describe on an input of `shape`; the `kernel` is theirs too if it is not given.
pub(super) fn windows(
    attributes: &Attributes<'_>,
    shape: &Shape,
    kernel: Option<&[usize]>,
) -> Result<[Window; 2], Refusal> {
    let spatial = shape.rank().saturating_sub(2);
    if !(1..=2).contains(&spatial) {
        return Err(format!("reads {shape}: windows over maps of one and two dimensions are computed").into());
    }
    let kernels = match (attributes.ints("kernel_shape")?, kernel) {
        (None, Some(kernel)) => kernel.to_vec(),
        _ => attributes.size_list("kernel_shape", spatial, 0)?,
    };
    let (strides, dilations) =
        (attributes.size_list("strides", spatial, 1)?, attributes.size_list("dilations", spatial, 1)?);
    let pads = attributes.size_list("pads", 2 * spatial, 0)?;
    let auto = attributes.text("auto_pad")?.unwrap_or("NOTSET");
    let mut windows = [Window::point(); 2];
    for axis in 0..spatial {
        let (kernel, stride, dilation) = (kernels[axis], strides[axis], dilations[axis]);
        let mut pad = [pads[axis], pads[axis + spatial]];
        match auto {
            "" | "NOTSET" => {}
            _ if pads.iter().any(|&pad| pad != 0) => return Err(Refusal::Wrong("has both pads and auto_pad".into())),
            "VALID" => {}
            same @ ("SAME_UPPER" | "SAME_LOWER") => {
                let all = same_padding(shape.sizes()[axis + 2], kernel, stride, dilation);
                let all = all.ok_or("has a window and stride that do not fit any map")?;
                pad = [all / 2, all - all / 2];
                if same == "SAME_LOWER" {
                    pad.reverse();
                }
            }
            other => return Err(format!("has the auto_pad {}, which is not known", shown(other)).into()),
        }
        windows[axis + 2 - spatial] = Window { kernel, stride, pad, dilation };
    }
    Ok(windows)
}

/// The padding with which there is an output for every `stride` inputs; `None` if it is no size. Where windows do not even
/// reach from one to the next there is none: TensorFlow, where the mode comes from, pads nothing then, and ONNX Runtime cuts
/// off what it computes to be negative.
fn same_padding(input: usize, kernel: usize, stride: usize, dilation: usize) -> Option<usize> {
    let outputs = input.div_ceil(if stride > 0 { stride } else { return None });
    let extent = kernel.checked_sub(1)?.checked_mul(dilation)?.checked_add(1)?;
    let reach = (outputs - 1).checked_mul(stride)?.checked_add(extent)?;
    Some(reach.saturating_sub(input))
}
