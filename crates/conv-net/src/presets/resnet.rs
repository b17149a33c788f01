//! ResNet.

use super::chain::{Chain, conv, max_pool};
use crate::network::{Network, NetworkError};

const EPSILON: f32 = 1e-5;

/// Of each stage the blocks, the filters of their 3×3 convolutions, and the stride of the first.
const STAGES: [(usize, usize, usize); 4] = [(3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2)];

/// ResNet-50 of K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, in its version
/// 1.5: blocks stride in their 3×3 convolution, not in the 1×1 before it. 25 557 032 parameters.
///
/// # Errors
/// [`NetworkError`] if it cannot have so many images.
pub(super) fn resnet50(batch: usize) -> Result<Network, NetworkError> {
    let mut chain = Chain::new("resnet50", [batch, 3, 224, 224])?;
    chain.conv("conv1", conv(64, 7, 2))?.batch_norm("bn1", EPSILON)?.relu("relu")?;
    chain.add("maxpool", max_pool(3, 2, 1))?;
    for (stage, (blocks, width, stride)) in (1..).zip(STAGES) {
        for block in 0..blocks {
            bottleneck(&mut chain, &format!("layer{stage}.{block}"), width, if block == 0 { stride } else { 1 })?;
        }
    }
    chain.mean("avgpool")?.linear("fc", 1000)?;
    chain.finish()
}

/// A third convolution of `4 · width` filters, whose result is added to the block's input, or where that has another shape,
/// to a convolution of it.
fn bottleneck(chain: &mut Chain, name: &str, width: usize, stride: usize) -> Result<(), NetworkError> {
    let (input, fits) = (chain.last, chain.channels() == 4 * width);
    for (index, conv) in [(1, conv(width, 1, 1)), (2, conv(width, 3, stride)), (3, conv(4 * width, 1, 1))] {
        chain.conv(format!("{name}.conv{index}"), conv)?.batch_norm(format!("{name}.bn{index}"), EPSILON)?;
        if index < 3 {
            chain.relu(format!("{name}.relu{index}"))?;
        }
    }
    let mut shortcut = input;
    if !fits {
        let residual = std::mem::replace(&mut chain.last, input);
        chain.conv(format!("{name}.downsample.0"), conv(4 * width, 1, stride))?;
        chain.batch_norm(format!("{name}.downsample.1"), EPSILON)?;
        shortcut = std::mem::replace(&mut chain.last, residual);
    }
    chain.plus(format!("{name}.add"), shortcut)?.relu(format!("{name}.relu3"))?;
    Ok(())
}
