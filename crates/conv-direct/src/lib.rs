//! Direct convolution on the register tile.
