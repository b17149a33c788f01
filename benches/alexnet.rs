//! Whole forward passes of AlexNet.

fn main() {}
