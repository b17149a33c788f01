//! AlexNet as data, the layers between its convolutions, images, weights and the forward pass.

#![forbid(unsafe_code)]

mod files;
mod forward;
mod image;
mod layers;
mod memory;
mod network;
pub mod npy;
pub mod onnx;
mod presets;
mod weights;

pub use forward::{Chooser, ForwardError, ForwardPass, LayerObserver};
pub use image::{ImageError, read_image};
pub use memory::{LayerMemory, MemoryPlan};
pub use network::{Conv, Layer, LayerKind, Linear, Lrn, MaxPool, Network, NetworkError, Shape, ShapedLayer};
pub use presets::{networks, owt, paper};
pub use weights::{LayerWeights, Weights, WeightsError};
