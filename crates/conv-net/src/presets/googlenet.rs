//! GoogLeNet.

use super::chain::{Chain, conv, max_pool_ceil};
use crate::network::{Network, NetworkError};
use crate::operators::Conv;

const EPSILON: f32 = 1e-3;

/// Filters of a module: of the 1×1 convolution, of the two that reduce and the two of 3×3 on what they compute, and of the
/// 1×1 convolution behind the pool.
type Inception = (&'static str, usize, [usize; 2], [usize; 2], usize);

/// The modules on maps of 28×28.
const INCEPTION3: [Inception; 2] =
    [("inception3a", 64, [96, 128], [16, 32], 32), ("inception3b", 128, [128, 192], [32, 96], 64)];

/// The modules on maps of 14×14.
const INCEPTION4: [Inception; 5] = [
    ("inception4a", 192, [96, 208], [16, 48], 64),
    ("inception4b", 160, [112, 224], [24, 64], 64),
    ("inception4c", 128, [128, 256], [24, 64], 64),
    ("inception4d", 112, [144, 288], [32, 64], 64),
    ("inception4e", 256, [160, 320], [32, 128], 128),
];

/// The modules on maps of 7×7.
const INCEPTION5: [Inception; 2] =
    [("inception5a", 256, [160, 320], [32, 128], 128), ("inception5b", 384, [192, 384], [48, 128], 128)];

/// GoogLeNet of C. Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, as torchvision has it: with batch
/// normalisation, 3×3 filters in place of the paper's 5×5, and without the classifiers that only help in training.
/// 6 624 904 parameters.
///
/// torchvision's trained weights expect images of mean 0.5 and deviation 0.5; it converts others in a step of its own
/// (`transform_input`), which is no part of this network.
///
/// # Errors
/// [`NetworkError`] if it cannot have so many images.
pub(super) fn googlenet(batch: usize) -> Result<Network, NetworkError> {
    let mut chain = Chain::new("googlenet", [batch, 3, 224, 224])?;
    basic(&mut chain, "conv1", conv(64, 7, 2))?.add("maxpool1", max_pool_ceil(3, 2, 0))?;
    basic(&mut chain, "conv2", conv(64, 1, 1))?;
    basic(&mut chain, "conv3", conv(192, 3, 1))?.add("maxpool2", max_pool_ceil(3, 2, 0))?;
    inceptions(&mut chain, &INCEPTION3)?.add("maxpool3", max_pool_ceil(3, 2, 0))?;
    inceptions(&mut chain, &INCEPTION4)?.add("maxpool4", max_pool_ceil(2, 2, 0))?;
    inceptions(&mut chain, &INCEPTION5)?.mean("avgpool")?.linear("fc", 1000)?;
    chain.finish()
}

fn basic<'a>(chain: &'a mut Chain, name: &str, conv: Conv) -> Result<&'a mut Chain, NetworkError> {
    chain.conv(format!("{name}.conv"), conv)?.batch_norm(format!("{name}.bn"), EPSILON)?.relu(format!("{name}.relu"))
}

fn inceptions<'a>(chain: &'a mut Chain, modules: &[Inception]) -> Result<&'a mut Chain, NetworkError> {
    modules.iter().try_for_each(|module| inception(chain, module))?;
    Ok(chain)
}

/// Four branches, one after the other in the channels of the output.
fn inception(chain: &mut Chain, &(name, ones, threes, fives, pooled): &Inception) -> Result<(), NetworkError> {
    let input = chain.last;
    let mut branches = [basic(chain, &format!("{name}.branch1"), conv(ones, 1, 1))?.last; 4];
    for (branch, [reduced, filters]) in [(2, threes), (3, fives)] {
        chain.last = input;
        basic(chain, &format!("{name}.branch{branch}.0"), conv(reduced, 1, 1))?;
        branches[branch - 1] = basic(chain, &format!("{name}.branch{branch}.1"), conv(filters, 3, 1))?.last;
    }
    chain.last = input;
    chain.add(format!("{name}.branch4.0"), max_pool_ceil(3, 1, 1))?;
    branches[3] = basic(chain, &format!("{name}.branch4.1"), conv(pooled, 1, 1))?.last;
    chain.concat(format!("{name}.concat"), &branches)?;
    Ok(())
}
