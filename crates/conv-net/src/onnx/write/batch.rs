//! What becomes of a number of images that is not fixed.

use crate::operators::Operator;
use crate::shape::Shape;

/// Whether the first size of what `operator` computes is the free number of images, given the shapes of its inputs and
/// whether theirs is.
///
/// # Errors
/// Why it cannot be written for any number of images.
pub(super) fn keeps(operator: &Operator, inputs: &[(&Shape, bool)]) -> Result<bool, &'static str> {
    let Some(&(input, _)) = inputs.first().filter(|_| inputs.iter().any(|&(_, batched)| batched)) else {
        return Ok(false);
    };
    let keeps = match operator {
        Operator::Reshape(shape) => shape.sizes().first() == input.sizes().first(),
        Operator::Transpose(transpose) => transpose.permutation.first() == Some(&0),
        Operator::Slice(slice) => {
            let of_first = slice.starts.first().zip(slice.steps.first()).zip(slice.sizes.first());
            of_first == Some(((&0, &1), &input.batch()))
        }
        Operator::Pad(pad) => pad.amounts.first() == Some(&[0; 2]),
        Operator::Softmax(softmax) => softmax.axis > 0 || softmax.end == 1,
        Operator::Concat(concat) => concat.axis > 0 && inputs.iter().all(|&(_, batched)| batched),
        Operator::Binary(_) => {
            let rank = inputs.iter().map(|(shape, _)| shape.rank()).max();
            inputs.iter().all(|&(shape, batched)| match Some(shape.rank()) == rank {
                true => batched || shape.batch() == 1,
                false => !batched,
            })
        }
        Operator::Reduce(reduce) => return Ok(!reduce.axes.contains(&0)),
        _ => true,
    };
    if keeps { Ok(true) } else { Err("mixes images, or counts them, and cannot be written for any number of them") }
}
