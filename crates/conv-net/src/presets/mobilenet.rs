//! MobileNet.

use super::chain::{Chain, conv};
use crate::network::{Network, NetworkError};
use crate::operators::{Activation, Conv, Operator};

const EPSILON: f32 = 1e-5;

/// Table 2 of the paper: how much wider than its input a block is inside, its output's channels, how many blocks, and the
/// stride of the first.
const STAGES: [[usize; 4]; 7] =
    [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2], [6, 320, 1, 1]];

/// MobileNetV2 of M. Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018.
/// 3 504 872 parameters.
///
/// # Errors
/// [`NetworkError`] if it cannot have so many images.
pub(super) fn mobilenet_v2(batch: usize) -> Result<Network, NetworkError> {
    let mut chain = Chain::new("mobilenet_v2", [batch, 3, 224, 224])?;
    clipped(&mut chain, "features.0", conv(32, 3, 2))?;
    let mut index = 0;
    for [expansion, out_channels, blocks, stride] in STAGES {
        for block in 0..blocks {
            index += 1;
            let stride = if block == 0 { stride } else { 1 };
            inverted_residual(&mut chain, &format!("features.{index}"), [expansion, out_channels, stride])?;
        }
    }
    clipped(&mut chain, "features.18", conv(1280, 1, 1))?.mean("avgpool")?.linear("classifier.1", 1000)?;
    chain.finish()
}

/// A convolution, its normalisation, and a ReLU that ends at 6.
fn clipped<'a>(chain: &'a mut Chain, name: &str, conv: Conv) -> Result<&'a mut Chain, NetworkError> {
    chain.conv(format!("{name}.0"), conv)?.batch_norm(format!("{name}.1"), EPSILON)?;
    chain.add(format!("{name}.2"), Operator::Activation(Activation::Clip { low: 0.0, high: 6.0 }))
}

/// A wider map, a filter for each of its channels, and a narrow output, to which the input is added if it has its shape.
fn inverted_residual(
    chain: &mut Chain,
    name: &str,
    [expansion, out_channels, stride]: [usize; 3],
) -> Result<(), NetworkError> {
    let (input, channels) = (chain.last, chain.channels());
    let width = expansion * channels;
    let depthwise = Conv { groups: width, ..conv(width, 3, stride) };
    let layers = [conv(width, 1, 1), depthwise];
    let layers = if expansion == 1 { &layers[1..] } else { &layers[..] };
    for (index, &conv) in layers.iter().enumerate() {
        clipped(chain, &format!("{name}.conv.{index}"), conv)?;
    }
    chain.conv(format!("{name}.conv.{}", layers.len()), conv(out_channels, 1, 1))?;
    chain.batch_norm(format!("{name}.conv.{}", layers.len() + 1), EPSILON)?;
    if stride == 1 && channels == out_channels {
        chain.plus(format!("{name}.add"), input)?;
    }
    Ok(())
}
