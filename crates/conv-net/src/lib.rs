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
mod work;

pub use forward::{Chooser, ForwardError, ForwardPass, LayerObserver};
pub use image::{ImageError, read_image};
pub use memory::{LayerMemory, MemoryPlan};
pub use network::{
    AveragePool, Conv, Layer, LayerKind, Linear, Lrn, Network, NetworkError, Pool, Shape, ShapedLayer, Window,
};
pub use presets::{networks, owt, paper};
pub use weights::{Safetensors, Synthetic, Weights, WeightsError};
pub use work::LayerWork;
