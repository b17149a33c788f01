//! Networks as data: a list of layers, and the shapes that follow from it.

mod kinds;

use std::collections::HashSet;
use std::fmt;

use conv_core::{Axis, MAX_TENSOR_BYTES, Problem, ProblemError};

pub use kinds::{AveragePool, Conv, Layer, LayerKind, Linear, Lrn, Pool, Window};

/// Largest kernel and stride of a pool.
const MAX_WINDOW: usize = 1 << 24;

/// A chain of layers over one image size. Plain data: [`Network::infer`] says whether it fits together.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// What it is called, for example `paper`; the first part of its layers' problem names.
    pub name: String,
    /// What one image must be.
    pub input: Shape,
    /// The layers in order, each on the output of the one before.
    pub layers: Vec<Layer>,
}

/// Size of one image's activations, stored `[height][width][channels]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Rows.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
    /// Floats of a pixel.
    pub channels: usize,
}

impl Shape {
    /// `height` × `width` pixels of `channels` floats.
    pub fn new(height: usize, width: usize, channels: usize) -> Self {
        Shape { height, width, channels }
    }

    /// Floats of one image. Cannot overflow for shapes that come from [`Network::infer`].
    pub fn floats(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Bytes of `batch` images, `u128::MAX` if even that overflows.
    fn bytes(&self, batch: usize) -> u128 {
        [batch, self.height, self.width, self.channels]
            .iter()
            .try_fold(4_u128, |product, &size| product.checked_mul(size as u128))
            .unwrap_or(u128::MAX)
    }
}

/// `27x27x96`: height, width, channels.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.height, self.width, self.channels)
    }
}

/// A layer whose place in the network gave it its shapes.
#[derive(Debug, Clone, PartialEq)]
pub struct ShapedLayer<'a> {
    /// The layer.
    pub layer: &'a Layer,
    /// What it reads, one image.
    pub input: Shape,
    /// What it writes, one image.
    pub output: Shape,
    /// The convolution that computes it, named `network/layer`; only layers with weights have one. A fully connected
    /// layer is a filter as large as its map: channels first, as frameworks flatten a map, are OIHW.
    pub problem: Option<Problem>,
}

impl ShapedLayer<'_> {
    /// Weights and biases.
    pub fn parameters(&self) -> usize {
        self.problem.as_ref().map_or(0, |problem| problem.weight_len() + problem.out_channels())
    }

    /// Weights of one output channel, 0 for a layer without weights.
    pub fn fan_in(&self) -> usize {
        self.problem.as_ref().map_or(0, Problem::reduction)
    }

    /// The shape of its weights as frameworks keep them: a convolution's OIHW, a fully connected layer's `[out][c·h·w]`,
    /// none for a layer without weights.
    pub fn weight_shape(&self) -> Vec<usize> {
        match (&self.problem, self.layer.kind) {
            (_, LayerKind::Linear(linear)) => vec![linear.out_features, self.input.floats()],
            (Some(problem), _) => {
                let [kh, kw] = [problem.height(), problem.width()].map(|axis| axis.kernel);
                vec![problem.out_channels(), problem.group_in_channels(), kh, kw]
            }
            (None, _) => Vec::new(),
        }
    }
}

/// Why a list of layers is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// No network of this name.
    #[error("no network is called '{name}'; the names are {known}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// Every known name.
        known: String,
    },
    /// Nothing to compute.
    #[error("{network} has no layer that computes anything")]
    Empty {
        /// The network.
        network: String,
    },
    /// Two layers of one name.
    #[error("{network} has two layers called '{layer}'; weights are found by name, so names must differ")]
    DuplicateName {
        /// The network.
        network: String,
        /// The name.
        layer: String,
    },
    /// A convolution or fully connected layer that does not fit its input.
    #[error("{layer} on an input of {input} is no convolution: {source}")]
    Problem {
        /// `network/layer`.
        layer: String,
        /// What it was given.
        input: Shape,
        /// Why.
        source: Box<ProblemError>,
    },
    /// Another parameter that makes no sense.
    #[error("{layer}: {parameter} is {value}; it must be {expected}")]
    Parameter {
        /// `network/layer`.
        layer: String,
        /// Which.
        parameter: &'static str,
        /// Its value.
        value: String,
        /// What is accepted.
        expected: String,
    },
    /// Activations beyond [`MAX_TENSOR_BYTES`].
    #[error("{layer}: {batch} images of {shape} would need {bytes} bytes; the limit is {limit} (64 GiB): take a smaller batch or map", limit = MAX_TENSOR_BYTES)]
    TooLarge {
        /// `network/layer`, or `network/input`.
        layer: String,
        /// Images.
        batch: usize,
        /// One image's activations.
        shape: Shape,
        /// Bytes they would need, `u128::MAX` if even that overflows.
        bytes: u128,
    },
}

impl Network {
    /// Infers what each layer reads and writes, for `batch` images.
    ///
    /// # Errors
    /// [`NetworkError`] naming the first layer that does not fit, or whatever else keeps the list from being a network.
    pub fn infer(&self, batch: usize) -> Result<Vec<ShapedLayer<'_>>, NetworkError> {
        self.check_size("input", self.input, batch)?;
        if self.layers.iter().all(|layer| layer.kind == LayerKind::Dropout) {
            return Err(NetworkError::Empty { network: self.name.clone() });
        }
        let mut input = self.input;
        let mut names = HashSet::with_capacity(self.layers.len());
        let mut shaped = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            if !names.insert(&layer.name) {
                return Err(NetworkError::DuplicateName { network: self.name.clone(), layer: layer.name.clone() });
            }
            let next = self.shape(layer, input, batch)?;
            input = next.output;
            shaped.push(next);
        }
        Ok(shaped)
    }

    /// What `layer` makes of `batch` images of `input`.
    pub(crate) fn shape<'a>(
        &self,
        layer: &'a Layer,
        input: Shape,
        batch: usize,
    ) -> Result<ShapedLayer<'a>, NetworkError> {
        let problem = self.problem(layer, input, batch)?;
        let output = match (&problem, &layer.kind) {
            (Some(problem), _) => {
                let [height, width] = problem.output_size();
                Shape::new(height, width, problem.out_channels())
            }
            (None, LayerKind::MaxPool(pool)) => self.pooled(layer, pool, input)?,
            (None, LayerKind::AveragePool(average)) => self.pooled(layer, &average.pool, input)?,
            (None, LayerKind::Lrn(lrn)) => self.normalised(layer, lrn, input)?,
            (None, _) => input,
        };
        self.check_size(&layer.name, output, batch)?;
        Ok(ShapedLayer { layer, input, output, problem })
    }

    /// The convolutions proper, without the fully connected layers, each named `network/layer`.
    ///
    /// # Errors
    /// As [`Network::infer`].
    pub fn problems(&self, batch: usize) -> Result<Vec<Problem>, NetworkError> {
        let layers = self.infer(batch)?.into_iter();
        Ok(layers
            .filter(|shaped| matches!(shaped.layer.kind, LayerKind::Conv(_)))
            .filter_map(|shaped| shaped.problem)
            .collect())
    }

    /// `network/layer`.
    pub(crate) fn qualified(&self, layer: &str) -> String {
        format!("{}/{layer}", self.name)
    }

    fn problem(&self, layer: &Layer, input: Shape, batch: usize) -> Result<Option<Problem>, NetworkError> {
        let problem = match layer.kind {
            LayerKind::Conv(conv) => {
                let [height, width] = conv.windows;
                let axes = [height.over(input.height), width.over(input.width)];
                Problem::new(batch, conv.groups, [input.channels, conv.out_channels], axes)
            }
            LayerKind::Linear(linear) => {
                let axes = [input.height, input.width].map(|size| Axis::new(size, size));
                Problem::new(batch, 1, [input.channels, linear.out_features], axes)
            }
            _ => return Ok(None),
        };
        let name = self.qualified(&layer.name);
        match problem {
            Ok(problem) => Ok(Some(problem.with_name(name))),
            Err(source) => Err(NetworkError::Problem { layer: name, input, source: Box::new(source) }),
        }
    }

    fn pooled(&self, layer: &Layer, pool: &Pool, input: Shape) -> Result<Shape, NetworkError> {
        for (window, size) in pool.windows.iter().zip([input.height, input.width]) {
            self.require(layer, "kernel", window.kernel, window.kernel > 0, "at least 1")?;
            self.require(layer, "stride", window.stride, window.stride > 0, "at least 1")?;
            self.require(layer, "dilation", window.dilation, window.dilation == 1, "1")?;
            let [before, after] = window.pad;
            // Then every window holds at least one element that is not padding.
            let smaller = before < window.kernel && after < window.kernel;
            self.require(layer, "pad", before.max(after), smaller, "smaller than the kernel")?;
            // No overflow: both are smaller than the kernel.
            let fits = window.kernel <= MAX_WINDOW && window.kernel <= size + before + after;
            let expected = format!("at most the padded input, which is {input} without its padding, and {MAX_WINDOW}");
            self.require(layer, "kernel", window.kernel, fits, &expected)?;
            let stride = window.stride;
            self.require(layer, "stride", stride, stride <= MAX_WINDOW, &format!("at most {MAX_WINDOW}"))?;
        }
        let [height, width] = pool.axes(input).map(|axis| axis.output());
        Ok(Shape::new(height, width, input.channels))
    }

    fn normalised(&self, layer: &Layer, lrn: &Lrn, input: Shape) -> Result<Shape, NetworkError> {
        self.require(layer, "size", lrn.size, lrn.size % 2 == 1, "odd")?;
        self.require(layer, "k", lrn.k, lrn.k > 0.0 && lrn.k.is_finite(), "above zero and finite")?;
        self.require(layer, "alpha", lrn.alpha, lrn.alpha >= 0.0 && lrn.alpha.is_finite(), "finite, zero or above")?;
        self.require(layer, "beta", lrn.beta, lrn.beta.is_finite(), "finite")?;
        Ok(input)
    }

    fn require(
        &self,
        layer: &Layer,
        parameter: &'static str,
        value: impl fmt::Display,
        accepted: bool,
        expected: &str,
    ) -> Result<(), NetworkError> {
        if accepted {
            return Ok(());
        }
        let layer = self.qualified(&layer.name);
        Err(NetworkError::Parameter { layer, parameter, value: value.to_string(), expected: expected.into() })
    }

    fn check_size(&self, layer: &str, shape: Shape, batch: usize) -> Result<(), NetworkError> {
        let bytes = shape.bytes(batch);
        if bytes == 0 {
            let (parameter, value) = if batch == 0 { ("batch", "0".into()) } else { ("shape", shape.to_string()) };
            let layer = self.qualified(layer);
            return Err(NetworkError::Parameter { layer, parameter, value, expected: "at least 1 everywhere".into() });
        }
        if bytes > MAX_TENSOR_BYTES {
            return Err(NetworkError::TooLarge { layer: self.qualified(layer), batch, shape, bytes });
        }
        Ok(())
    }
}
