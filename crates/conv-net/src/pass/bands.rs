//! A chain of layers, computed band by band of the last one's rows.

use std::collections::HashMap;
use std::iter;
use std::ops::Range;

use conv_core::{Axis, Footprint, Parts, PlanOptions, RunError, Scratch, Silent, for_each_part};

use super::operation::Operation;
use crate::operators::Operator;
use crate::shape::Map;

/// Floats of the buffers between the layers of a chain at most: what is left of an L2 of 1 MiB beside weights, input and output.
pub(super) const MOST_FLOATS: usize = 160 << 10;

/// Floats to a multiple of which buffers are rounded up: a line of the cache.
const LINE: usize = 16;

/// How a layer goes through the rows of its map.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    pub height: Axis,
    /// Floats of an input row, and of an output row.
    pub read: usize,
    pub written: usize,
    /// Of both, the floats behind the last pixel's channels, which are another's.
    pub gaps: [usize; 2],
}

/// A layer of a chain.
pub(super) struct Member<'a> {
    pub rows: Rows,
    pub operator: &'a Operator,
    /// Its input.
    pub map: Map,
    /// On the whole map.
    pub operation: Operation,
}

/// Layers of which each reads what the one before wrote.
pub(super) struct Chain {
    /// Those of bands. Plans share the weights of their layer.
    operations: Vec<Operation>,
    /// What is done for each stretch of an image's rows.
    stretches: Vec<Vec<Action>>,
    /// Where the buffers behind each layer begin in a worker's scratch; that behind the last has no floats.
    buffers: Vec<usize>,
    /// How the output is cut into stretches.
    parts: Parts,
    /// Floats of an image of the input.
    image: usize,
    /// Of one worker.
    options: PlanOptions,
    workers: usize,
    footprint: Footprint,
}

/// One of the things that are done for a band. Ranges are of floats.
enum Action {
    /// Moves what the next layer needs again, in a worker's buffers.
    Keep { rows: Range<usize>, front: usize },
    /// Copies some of the chain's input to the output.
    Residual { input: Range<usize>, output: Range<usize> },
    /// Computes some rows of a layer, from the chain's input or a buffer into a buffer or the output.
    Compute { layer: usize, operation: usize, input: Range<usize>, output: Range<usize> },
}

/// Floats of a worker's buffers if the last of `layers` computes `rows` rows at a time.
pub(super) fn buffer_floats(layers: &[Rows], rows: usize) -> usize {
    buffers(layers, rows)[layers.len() - 1]
}

/// Where the buffer behind each of `layers` begins; that behind the last has no floats.
fn buffers(layers: &[Rows], rows: usize) -> Vec<usize> {
    let floats = buffer_rows(layers, rows).into_iter().zip(&layers[1..]);
    let ends = floats.scan(0, |end, (rows, next)| {
        *end += (rows * next.read).next_multiple_of(LINE);
        Some(*end)
    });
    iter::once(0).chain(ends).collect()
}

/// Rows of each of the buffers.
fn buffer_rows(layers: &[Rows], mut rows: usize) -> Vec<usize> {
    let mut needed: Vec<usize> = Vec::new();
    for Rows { height, .. } in layers[1..].iter().rev() {
        rows = ((rows - 1) * height.stride + height.extent()).min(height.input);
        needed.push(rows);
    }
    needed.reverse();
    needed
}

/// Tasks for each of several workers at most: who is disturbed leaves some of his to the others.
const TASKS: usize = 4;

/// The share of a worker's rows that more tasks may cost.
const BALANCE: f64 = 1.06;

/// Rows of the last of `layers` that are a task, a *stretch*.
///
/// One begins with rows of the layers before that the one above it computed too. So these are the lowest of those by which the worker with
/// most to do has hardly more to do than it has to.
fn stretch_rows(layers: &[Rows], images: usize, workers: usize) -> usize {
    let rows = layers[layers.len() - 1].height.output();
    let [fewest, most] = [1, TASKS].map(|tasks| (tasks * workers).div_ceil(images).min(rows));
    let most = if workers > 1 { most } else { fewest };
    let heights = (fewest..=most).map(|stretches| rows.div_ceil(stretches));
    let least = heights.clone().map(|stretch| work(layers, images, workers, stretch)).min().unwrap_or(rows);
    let near = |&stretch: &usize| work(layers, images, workers, stretch) as f64 <= BALANCE * least as f64;
    heights.filter(near).min().unwrap_or(rows)
}

/// Rows that the worker with most to do computes.
pub(super) fn most_rows(layers: &[Rows], images: usize, workers: usize) -> usize {
    work(layers, images, workers, stretch_rows(layers, images, workers))
}

/// The same in stretches of so many rows. As if what is computed again took all of the time: an upper bound.
fn work(layers: &[Rows], images: usize, workers: usize, stretch: usize) -> usize {
    let stride: usize = layers[1..].iter().map(|layer| layer.height.stride).product();
    let again = buffer_rows(layers, 1).first().map_or(0, |rows| rows.saturating_sub(stride).div_ceil(stride));
    let stretches = layers[layers.len() - 1].height.output().div_ceil(stretch);
    let again = match stretches {
        1 => 0,
        // Above the first row and below the last there is nothing.
        2 => again.div_ceil(2),
        _ => again,
    };
    (images * stretches).div_ceil(workers) * (stretch + again)
}

impl Chain {
    /// Of so many `images`. `residual` if what the last layer adds to is the chain's input.
    pub fn new(members: &[Member<'_>], images: usize, residual: bool, options: &PlanOptions) -> Self {
        let layers: Vec<Rows> = members.iter().map(|member| member.rows.clone()).collect();
        let (first, last, workers) = (&layers[0], &layers[layers.len() - 1], options.workers);
        let rows = last.height.output();
        let band = (2..=rows).take_while(|&band| buffer_floats(&layers, band) <= MOST_FLOATS).last().unwrap_or(1);
        let (buffers, stretch) = (buffers(&layers, band), stretch_rows(&layers, images, workers));
        let mut schedule = Schedule { members, residual, buffers, operations: Vec::new(), known: HashMap::new() };
        let starts = (0..rows).step_by(stretch);
        let stretches: Vec<_> = starts.map(|start| schedule.stretch(start..rows.min(start + stretch), band)).collect();
        let Schedule { buffers, operations, .. } = schedule;
        let scratch = operations.iter().map(|operation| operation.footprint(1).scratch_bytes).max().unwrap_or_default();
        let share = 4 * buffers[layers.len() - 1] + scratch.next_multiple_of(4 * LINE);
        let floats = rows * last.written;
        Chain {
            operations,
            buffers,
            parts: Parts { rows: images, pitch: floats, used: floats, part: stretch * last.written },
            image: first.height.input * first.read,
            options: PlanOptions { workers: 1, ..*options },
            workers,
            footprint: Footprint {
                prepared_bytes: members.iter().map(|member| member.operation.footprint(1).prepared_bytes).sum(),
                scratch_bytes: workers.min(images * stretches.len()) * share,
            },
            stretches,
        }
    }

    pub fn footprint(&self) -> Footprint {
        self.footprint
    }

    /// Computes the `output` of the last layer from the `input` of the first.
    ///
    /// # Errors
    /// [`RunError`] if the scratch has fewer bytes than the footprint says.
    pub fn run(&self, input: &[f32], output: &mut [f32], scratch: &mut Scratch) -> Result<(), RunError> {
        let scratch = scratch.lend(self.footprint.scratch_bytes)?;
        for_each_part(self.workers, output, &self.parts, scratch, |share, index, part| {
            let (image, stretch) = (index / self.stretches.len(), index % self.stretches.len());
            let start = image * self.image;
            let input = &input[start..input.len().min(start + self.image)];
            for action in &self.stretches[stretch] {
                self.act(action, input, part, share);
            }
        });
        Ok(())
    }

    fn act(&self, action: &Action, image: &[f32], part: &mut [f32], share: &mut [f32]) {
        match action {
            Action::Keep { rows, front } => share.copy_within(rows.clone(), *front),
            Action::Residual { input, output } => part[output.clone()].copy_from_slice(&image[input.clone()]),
            Action::Compute { layer, operation, input, output } => {
                let (buffers, scratch) = share.split_at_mut(self.buffers[self.buffers.len() - 1]);
                let (read, written) = buffers.split_at_mut(self.buffers[*layer]);
                let input = if *layer == 0 { &image[input.clone()] } else { &read[input.clone()] };
                let output = &mut if *layer + 1 == self.buffers.len() { part } else { written }[output.clone()];
                let done = match &self.operations[*operation] {
                    Operation::Plan(plan) => {
                        let scratch = &mut scratch[..plan.footprint().scratch_bytes / 4];
                        plan.run_within(input, output, scratch, &Silent)
                    }
                    other => other.run(&|_| input, output, &mut Scratch::default(), &self.options),
                };
                done.expect("a chain's buffers are as long as its operations ask");
            }
        }
    }
}

/// Makes the actions of stretches, and the operations that they need.
struct Schedule<'a> {
    members: &'a [Member<'a>],
    residual: bool,
    buffers: Vec<usize>,
    operations: Vec<Operation>,
    /// Those of a layer and its rows.
    known: HashMap<(usize, Axis), usize>,
}

impl Schedule<'_> {
    /// What is done for `rows` of the output, `band` at a time.
    fn stretch(&mut self, rows: Range<usize>, band: usize) -> Vec<Action> {
        let last = self.members.len() - 1;
        // The rows of each layer's output that its buffer has.
        let mut held = vec![0..0; last];
        let mut actions = Vec::new();
        for start in rows.clone().step_by(band) {
            let mut computed = start..rows.end.min(start + band);
            let mut layers = Vec::new();
            for layer in (0..=last).rev() {
                if computed.is_empty() {
                    break;
                }
                let Rows { height, read, .. } = self.members[layer].rows;
                let (needed, axis) = height.band(computed.clone()).expect("each row of a chain reads some input");
                layers.push((layer, computed.clone(), needed.clone(), axis));
                let Some(before) = layer.checked_sub(1) else { break };
                let front = self.buffers[before];
                let kept = needed.start.min(held[before].end)..held[before].end;
                if !kept.is_empty() && kept.start > held[before].start {
                    let [start, end] = [kept.start, kept.end].map(|row| front + (row - held[before].start) * read);
                    actions.push(Action::Keep { rows: start..end, front });
                }
                computed = needed.start.max(held[before].end)..needed.end;
                held[before] = needed;
            }
            for (layer, computed, needed, axis) in layers.into_iter().rev() {
                let operation = self.operation(layer, axis);
                let Rows { read, written, gaps: [gap_before, gap_behind], .. } = self.members[layer].rows;
                let input = match layer.checked_sub(1) {
                    // All that the buffer has by now is what this layer reads.
                    Some(before) => self.buffers[before]..self.buffers[before] + needed.len() * read,
                    None => needed.start * read..needed.end * read - gap_before,
                };
                let front = held.get(layer).map_or(rows.start, |held| held.start);
                let output = (computed.start - front) * written..(computed.end - front) * written - gap_behind;
                if layer == last && self.residual {
                    // No slice of a wider tensor: what is added to is a tensor of its own.
                    let input = computed.start * written..computed.end * written;
                    actions.push(Action::Residual { input, output: output.clone() });
                }
                actions.push(Action::Compute { layer, operation, input, output });
            }
        }
        actions
    }

    fn operation(&mut self, layer: usize, height: Axis) -> usize {
        *self.known.entry((layer, height)).or_insert_with(|| {
            let Member { operator, map, operation, .. } = &self.members[layer];
            self.operations.push(operation.on_rows(operator, *map, height));
            self.operations.len() - 1
        })
    }
}
