//! Networks as graphs, AlexNet first: their operators, shapes and memory, images, weights, ONNX models, and the forward pass.

#![forbid(unsafe_code)]

mod files;
mod image;
mod layers;
mod network;
pub mod npy;
pub mod onnx;
mod operators;
mod pass;
mod presets;
mod shape;
mod text;
mod towers;
mod weights;

pub use image::{ImageError, read_image};
pub use network::{Builder, Network, NetworkError, Node, Value, ValueId};
pub use operators::{
    Activation, Affine, AveragePool, BatchNormalization, Binary, Concat, Conv, ConvTranspose, Coordinates, Linear, Lrn,
    Opaque, Operator, OperatorError, Pad, PadMode, Parameter, Pool, Reduce, Reduction, Resampling, Resize, ResizeMode,
    Rounding, Slice, Softmax, Transpose, Window,
};
pub use pass::{
    Chooser, ForwardError, ForwardPass, LayerMemory, LayerObserver, LayerOutput, LayerWork, MemoryPlan, Stage,
};
pub use presets::{Preset, owt, paper, presets};
pub use shape::{Map, Shape, ShapeError};
pub use towers::{Crossing, PeerError, Peers, Split, Threads, TowerError, TowerPass, TowerRunError, Towers};
pub use weights::{Safetensors, Synthetic, Weights, WeightsError};
