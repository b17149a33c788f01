//! One convolution, validated once.

use std::ops::Range;

/// The largest input, output or weight tensor that a [`Problem`] may have: 64 GiB.
pub const MAX_TENSOR_BYTES: u128 = 1 << 36;

/// One spatial axis of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Axis {
    /// Input size.
    pub input: usize,
    /// Filter taps.
    pub kernel: usize,
    /// Input elements from one output to the next, at least 1.
    pub stride: usize,
    /// Zeros before the first input element.
    pub pad_before: usize,
    /// Zeros after the last. [`Problem::new`] lowers it to those that some tap can reach.
    pub pad_after: usize,
    /// Input elements from one tap to the next: 1 is a dense filter (benchdnn and oneDNN write that as 0).
    pub dilation: usize,
}

impl Axis {
    /// A dense axis of stride 1 without padding.
    pub fn new(input: usize, kernel: usize) -> Self {
        Axis { input, kernel, stride: 1, pad_before: 0, pad_after: 0, dilation: 1 }
    }

    /// The same with `stride`.
    pub fn stride(self, stride: usize) -> Self {
        Axis { stride, ..self }
    }

    /// The same with `before` and `after` zeros around the input.
    pub fn pad(self, before: usize, after: usize) -> Self {
        Axis { pad_before: before, pad_after: after, ..self }
    }

    /// The same with `dilation` (1 is dense).
    pub fn dilation(self, dilation: usize) -> Self {
        Axis { dilation, ..self }
    }

    /// Input elements between a filter's first and last tap, both included.
    pub fn extent(&self) -> usize {
        (self.kernel - 1) * self.dilation + 1
    }

    /// Output size: `⌊(input + padding − extent) / stride⌋ + 1`.
    pub fn output(&self) -> usize {
        (self.input + self.pad_before + self.pad_after - self.extent()) / self.stride + 1
    }

    /// The input position under `tap` for output `o`, negative or past the end where it lies in the padding.
    pub fn position(&self, o: usize, tap: usize) -> isize {
        (o * self.stride + tap * self.dilation) as isize - self.pad_before as isize
    }

    /// The taps that lie inside the input for output `o`; empty (and then `0..0`) where all are padding.
    pub fn valid_taps(&self, o: usize) -> Range<usize> {
        let start = o * self.stride;
        let first = self.pad_before.saturating_sub(start).div_ceil(self.dilation);
        let end = (self.input + self.pad_before).saturating_sub(start).div_ceil(self.dilation).min(self.kernel);
        if first < end { first..end } else { 0..0 }
    }

    /// The taps that lie inside the input for output `o`, and the input position of the first of them; `(0..0, 0)` where
    /// all are padding.
    pub fn taps_from(&self, o: usize) -> (Range<usize>, usize) {
        let taps = self.valid_taps(o);
        // A valid tap lies inside the input: its position is not negative.
        let first = if taps.is_empty() { 0 } else { self.position(o, taps.start) as usize };
        (taps, first)
    }

    /// The input elements from the first to the last that some of `outputs` reads, and the axis from these to those. `None` if one
    /// of them reads nothing but padding.
    pub fn band(&self, outputs: Range<usize>) -> Option<(Range<usize>, Axis)> {
        let last = outputs.clone().next_back()?;
        // From where the first tap is inside on all outputs read something, as long as it is. There may be thousands of millions of them.
        let mut before = outputs.start..outputs.end.min(self.pad_before.div_ceil(self.stride));
        if self.valid_taps(last).is_empty() || before.any(|o| self.valid_taps(o).is_empty()) {
            return None;
        }
        // As far as all taps reach, in the padded input.
        let (first, end) = (outputs.start * self.stride, (outputs.end - 1) * self.stride + self.extent());
        let inputs = first.saturating_sub(self.pad_before)..(end - self.pad_before).min(self.input);
        let pad_before = self.pad_before.saturating_sub(first);
        let pad_after = end - first - pad_before - inputs.len();
        let axis = Axis { input: inputs.len(), pad_before, pad_after, ..*self };
        Some((inputs, axis))
    }

    /// The outputs for which `tap` lies inside the input; empty (and then `0..0`) where there are none.
    pub fn valid_outputs(&self, tap: usize) -> Range<usize> {
        let offset = tap * self.dilation;
        let first = self.pad_before.saturating_sub(offset).div_ceil(self.stride);
        let end = (self.input + self.pad_before).saturating_sub(offset).div_ceil(self.stride).min(self.output());
        if first < end { first..end } else { 0..0 }
    }

    /// Pairs of output and tap that lie inside the input.
    pub fn valid_pairs(&self) -> u128 {
        self.pairs_before(self.pad_before + self.input) - self.pairs_before(self.pad_before)
    }

    /// Pairs of output and tap that lie before the element `end` of the padded input. Not counted one by one: there may be
    /// thousands of millions of taps.
    fn pairs_before(&self, end: usize) -> u128 {
        let beyond_last = end.saturating_sub((self.output() - 1) * self.stride);
        // Taps that some output, and that every output, has there.
        let [any, every] = [end, beyond_last].map(|end| end.div_ceil(self.dilation).min(self.kernel));
        let [end, stride, dilation] = [end, self.stride, self.dilation].map(|size| size as u128);
        let others = match (any - every) as u128 {
            0 => 0,
            // Each tap before the last of them has a dilation more room for outputs.
            count => sum_of_quotients(count, stride, dilation, end - (any as u128 - 1) * dilation + stride - 1),
        };
        every as u128 * self.output() as u128 + others
    }
}

/// The sum of `⌊(i·step + first) / divisor⌋` for `i` below `count`: points below a line, by Euclid's algorithm.
fn sum_of_quotients(count: u128, divisor: u128, step: u128, first: u128) -> u128 {
    if count == 0 {
        return 0;
    }
    let whole = count * (count - 1) / 2 * (step / divisor) + count * (first / divisor);
    let (step, first) = (step % divisor, first % divisor);
    let end = step * count + first;
    // Counted from the other side, where the line rises by less than one again.
    if end < divisor { whole } else { whole + sum_of_quotients(end / divisor, step, divisor, end % divisor) }
}

/// Why a set of sizes is no convolution.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProblemError {
    /// A size that must be at least one.
    #[error("{name} is 0; it must be at least 1")]
    Zero {
        /// Which.
        name: &'static str,
    },
    /// Channels that the groups do not divide.
    #[error("{name} is {channels}, which {groups} groups do not divide; choose a multiple of {groups}")]
    Groups {
        /// `ic` or `oc`.
        name: &'static str,
        /// Its value.
        channels: usize,
        /// Groups.
        groups: usize,
    },
    /// A filter that does not fit.
    #[error(
        "the filter spans {extent} elements in {axis}, but the padded input has only {padded}; \
         give a smaller filter or dilation, or at least {} more padding", extent - padded
    )]
    KernelTooLarge {
        /// `height` or `width`.
        axis: &'static str,
        /// Elements the dilated filter spans.
        extent: u128,
        /// Input and padding together.
        padded: u128,
    },
    /// A tensor beyond [`MAX_TENSOR_BYTES`].
    #[error("the {tensor} would need {bytes} bytes; the limit is {limit} (64 GiB): make the sizes smaller", limit = MAX_TENSOR_BYTES)]
    TooLarge {
        /// `input`, `output` or `weights`.
        tensor: &'static str,
        /// Bytes it would need, `u128::MAX` if even that overflows.
        bytes: u128,
    },
}

/// One convolution: shapes, stride, padding, dilation, groups. Validated when made, so its arithmetic cannot overflow.
///
/// Input `[n][ih][iw][ic]`, weights `[oc][ic/g][kh][kw]`, output `[n][oh][ow][oc]`. "Convolution" as neural networks
/// use the word: cross-correlation, the filter is not flipped.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Problem {
    name: Option<String>,
    batch: usize,
    groups: usize,
    in_channels: usize,
    out_channels: usize,
    height: Axis,
    width: Axis,
}

impl Problem {
    /// Checks and makes a problem.
    ///
    /// # Errors
    /// [`ProblemError`] if a size is zero, groups do not divide the channels, the filter is larger than the padded
    /// input, or a tensor would be beyond [`MAX_TENSOR_BYTES`].
    pub fn new(
        batch: usize,
        groups: usize,
        [in_channels, out_channels]: [usize; 2],
        [height, width]: [Axis; 2],
    ) -> Result<Self, ProblemError> {
        let sizes = [
            ("batch", batch),
            ("groups", groups),
            ("ic", in_channels),
            ("oc", out_channels),
            ("ih", height.input),
            ("iw", width.input),
            ("kh", height.kernel),
            ("kw", width.kernel),
            ("stride height", height.stride),
            ("stride width", width.stride),
            ("dilation height", height.dilation),
            ("dilation width", width.dilation),
        ];
        if let Some(&(name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Err(ProblemError::Zero { name });
        }
        for (name, channels) in [("ic", in_channels), ("oc", out_channels)] {
            if channels % groups != 0 {
                return Err(ProblemError::Groups { name, channels, groups });
            }
        }
        let height_out = checked_output(&height, "height")?;
        let width_out = checked_output(&width, "width")?;
        let tensors = [
            ("input", [batch as u128, height.input as u128, width.input as u128, in_channels as u128]),
            ("output", [batch as u128, height_out, width_out, out_channels as u128]),
            (
                "weights",
                [out_channels as u128, (in_channels / groups) as u128, height.kernel as u128, width.kernel as u128],
            ),
            // Not a tensor that anyone stores, but positions in it must not overflow either.
            (
                "padded input",
                [
                    batch as u128,
                    height.input as u128 + height.pad_before as u128 + height.pad_after as u128,
                    width.input as u128 + width.pad_before as u128 + width.pad_after as u128,
                    in_channels as u128,
                ],
            ),
        ];
        for (tensor, sizes) in tensors {
            let bytes = sizes.iter().try_fold(4_u128, |product, &size| product.checked_mul(size)).unwrap_or(u128::MAX);
            if bytes > MAX_TENSOR_BYTES {
                return Err(ProblemError::TooLarge { tensor, bytes });
            }
        }
        let problem = Problem {
            name: None,
            batch,
            groups,
            in_channels,
            out_channels,
            height: reachable(height),
            width: reachable(width),
        };
        Ok(problem)
    }

    /// The same problem called `name`, as benchdnn's `n"name"`. It goes to terminals and into files: `_` stands for what they obey.
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into().replace(char::is_control, "_"));
        self
    }

    /// The same problem for another batch.
    ///
    /// # Errors
    /// As [`Problem::new`].
    pub fn with_batch(&self, batch: usize) -> Result<Self, ProblemError> {
        let problem =
            Problem::new(batch, self.groups, [self.in_channels, self.out_channels], [self.height, self.width])?;
        Ok(Problem { name: self.name.clone(), ..problem })
    }

    /// The same filter on one image of another height.
    ///
    /// # Errors
    /// As [`Problem::new`].
    pub fn on_rows(&self, height: Axis) -> Result<Self, ProblemError> {
        Problem::new(1, self.groups, [self.in_channels, self.out_channels], [height, self.width])
    }

    /// Its name, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// What it is called in tables and records: its name, or else its descriptor.
    pub fn label(&self) -> String {
        self.name().map_or_else(|| self.to_string(), Into::into)
    }
    /// Images.
    pub fn batch(&self) -> usize {
        self.batch
    }
    /// Groups: input channels `g·ic/groups..` only meet output channels `g·oc/groups..`.
    pub fn groups(&self) -> usize {
        self.groups
    }
    /// Input channels of all groups together.
    pub fn in_channels(&self) -> usize {
        self.in_channels
    }
    /// Output channels of all groups together.
    pub fn out_channels(&self) -> usize {
        self.out_channels
    }
    /// Input channels of one group.
    pub fn group_in_channels(&self) -> usize {
        self.in_channels / self.groups
    }
    /// Output channels of one group.
    pub fn group_out_channels(&self) -> usize {
        self.out_channels / self.groups
    }
    /// The vertical axis.
    pub fn height(&self) -> &Axis {
        &self.height
    }
    /// The horizontal axis.
    pub fn width(&self) -> &Axis {
        &self.width
    }
    /// `[oh, ow]`.
    pub fn output_size(&self) -> [usize; 2] {
        [self.height.output(), self.width.output()]
    }
    /// Multiply-adds behind one output: `ic/groups · kh · kw`.
    pub fn reduction(&self) -> usize {
        self.group_in_channels() * self.height.kernel * self.width.kernel
    }

    /// Floats of the input, `[n][ih][iw][ic]`.
    pub fn input_len(&self) -> usize {
        self.batch * self.height.input * self.width.input * self.in_channels
    }
    /// Floats of the weights, `[oc][ic/groups][kh][kw]`.
    pub fn weight_len(&self) -> usize {
        self.out_channels * self.reduction()
    }
    /// Floats of the output, `[n][oh][ow][oc]`.
    pub fn output_len(&self) -> usize {
        self.batch * self.height.output() * self.width.output() * self.out_channels
    }
    /// Floats from the first to the last of an output whose pixels begin `pitch` floats apart.
    pub fn output_span(&self, pitch: usize) -> usize {
        self.output_len() / self.out_channels * pitch - (pitch - self.out_channels)
    }

    /// Floating-point operations of the direct method, two a multiply-add, taps in the padding included. The convention
    /// of every "effective GFLOP/s" here.
    pub fn flops(&self) -> u128 {
        let [oh, ow] = self.output_size();
        2 * self.batch as u128 * oh as u128 * ow as u128 * self.out_channels as u128 * self.reduction() as u128
    }

    /// Floating-point operations on taps inside the image only: what a direct method that skips the padding executes.
    pub fn flops_inside(&self) -> u128 {
        let channel_pairs = self.out_channels as u128 * self.group_in_channels() as u128;
        2 * self.batch as u128 * channel_pairs * self.height.valid_pairs() * self.width.valid_pairs()
    }

    /// Bytes that any method must read and write once: input, weights and output.
    pub fn bytes(&self) -> u128 {
        4 * (self.input_len() as u128 + self.weight_len() as u128 + self.output_len() as u128)
    }
}

/// Output size of an axis whose arithmetic may still overflow.
fn checked_output(axis: &Axis, name: &'static str) -> Result<u128, ProblemError> {
    let extent = (axis.kernel as u128 - 1) * axis.dilation as u128 + 1;
    let padded = axis.input as u128 + axis.pad_before as u128 + axis.pad_after as u128;
    if extent > padded {
        return Err(ProblemError::KernelTooLarge { axis: name, extent, padded });
    }
    Ok((padded - extent) / axis.stride as u128 + 1)
}

/// Drops padding after the input that no tap reaches, so that equal convolutions are equal values. A stride or dilation
/// longer than the padded input takes no second step, and is cut to that, so that no product with it overflows.
fn reachable(axis: Axis) -> Axis {
    let cut = |axis: Axis| {
        let padded = axis.input + axis.pad_before + axis.pad_after;
        Axis { stride: axis.stride.min(padded), dilation: axis.dilation.min(padded), ..axis }
    };
    let axis = cut(axis);
    let reached = (axis.output() - 1) * axis.stride + axis.extent();
    // Again without what was dropped: who reads the problem as it is written has never seen it.
    cut(Axis { pad_after: reached.saturating_sub(axis.input + axis.pad_before), ..axis })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_ranges_agree_with_positions() {
        for axis in [
            Axis::new(13, 3).pad(1, 1),
            Axis::new(7, 3).pad(0, 2).stride(2),
            Axis::new(9, 3).dilation(3).pad(4, 1),
            Axis::new(2, 5).pad(6, 7),
            Axis::new(5, 2).dilation(4).pad(1, 0).stride(3),
        ] {
            let inside = |o, tap| (0..axis.input as isize).contains(&axis.position(o, tap));
            for o in 0..axis.output() {
                let taps: Vec<_> = (0..axis.kernel).filter(|&tap| inside(o, tap)).collect();
                assert_eq!(axis.valid_taps(o).collect::<Vec<_>>(), taps, "{axis:?} output {o}");
                let first = taps.first().map_or(0, |&tap| axis.position(o, tap) as usize);
                assert_eq!(axis.taps_from(o), (axis.valid_taps(o), first), "{axis:?} output {o}");
            }
            for tap in 0..axis.kernel {
                let outputs: Vec<_> = (0..axis.output()).filter(|&o| inside(o, tap)).collect();
                assert_eq!(axis.valid_outputs(tap).collect::<Vec<_>>(), outputs, "{axis:?} tap {tap}");
            }
        }
    }

    #[test]
    fn bands_read_what_their_outputs_read() {
        for axis in [
            Axis::new(13, 3).pad(1, 1),
            Axis::new(14, 3).pad(0, 1).stride(2),
            Axis::new(9, 1).stride(3),
            Axis::new(9, 3).dilation(3).pad(4, 1),
            Axis::new(6, 5).pad(4, 3),
            Axis::new(2, 5).pad(6, 7),
            Axis::new(2, 3).dilation(3).pad(5, 5),
        ] {
            let outputs = axis.output();
            for (start, end) in (0..outputs).flat_map(|start| (start + 1..=outputs).map(move |end| (start, end))) {
                let read = |o| axis.valid_taps(o).map(move |tap| axis.position(o, tap) as usize);
                let Some((inputs, band)) = axis.band(start..end) else {
                    assert!((start..end).any(|o| axis.valid_taps(o).is_empty()), "{axis:?} {start}..{end}");
                    continue;
                };
                assert!((start..end).all(|o| !axis.valid_taps(o).is_empty()), "{axis:?} {start}..{end}");
                assert_eq!((band.input, band.output()), (inputs.len(), end - start), "{axis:?} {start}..{end}");
                for o in start..end {
                    assert!(read(o).all(|position| inputs.contains(&position)), "{axis:?} {start}..{end}");
                    assert_eq!(band.valid_taps(o - start), axis.valid_taps(o), "{axis:?} {start}..{end}");
                    let from = axis.taps_from(o).1 - inputs.start;
                    assert_eq!(band.taps_from(o - start).1, from, "{axis:?} {start}..{end}");
                }
                // Dense filters read all of it.
                let all: Vec<usize> = (start..end).flat_map(read).collect();
                assert!(inputs.clone().all(|i| all.contains(&i)) || axis.dilation > 1 || axis.stride > axis.kernel);
            }
            assert_eq!(axis.band(1..1), None);
        }
    }

    #[test]
    fn pairs_are_counted_without_looking_at_each() {
        let sizes = |end: usize| 1..=end;
        for ((input, kernel), stride) in
            sizes(7).flat_map(|i| sizes(4).map(move |k| (i, k))).flat_map(|s| sizes(3).map(move |n| (s, n)))
        {
            for (dilation, before, after) in [(1, 0, 0), (1, 2, 1), (2, 3, 3), (3, 7, 9), (5, 0, 20), (2, 9, 0)] {
                let axis = Axis::new(input, kernel).stride(stride).pad(before, after).dilation(dilation);
                if axis.extent() > input + before + after {
                    continue;
                }
                let pairs = (0..axis.output()).map(|o| axis.valid_taps(o).len() as u128).sum::<u128>();
                assert_eq!(axis.valid_pairs(), pairs, "{axis:?}");
            }
        }
        let half = 1 << 33;
        assert_eq!(Axis::new(2 * half - 1, half).valid_pairs(), 1 << 66);
        assert_eq!(Axis::new(1, half).pad(half - 1, half - 1).valid_pairs(), 1 << 33);
    }

    #[test]
    fn alexnet_flops() {
        let conv2 = Problem::new(1, 2, [96, 256], [Axis::new(27, 5).pad(2, 2); 2]).unwrap();
        assert_eq!(conv2.flops(), 447_897_600);
        assert_eq!(conv2.flops_inside(), 2 * 256 * 48 * 129 * 129);
        assert_eq!(conv2.output_size(), [27, 27]);
    }

    #[test]
    fn absurd_sizes_are_refused_with_what_they_need() {
        let size = |ic, ih| Problem::new(1, 1, [ic, 1], [Axis::new(ih, 1); 2]);
        assert_eq!(
            size(1_000_000_000_000, 1),
            Err(ProblemError::TooLarge { tensor: "input", bytes: 4_000_000_000_000 })
        );
        assert_eq!(size(usize::MAX, usize::MAX), Err(ProblemError::TooLarge { tensor: "input", bytes: u128::MAX }));
        let kernel = Problem::new(1, 1, [1, 1], [Axis::new(5, usize::MAX).dilation(usize::MAX), Axis::new(1, 1)]);
        assert!(matches!(kernel, Err(ProblemError::KernelTooLarge { padded: 5, .. })));
        let pad = Problem::new(1, 1, [1, 1], [Axis::new(5, 1).pad(usize::MAX, usize::MAX), Axis::new(1, 1)]);
        assert!(matches!(pad, Err(ProblemError::TooLarge { .. })));
    }

    #[test]
    fn steps_beyond_the_input_are_cut() {
        let problem = |steps| Problem::new(1, 1, [1, 1], [Axis::new(5, 1).stride(steps).dilation(steps).pad(1, 1); 2]);
        assert_eq!(problem(usize::MAX).unwrap().output_size(), [1, 1]);
        assert_eq!(problem(usize::MAX), problem(7));
        assert_ne!(problem(2), problem(7));
    }

    #[test]
    fn padding_that_nothing_reaches_is_dropped() {
        let axis = |after| Axis::new(8, 3).stride(2).pad(0, after);
        let problem = |after| Problem::new(1, 1, [1, 1], [axis(after); 2]).unwrap();
        assert_eq!(problem(0), Problem::new(1, 1, [1, 1], [axis(0), axis(0)]).unwrap());
        assert_ne!(problem(1), problem(0));
        assert_eq!(problem(2), problem(1));
    }

    #[test]
    fn what_is_made_of_an_axis_stays_as_it_is() {
        for stride in 1..24 {
            for dilation in 1..24 {
                for pads in [[0, 0], [2, 2], [0, 9], [9, 0]] {
                    for kernel in [1, 2, 3] {
                        let axis = Axis::new(15, kernel).stride(stride).dilation(dilation).pad(pads[0], pads[1]);
                        let Ok(problem) = Problem::new(1, 1, [1, 1], [axis; 2]) else { continue };
                        let again = Problem::new(1, 1, [1, 1], [*problem.height(); 2]).unwrap();
                        assert_eq!(again, problem, "{axis:?}");
                    }
                }
            }
        }
    }
}
