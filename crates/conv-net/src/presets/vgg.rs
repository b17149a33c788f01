//! VGG.

use super::chain::{Chain, biased, max_pool};
use crate::network::{Network, NetworkError};

/// Filters of the convolutions between two pools, and how many convolutions.
const STAGES: [(usize, usize); 5] = [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)];

/// VGG-16, configuration D of K. Simonyan, A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
/// Recognition", ICLR 2015. 138 357 544 parameters.
///
/// # Errors
/// [`NetworkError`] if it cannot have so many images.
pub(super) fn vgg16(batch: usize) -> Result<Network, NetworkError> {
    let mut chain = Chain::new("vgg16", [batch, 3, 224, 224])?;
    let mut index = 0;
    let mut module = || {
        index += 1;
        format!("features.{}", index - 1)
    };
    for (filters, convolutions) in STAGES {
        for _ in 0..convolutions {
            chain.conv(module(), biased(filters, 3, 1))?.relu(module())?;
        }
        chain.add(module(), max_pool(2, 2, 0))?;
    }
    chain.linear("classifier.0", 4096)?.relu("classifier.1")?;
    chain.linear("classifier.3", 4096)?.relu("classifier.4")?;
    chain.linear("classifier.6", 1000)?;
    chain.finish()
}
