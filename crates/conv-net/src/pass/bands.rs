//! A chain of convolutions, computed band by band of the last one's rows.

use std::collections::HashMap;
use std::iter;
use std::ops::Range;

use conv_core::{Axis, Footprint, Parts, Plan, Problem, RunError, Scratch, Silent, for_each_part};

/// Floats of the buffers between the layers of a chain at most: what is left of an L2 of 1 MiB beside weights, input and output.
pub(super) const MOST_FLOATS: usize = 160 << 10;

/// Floats to a multiple of which buffers are rounded up: a line of the cache.
const LINE: usize = 16;

/// Convolutions of which each reads what the one before wrote.
pub(super) struct Chain {
    /// Those of bands, which share the weights of their layer.
    plans: Vec<Box<dyn Plan>>,
    /// What is done for each stretch of an image's rows.
    stretches: Vec<Vec<Action>>,
    /// Where the buffers behind each layer begin in a worker's scratch; that behind the last has no floats.
    buffers: Vec<usize>,
    /// How the output is cut into stretches.
    parts: Parts,
    /// Floats of an image of the input.
    image: usize,
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
    Compute { layer: usize, plan: usize, input: Range<usize>, output: Range<usize> },
}

/// Floats of a worker's buffers if the last of `problems` computes `rows` rows at a time.
pub(super) fn buffer_floats(problems: &[&Problem], rows: usize) -> usize {
    buffers(problems, rows)[problems.len() - 1]
}

/// Where the buffer behind each of `problems` begins; that behind the last has no floats.
fn buffers(problems: &[&Problem], rows: usize) -> Vec<usize> {
    let floats = buffer_rows(problems, rows).into_iter().zip(&problems[1..]);
    let ends = floats.scan(0, |end, (rows, problem)| {
        *end += (rows * row_floats(problem)).next_multiple_of(LINE);
        Some(*end)
    });
    iter::once(0).chain(ends).collect()
}

/// Rows of each of the buffers.
fn buffer_rows(problems: &[&Problem], mut rows: usize) -> Vec<usize> {
    let mut needed: Vec<usize> = Vec::new();
    for problem in problems[1..].iter().rev() {
        let height = problem.height();
        rows = ((rows - 1) * height.stride + height.extent()).min(height.input);
        needed.push(rows);
    }
    needed.reverse();
    needed
}

/// Floats of a row of its input.
fn row_floats(problem: &Problem) -> usize {
    problem.width().input * problem.in_channels()
}

/// Rows of the last of `problems` that are a task, a *stretch*.
///
/// One begins with rows of the layers before that the one above it computed too. So this is the height by which the worker with most to do
/// has least to do.
fn stretch_rows(problems: &[&Problem], workers: usize) -> usize {
    let rows = problems[problems.len() - 1].height().output();
    let heights = (1..=rows.min(workers)).map(|stretches| rows.div_ceil(stretches));
    heights.min_by_key(|&stretch| work(problems, workers, stretch)).unwrap_or(rows)
}

/// Rows that the worker with most to do computes.
pub(super) fn most_rows(problems: &[&Problem], workers: usize) -> usize {
    work(problems, workers, stretch_rows(problems, workers))
}

/// The same in stretches of so many rows. As if what is computed again took all of the time: an upper bound.
fn work(problems: &[&Problem], workers: usize, stretch: usize) -> usize {
    let last = problems[problems.len() - 1];
    let stride: usize = problems[1..].iter().map(|problem| problem.height().stride).product();
    let again = buffer_rows(problems, 1)[0].saturating_sub(stride).div_ceil(stride);
    let stretches = last.height().output().div_ceil(stretch);
    let again = if stretches > 1 { again } else { 0 };
    (last.batch() * stretches).div_ceil(workers) * (stretch + again)
}

impl Chain {
    /// Of the `plans` of the whole maps. `residual` if what the last one adds to is the chain's input.
    pub fn new(plans: &[Box<dyn Plan>], residual: bool, workers: usize) -> Self {
        let problems: Vec<&Problem> = plans.iter().map(|plan| plan.problem()).collect();
        let (first, last) = (problems[0], problems[problems.len() - 1]);
        let [rows, width] = last.output_size();
        let band = (2..=rows).take_while(|&band| buffer_floats(&problems, band) <= MOST_FLOATS).last().unwrap_or(1);
        let (buffers, stretch) = (buffers(&problems, band), stretch_rows(&problems, workers));
        let mut schedule = Schedule { whole: plans, residual, buffers, plans: Vec::new(), known: HashMap::new() };
        let starts = (0..rows).step_by(stretch);
        let stretches: Vec<_> = starts.map(|start| schedule.stretch(start..rows.min(start + stretch), band)).collect();
        let Schedule { buffers, plans: bands, .. } = schedule;
        let scratch = bands.iter().map(|plan| plan.footprint().scratch_bytes).max().unwrap_or_default();
        let share = 4 * buffers[plans.len() - 1] + scratch.next_multiple_of(4 * LINE);
        let pitch = plans[plans.len() - 1].output_pitch();
        let floats = rows * width * pitch;
        Chain {
            plans: bands,
            buffers,
            parts: Parts { rows: last.batch(), pitch: floats, used: floats, part: stretch * width * pitch },
            image: first.input_len() / first.batch(),
            workers,
            footprint: Footprint {
                prepared_bytes: plans.iter().map(|plan| plan.footprint().prepared_bytes).sum(),
                scratch_bytes: workers.min(last.batch() * stretches.len()) * share,
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
            let input = &input[image * self.image..][..self.image];
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
            Action::Compute { layer, plan, input, output } => {
                let plan = &self.plans[*plan];
                let (buffers, scratch) = share.split_at_mut(self.buffers[self.buffers.len() - 1]);
                let (read, written) = buffers.split_at_mut(self.buffers[*layer]);
                let input = if *layer == 0 { &image[input.clone()] } else { &read[input.clone()] };
                let to = if *layer + 1 == self.buffers.len() { part } else { written };
                let scratch = &mut scratch[..plan.footprint().scratch_bytes / 4];
                let done = plan.run_within(input, &mut to[output.clone()], scratch, &Silent);
                done.expect("a chain's buffers are as long as its plans ask");
            }
        }
    }
}

/// Makes the actions of stretches, and the plans that they need.
struct Schedule<'a> {
    whole: &'a [Box<dyn Plan>],
    residual: bool,
    buffers: Vec<usize>,
    plans: Vec<Box<dyn Plan>>,
    /// Those of a layer and its rows.
    known: HashMap<(usize, Axis), usize>,
}

impl Schedule<'_> {
    /// What is done for `rows` of the output, `band` at a time.
    fn stretch(&mut self, rows: Range<usize>, band: usize) -> Vec<Action> {
        let last = self.whole.len() - 1;
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
                let height = self.whole[layer].problem().height();
                let (needed, axis) = height.band(computed.clone()).expect("each row of a chain reads some input");
                layers.push((layer, computed.clone(), needed.clone(), axis));
                let Some(before) = layer.checked_sub(1) else { break };
                let (front, floats) = (self.buffers[before], row_floats(self.whole[layer].problem()));
                let kept = needed.start.min(held[before].end)..held[before].end;
                if !kept.is_empty() && kept.start > held[before].start {
                    let [start, end] = [kept.start, kept.end].map(|row| front + (row - held[before].start) * floats);
                    actions.push(Action::Keep { rows: start..end, front });
                }
                computed = needed.start.max(held[before].end)..needed.end;
                held[before] = needed;
            }
            for (layer, computed, needed, axis) in layers.into_iter().rev() {
                let plan = self.plan(layer, axis);
                let problem = self.whole[layer].problem();
                let input = match layer.checked_sub(1) {
                    // All that the buffer has by now is what this layer reads.
                    Some(before) => {
                        let floats = needed.len() * row_floats(problem);
                        self.buffers[before]..self.buffers[before] + floats
                    }
                    None => floats_of(needed, row_floats(problem)),
                };
                let output = match self.whole.get(layer + 1) {
                    Some(next) => {
                        let front = held[layer].start;
                        floats_of(computed.start - front..computed.end - front, row_floats(next.problem()))
                    }
                    None => {
                        let ([_, width], channels) = (problem.output_size(), problem.out_channels());
                        let pitch = self.whole[layer].output_pitch();
                        let output = floats_of(computed.start - rows.start..computed.end - rows.start, width * pitch);
                        if self.residual {
                            // No slice of a wider tensor: what is added to is a tensor of its own.
                            let input = floats_of(computed, width * channels);
                            actions.push(Action::Residual { input, output: output.clone() });
                        }
                        // What lies behind the last pixel's channels is another's.
                        output.start..output.end - (pitch - channels)
                    }
                };
                actions.push(Action::Compute { layer, plan, input, output });
            }
        }
        actions
    }

    fn plan(&mut self, layer: usize, height: Axis) -> usize {
        *self.known.entry((layer, height)).or_insert_with(|| {
            let plan = self.whole[layer].on_rows(height).expect("a chain's algorithms plan rows");
            self.plans.push(plan);
            self.plans.len() - 1
        })
    }
}

fn floats_of(rows: Range<usize>, row: usize) -> Range<usize> {
    rows.start * row..rows.end * row
}
