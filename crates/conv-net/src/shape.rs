//! Shapes of tensors, and where their elements are.

use std::fmt;

use conv_core::MAX_TENSOR_BYTES;

/// The most dimensions of a tensor.
const MAX_RANK: usize = 8;

/// The shape of a tensor, in the order that frameworks write: images, channels, and what is left, `[n][c][h][w]` for maps.
///
/// In memory channels come last: `[n][h][w][c]`, `[n][l][c]`, and so for every tensor of at least three dimensions. Of
/// two, `[n][features]`, and fewer the order is the same.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Shape(Vec<usize>);

/// Why sizes are no shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// A size of zero.
    #[error("the shape {shape} is empty: every size must be at least 1")]
    Empty {
        /// The sizes.
        shape: Shape,
    },
    /// Beyond [`MAX_TENSOR_BYTES`].
    #[error("a tensor of {shape} would need {bytes} bytes; the limit is {limit} (64 GiB): take a smaller batch or map", limit = MAX_TENSOR_BYTES)]
    TooLarge {
        /// The sizes.
        shape: Shape,
        /// Bytes it would need, `u128::MAX` if even that overflows.
        bytes: u128,
    },
    /// Rows or pixels that a tensor of its rank cannot have.
    #[error("a tensor of {rank} dimensions has no place for a map of {height}x{width}")]
    Map {
        /// Dimensions.
        rank: usize,
        /// Rows.
        height: usize,
        /// Pixels of a row.
        width: usize,
    },
    /// Too many dimensions.
    #[error("a tensor of {rank} dimensions; at most {MAX_RANK} are accepted")]
    Rank {
        /// How many.
        rank: usize,
    },
}

impl Shape {
    /// A tensor of `sizes`, none for a single number.
    ///
    /// # Errors
    /// [`ShapeError`] if it would be empty, or beyond the limits.
    pub fn new(sizes: &[usize]) -> Result<Self, ShapeError> {
        if sizes.len() > MAX_RANK {
            return Err(ShapeError::Rank { rank: sizes.len() });
        }
        let shape = Shape(sizes.to_vec());
        let bytes = sizes.iter().try_fold(4_u128, |product, &size| product.checked_mul(size as u128));
        match bytes.unwrap_or(u128::MAX) {
            0 => Err(ShapeError::Empty { shape }),
            bytes if bytes > MAX_TENSOR_BYTES => Err(ShapeError::TooLarge { shape, bytes }),
            _ => Ok(shape),
        }
    }

    /// The sizes, images first.
    pub fn sizes(&self) -> &[usize] {
        &self.0
    }

    /// How many dimensions.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// Images: the first size.
    pub fn batch(&self) -> usize {
        self.0.first().copied().unwrap_or(1)
    }

    /// Floats, all images together.
    pub fn floats(&self) -> usize {
        self.0.iter().product()
    }

    /// Bytes of it in `f32`.
    pub fn bytes(&self) -> usize {
        size_of::<f32>() * self.floats()
    }

    /// One image's map: `[n][c][h][w]`, `[n][c][w]` and `[n][c]` are, the latter of one row or pixel.
    pub fn map(&self) -> Option<Map> {
        match self.0[..] {
            [_, channels, height, width] => Some(Map { height, width, channels }),
            [_, channels, width] => Some(Map { height: 1, width, channels }),
            [_, channels] => Some(Map { height: 1, width: 1, channels }),
            _ => None,
        }
    }

    /// The dimensions in the order in which they are in memory.
    pub fn order(&self) -> Vec<usize> {
        let rank = self.rank();
        if rank < 3 { (0..rank).collect() } else { [0].into_iter().chain(2..rank).chain([1]).collect() }
    }

    /// The sizes in the order in which they are in memory.
    pub fn stored(&self) -> Vec<usize> {
        self.order().into_iter().map(|axis| self.0[axis]).collect()
    }

    /// How many floats lie between neighbours along each dimension.
    pub fn strides(&self) -> Vec<usize> {
        let mut strides = vec![0; self.rank()];
        let mut stride = 1;
        for axis in self.order().into_iter().rev() {
            strides[axis] = stride;
            stride *= self.0[axis];
        }
        strides
    }

    /// The same with other sizes of one image's map.
    pub(crate) fn with_map(&self, [height, width]: [usize; 2], channels: usize) -> Result<Shape, ShapeError> {
        match (self.rank(), height, width) {
            (4, ..) => Shape::new(&[self.batch(), channels, height, width]),
            (3, 1, _) => Shape::new(&[self.batch(), channels, width]),
            (2, 1, 1) => Shape::new(&[self.batch(), channels]),
            (rank, ..) => Err(ShapeError::Map { rank, height, width }),
        }
    }
}

/// `1x3x224x224`.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("a single number");
        }
        let sizes: Vec<String> = self.0.iter().take(MAX_RANK).map(ToString::to_string).collect();
        f.write_str(&sizes.join("x"))
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One image's activations, stored `[height][width][channels]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Map {
    /// Rows.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
    /// Floats of a pixel.
    pub channels: usize,
}

impl Map {
    /// `height` × `width` pixels of `channels` floats.
    pub fn new(height: usize, width: usize, channels: usize) -> Self {
        Map { height, width, channels }
    }

    /// Floats of one image. Cannot overflow for maps of a [`Shape`].
    pub fn floats(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// A tensor of `batch` of them.
    ///
    /// # Errors
    /// As [`Shape::new`].
    pub fn batch(&self, batch: usize) -> Result<Shape, ShapeError> {
        Shape::new(&[batch, self.channels, self.height, self.width])
    }
}

/// `27x27x96`: height, width, channels.
impl fmt::Display for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.height, self.width, self.channels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_last_in_memory() {
        let shape = Shape::new(&[2, 3, 5, 7]).unwrap();
        assert_eq!((shape.stored(), shape.strides()), (vec![2, 5, 7, 3], vec![105, 1, 21, 3]));
        assert_eq!(shape.map(), Some(Map::new(5, 7, 3)));
        let shape = Shape::new(&[2, 3]).unwrap();
        assert_eq!((shape.stored(), shape.strides()), (vec![2, 3], vec![3, 1]));
        assert_eq!(Shape::new(&[]).unwrap().floats(), 1);
    }

    #[test]
    fn sizes_that_are_no_shape() {
        assert!(matches!(Shape::new(&[1, 0]), Err(ShapeError::Empty { .. })));
        assert!(matches!(Shape::new(&[usize::MAX; 3]), Err(ShapeError::TooLarge { bytes: u128::MAX, .. })));
        assert!(matches!(Shape::new(&[1; 9]), Err(ShapeError::Rank { rank: 9 })));
    }
}
