//! Groups of so few channels that a vector holds several: depthwise convolution, where each is one channel, above all.
//!
//! The register tile would fill the lanes of one group and leave the others idle. Here vectors run along the output channels of
//! several groups: an output vector is the sum over taps, and over the input channels of a group, of input vector × weight
//! vector, where each lane of the input vector is that channel of its own group.

use std::sync::Arc;

use conv_core::{
    Axis, Epilogue, Filter, Footprint, Phase, Plan, PlanError, PlanOptions, Probe, Problem, Work, for_each_task,
};
use conv_simd::{AlignedBuffer, Bounds, Core, Isa, SharedSlice, Simd, lane_numbers};

#[allow(unsafe_code)]
mod kernel;
mod line;
mod planes;
mod shares;
mod sweep;

use kernel::PIXELS;
use shares::Shares;

/// Tasks wanted of one layer, so that 64 cores have work at batch 1.
const TASKS: usize = 256;

/// Input and output together from which on rows come from beyond what the hardware's prefetcher makes up for.
const FAR_BYTES: usize = 8 << 20;

/// Floats of an input from which on pixels that share few sets of L1 are not read again from near enough.
const FAR_FLOATS: usize = 128 << 10;

/// How groups lie in vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packing {
    /// Floats of a vector.
    lanes: usize,
    /// Input channels of a group.
    depth: usize,
    /// Input channels under a vector.
    inputs: usize,
    /// Output channels in a vector.
    outputs: usize,
    /// Vectors of all channels.
    vectors: usize,
    /// Whether groups are spread over the vector by loads from a copy: then the first channels of all of them are beside each other, then
    /// the second ones.
    spread: bool,
}

impl Packing {
    /// That of `problem` in vectors of `isa`, if a vector holds several of its groups, or one that is spread.
    pub(crate) fn new(problem: &Problem, isa: Isa) -> Option<Self> {
        let [depth, filters, lanes] = [problem.group_in_channels(), problem.group_out_channels(), isa.lanes()];
        let of = |groups: usize, spread| {
            let vectors = problem.groups().div_ceil(groups);
            Packing { lanes, depth, inputs: groups * depth, outputs: groups * filters, vectors, spread }
        };
        let spread = planes::spread(problem, isa).map(|groups| of(groups, true));
        let groups = (lanes / depth.max(filters)).min(problem.groups());
        let spread = spread.filter(|packing| planes::fits(problem, *packing));
        spread.or_else(|| (groups > 1).then(|| of(groups, false)))
    }

    /// Whether lanes are channels, and nothing is to be summed over these.
    fn is_depthwise(&self) -> bool {
        self.depth == 1 && self.inputs == self.outputs && !self.spread
    }

    /// Lanes of all vectors.
    fn all_lanes(&self) -> usize {
        self.vectors * self.lanes
    }

    /// Groups in a vector.
    fn groups(&self) -> usize {
        self.inputs / self.depth
    }

    /// Where output `channel` stands among the vectors.
    fn place(&self, channel: usize) -> usize {
        let (vector, channel) = (channel / self.outputs, channel % self.outputs);
        let filters = self.outputs / self.groups();
        let lane = if self.spread { channel % filters * self.groups() + channel / filters } else { channel };
        vector * self.lanes + lane
    }

    /// The lanes that a vector is permuted by, [`Prepared::lanes`].
    fn permutations(&self) -> impl Iterator<Item = usize> {
        let Packing { lanes, depth, spread, .. } = *self;
        let (groups, filters) = (self.groups(), self.outputs / self.groups());
        let rows = if spread { 2 } else { depth };
        (0..rows * lanes).map(move |i| match (i / lanes, i % lanes) {
            (0, lane) if spread => lane % groups * depth + lane / groups,
            (_, lane) if spread => lane % filters * groups + lane / filters,
            (input, lane) => lane / filters * depth + input,
        })
    }

    /// How many vectors from the first on read and write nothing but whole ones.
    fn whole(&self, problem: &Problem) -> usize {
        let read = (problem.in_channels() + self.inputs).saturating_sub(self.lanes) / self.inputs;
        if self.outputs == self.lanes { read.min(problem.out_channels() / self.outputs) } else { 0 }
    }

    fn footprint(&self, problem: &Problem, kind: Kind, options: &PlanOptions) -> Result<Footprint, PlanError> {
        let taps = problem.height().kernel * problem.width().kernel;
        let floats =
            self.all_lanes() as u128 * (taps as u128 * self.depth as u128 + 1) + self.permutations().count() as u128;
        let copy = match kind {
            Kind::Planes => planes::floats(problem, *self),
            _ => 0,
        };
        options.admit(4 * floats, 4 * options.workers as u128 * copy as u128)
    }
}

/// See [`conv_core::Algorithm::work`]: no register tile, but its loops come as near to the peak as one of four rows, and those that spread
/// groups as near as a whole one.
pub(crate) fn work(packing: Packing, problem: &Problem, options: &PlanOptions) -> Option<Work> {
    let kind = Kind::of(problem, packing, options.workers);
    Some(Work {
        footprint: packing.footprint(problem, kind, options).ok()?,
        product_flops: problem.flops_inside() as f64 * packing.lanes as f64 / packing.outputs as f64,
        rows: if packing.spread { 2 * PIXELS } else { 4 },
        depth: problem.reduction(),
        transform_flops: 0.0,
        tile_transforms: 0.0,
        weight_passes: 1.0,
        between_bytes: 0.0,
        between_set: 0.0,
        tasks: Loops::new(kind, problem, packing, options.workers).tasks(),
    })
}

/// Plans a problem whose groups lie in vectors like this.
pub(crate) fn plan(
    packing: Packing,
    problem: &Problem,
    filter: Filter<'_>,
    epilogue: Epilogue,
    options: &PlanOptions,
) -> Result<Box<dyn Plan>, PlanError> {
    filter.check(problem)?;
    let pitch = epilogue.pitch_of(problem)?;
    let taps = problem.height().kernel * problem.width().kernel;
    let (depth, all_lanes) = (packing.depth, packing.all_lanes());
    let kind = Kind::of(problem, packing, options.workers);
    let footprint = packing.footprint(problem, kind, options)?;
    let mut weights = AlignedBuffer::zeroed(all_lanes * depth * taps)?;
    for (row, filter) in filter.weights.chunks_exact(taps).enumerate() {
        let (place, input) = (packing.place(row / depth), row % depth);
        let (vector, lane) = (place / packing.lanes, place % packing.lanes);
        for (tap, &weight) in filter.iter().enumerate() {
            weights[((vector * taps + tap) * depth + input) * packing.lanes + lane] = weight;
        }
    }
    let mut bias = AlignedBuffer::zeroed(all_lanes)?;
    for (channel, &value) in filter.bias.into_iter().flatten().enumerate() {
        bias[packing.place(channel)] = value;
    }
    let mut lanes = AlignedBuffer::zeroed(packing.permutations().count())?;
    lanes.iter_mut().zip(lane_numbers(packing.permutations())).for_each(|(lane, number)| *lane = number);
    let prepared = Arc::new(Prepared { vector_weights: weights.len() / packing.vectors, weights, bias, lanes });
    Ok(Box::new(GroupedPlan {
        packing,
        whole: packing.whole(problem),
        prefetches: kind.prefetches(problem),
        problem: problem.clone(),
        ending: Ending { accumulate: epilogue.accumulate, bounds: epilogue.bounds },
        pitch,
        options: *options,
        footprint,
        kind,
        loops: Loops::new(kind, problem, packing, options.workers),
        prepared,
    }))
}

/// By which loops a problem is computed.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Any filter.
    Rows,
    /// Down the image.
    Sweep,
    /// On copies with padding.
    Planes,
    /// Along the only axis of the filter, 0 down and 1 across.
    Line(usize),
}

impl Kind {
    fn of(problem: &Problem, packing: Packing, workers: usize) -> Self {
        match line::axis(problem, packing) {
            Some(axis) => Kind::Line(axis),
            None if packing.spread => Kind::Planes,
            None if packing.is_depthwise() && sweep::covers(problem, packing.lanes, workers) => Kind::Sweep,
            None if planes::covers(problem, packing) => Kind::Planes,
            None => Kind::Rows,
        }
    }

    /// Whether what is read next is asked for, in `problem`: DECISIONS.md, "What an Intel core asks for itself".
    fn prefetches(self, problem: &Problem) -> bool {
        let far = bytes(problem) >= FAR_BYTES;
        match self {
            Kind::Rows => far && Core::detect() != Core::Intel,
            Kind::Sweep => far,
            Kind::Planes => Core::detect() == Core::Intel,
            Kind::Line(_) => false,
        }
    }
}

/// Of input and output.
fn bytes(problem: &Problem) -> usize {
    size_of::<f32>() * (problem.input_len() + problem.output_len())
}

/// These loops, and how they are shared out.
#[derive(Debug, Clone, Copy)]
enum Loops {
    /// Output rows of all images, and how many of them are a task.
    Rows {
        rows: usize,
        of_a_task: usize,
    },
    Sweep(Shares),
    Planes(Shares),
    Line {
        axis: usize,
        shares: Shares,
    },
}

impl Loops {
    fn new(kind: Kind, problem: &Problem, packing: Packing, workers: usize) -> Self {
        let (images, rows) = (problem.batch(), problem.height().output());
        let shares = |rows| Shares::new(images, rows, packing.vectors);
        match kind {
            Kind::Rows => Loops::Rows { rows: images * rows, of_a_task: (images * rows).div_ceil(TASKS) },
            Kind::Sweep => Loops::Sweep(Shares::tall(images, rows, packing.vectors, workers)),
            Kind::Planes => Loops::Planes(shares(rows)),
            Kind::Line(axis) => Loops::Line { axis, shares: shares(line::axes(problem, axis)[1].output()) },
        }
    }

    fn tasks(&self) -> usize {
        match self {
            Loops::Rows { rows, of_a_task } => rows.div_ceil(*of_a_task),
            Loops::Sweep(shares) | Loops::Planes(shares) | Loops::Line { shares, .. } => shares.count(),
        }
    }
}

struct GroupedPlan {
    packing: Packing,
    /// How many vectors from the first on are whole.
    whole: usize,
    problem: Problem,
    ending: Ending,
    /// Floats from one output pixel to the next.
    pitch: usize,
    options: PlanOptions,
    footprint: Footprint,
    kind: Kind,
    loops: Loops,
    /// Whether what is read next is asked for.
    prefetches: bool,
    prepared: Arc<Prepared>,
}

struct Prepared {
    /// `[vector][kh][kw][input channel of a group][lanes]`: those of one vector lie beside each other, as taps a power of two apart
    /// would fall on few sets of the L1 cache.
    weights: AlignedBuffer,
    /// Floats of them for one vector.
    vector_weights: usize,
    /// `[vector][lanes]`.
    bias: AlignedBuffer,
    /// `[input channel of a group][lanes]`: in which lane of an input vector that channel of each output's group is. Of groups that are
    /// spread `[2][lanes]`: which channel of a pixel is copied to each lane, and which sum belongs to each output channel.
    lanes: AlignedBuffer,
}

impl Prepared {
    /// The weights of `vector`.
    #[inline(always)]
    fn weights_of(&self, vector: usize) -> &[f32] {
        &self.weights[vector * self.vector_weights..][..self.vector_weights]
    }
}

/// What becomes of a sum. Loops have a copy of it: what they store might be the plan for all that the compiler knows, and it was read
/// again for each vector (5×5 and groups of four with AVX2 0.93 to 0.96 of the time with a copy, 1×1 0.7).
#[derive(Debug, Clone, Copy)]
struct Ending {
    accumulate: bool,
    bounds: Bounds,
}

impl Ending {
    #[inline(always)]
    fn store<S: Simd>(&self, simd: S, output: &mut [f32], sum: S::Vec) {
        let sum = if self.accumulate { simd.add(sum, simd.load_partial(output)) } else { sum };
        simd.store_partial(output, self.bounds.clamp(simd, sum));
    }
}

impl Plan for GroupedPlan {
    fn problem(&self) -> &Problem {
        &self.problem
    }

    fn footprint(&self) -> Footprint {
        self.footprint
    }

    fn output_pitch(&self) -> usize {
        self.pitch
    }

    fn on_rows(&self, height: Axis) -> Option<Box<dyn Plan>> {
        let problem = self.problem.on_rows(height).ok()?;
        let options = PlanOptions { workers: 1, memory_limit: usize::MAX, ..self.options };
        Some(Box::new(GroupedPlan {
            whole: self.packing.whole(&problem),
            prefetches: self.kind.prefetches(&problem),
            footprint: self.packing.footprint(&problem, self.kind, &options).ok()?,
            loops: Loops::new(self.kind, &problem, self.packing, options.workers),
            problem,
            options,
            prepared: Arc::clone(&self.prepared),
            ..*self
        }))
    }

    fn execute(&self, input: &[f32], output: &mut [f32], scratch: &mut [f32], probe: &dyn Probe) {
        let output = SharedSlice::new(output);
        for_each_task(self.options.workers, self.loops.tasks(), scratch, |copy, index| {
            probe.enter(Phase::Multiply);
            let (plan, output) = (self, &output);
            match self.loops {
                Loops::Rows { rows, of_a_task } => {
                    let rows = index * of_a_task..((index + 1) * of_a_task).min(rows);
                    self.options.isa.run(kernel::Rows { plan, input, output, rows });
                }
                Loops::Sweep(shares) => {
                    self.options.isa.run(sweep::Sweep { plan, input, output, share: shares.share(index) });
                }
                Loops::Planes(shares) => {
                    self.options.isa.run(planes::Planes { plan, input, output, copy, share: shares.share(index) });
                }
                Loops::Line { axis, shares } => {
                    self.options.isa.run(line::Lines { plan, input, output, axis, share: shares.share(index) });
                }
            }
            probe.enter(Phase::Idle);
        });
    }
}
