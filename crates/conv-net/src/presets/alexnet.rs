//! The two AlexNets that everybody means.

use crate::network::{Builder, Network, NetworkError, ValueId};
use crate::operators::{Activation, Conv, Linear, Lrn, Operator, Pool, Softmax, Window};

/// The paper's normalisation (section 3.3): n = 5, k = 2, α = 1e-4, β = 0.75.
const LRN: Operator = Operator::Lrn(Lrn { size: 5, k: 2.0, alpha: 1e-4, beta: 0.75 });

/// The paper's overlapping pooling (section 3.4): windows of 3, 2 apart.
const POOL: Operator = Operator::MaxPool(Pool::square(3, 2, 0));

/// AlexNet as published: A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet Classification with Deep Convolutional Neural
/// Networks", NIPS 2012. 60 965 224 parameters.
///
/// The input is 227×227 although the paper says 224×224: 11×11 filters at stride 4 give the 55×55 map of its figure 2
/// (290400 = 55·55·96 neurons) only from 227, `(227 − 11) / 4 + 1 = 55`; from 224 they would give 54.25. Padding a 224
/// image by 2 on each side also gives 55 once the last, incomplete step is dropped: `⌊(224 + 4 − 11) / 4⌋ + 1 = 55`,
/// which is what [`owt`] does. The groups of 2 are its two GPUs: conv2, conv4 and conv5 see only the maps of their own.
///
/// # Errors
/// [`NetworkError`] if it cannot have so many images.
pub fn paper(batch: usize) -> Result<Network, NetworkError> {
    let mut chain = Chain::new("paper", [batch, 3, 227, 227])?;
    chain.conv("conv1", 96, 11, 4, 0, 1)?.add("lrn1", LRN)?.add("pool1", POOL)?;
    chain.conv("conv2", 256, 5, 1, 2, 2)?.add("lrn2", LRN)?.add("pool2", POOL)?;
    chain.conv("conv3", 384, 3, 1, 1, 1)?.conv("conv4", 384, 3, 1, 1, 2)?.conv("conv5", 256, 3, 1, 1, 2)?;
    // Section 4.2 drops out half of what fc6 and fc7 compute, in training.
    chain.add("pool5", POOL)?.linear("fc6", 4096, true)?.linear("fc7", 4096, true)?.linear("fc8", 1000, false)?;
    chain.finish()
}

/// The single-tower AlexNet of A. Krizhevsky, "One weird trick for parallelizing convolutional neural networks" (2014), as
/// torchvision's `alexnet` has it: 224×224 padded by 2, 64-192-384-256-256 filters, no groups, no normalisation.
/// 61 100 840 parameters.
///
/// # Errors
/// [`NetworkError`] if it cannot have so many images.
pub fn owt(batch: usize) -> Result<Network, NetworkError> {
    let mut chain = Chain::new("owt", [batch, 3, 224, 224])?;
    chain.conv("conv1", 64, 11, 4, 2, 1)?.add("pool1", POOL)?;
    chain.conv("conv2", 192, 5, 1, 2, 1)?.add("pool2", POOL)?;
    chain.conv("conv3", 384, 3, 1, 1, 1)?.conv("conv4", 256, 3, 1, 1, 1)?.conv("conv5", 256, 3, 1, 1, 1)?;
    chain.add("pool5", POOL)?.linear("fc6", 4096, true)?.linear("fc7", 4096, true)?.linear("fc8", 1000, false)?;
    chain.finish()
}

/// Layers, each on the output of the one before.
struct Chain {
    builder: Builder,
    last: ValueId,
}

impl Chain {
    fn new(name: &str, input: [usize; 4]) -> Result<Self, NetworkError> {
        let mut builder = Builder::new(name);
        let last = builder.input("input", &input)?;
        Ok(Chain { builder, last })
    }

    fn add(&mut self, name: &str, operator: Operator) -> Result<&mut Self, NetworkError> {
        self.last = self.builder.node(name, operator, &[self.last])?;
        Ok(self)
    }

    fn relu(&mut self, after: &str) -> Result<&mut Self, NetworkError> {
        self.add(&format!("{after}.relu"), Operator::Activation(Activation::Relu))
    }

    fn conv(
        &mut self,
        name: &str,
        out_channels: usize,
        kernel: usize,
        stride: usize,
        pad: usize,
        groups: usize,
    ) -> Result<&mut Self, NetworkError> {
        let windows = Window::square(kernel, stride, pad);
        self.add(name, Operator::Conv(Conv { out_channels, windows, groups, bias: true }))?.relu(name)
    }

    fn linear(&mut self, name: &str, out_features: usize, relu: bool) -> Result<&mut Self, NetworkError> {
        self.add(name, Operator::Linear(Linear { out_features, bias: true }))?;
        if relu { self.relu(name) } else { Ok(self) }
    }

    fn finish(mut self) -> Result<Network, NetworkError> {
        self.add("softmax", Operator::Softmax(Softmax::channels()))?;
        self.builder.finish(&[self.last])
    }
}
