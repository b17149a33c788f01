//! What may be tuned: the register tile, the panels that stay near a core, and the grain of the tasks.

use conv_core::{Algorithm, Parameter, Parameters, PlanOptions, Problem};
use conv_simd::Isa;

const TILE_VECTORS: &str = "tile_vectors";
const TILE_PIXELS: &str = "tile_pixels";
const PANEL_KIB: &str = "panel_kib";
const TASKS: &str = "tasks";

/// Depthwise and fully connected layers have loops of their own, which none of these changes.
pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter { name: TILE_VECTORS, meaning: "vectors of output channels of a register tile, at most", range: 1..=8 },
    Parameter { name: TILE_PIXELS, meaning: "pixels of a register tile, at most", range: 1..=64 },
    Parameter {
        name: PANEL_KIB,
        meaning: "KiB of input that all output channels pass over at a time",
        range: 1..=1 << 20,
    },
    Parameter { name: TASKS, meaning: "pieces of work that a run is cut into, if it can be", range: 1..=1 << 16 },
];

/// KiB of input of one panel, so that it stays in about half of a 1 MiB L2 while all blocks of output channels pass over it.
const DEFAULT_PANEL: usize = 512;

/// Tasks wanted of one layer, so that 64 cores have work at batch 1.
const DEFAULT_TASKS: usize = 256;

/// Operations that a task has at least, 3 µs on one core: what begins one is 0.1 to 0.2 µs, which tiles of few input channels
/// felt each. ShuffleNet's passes of one image, on one thread and on two, take 0.91 of the time that 256 tasks everywhere took
/// on a Xeon of the fourth or fifth generation, ResNet-50's the same.
const TASK_FLOPS: u128 = 1 << 19;

fn default_tasks(problem: &Problem) -> usize {
    usize::try_from(problem.flops() / TASK_FLOPS).map_or(DEFAULT_TASKS, |tasks| tasks.clamp(1, DEFAULT_TASKS))
}

/// Input floats of a pixel's products up to which filters larger than 1×1 have wide tiles. Those of more read so many weights
/// from beyond L2 that two blocks should fit there: DECISIONS.md, "1×1 filters have tiles of few pixels".
const WIDE_DEPTH: usize = 512;

/// The vectors of a tile, and the most where fewer would be left over.
fn default_vectors(problem: &Problem, isa: Isa) -> [usize; 2] {
    let (usual, most) = (isa.tile_shape().vectors, isa.most_vectors());
    let pointwise = problem.height().kernel == 1 && problem.width().kernel == 1;
    if pointwise || problem.reduction() <= WIDE_DEPTH { [usual.max(most - 1), most] } else { [usual; 2] }
}

/// How a plan's work is cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    isa: Isa,
    /// The vectors of a register tile, and the most where fewer would be left over; that of fewer may have more pixels.
    pub vectors: [usize; 2],
    /// The most pixels of any register tile.
    pixels: usize,
    /// Bytes of a panel.
    pub panel_bytes: usize,
    /// Tasks wanted.
    pub tasks: usize,
    /// Workers of the plan.
    pub workers: usize,
}

impl Choice {
    /// What the options say, and for the rest what measured best on most layers.
    pub(super) fn of(problem: &Problem, options: &PlanOptions) -> Self {
        let given = |name| options.parameters.get(name);
        let isa = options.isa;
        let given_vectors = given(TILE_VECTORS).map(|vectors| [vectors.min(isa.most_vectors()); 2]);
        Choice {
            isa,
            vectors: given_vectors.unwrap_or_else(|| default_vectors(problem, isa)),
            pixels: given(TILE_PIXELS).unwrap_or(usize::MAX),
            panel_bytes: given(PANEL_KIB).unwrap_or(DEFAULT_PANEL) << 10,
            tasks: match options.workers {
                1 => 1,
                _ => given(TASKS).unwrap_or_else(|| default_tasks(problem)),
            },
            workers: options.workers,
        }
    }

    /// The most pixels of a register tile of `vectors` whose pixels are `pitch` floats apart.
    pub(super) fn pixels(&self, vectors: usize, pitch: usize) -> usize {
        self.isa.tile_pixels_apart(vectors, pitch).min(self.pixels)
    }
}

/// Each register tile that differs on the problem, whole or some pixels narrower; smaller and larger panels; and with several
/// workers fewer and more tasks.
pub(super) fn tunings(algorithm: &dyn Algorithm, problem: &Problem, options: &PlanOptions) -> Vec<Parameters> {
    let vectors = problem.group_out_channels().div_ceil(options.isa.lanes()).min(options.isa.most_vectors());
    let tiles = (1..=vectors).rev().flat_map(|vectors| {
        let most = options.isa.tile_pixels(vectors);
        [most, most - most / 4, most.div_ceil(2)].map(|pixels| vec![(TILE_VECTORS, vectors), (TILE_PIXELS, pixels)])
    });
    let panels = [DEFAULT_PANEL / 4, 2 * DEFAULT_PANEL, 8 * DEFAULT_PANEL].map(|kib| vec![(PANEL_KIB, kib)]);
    let tasks = if options.workers > 1 { &[4, 16, 64, 1024][..] } else { &[] };
    let tasks = tasks.iter().map(|&tasks| vec![(TASKS, tasks)]);
    tiles.chain(panels).chain(tasks).filter_map(|values| Parameters::new(algorithm, values).ok()).collect()
}
