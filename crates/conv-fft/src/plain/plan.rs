//! A convolution ready to run: its tiling and the spectra of its filters.

use conv_core::{Epilogue, Footprint, Problem};
use conv_simd::{AlignedBuffer, Isa};

use super::tiling::Tiling;
use super::transform::Transform;

/// See [`conv_core::Plan`].
pub(super) struct PlainPlan {
    pub problem: Problem,
    pub epilogue: Epilogue,
    /// Floats from one output pixel to the next.
    pub pitch: usize,
    pub isa: Isa,
    pub workers: usize,
    pub footprint: Footprint,
    pub tiling: Tiling,
    pub layout: Layout,
    pub transform: Transform<f32>,
    /// `[oc][ic/groups][spectrum]`, complex.
    pub spectra: AlignedBuffer,
    /// `[oc]`.
    pub bias: AlignedBuffer,
}

/// Sizes in memory, in complex numbers unless they say bytes.
pub(super) struct Layout {
    /// One spectrum, by conjugate symmetry half of the tile's points and a column.
    pub spectrum: usize,
    /// The spectra of all tiles and channels, shared by the workers.
    pub shared: usize,
    pub prepared_bytes: u128,
    pub scratch_bytes: u128,
}

impl Layout {
    pub fn new(problem: &Problem, tiling: &Tiling, transform: &Transform<f32>, workers: usize) -> Self {
        let spectrum = tiling.spectrum();
        let spectra = problem.weight_len() as u128 / tiling.taps() as u128 * spectrum as u128;
        let shared = (problem.batch() * tiling.tiles()) as u128 * problem.in_channels() as u128 * spectrum as u128;
        // A spectrum, a real tile, and what its transform asks for.
        let worker = spectrum + tiling.points() / 2 + transform.scratch_len();
        Layout {
            spectrum,
            shared: usize::try_from(shared).unwrap_or(usize::MAX),
            prepared_bytes: 8 * spectra + 4 * problem.out_channels() as u128,
            scratch_bytes: 8 * (shared + worker as u128 * workers as u128),
        }
    }
}
