//! Networks that are built in.
//!
//! But for AlexNet they are torchvision's, as they compute outside training, on images of 224×224, and their nodes
//! have the names of its modules, so that weights are found in its files. What is no module there, or one that is used
//! more than once, is named after where it is: `layer1.0.add`, `layer1.0.relu2`.

mod alexnet;
mod chain;
mod densenet;
mod googlenet;
mod mobilenet;
mod resnet;
mod squeezenet;
mod vgg;

pub use alexnet::{owt, paper};

use crate::network::{Network, NetworkError};

/// A built-in network: its name, and what makes it for a number of images.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// For example `paper`.
    pub name: &'static str,
    make: fn(usize) -> Result<Network, NetworkError>,
}

impl Preset {
    /// The network for `batch` images.
    ///
    /// # Errors
    /// [`NetworkError`] if it cannot have so many.
    pub fn network(&self, batch: usize) -> Result<Network, NetworkError> {
        (self.make)(batch)
    }
}

/// Every network that is built in.
pub fn presets() -> &'static [Preset] {
    &[
        Preset { name: "paper", make: paper },
        Preset { name: "owt", make: owt },
        Preset { name: "vgg16", make: vgg::vgg16 },
        Preset { name: "resnet50", make: resnet::resnet50 },
        Preset { name: "googlenet", make: googlenet::googlenet },
        Preset { name: "squeezenet1_1", make: squeezenet::squeezenet1_1 },
        Preset { name: "mobilenet_v2", make: mobilenet::mobilenet_v2 },
        Preset { name: "densenet121", make: densenet::densenet121 },
    ]
}

impl Network {
    /// Finds a built-in network by its name, for `batch` images.
    ///
    /// # Errors
    /// [`NetworkError::Unknown`] with the names that exist.
    pub fn by_name(name: &str, batch: usize) -> Result<Network, NetworkError> {
        let known = || presets().iter().map(|preset| preset.name).collect::<Vec<_>>().join(", ");
        let preset = presets().iter().find(|preset| preset.name == name);
        preset.ok_or_else(|| NetworkError::Unknown { name: name.into(), known: known() })?.network(batch)
    }
}
