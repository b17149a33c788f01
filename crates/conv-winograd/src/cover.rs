//! How tiles cover one axis of the output.

use conv_core::Axis;

/// Which tile sizes may cover an axis: those of the points without the extra one, with it, or whichever mixture needs
/// the fewest products (13 = 4 + 4 + 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sizes {
    /// Tiles without the extra point.
    Base,
    /// Tiles with it, one output larger.
    Extended,
    /// Both.
    Mixed,
}

/// One tile's place on an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AxisTile {
    /// Input position of its first element; negative in the padding.
    pub input: isize,
    /// Its first output.
    pub output: usize,
    /// Its outputs that exist; 0 for a tile past the end of a residue.
    pub outputs: usize,
    /// Whether it has the extra point.
    pub extended: bool,
}

/// The tiles of one axis. A dilated axis is as many dense axes as its dilation, each on every d-th element (residue);
/// on each, base tiles come first, extended ones after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cover {
    axis: Axis,
    /// Outputs of a base tile.
    pub outputs: usize,
    /// Tiles of each residue without the extra point.
    base: usize,
    /// Tiles of each residue with it.
    extended: usize,
}

impl Cover {
    /// Covers the outputs of `axis` by tiles of `outputs`, and `outputs + 1` with the extra point, whose products are
    /// `points` and `points + 1`.
    pub fn new(axis: &Axis, sizes: Sizes, outputs: usize, points: usize) -> Self {
        let wanted = axis.output().div_ceil(axis.dilation);
        let rest = |base: usize| wanted.saturating_sub(base * outputs).div_ceil(outputs + 1);
        let (base, extended) = match sizes {
            Sizes::Base => (wanted.div_ceil(outputs), 0),
            Sizes::Extended => (0, rest(0)),
            // More than `outputs` base tiles never pay: `outputs + 1` of them are worth `outputs` extended ones. Of
            // equal numbers of products the one with more base tiles, which are more accurate.
            Sizes::Mixed => (0..=outputs)
                .rev()
                .map(|base| (base, rest(base)))
                .min_by_key(|(base, extended)| base * points + extended * (points + 1))
                .expect("the range is not empty"),
        };
        Cover { axis: *axis, outputs, base, extended }
    }

    /// Tiles on the axis.
    pub fn len(&self) -> usize {
        (self.base + self.extended) * self.axis.dilation.min(self.axis.output())
    }

    /// Whether some tiles have the extra point.
    pub fn has_extended(&self) -> bool {
        self.extended > 0
    }

    /// Whether some tiles are without the extra point.
    pub fn has_base(&self) -> bool {
        self.base > 0
    }

    /// Outputs of a tile, existing or not.
    pub fn size(&self, extended: bool) -> usize {
        self.outputs + usize::from(extended)
    }

    /// Input elements from one of a tile's elements to the next: the stride, or the dilation.
    pub fn input_step(&self) -> usize {
        self.axis.stride * self.axis.dilation
    }

    /// Outputs from one of a tile's outputs to the next.
    pub fn output_step(&self) -> usize {
        self.axis.dilation
    }

    /// The tile numbered `index`.
    pub fn tile(&self, index: usize) -> AxisTile {
        let (residue, k) = (index / (self.base + self.extended), index % (self.base + self.extended));
        let extended = k >= self.base;
        let output = residue + self.axis.dilation * (k * self.outputs + k.saturating_sub(self.base));
        let left = self.axis.output().saturating_sub(output).div_ceil(self.axis.dilation);
        AxisTile {
            input: (output * self.axis.stride) as isize - self.axis.pad_before as isize,
            output,
            outputs: left.min(self.size(extended)),
            extended,
        }
    }

    /// How many of the tiles before `index` have the points that are asked for: all of them, or the extra one.
    pub fn before(&self, index: usize, extra: bool) -> usize {
        if !extra {
            return index;
        }
        let (residue, k) = (index / (self.base + self.extended), index % (self.base + self.extended));
        residue * self.extended + k.saturating_sub(self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_output_once_and_the_input_below_it() {
        for axis in [
            Axis::new(13, 3).pad(1, 1),
            Axis::new(27, 3).pad(0, 2),
            Axis::new(17, 3).pad(2, 2).dilation(3),
            Axis::new(9, 3).pad(4, 4).dilation(5),
            Axis::new(1, 3).pad(1000, 1001).dilation(1000),
            Axis::new(57, 11).stride(4).pad(2, 3),
            Axis::new(3, 3),
        ] {
            for sizes in [Sizes::Base, Sizes::Extended, Sizes::Mixed] {
                let cover = Cover::new(&axis, sizes, 4, 6);
                let mut seen = vec![0; axis.output()];
                let mut extended = 0;
                for index in 0..cover.len() {
                    let tile = cover.tile(index);
                    assert_eq!(cover.before(index, true), extended);
                    assert_eq!(tile.input, axis.position(tile.output, 0));
                    for i in 0..tile.outputs {
                        seen[tile.output + i * cover.output_step()] += 1;
                    }
                    extended += usize::from(tile.extended);
                }
                assert!(seen.iter().all(|&times| times == 1), "{axis:?} {sizes:?}: {seen:?}");
                assert_eq!(cover.before(cover.len(), true), extended);
            }
        }
    }

    #[test]
    fn thirteen_is_four_and_four_and_five() {
        let cover = |outputs, sizes| {
            let cover = Cover::new(&Axis::new(outputs, 3).pad(1, 1), sizes, 4, 6);
            (cover.base, cover.extended)
        };
        assert_eq!(cover(13, Sizes::Mixed), (2, 1));
        assert_eq!(cover(13, Sizes::Base), (4, 0));
        assert_eq!(cover(13, Sizes::Extended), (0, 3));
        assert_eq!(cover(55, Sizes::Mixed), (0, 11));
        assert_eq!(cover(28, Sizes::Mixed), (2, 4));
        assert_eq!(cover(8, Sizes::Mixed), (2, 0));
    }
}
