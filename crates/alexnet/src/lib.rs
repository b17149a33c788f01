//! AlexNet as data, the layers between its convolutions, images, weights and the forward pass.
