//! How a layer's output is cut into tasks.

use std::ops::Range;

use conv_core::Axis;

use super::geometry::Geometry;
use super::tuning::Choice;

/// How the output is cut into tasks: images × panels of tiles × blocks of output channels × pieces of a panel.
///
/// The tiles of an image are counted as its tiling does. Within a panel, whose input stays in L2, all blocks pass; a piece is
/// what one worker takes at a time.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    images: usize,
    blocks: usize,
    tiles: usize,
    panels: usize,
    pieces: usize,
}

impl Schedule {
    /// Tasks for images of `tiles` tiles and for `blocks` of output channels, whose weights are so many bytes.
    pub(super) fn new(geometry: &Geometry, choice: &Choice, tiles: usize, (blocks, weights): (usize, u128)) -> Self {
        // What no filter meets is not read: 1×1 with stride 2 reads a quarter.
        let read = |axis: &Axis, output: usize| axis.kernel.min(axis.stride) * output;
        let pixels = read(&geometry.height, geometry.output[0]) * read(&geometry.width, geometry.output[1]);
        let image_bytes = 4 * geometry.in_channels * pixels;
        let tiles_per_panel = (choice.panel_bytes / image_bytes.div_ceil(tiles)).clamp(1, tiles);
        let mut panels = tiles.div_ceil(tiles_per_panel);
        // Workers that divide the blocks all read the whole input and write between each other's channels; those that divide
        // the image all read the weights.
        if blocks > 1 && weights <= image_bytes as u128 {
            panels = panels.next_multiple_of(choice.workers.div_ceil(geometry.images)).min(tiles);
        }
        let others = geometry.images * panels * blocks;
        let wanted = choice.tasks.div_ceil(others);
        // As many tasks for each worker: of 11 one of two would have six.
        let even = (wanted..wanted + choice.workers).find(|pieces| (others * pieces).is_multiple_of(choice.workers));
        let pieces = if choice.tasks > 1 { even.unwrap_or(wanted) } else { wanted };
        Schedule { images: geometry.images, blocks, tiles, panels, pieces: pieces.min(tiles.div_ceil(panels)) }
    }

    pub(super) fn tasks(&self) -> usize {
        self.images * self.panels * self.blocks * self.pieces
    }

    /// How often all weights are read: once for each panel.
    pub(super) fn weight_passes(&self) -> usize {
        self.images * self.panels
    }

    /// The part of an image cut into `others` tiles that stands for `tiles` of this schedule's: blocks of fewer vectors
    /// have other tiles.
    pub(super) fn rescale(&self, tiles: Range<usize>, others: usize) -> Range<usize> {
        tiles.start * others / self.tiles..tiles.end * others / self.tiles
    }

    /// The tiles of the panel that has tile `tile` of an image.
    pub(super) fn panel(&self, tile: usize) -> Range<usize> {
        part(&(0..self.tiles), self.panels, ((tile + 1) * self.panels).div_ceil(self.tiles) - 1)
    }

    /// Image, block and tiles of task `index`; a smaller panel's pieces may be empty.
    pub(super) fn task(&self, index: usize) -> (usize, usize, Range<usize>) {
        let (index, piece) = (index / self.pieces, index % self.pieces);
        let (index, block) = (index / self.blocks, index % self.blocks);
        let (image, panel) = (index / self.panels, index % self.panels);
        (image, block, part(&part(&(0..self.tiles), self.panels, panel), self.pieces, piece))
    }
}

/// Part `index` of so many of a range, as equal as can be.
fn part(whole: &Range<usize>, parts: usize, index: usize) -> Range<usize> {
    let bound = |index: usize| whole.start + index * whole.len() / parts;
    bound(index)..bound(index + 1)
}

#[cfg(test)]
mod tests {
    use conv_core::{PlanOptions, Problem};

    use super::*;

    /// Time to finish `costs` if each worker takes those of its own stretch in order and then what is left of the others', as
    /// [`conv_core::for_each_task`] hands them out.
    fn makespan(costs: &[usize], workers: usize) -> usize {
        let mut stretches: Vec<_> = (0..workers)
            .map(|worker| costs[worker * costs.len() / workers..(worker + 1) * costs.len() / workers].iter())
            .collect();
        let mut busy_until = vec![0; workers];
        loop {
            let worker = (0..workers).min_by_key(|&worker| busy_until[worker]).unwrap();
            let next = (worker..worker + workers).find_map(|stretch| stretches[stretch % workers].next());
            match next {
                Some(cost) => busy_until[worker] += cost,
                None => return *busy_until.iter().max().unwrap(),
            }
        }
    }

    /// The costs of a layer's tasks with tiles of 14 pixels and blocks of 32 output channels, as AVX-512 has them; a tile
    /// costs its valid filter rows.
    fn costs(descriptor: &str, workers: usize) -> Vec<usize> {
        let problem: Problem = descriptor.parse().unwrap();
        let geometry = Geometry::new(&problem, problem.out_channels());
        let columns = geometry.output[1].div_ceil(14);
        let blocks = problem.groups() * problem.group_out_channels().div_ceil(32);
        let tiles = geometry.output[0] * columns;
        let schedule = Schedule::new(
            &geometry,
            &Choice::of(&problem, &PlanOptions::new(workers)),
            tiles,
            (blocks, 4 * problem.weight_len() as u128),
        );
        let mut seen = vec![0; geometry.images * blocks * tiles];
        let costs = (0..schedule.tasks()).map(|index| {
            let (image, block, range) = schedule.task(index);
            let panel = schedule.panel(range.start);
            assert!(range.is_empty() || panel.start <= range.start && range.end <= panel.end, "{range:?} of {panel:?}");
            range.clone().for_each(|tile| seen[(image * blocks + block) * tiles + tile] += 1);
            range.map(|tile| geometry.height.valid_taps(tile / columns).len()).sum()
        });
        let costs = costs.collect();
        assert!(seen.iter().all(|&times| times == 1), "each tile of each block once");
        costs
    }

    #[test]
    fn layers_balance_on_1_to_64_workers() {
        for descriptor in [
            "mb1ic3ih227oc96kh11sh4",
            "g2mb1ic96ih27oc256kh5ph2",
            "mb1ic256ih13oc384kh3ph1",
            "g2mb1ic384ih13oc384kh3ph1",
            "g2mb1ic384ih13oc256kh3ph1",
            "mb16ic256ih13oc384kh3ph1",
            "mb1ic64ih224oc64kh3ph1",
            "mb1ic512ih14oc512kh3ph1",
            "mb1ic1024ih14oc256kh1",
            "mb16ic1024ih14oc256kh1",
        ] {
            for workers in 1..=64 {
                let costs = costs(descriptor, workers);
                let total: usize = costs.iter().sum();
                let ratio = (makespan(&costs, workers) * workers) as f64 / total as f64;
                // The last round is not full. That is at its worst for the 112 tiles of the 1×1 layer (14 times 8 blocks of
                // channels) on 55 workers: three rounds where 2.04 would do.
                assert!(ratio < 1.5, "{descriptor}: {} tasks on {workers} workers take {ratio:.2}", costs.len());
            }
        }
    }

    #[test]
    fn layers_of_few_tasks_balance_on_few_workers() {
        // Eleven tasks would be enough.
        for descriptor in ["mb1ic16ih55oc64kh1", "mb1ic128ih27oc32kh1", "mb1ic96ih28oc32kh1"] {
            for workers in 1..=4 {
                let costs = costs(descriptor, workers);
                let total: usize = costs.iter().sum();
                let ratio = (makespan(&costs, workers) * workers) as f64 / total as f64;
                assert!(ratio < 1.06, "{descriptor}: {} tasks on {workers} workers take {ratio:.2}", costs.len());
            }
        }
    }
}
