//! AlexNet as data, the layers between its convolutions, images, weights and the forward pass.

#![forbid(unsafe_code)]

mod network;
mod presets;

pub use network::{Conv, Layer, LayerKind, Linear, Lrn, MaxPool, Network, NetworkError, Shape, ShapedLayer};
pub use presets::{networks, owt, paper};
