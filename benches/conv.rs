//! Every algorithm on every convolution of AlexNet.

fn main() {}
