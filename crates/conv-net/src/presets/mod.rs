//! Networks that are built in.

mod alexnet;

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
    &[Preset { name: "paper", make: paper }, Preset { name: "owt", make: owt }]
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
