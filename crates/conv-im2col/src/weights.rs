//! Weights as a plan keeps them, with the bias.

use conv_core::{Filter, PlanError, Problem};
use conv_simd::AlignedBuffer;

use crate::grid::{Columns, Grid};
use crate::kernel::for_each_block;
use crate::transpose::transpose;

/// How the weights of a problem are kept: in parts of output channels, each a row-major matrix, one after another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    /// The output channels of each part.
    pub columns: Columns,
    /// What each part's matrix is.
    pub form: Form,
}

/// A part's matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `[channels × ic/groups·kh·kw]`: the filters as they come.
    Filters,
    /// `[kh·kw·ic/groups × channels]`. The part is of one group.
    Panels,
    /// As panels, but padded with zeros to whole units, and with a bias in any case, padded too.
    Tiles,
}

impl Layout {
    /// The columns of each part with their padding.
    pub fn stored(&self) -> Columns {
        if self.form == Form::Tiles { self.columns.padded() } else { self.columns }
    }

    /// Whether the bias is kept, which was `given` or not.
    fn keeps_bias(&self, given: bool) -> bool {
        given || self.form == Form::Tiles
    }

    /// Bytes that [`Weights::new`] will allocate, if a bias is `given` or not.
    pub fn bytes(&self, problem: &Problem, given: bool) -> u128 {
        let rows = problem.reduction() as u128 + u128::from(self.keeps_bias(given));
        4 * self.stored().width() as u128 * rows
    }
}

/// Prepared weights.
pub(crate) struct Weights {
    layout: Layout,
    reduction: usize,
    weights: AlignedBuffer,
    bias: Option<AlignedBuffer>,
}

impl Weights {
    /// Prepares `filter`, whose lengths were checked, on up to `workers` threads.
    ///
    /// # Errors
    /// [`PlanError::Allocation`].
    pub fn new(layout: Layout, problem: &Problem, filter: Filter<'_>, workers: usize) -> Result<Self, PlanError> {
        let (reduction, channels) = (problem.reduction(), problem.group_in_channels());
        let (taps, columns, stored) = (reduction / channels, layout.columns, layout.stored());
        let mut weights = AlignedBuffer::zeroed(stored.width() * reduction)?;
        let parts = Grid::new(1, 1, stored.scaled(reduction));
        for_each_block(workers, &parts, (&mut weights, stored.width() * reduction), &mut [], |_, place, mut block| {
            let range = columns.range(place.part);
            let filters = &filter.weights[range.start * reduction..range.end * reduction];
            let (matrix, width) = (block.row(0), stored.range(place.part).len());
            match layout.form {
                Form::Filters => matrix.copy_from_slice(filters),
                // A filter is `[ic/groups][taps]`, a column of the matrix `[taps][ic/groups]`.
                Form::Panels | Form::Tiles => {
                    transpose((filters, reduction), [reduction, range.len()], |row, first, weights| {
                        let row = row % taps * channels + row / taps;
                        matrix[row * width + first..][..weights.len()].copy_from_slice(weights);
                    });
                }
            }
        });
        let mut bias =
            layout.keeps_bias(filter.bias.is_some()).then(|| AlignedBuffer::zeroed(stored.width())).transpose()?;
        if let (Some(kept), Some(values)) = (&mut bias, filter.bias) {
            for part in 0..columns.parts() {
                let range = columns.range(part);
                kept[stored.range(part).start..][..range.len()].copy_from_slice(&values[range]);
            }
        }
        Ok(Weights { layout, reduction, weights, bias })
    }

    /// The output channels of each part.
    pub fn columns(&self) -> Columns {
        self.layout.columns
    }

    /// The matrix of `part`, and its bias if there is one.
    pub fn part(&self, part: usize) -> (&[f32], Option<&[f32]>) {
        let range = self.layout.stored().range(part);
        let matrix = &self.weights[range.start * self.reduction..range.end * self.reduction];
        (matrix, self.bias.as_ref().map(|bias| &bias[range]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes that are no whole squares or units, in two groups.
    #[test]
    fn every_weight_has_its_place_and_every_byte_was_declared() {
        let problem: Problem = "g2mb1ic10ih9iw9oc74kh3kw5".parse().unwrap();
        let (reduction, channels, taps) = (problem.reduction(), problem.group_in_channels(), 15);
        let values: Vec<f32> = (0..problem.weight_len()).map(|i| i as f32 + 1.0).collect();
        let columns = Columns::new(2, 37, 8, 3);
        for (form, given) in
            [Form::Filters, Form::Panels, Form::Tiles].map(|form| [(form, false), (form, true)]).concat()
        {
            let filter = Filter { weights: &values, bias: given.then_some(&values[..74]) };
            let weights = Weights::new(Layout { columns, form }, &problem, filter, 2).unwrap();
            let floats = weights.weights.len() + weights.bias.as_ref().map_or(0, |bias| bias.len());
            assert_eq!(weights.layout.bytes(&problem, given), 4 * floats as u128, "{form:?}");
            for part in 0..columns.parts() {
                let range = columns.range(part);
                let width = if form == Form::Tiles { range.len().next_multiple_of(8) } else { range.len() };
                let (mut matrix, mut bias) = (vec![0.0; reduction * width], vec![0.0; width]);
                for (k, channel) in range.enumerate() {
                    bias[k] = if given { values[channel] } else { 0.0 };
                    for (c, tap) in (0..channels).flat_map(|c| (0..taps).map(move |tap| (c, tap))) {
                        let by_filters = k * reduction + c * taps + tap;
                        let by_taps = (tap * channels + c) * width + k;
                        matrix[if form == Form::Filters { by_filters } else { by_taps }] =
                            values[channel * reduction + c * taps + tap];
                    }
                }
                let bias = (given || form == Form::Tiles).then_some(&bias[..]);
                assert_eq!(weights.part(part), (&matrix[..], bias), "{form:?}, part {part}");
            }
        }
    }
}
