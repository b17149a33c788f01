//! What the files of networks are written with.

use crate::network::{Builder, Network, NetworkError, ValueId};
use crate::operators::{
    Activation, AveragePool, BatchNormalization, Binary, Concat, Conv, Linear, Operator, Pool, Softmax, Window,
};
use crate::shape::{Map, Shape};

/// Layers, each on the output of the one before, and where graphs branch, on any value.
pub(super) struct Chain {
    builder: Builder,
    /// What the next layer reads.
    pub last: ValueId,
}

/// `out_channels` square filters without a bias, padded so that at stride 1 the map keeps its size.
pub(super) const fn conv(out_channels: usize, kernel: usize, stride: usize) -> Conv {
    Conv { out_channels, windows: Window::square(kernel, stride, kernel / 2), groups: 1, bias: false }
}

/// The same with a bias.
pub(super) const fn biased(out_channels: usize, kernel: usize, stride: usize) -> Conv {
    Conv { bias: true, ..conv(out_channels, kernel, stride) }
}

/// A maximum over square windows, of which none passes the end of the map.
pub(super) const fn max_pool(kernel: usize, stride: usize, pad: usize) -> Operator {
    Operator::MaxPool(Pool::square(kernel, stride, pad))
}

/// A maximum over square windows, of which the last may pass the end of the map.
pub(super) const fn max_pool_ceil(kernel: usize, stride: usize, pad: usize) -> Operator {
    Operator::MaxPool(Pool { windows: Window::square(kernel, stride, pad), ceil: true })
}

/// Means over windows that do not overlap.
pub(super) const fn average_pool(kernel: usize) -> Operator {
    Operator::AveragePool(AveragePool { pool: Pool::square(kernel, kernel, 0), count_padding: false })
}

impl Chain {
    /// A network whose input has the shape `[n][c][h][w]`.
    pub fn new(name: &str, input: [usize; 4]) -> Result<Self, NetworkError> {
        let mut builder = Builder::new(name);
        let last = builder.input("input", &input)?;
        Ok(Chain { builder, last })
    }

    pub fn add(&mut self, name: impl Into<String>, operator: Operator) -> Result<&mut Self, NetworkError> {
        self.join(name, operator, &[self.last])
    }

    /// A layer on several values.
    fn join(
        &mut self,
        name: impl Into<String>,
        operator: Operator,
        inputs: &[ValueId],
    ) -> Result<&mut Self, NetworkError> {
        self.last = self.builder.node(name, operator, inputs)?;
        Ok(self)
    }

    /// The sum of the last value and `other`.
    pub fn plus(&mut self, name: impl Into<String>, other: ValueId) -> Result<&mut Self, NetworkError> {
        self.join(name, Operator::Binary(Binary::Add), &[self.last, other])
    }

    /// The channels of all `inputs`.
    pub fn concat(&mut self, name: impl Into<String>, inputs: &[ValueId]) -> Result<&mut Self, NetworkError> {
        self.join(name, Operator::Concat(Concat { axis: 1 }), inputs)
    }

    pub fn conv(&mut self, name: impl Into<String>, conv: Conv) -> Result<&mut Self, NetworkError> {
        self.add(name, Operator::Conv(conv))
    }

    /// PyTorch's epsilon, unless a network says otherwise, is 1e-5.
    pub fn batch_norm(&mut self, name: impl Into<String>, epsilon: f32) -> Result<&mut Self, NetworkError> {
        self.add(name, Operator::BatchNormalization(BatchNormalization { epsilon }))
    }

    pub fn relu(&mut self, name: impl Into<String>) -> Result<&mut Self, NetworkError> {
        self.add(name, Operator::Activation(Activation::Relu))
    }

    pub fn linear(&mut self, name: impl Into<String>, out_features: usize) -> Result<&mut Self, NetworkError> {
        self.add(name, Operator::Linear(Linear { out_features, bias: true }))
    }

    /// The mean of each channel, a map of one pixel.
    pub fn mean(&mut self, name: impl Into<String>) -> Result<&mut Self, NetworkError> {
        let pool = Pool::whole(self.map());
        self.add(name, Operator::AveragePool(AveragePool { pool, count_padding: false }))
    }

    /// Channels of the last value.
    pub fn channels(&self) -> usize {
        self.map().channels
    }

    /// The last value's map; all values of images have one.
    fn map(&self) -> Map {
        self.builder.shape(self.last).and_then(Shape::map).unwrap_or(Map::new(1, 1, 1))
    }

    /// The network that ends in probabilities of classes.
    pub fn finish(mut self) -> Result<Network, NetworkError> {
        self.add("softmax", Operator::Softmax(Softmax::channels()))?;
        self.builder.finish(&[self.last])
    }
}
