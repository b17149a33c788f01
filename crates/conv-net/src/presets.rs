//! The two AlexNets that everybody means.

use crate::network::{Conv, Layer, LayerKind, Linear, Lrn, Network, NetworkError, Pool, Shape, Window};

/// The paper's normalisation (section 3.3): n = 5, k = 2, α = 1e-4, β = 0.75.
const LRN: LayerKind = LayerKind::Lrn(Lrn { size: 5, k: 2.0, alpha: 1e-4, beta: 0.75 });

/// The paper's overlapping pooling (section 3.4): windows of 3, 2 apart.
const POOL: LayerKind = LayerKind::MaxPool(Pool::square(3, 2, 0));

/// Every network that is built in.
pub fn networks() -> Vec<Network> {
    vec![paper(), owt()]
}

impl Network {
    /// Finds a built-in network by its name.
    ///
    /// # Errors
    /// [`NetworkError::Unknown`] with the names that exist.
    pub fn by_name(name: &str) -> Result<Network, NetworkError> {
        let all = networks();
        let known = all.iter().map(|network| network.name.as_str()).collect::<Vec<_>>().join(", ");
        all.into_iter()
            .find(|network| network.name == name)
            .ok_or_else(|| NetworkError::Unknown { name: name.into(), known })
    }
}

/// AlexNet as published: A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet Classification with Deep Convolutional Neural
/// Networks", NIPS 2012. 60 965 224 parameters.
///
/// The input is 227×227 although the paper says 224×224: 11×11 filters at stride 4 give the 55×55 map of its figure 2
/// (290400 = 55·55·96 neurons) only from 227, `(227 − 11) / 4 + 1 = 55`; from 224 they would give 54.25. Padding a 224
/// image by 2 on each side also gives 55 once the last, incomplete step is dropped: `⌊(224 + 4 − 11) / 4⌋ + 1 = 55`,
/// which is what [`owt`] does. The groups of 2 are its two GPUs: conv2, conv4 and conv5 see only the maps of their own.
pub fn paper() -> Network {
    let conv = |name, out_channels, kernel, stride, groups| {
        let pad = if stride == 1 { kernel / 2 } else { 0 };
        let windows = Window::square(kernel, stride, pad);
        Layer::new(name, LayerKind::Conv(Conv { out_channels, windows, groups, relu: true }))
    };
    let mut layers = vec![
        conv("conv1", 96, 11, 4, 1),
        Layer::new("lrn1", LRN),
        Layer::new("pool1", POOL),
        conv("conv2", 256, 5, 1, 2),
        Layer::new("lrn2", LRN),
        Layer::new("pool2", POOL),
        conv("conv3", 384, 3, 1, 1),
        conv("conv4", 384, 3, 1, 2),
        conv("conv5", 256, 3, 1, 2),
        Layer::new("pool5", POOL),
    ];
    // Section 4.2: dropout in the first two fully connected layers, on what they compute.
    layers.extend([
        linear("fc6", 4096, true),
        Layer::new("drop6", LayerKind::Dropout),
        linear("fc7", 4096, true),
        Layer::new("drop7", LayerKind::Dropout),
        linear("fc8", 1000, false),
        Layer::new("softmax", LayerKind::Softmax),
    ]);
    Network { name: "paper".into(), input: Shape::new(227, 227, 3), layers }
}

/// The single-tower AlexNet of A. Krizhevsky, "One weird trick for parallelizing convolutional neural networks" (2014), as
/// torchvision's `alexnet` has it: 224×224 padded by 2, 64-192-384-256-256 filters, no groups, no normalisation.
/// 61 100 840 parameters.
pub fn owt() -> Network {
    let conv = |name, out_channels, kernel, stride, pad| {
        let windows = Window::square(kernel, stride, pad);
        Layer::new(name, LayerKind::Conv(Conv { out_channels, windows, groups: 1, relu: true }))
    };
    let layers = vec![
        conv("conv1", 64, 11, 4, 2),
        Layer::new("pool1", POOL),
        conv("conv2", 192, 5, 1, 2),
        Layer::new("pool2", POOL),
        conv("conv3", 384, 3, 1, 1),
        conv("conv4", 256, 3, 1, 1),
        conv("conv5", 256, 3, 1, 1),
        Layer::new("pool5", POOL),
        // torchvision drops out before the layer, not after it.
        Layer::new("drop6", LayerKind::Dropout),
        linear("fc6", 4096, true),
        Layer::new("drop7", LayerKind::Dropout),
        linear("fc7", 4096, true),
        linear("fc8", 1000, false),
        Layer::new("softmax", LayerKind::Softmax),
    ];
    Network { name: "owt".into(), input: Shape::new(224, 224, 3), layers }
}

fn linear(name: &str, out_features: usize, relu: bool) -> Layer {
    Layer::new(name, LayerKind::Linear(Linear { out_features, relu }))
}
