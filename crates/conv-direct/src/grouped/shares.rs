//! What each task computes: a band of rows of one image, for a block of vectors.

use std::ops::Range;

/// Rows of a band, at most where there are workers enough: one begins with rows that it shares with the band before.
const BAND_ROWS: usize = 16;

/// Shares wanted for each of several workers, where bands are to be tall.
const SHARES_OF_A_WORKER: usize = 16;

/// Shares wanted of one layer, and vectors in each of them at least: fewer leave lines of the cache half read.
const SHARES: usize = 64;
const BLOCK_VECTORS: usize = 4;

/// What one task computes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) image: usize,
    /// Rows or lines of its outputs.
    pub(super) rows: Range<usize>,
    pub(super) vectors: Range<usize>,
}

/// How work is shared out: each image's rows in bands, each band's vectors in blocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shares {
    images: usize,
    rows: usize,
    bands: usize,
    vectors: usize,
    blocks: usize,
}

impl Shares {
    /// For so many rows of outputs of each image, and so many vectors of channels.
    pub(super) fn new(images: usize, rows: usize, vectors: usize) -> Self {
        let bands = rows.div_ceil(BAND_ROWS);
        let blocks = SHARES.div_ceil(images * bands).min(vectors.div_ceil(BLOCK_VECTORS));
        Shares { images, rows, bands, vectors, blocks }
    }

    /// The same with bands as tall as leave shares enough for `workers`.
    pub(super) fn tall(images: usize, rows: usize, vectors: usize, workers: usize) -> Self {
        let wanted = if workers > 1 { (SHARES_OF_A_WORKER * workers).div_ceil(images) } else { 1 };
        let bands = wanted.min(rows.div_ceil(BAND_ROWS));
        let blocks = wanted.div_ceil(bands).min(vectors.div_ceil(BLOCK_VECTORS));
        Shares { images, rows, bands, vectors, blocks }
    }

    pub(super) fn count(&self) -> usize {
        self.images * self.bands * self.blocks
    }

    /// Rows of a band, at most.
    pub(super) fn most_rows(&self) -> usize {
        self.rows.div_ceil(self.bands)
    }

    /// That of task `index`: blocks of one band follow each other.
    pub(super) fn share(&self, index: usize) -> Share {
        let part = |whole: usize, parts: usize, part: usize| whole * part / parts..whole * (part + 1) / parts;
        let (band, block) = (index / self.blocks, index % self.blocks);
        Share {
            image: band / self.bands,
            rows: part(self.rows, self.bands, band % self.bands),
            vectors: part(self.vectors, self.blocks, block),
        }
    }
}
