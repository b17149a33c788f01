//! What each operator is as a layer.

use super::attributes::Attributes;
use super::chain::{Chain, Source};
use super::constants::Constant;
use super::messages::Node;
use super::parameters::{Normalisation, Parameters};
use super::shown;
use crate::network::{AveragePool, Conv, LayerKind, Linear, Lrn, Pool, Window};

/// Attributes of convolutions and pools.
const WINDOW: [&str; 5] = ["kernel_shape", "strides", "pads", "auto_pad", "dilations"];

/// Of old versions: whether the model is trained, which must be not.
const IN_TRAINING: &str = "is_test";

impl<'a> Chain<'a> {
    /// The constant that a node is, if it is one: by its operator, or because it passes one on.
    pub(super) fn constant_of(&mut self, node: &'a Node, data: &str) -> Result<Option<Source<'a>>, String> {
        match node.op_type.as_str() {
            "Constant" => {
                let value = Attributes::of(node, &["value"])?.tensor("value")?;
                Ok(Some(Source::Tensor(value.ok_or("has no tensor as value")?)))
            }
            "ConstantOfShape" => {
                let value = Attributes::of(node, &["value"])?.tensor("value")?;
                let value = match value {
                    Some(tensor) => {
                        let mut constant = Constant::of(tensor, &mut self.files)
                            .map_err(|message| format!("has a value that {message}"))?;
                        let mut value = [0.0];
                        if constant.len() != 1 {
                            return Err("has a value that is not one number".into());
                        }
                        constant.read(&mut self.files, 0, &mut value).map_err(|error| error.source.to_string())?;
                        value[0]
                    }
                    None => 0.0,
                };
                Ok(Some(Source::Fill(self.integers(node, 0)?, value)))
            }
            "ConstantFill" => {
                let attributes = Attributes::of(node, &["value", "shape", "dtype", "input_as_shape"])?;
                attributes.only("dtype", &[1])?;
                let shape = match attributes.ints("shape")? {
                    Some(shape) if attributes.int("input_as_shape", 0)? == 0 => shape.to_vec(),
                    _ => self.integers(node, 0)?,
                };
                Ok(Some(Source::Fill(shape, attributes.float("value", 0.0)?)))
            }
            "Identity" => Ok(self.constants.get(data).cloned()),
            _ => Ok(None),
        }
    }

    /// Appends the layer `name` of a node that reads what was computed last.
    pub(super) fn operator(&mut self, name: String, node: &Node) -> Result<(), String> {
        match node.op_type.as_str() {
            "Conv" => self.conv(name, node),
            "Gemm" => self.gemm(name, node),
            "MatMul" => self.matmul(name, node),
            "Add" => self.add(node),
            "BatchNormalization" => self.normalise(node),
            "Relu" => self.relu(name, node),
            "LRN" => self.lrn(name, node),
            "MaxPool" => {
                let pool = self.pool(node, &["storage_order"], None)?;
                self.push(name, LayerKind::MaxPool(pool))
            }
            "AveragePool" => {
                let pool = self.pool(node, &["count_include_pad"], None)?;
                let count_padding = Attributes::of(node, &pool_attributes(&["count_include_pad"]))?;
                let count_padding = count_padding.int("count_include_pad", 0)? != 0;
                self.push(name, LayerKind::AveragePool(AveragePool { pool, count_padding }))
            }
            "GlobalAveragePool" => {
                Attributes::of(node, &[])?;
                self.on_map()?;
                let whole = |kernel| Window { kernel, stride: 1, pad: [0; 2], dilation: 1 };
                let windows = [whole(self.shape.height), whole(self.shape.width)];
                let pool = Pool { windows, ceil: false };
                self.push(name, LayerKind::AveragePool(AveragePool { pool, count_padding: false }))
            }
            "Flatten" => self.flatten(node),
            "Reshape" => self.reshape(node),
            "Dropout" => {
                let attributes = Attributes::of(node, &["ratio", "seed", IN_TRAINING])?;
                attributes.only(IN_TRAINING, &[1])?;
                if self.input(node, 2).is_some() && self.boolean(node, 2)? {
                    return Err("is in training mode".into());
                }
                self.push(name, LayerKind::Dropout)
            }
            "Identity" => Attributes::of(node, &[]).map(|_| ()),
            "Softmax" => self.softmax(name, node),
            _ => Err("is none of the operators that convlab computes".into()),
        }
    }

    fn conv(&mut self, name: String, node: &Node) -> Result<(), String> {
        self.on_map()?;
        let attributes = Attributes::of(node, &[&WINDOW[..], &["group"]].concat())?;
        let weights = self.constant(node, 1)?;
        let [out_channels, group_channels, kh, kw] = weights.shape[..] else {
            return Err(format!("has weights of the shape {:?}, not of four dimensions", weights.shape));
        };
        let windows = self.windows(&attributes, Some([kh, kw]))?;
        if windows.map(|window| window.kernel) != [kh, kw] {
            return Err(format!("has a kernel_shape that its weights of {kh}x{kw} do not have"));
        }
        let groups = attributes.int("group", 1)?;
        let groups = usize::try_from(groups).map_err(|_| format!("has group = {groups}"))?;
        if group_channels.checked_mul(groups) != Some(self.shape.channels) {
            return Err(format!(
                "has weights for {groups} times {group_channels} channels; its input has {}",
                self.shape.channels
            ));
        }
        let bias = self.input(node, 2).map(|_| self.constant(node, 2)).transpose()?;
        if let Some(bias) = &bias {
            of_channels(bias, out_channels, "a bias")?;
        }
        let kind = LayerKind::Conv(Conv { out_channels, windows, groups, relu: false });
        self.push_with(name, kind, Parameters::new(weights, bias))
    }

    fn gemm(&mut self, name: String, node: &Node) -> Result<(), String> {
        let attributes = Attributes::of(node, &["alpha", "beta", "transA", "transB", "broadcast"])?;
        attributes.only("transA", &[0])?;
        let transposed = attributes.int("transB", 0)? == 0;
        let bias = self.input(node, 2).map(|_| self.constant(node, 2)).transpose()?;
        let weights = self.constant(node, 1)?;
        let factor = attributes.float("alpha", 1.0)?;
        let bias_factor = attributes.float("beta", 1.0)?;
        self.linear(name, Parameters { transposed, factor, bias_factor, ..Parameters::new(weights, bias) })
    }

    fn matmul(&mut self, name: String, node: &Node) -> Result<(), String> {
        Attributes::of(node, &[])?;
        let weights = self.constant(node, 1)?;
        self.linear(name, Parameters { transposed: true, ..Parameters::new(weights, None) })
    }

    fn linear(&mut self, name: String, parameters: Parameters) -> Result<(), String> {
        if !self.flat {
            return Err("reads a map that is not flattened".into());
        }
        let [rows, columns] = parameters.weights.shape[..] else {
            return Err(format!("has weights of the shape {:?}, no matrix", parameters.weights.shape));
        };
        let (inputs, out_features) = if parameters.transposed { (rows, columns) } else { (columns, rows) };
        if inputs != self.shape.floats() {
            return Err(format!("has weights for {inputs} inputs; there are {}", self.shape.floats()));
        }
        if let Some(bias) = parameters.bias.as_ref().filter(|bias| bias.len() != 1) {
            of_channels(bias, out_features, "a bias")?;
        }
        self.push_with(name, LayerKind::Linear(Linear { out_features, relu: false }), parameters)
    }

    /// A bias after a product.
    fn add(&mut self, node: &Node) -> Result<(), String> {
        let attributes = Attributes::of(node, &["axis", "broadcast"])?;
        attributes.only("axis", &[1, -1])?;
        let which = usize::from(node.input.first().is_none_or(|first| !self.constants.contains_key(first.as_str())));
        let bias = self.constant(node, which)?;
        let (features, parameters) = match self.last() {
            Some((LayerKind::Linear(linear), parameters)) if !linear.relu && parameters.takes_bias() => {
                (linear.out_features, parameters)
            }
            _ => return Err("adds to something else than a MatMul's result".into()),
        };
        if bias.len() != 1 {
            of_channels(&bias, features, "an operand")?;
        }
        parameters.bias = Some(bias);
        Ok(())
    }

    fn normalise(&mut self, node: &Node) -> Result<(), String> {
        let known = ["epsilon", "momentum", "spatial", "training_mode", "consumed_inputs", IN_TRAINING];
        let attributes = Attributes::of(node, &known)?;
        attributes.only("spatial", &[1])?;
        attributes.only("training_mode", &[0])?;
        attributes.only(IN_TRAINING, &[1])?;
        let epsilon = attributes.float("epsilon", 1e-5)?;
        let [scale, shift, mean, variance] = [1, 2, 3, 4].map(|index| self.constant(node, index));
        let normalisation = Normalisation { scale: scale?, shift: shift?, mean: mean?, variance: variance?, epsilon };
        let channels = self.shape.channels;
        let Normalisation { scale, shift, mean, variance, .. } = &normalisation;
        for (constant, what) in [(scale, "a scale"), (shift, "a bias"), (mean, "a mean"), (variance, "a variance")] {
            of_channels(constant, channels, what)?;
        }
        match self.last() {
            Some((kind, parameters)) if !kind.relu() && parameters.normalisation.is_none() => {
                parameters.normalisation = Some(normalisation);
                Ok(())
            }
            _ => Err("does not follow a convolution or product into whose weights it could be folded".into()),
        }
    }

    fn relu(&mut self, name: String, node: &Node) -> Result<(), String> {
        Attributes::of(node, &["consumed_inputs"])?;
        match self.last() {
            Some((LayerKind::Conv(Conv { relu, .. }) | LayerKind::Linear(Linear { relu, .. }), _)) => {
                *relu = true;
                Ok(())
            }
            _ => self.push(name, LayerKind::Relu),
        }
    }

    fn lrn(&mut self, name: String, node: &Node) -> Result<(), String> {
        self.on_map()?;
        let attributes = Attributes::of(node, &["alpha", "beta", "bias", "size"])?;
        let size = attributes.int("size", 0)?;
        let size = usize::try_from(size).ok().filter(|&size| size > 0).ok_or_else(|| format!("has size = {size}"))?;
        // ONNX divides its alpha by the window.
        let alpha = attributes.float("alpha", 1e-4)? / size as f32;
        let (k, beta) = (attributes.float("bias", 1.0)?, attributes.float("beta", 0.75)?);
        self.push(name, LayerKind::Lrn(Lrn { size, k, alpha, beta }))
    }

    fn pool(&mut self, node: &Node, more: &[&str], kernel: Option<[usize; 2]>) -> Result<Pool, String> {
        self.on_map()?;
        let attributes = Attributes::of(node, &pool_attributes(more))?;
        attributes.only("storage_order", &[0, 1])?;
        let ceil = attributes.int("ceil_mode", 0)? != 0;
        Ok(Pool { windows: self.windows(&attributes, kernel)?, ceil })
    }

    /// The windows that a node's attributes describe; the `kernel` is theirs too if it is not given.
    fn windows(&self, attributes: &Attributes<'_>, kernel: Option<[usize; 2]>) -> Result<[Window; 2], String> {
        let kernels = attributes.sizes("kernel_shape", kernel.unwrap_or([0; 2]))?;
        let strides = attributes.sizes("strides", [1; 2])?;
        let dilations = attributes.sizes("dilations", [1; 2])?;
        let [top, left, bottom, right] = attributes.sizes("pads", [0; 4])?;
        let mut pads = [[top, bottom], [left, right]];
        match attributes.text("auto_pad")?.unwrap_or("NOTSET") {
            "" | "NOTSET" => {}
            _ if pads != [[0; 2]; 2] => return Err("has both pads and auto_pad".into()),
            "VALID" => {}
            same @ ("SAME_UPPER" | "SAME_LOWER") => {
                for (axis, size) in [self.shape.height, self.shape.width].into_iter().enumerate() {
                    let all = same_padding(size, kernels[axis], strides[axis], dilations[axis]);
                    let all = all.ok_or("has a window and stride that do not fit any map")?;
                    pads[axis] = [all / 2, all - all / 2];
                    if same == "SAME_LOWER" {
                        pads[axis].reverse();
                    }
                }
            }
            other => return Err(format!("has the auto_pad {}, which is not known", shown(other))),
        }
        let window = |axis: usize| Window {
            kernel: kernels[axis],
            stride: strides[axis],
            pad: pads[axis],
            dilation: dilations[axis],
        };
        Ok([window(0), window(1)])
    }

    fn flatten(&mut self, node: &Node) -> Result<(), String> {
        let attributes = Attributes::of(node, &["axis"])?;
        attributes.only("axis", if self.flat { &[1, -1] } else { &[1, -3] })?;
        self.flat = true;
        Ok(())
    }

    /// Flattens, or changes nothing.
    fn reshape(&mut self, node: &Node) -> Result<(), String> {
        let attributes = Attributes::of(node, &["shape", "allowzero", "consumed_inputs"])?;
        let target = match attributes.ints("shape")? {
            Some(shape) => shape.to_vec(),
            None => self.integers(node, 1)?,
        };
        let floats = self.shape.floats() as i64;
        let map = [self.shape.channels, self.shape.height, self.shape.width].map(|size| size as i64);
        let given = if self.flat { vec![floats] } else { map.to_vec() };
        let refused = || format!("reshapes an image of {given:?} to {target:?}, which does not flatten it");
        let (&batch, image) = target.split_first().ok_or_else(refused)?;
        let allow_zero = attributes.int("allowzero", 0)? != 0;
        let keeps_batch = batch == -1 || Some(batch) == self.batch || batch == 0 && !allow_zero;
        // A zero is the size that was; one may be left open.
        let mut sizes = Vec::with_capacity(image.len());
        for (axis, &size) in image.iter().enumerate() {
            sizes.push(if size == 0 && !allow_zero { *given.get(axis).ok_or_else(refused)? } else { size });
        }
        if batch != -1
            && let Some(open) = sizes.iter().position(|&size| size == -1)
        {
            sizes[open] = 1;
            let others = sizes.iter().try_fold(1_i64, |product, &size| product.checked_mul(size));
            sizes[open] = others.filter(|&others| others > 0).map_or(0, |others| floats / others);
        }
        let pixel = [floats, 1, 1];
        match &sizes[..] {
            _ if !keeps_batch => Err(refused()),
            [all] if *all == floats => {
                self.flat = true;
                Ok(())
            }
            same if *same == given[..] => Ok(()),
            // Of one pixel, whose channels are in the same order.
            same if *same == pixel && self.shape.channels as i64 == floats => {
                self.flat = false;
                Ok(())
            }
            _ => Err(refused()),
        }
    }

    fn softmax(&mut self, name: String, node: &Node) -> Result<(), String> {
        let attributes = Attributes::of(node, &["axis"])?;
        let old = self.opset < 13;
        let axis = attributes.int("axis", if old { 1 } else { -1 })?;
        let one_pixel = self.shape.height * self.shape.width == 1;
        let over_channels = match (self.flat, axis) {
            (true, 1 | -1) => one_pixel,
            // Before opset 13 it was over all that follows the axis.
            (false, 1 | -3) => one_pixel || !old,
            _ => false,
        };
        if !over_channels {
            return Err(format!("has axis = {axis}, which is not that of the channels alone"));
        }
        self.push(name, LayerKind::Softmax)
    }

    fn on_map(&self) -> Result<(), String> {
        if self.flat { Err("reads something flattened, no map".into()) } else { Ok(()) }
    }

    fn push_with(&mut self, name: String, kind: LayerKind, parameters: Parameters) -> Result<(), String> {
        self.push(name.clone(), kind)?;
        self.parameters.insert(name, parameters);
        Ok(())
    }

    /// The last layer, if it has weights, and these.
    fn last(&mut self) -> Option<(&mut LayerKind, &mut Parameters)> {
        let layer = self.network.layers.last_mut()?;
        Some((&mut layer.kind, self.parameters.get_mut(&layer.name)?))
    }
}

impl Parameters {
    fn new(weights: Constant, bias: Option<Constant>) -> Self {
        Parameters { weights, transposed: false, factor: 1.0, bias, bias_factor: 1.0, normalisation: None }
    }

    /// Whether a bias may still be added.
    fn takes_bias(&self) -> bool {
        self.bias.is_none() && self.normalisation.is_none()
    }
}

fn pool_attributes<'n>(more: &[&'n str]) -> Vec<&'n str> {
    [&WINDOW[..], &["ceil_mode"], more].concat()
}

/// That a constant has one float for each of `channels`, or is `[1, channels]`.
fn of_channels(constant: &Constant, channels: usize, what: &str) -> Result<(), String> {
    match constant.shape[..] {
        [len] | [1, len] if len == channels => Ok(()),
        _ => Err(format!("has {what} of the shape {:?} for {channels} channels", constant.shape)),
    }
}

/// The padding with which there is an output for every `stride` inputs; `None` if it is no size.
fn same_padding(input: usize, kernel: usize, stride: usize, dilation: usize) -> Option<usize> {
    let outputs = input.div_ceil(if stride > 0 { stride } else { return None });
    let extent = kernel.checked_sub(1)?.checked_mul(dilation)?.checked_add(1)?;
    let reach = (outputs - 1).checked_mul(stride)?.checked_add(extent)?;
    Some(reach.saturating_sub(input))
}
