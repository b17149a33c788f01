//! DenseNet.

use super::chain::{Chain, average_pool, conv, max_pool};
use crate::network::{Network, NetworkError};

const EPSILON: f32 = 1e-5;

/// Channels that each layer adds.
const GROWTH: usize = 32;

/// Layers of each block.
const BLOCKS: [usize; 4] = [6, 12, 24, 16];

/// DenseNet-121 of G. Huang, Z. Liu, L. van der Maaten, K. Weinberger, "Densely Connected Convolutional Networks", CVPR
/// 2017. 7 978 856 parameters.
///
/// # Errors
/// [`NetworkError`] if it cannot have so many images.
pub(super) fn densenet121(batch: usize) -> Result<Network, NetworkError> {
    let mut chain = Chain::new("densenet121", [batch, 3, 224, 224])?;
    chain.conv("features.conv0", conv(64, 7, 2))?.batch_norm("features.norm0", EPSILON)?.relu("features.relu0")?;
    chain.add("features.pool0", max_pool(3, 2, 1))?;
    for (block, layers) in (1..).zip(BLOCKS) {
        for layer in 1..=layers {
            dense(&mut chain, &format!("features.denseblock{block}.denselayer{layer}"))?;
        }
        if block < BLOCKS.len() {
            let name = format!("features.transition{block}");
            let half = conv(chain.channels() / 2, 1, 1);
            chain.batch_norm(format!("{name}.norm"), EPSILON)?.relu(format!("{name}.relu"))?;
            chain.conv(format!("{name}.conv"), half)?.add(format!("{name}.pool"), average_pool(2))?;
        }
    }
    chain.batch_norm("features.norm5", EPSILON)?.relu("relu")?.mean("avgpool")?.linear("classifier", 1000)?;
    chain.finish()
}

/// Two convolutions, each of what is normalised first; their result goes behind their input's channels.
fn dense(chain: &mut Chain, name: &str) -> Result<(), NetworkError> {
    let input = chain.last;
    for (index, conv) in [(1, conv(4 * GROWTH, 1, 1)), (2, conv(GROWTH, 3, 1))] {
        chain.batch_norm(format!("{name}.norm{index}"), EPSILON)?.relu(format!("{name}.relu{index}"))?;
        chain.conv(format!("{name}.conv{index}"), conv)?;
    }
    let added = chain.last;
    chain.concat(format!("{name}.concat"), &[input, added])?;
    Ok(())
}
