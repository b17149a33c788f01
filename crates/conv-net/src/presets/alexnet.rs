//! The two AlexNets that everybody means.

use super::chain::{Chain, max_pool};
use crate::network::{Network, NetworkError};
use crate::operators::{Conv, Lrn, Operator, Window};

/// The paper's normalisation (section 3.3): n = 5, k = 2, α = 1e-4, β = 0.75.
const LRN: Operator = Operator::Lrn(Lrn { size: 5, k: 2.0, alpha: 1e-4, beta: 0.75 });

/// The paper's overlapping pooling (section 3.4): windows of 3, 2 apart.
const POOL: Operator = max_pool(3, 2, 0);

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
    filters(&mut chain, "conv1", 96, [11, 4, 0], 1)?.add("lrn1", LRN)?.add("pool1", POOL)?;
    filters(&mut chain, "conv2", 256, [5, 1, 2], 2)?.add("lrn2", LRN)?.add("pool2", POOL)?;
    filters(&mut chain, "conv3", 384, [3, 1, 1], 1)?;
    filters(&mut chain, "conv4", 384, [3, 1, 1], 2)?;
    filters(&mut chain, "conv5", 256, [3, 1, 1], 2)?.add("pool5", POOL)?;
    classify(chain)
}

/// The single-tower AlexNet of A. Krizhevsky, "One weird trick for parallelizing convolutional neural networks" (2014), as
/// torchvision's `alexnet` has it: 224×224 padded by 2, 64-192-384-256-256 filters, no groups, no normalisation.
/// 61 100 840 parameters.
///
/// # Errors
/// [`NetworkError`] if it cannot have so many images.
pub fn owt(batch: usize) -> Result<Network, NetworkError> {
    let mut chain = Chain::new("owt", [batch, 3, 224, 224])?;
    filters(&mut chain, "conv1", 64, [11, 4, 2], 1)?.add("pool1", POOL)?;
    filters(&mut chain, "conv2", 192, [5, 1, 2], 1)?.add("pool2", POOL)?;
    filters(&mut chain, "conv3", 384, [3, 1, 1], 1)?;
    filters(&mut chain, "conv4", 256, [3, 1, 1], 1)?;
    filters(&mut chain, "conv5", 256, [3, 1, 1], 1)?.add("pool5", POOL)?;
    classify(chain)
}

/// A convolution and its ReLU.
fn filters<'a>(
    chain: &'a mut Chain,
    name: &str,
    out_channels: usize,
    [kernel, stride, pad]: [usize; 3],
    groups: usize,
) -> Result<&'a mut Chain, NetworkError> {
    let windows = Window::square(kernel, stride, pad);
    chain.conv(name, Conv { out_channels, windows, groups, bias: true })?.relu(format!("{name}.relu"))
}

/// The fully connected layers. Section 4.2 of the paper drops out half of what fc6 and fc7 compute, in training.
fn classify(mut chain: Chain) -> Result<Network, NetworkError> {
    chain.linear("fc6", 4096)?.relu("fc6.relu")?.linear("fc7", 4096)?.relu("fc7.relu")?.linear("fc8", 1000)?;
    chain.finish()
}
