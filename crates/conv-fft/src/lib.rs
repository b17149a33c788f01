//! Convolution in the frequency domain.
