//! Instruction sets as values: holding an [`Isa`] proves that this machine has it.

use crate::processor::Core;
use crate::simd::SimdOp;
use crate::tile::{Tile, TileShape};
use crate::{arch, processor};

/// An instruction set that this machine was found to have. Only detection makes one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Isa(Level);

/// From the weakest to the strongest; `Ord` follows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Level {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2(arch::avx2::Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512Vl(arch::avx512vl::Avx512Vl),
    #[cfg(target_arch = "x86_64")]
    Avx512(arch::avx512::Avx512),
}

/// A name that is no instruction set, or one that this machine lacks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownIsa {
    /// No instruction set of this name.
    #[error("no instruction set is called '{0}'; the names are avx512, avx2, portable")]
    Name(String),
    /// A known name, not on this machine.
    #[error("this machine has no {0}; it has {1}")]
    Missing(String, String),
}

impl Isa {
    /// Every name that [`Isa::by_name`] knows, strongest first.
    pub const NAMES: [&'static str; 3] = ["avx512", "avx2", "portable"];

    /// The instruction sets of this machine, strongest first; the last is always `portable`.
    pub fn available() -> Vec<Isa> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(arch::avx512::Avx512::detect().map(|proof| Isa(Level::Avx512(proof))));
            all.extend(arch::avx2::Avx2::detect().map(|proof| Isa(Level::Avx2(proof))));
        }
        all.push(Isa(Level::Portable));
        all
    }

    /// The strongest instruction set of this machine.
    pub fn best() -> Isa {
        Isa::available()[0]
    }

    /// AVX2, where it multiplies as many floats a cycle as this one, with vectors half as wide: a [`Core::Zen4`] does.
    pub fn half_vectors(self) -> Option<Isa> {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) if Core::detect() == Core::Zen4 => {
                arch::avx2::Avx2::detect().map(|proof| Isa(Level::Avx2(proof)))
            }
            _ => None,
        }
    }

    /// The instruction set for so many output channels side by side: this one, or [`Isa::half_vectors`] if lanes of this one's vectors
    /// over those of that one's are at least `least_saved`. Only where these are whole, or there is one: to store fewer lanes takes
    /// AVX2 some twenty cycles.
    pub fn filled_by(self, channels: usize, least_saved: f64) -> Isa {
        let whole = |half: &Isa| channels.is_multiple_of(half.lanes()) || channels < half.lanes();
        self.half_vectors().filter(whole).filter(|half| self.saved_by(*half, channels) >= least_saved).unwrap_or(self)
    }

    /// As [`Isa::filled_by`], for what is computed by register tiles ([`Isa::tile`]) alone: those of AVX-512VL, which are none of
    /// [`Isa::available`], store any number of lanes as fast as all.
    pub fn tiles_filled_by(self, channels: usize, least_saved: f64) -> Isa {
        let half = self.half_vectors().filter(|half| self.saved_by(*half, channels) >= least_saved);
        match half {
            #[cfg(target_arch = "x86_64")]
            Some(half) if !channels.is_multiple_of(half.lanes()) => {
                arch::avx512vl::Avx512Vl::detect().map_or(self, |proof| Isa(Level::Avx512Vl(proof)))
            }
            half => half.unwrap_or(self),
        }
    }

    /// Lanes of this one's vectors for so many channels, over those of `half`.
    fn saved_by(self, half: Isa, channels: usize) -> f64 {
        let [wide, narrow] = [self, half].map(|isa| channels.next_multiple_of(isa.lanes()) as f64);
        wide / narrow
    }

    /// Finds an instruction set of this machine by its name.
    ///
    /// # Errors
    /// [`UnknownIsa`] if there is no such name or this machine lacks it.
    pub fn by_name(name: &str) -> Result<Isa, UnknownIsa> {
        if !Isa::NAMES.contains(&name) {
            return Err(UnknownIsa::Name(name.into()));
        }
        let available = Isa::available();
        available.iter().copied().find(|isa| isa.name() == name).ok_or_else(|| {
            UnknownIsa::Missing(name.into(), available.iter().map(|isa| isa.name()).collect::<Vec<_>>().join(", "))
        })
    }

    /// `avx512`, `avx2` or `portable`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Level::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Vl(_) => "avx512vl",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) => "avx512",
        }
    }

    /// Floats in one vector.
    pub fn lanes(self) -> usize {
        self.tile_shape().lanes
    }

    /// The usual register tile of this instruction set.
    pub fn tile_shape(self) -> TileShape {
        match self.0 {
            Level::Portable => arch::portable::TILE_SHAPE,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(_) => arch::avx2::TILE_SHAPE,
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Vl(_) => arch::avx512vl::TILE_SHAPE,
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) => arch::avx512::TILE_SHAPE,
        }
    }

    /// The most vectors of a tile: those of [`Isa::tile_shape`], or more with fewer pixels.
    pub fn most_vectors(self) -> usize {
        match self.0 {
            Level::Portable => arch::portable::most_vectors(),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(_) => arch::avx2::most_vectors(),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Vl(_) => arch::avx512vl::most_vectors(),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) => arch::avx512::most_vectors(),
        }
    }

    /// The most pixels of a tile of `vectors`: with fewer vectors, more pixels fit into the registers.
    ///
    /// # Panics
    /// If `vectors` is zero or above [`Isa::most_vectors`].
    pub fn tile_pixels(self, vectors: usize) -> usize {
        match self.0 {
            Level::Portable => arch::portable::tile_pixels(vectors),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(_) => arch::avx2::tile_pixels(vectors),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Vl(_) => arch::avx512vl::tile_pixels(vectors),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) => arch::avx512::tile_pixels(vectors),
        }
    }

    /// The most pixels of a tile of `vectors` whose pixels are `pitch` floats apart: as [`Isa::tile_pixels`], but where all
    /// pixels fall into one set of L1, no more than it has ways.
    ///
    /// On a Zen 4 (eight ways) 64 images of AlexNet's fc7 (4096 floats apart) ran at 62 to 81% of the peak by thirteens, at
    /// 96% by eights.
    ///
    /// # Panics
    /// As [`Isa::tile_pixels`].
    pub fn tile_pixels_apart(self, vectors: usize, pitch: usize) -> usize {
        let shared = (size_of::<f32>() * pitch).is_multiple_of(processor::L1_SET_SPAN);
        self.tile_pixels(vectors).min(if shared { processor::l1_ways() } else { usize::MAX })
    }

    /// The register tile of `pixels` × `vectors`.
    ///
    /// # Panics
    /// If `vectors` is zero or above [`Isa::most_vectors`], or `pixels` above [`Isa::tile_pixels`].
    pub fn tile(self, pixels: usize, vectors: usize) -> Tile {
        let table = match self.0 {
            Level::Portable => arch::portable::tile(pixels, vectors),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(_) => arch::avx2::tile(pixels, vectors),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Vl(_) => arch::avx512vl::tile(pixels, vectors),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) => arch::avx512::tile(pixels, vectors),
        };
        Tile::new(table)
    }

    /// Orders this thread's streamed stores ([`Simd::stream_ptr`](crate::Simd::stream_ptr)) before whatever it does next.
    #[inline]
    pub fn fence(self) {
        #[cfg(target_arch = "x86_64")]
        if !matches!(self.0, Level::Portable) {
            // SAFETY: every x86-64 processor has SSE.
            unsafe { std::arch::x86_64::_mm_sfence() };
        }
    }

    /// Runs `op` compiled for this instruction set.
    #[inline]
    pub fn run<Op: SimdOp>(self, op: Op) -> Op::Output {
        match self.0 {
            Level::Portable => arch::portable::run(op),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(proof) => arch::avx2::run(proof, op),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Vl(proof) => arch::avx512vl::run(proof, op),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(proof) => arch::avx512::run(proof, op),
        }
    }
}

impl std::fmt::Debug for Isa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::fmt::Display for Isa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_vectors_are_for_channels_that_fill_them() {
        let (wide, Some(half)) = (Isa::best(), Isa::best().half_vectors()) else { return };
        assert_eq!(2 * half.lanes(), wide.lanes());
        for (channels, expected) in [(16, wide), (24, half), (20, wide), (1, half), (8, half), (40, half), (168, wide)]
        {
            assert_eq!(wide.filled_by(channels, 1.05), expected, "{channels} channels");
            let by_tiles = wide.tiles_filled_by(channels, 1.05);
            assert_eq!(by_tiles.lanes(), if channels == 20 { half } else { expected }.lanes(), "{channels} channels");
            assert_eq!(by_tiles == half, expected == half && channels > 1, "{channels} channels");
        }
        assert_eq!(wide.filled_by(40, 1.25), wide);
        assert_eq!(half.filled_by(24, 1.05), half);
    }

    #[test]
    fn pixels_that_share_a_set_are_no_more_than_it_holds() {
        for isa in Isa::available() {
            for vectors in 1..=isa.most_vectors() {
                let most = isa.tile_pixels(vectors);
                assert!(
                    [1, 256, 1000, 1536].iter().all(|&pitch| isa.tile_pixels_apart(vectors, pitch) == most),
                    "{isa}"
                );
                for pitch in [1024, 4096, 9216] {
                    assert_eq!(isa.tile_pixels_apart(vectors, pitch), most.min(processor::l1_ways()), "{isa}");
                }
            }
        }
    }
}
