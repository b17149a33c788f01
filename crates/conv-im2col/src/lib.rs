//! Convolution as a matrix product: im2col and its low-memory relatives.
