//! SqueezeNet.

use super::chain::{Chain, biased, max_pool_ceil};
use crate::network::{Network, NetworkError};
use crate::operators::{Conv, Operator, Reduce, Reduction, Window};

const POOL: Operator = max_pool_ceil(3, 2, 0);

/// The fire modules `features.{index}`, and their filters: those that squeeze, and each kind of those that expand.
const FIRES: [(usize, [usize; 2]); 8] = [
    (3, [16, 64]),
    (4, [16, 64]),
    (6, [32, 128]),
    (7, [32, 128]),
    (9, [48, 192]),
    (10, [48, 192]),
    (11, [64, 256]),
    (12, [64, 256]),
];

/// SqueezeNet 1.1 of F. Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model
/// size" (2016), the version of its authors' repository with smaller filters in the first layer and earlier pools.
/// 1 235 496 parameters.
///
/// # Errors
/// [`NetworkError`] if it cannot have so many images.
pub(super) fn squeezenet1_1(batch: usize) -> Result<Network, NetworkError> {
    let mut chain = Chain::new("squeezenet1_1", [batch, 3, 224, 224])?;
    chain.conv("features.0", Conv { windows: Window::square(3, 2, 0), ..biased(64, 3, 2) })?.relu("features.1")?;
    for (index, filters) in FIRES {
        if matches!(index, 3 | 6 | 9) {
            chain.add(format!("features.{}", index - 1), POOL)?;
        }
        fire(&mut chain, &format!("features.{index}"), filters)?;
    }
    // Without the axes of the map, which torchvision flattens afterwards.
    let mean = Reduce { reduction: Reduction::Mean, axes: vec![2, 3], keep: false };
    chain
        .conv("classifier.1", biased(1000, 1, 1))?
        .relu("classifier.2")?
        .add("classifier.3", Operator::Reduce(mean))?;
    chain.finish()
}

/// A 1×1 convolution, and the channels of a 1×1 and of a 3×3 convolution of what it computes.
fn fire(chain: &mut Chain, name: &str, [squeezed, expanded]: [usize; 2]) -> Result<(), NetworkError> {
    let filters = |chain: &mut Chain, module: &str, conv| {
        let name = format!("{name}.{module}");
        Ok(chain.conv(&name, conv)?.relu(format!("{name}_activation"))?.last)
    };
    let input = filters(chain, "squeeze", biased(squeezed, 1, 1))?;
    let ones = filters(chain, "expand1x1", biased(expanded, 1, 1))?;
    chain.last = input;
    let threes = filters(chain, "expand3x3", biased(expanded, 3, 1))?;
    chain.concat(format!("{name}.concat"), &[ones, threes])?;
    Ok(())
}
