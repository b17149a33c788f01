//! Winograd convolution.
