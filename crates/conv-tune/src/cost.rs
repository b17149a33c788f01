//! The cost model: the time of a run as estimated from what it does, without running or preparing it.

use conv_core::{Algorithm, PlanOptions, Problem, Work};
use conv_simd::{Core, TileShape};

use crate::constants::Constants;

/// Largest error of a choice, relative to the largest output, unless another one is asked for.
pub const MAX_ERROR: f64 = 1e-5;

// Fitted to some 2500 times of the 100 layers of AlexNet, VGG-16, ResNet-50 and GoogLeNet, at batch 1 and 16, by one thread
// of a Zen 5 server. `convlab report --table regret` tells what they are worth.

/// Share of the peak that transforms reach, their loads and stores apart.
const TRANSFORM_RATE: f64 = 0.86;
/// Share of the read bandwidth at which intermediate results are written and read, in pieces.
const BETWEEN_RATE: f64 = 0.51;
/// The same for input and output.
const ENDS_RATE: f64 = 0.8;
/// Share of the read bandwidth of main memory at which weights stream in while they are used.
const STREAM_RATE: f64 = 0.75;
/// How many times as many bytes prepared weights are, about: four times with `winograd/f4x3`, once where nothing is transformed.
const PREPARED: f64 = 3.0;
/// Of a product and the stream of its weights, the share of the shorter one that shows.
const STREAM_SHOWS: f64 = 0.4;
/// Of transforms and their loads and stores, the same.
const TRANSFORM_SHOWS: f64 = 0.22;
/// Cycles that a vector of weights costs beside its multiply-adds.
const CYCLES_A_WEIGHT: f64 = 0.39;
/// Cycles of a register tile, and of each of its sums, whatever its depth.
const CYCLES_A_TILE: f64 = 4.4;
const CYCLES_A_SUM: f64 = 1.5;
/// Nanoseconds in which a transform of one tile begins. Where groups have 16 to 24 channels, 14×14 to 28×28 of them, transforms by
/// `winograd/f4x3` take 200 to 430 µs, and the rest of the model says 100 to 220; with this it is within a tenth of five such layers.
const TRANSFORM_NS: f64 = 80.0;
/// Nanoseconds of a run that does nothing.
const RUN_NS: f64 = 5000.0;
/// Estimates within this factor of the least are equal, and the plainest method is taken: the model does not know better. When the
/// least memory decided, 1×1 layers of few filters and grouped ones went to `im2col/indirect` for a few KiB, which took 1.3 times
/// direct's time on two threads.
const TIE: f64 = 1.03;

/// Estimates on one machine.
#[derive(Debug, Clone, Copy)]
pub struct CostModel {
    constants: Constants,
    /// Largest error allowed.
    pub max_error: f64,
    /// Bytes of all weights of the network, as they are before anything is prepared.
    network_bytes: f64,
}

impl CostModel {
    /// By measured constants.
    pub fn new(constants: Constants, max_error: f64) -> Self {
        CostModel { constants, max_error, network_bytes: f64::INFINITY }
    }

    /// By nominal constants: the same choice at every call on such cores, at once.
    pub fn nominal(core: Core, options: &PlanOptions) -> Self {
        CostModel::new(Constants::nominal(core, options.isa, options.workers), MAX_ERROR)
    }

    /// The same for a layer of a network whose weights have so many bytes: those of a small one stay in L3 from pass to pass.
    pub fn in_network(self, weight_bytes: usize) -> Self {
        CostModel { network_bytes: weight_bytes as f64, ..self }
    }

    /// GB/s at which a run's prepared weights come for the first time.
    fn stream_gb_s(&self) -> f64 {
        let constants = &self.constants;
        if PREPARED * self.network_bytes <= constants.in_l3() {
            constants.l3_gb_s
        } else {
            STREAM_RATE * constants.memory_gb_s
        }
    }

    /// Nanoseconds that one run of `work` for `problem` should take in a network, where the input is in the caches and
    /// the weights are not in L2.
    pub fn nanoseconds(&self, problem: &Problem, work: &Work, options: &PlanOptions) -> f64 {
        let constants = &self.constants;
        let workers = options.workers;
        let gb_s = |bytes: f64| constants.gb_s(bytes, workers);
        let prepared = work.footprint.prepared_bytes as f64;
        let products = work.product_flops / (constants.peak_gflops * fill(work, options.isa.tile_shape()));
        let first = prepared / self.stream_gb_s();
        let weights = first + (work.weight_passes - 1.0).max(0.0) * prepared / gb_s(prepared);
        let multiply = overlapped(products, weights, STREAM_SHOWS);
        let arithmetic = work.transform_flops / (constants.peak_gflops * TRANSFORM_RATE);
        let between = 2.0 * work.between_bytes / (BETWEEN_RATE * gb_s(work.between_set * workers as f64));
        let begun = TRANSFORM_NS * work.tile_transforms / workers as f64;
        let transforms = overlapped(arithmetic, between, TRANSFORM_SHOWS) + begun;
        let ends = 4.0 * (problem.input_len() + problem.output_len()) as f64;
        let ends = ends / (ENDS_RATE * gb_s(ends).min(constants.l3_gb_s));
        // The last round of tasks is not full.
        let rounds = work.tasks.div_ceil(workers) * workers;
        RUN_NS + (multiply + transforms + ends) * rounds as f64 / work.tasks.max(1) as f64
    }

    /// The least that one run of a method for `problem` may take that cannot tell its work: such methods execute no less
    /// than the direct one.
    pub fn least_nanoseconds(&self, problem: &Problem) -> f64 {
        problem.flops_inside() as f64 / self.constants.peak_gflops
    }

    /// The algorithm with the least estimate, its parameters left to it, among those that can tell their work, fit into
    /// the options' memory, and should keep to the error; of those whose estimates hardly differ the first in `algorithms`, which
    /// the registry has from the plainest to the largest transforms. If none should keep to the error, among the most exact.
    pub fn choose(
        &self,
        algorithms: &[&'static dyn Algorithm],
        problem: &Problem,
        options: &PlanOptions,
    ) -> Option<&'static dyn Algorithm> {
        let estimate = |algorithm: &'static dyn Algorithm| {
            let work = algorithm.work(problem, options)?;
            let excess = expected_error(algorithm, problem).max(self.max_error);
            Some(Estimate { excess, nanoseconds: self.nanoseconds(problem, &work, options), algorithm })
        };
        let mut estimates: Vec<_> = algorithms.iter().filter_map(|&algorithm| estimate(algorithm)).collect();
        let least = |of: fn(&Estimate) -> f64, among: &[Estimate]| among.iter().map(of).fold(f64::INFINITY, f64::min);
        let excess = least(|estimate| estimate.excess, &estimates);
        estimates.retain(|estimate| estimate.excess <= excess);
        let fastest = least(|estimate| estimate.nanoseconds, &estimates);
        estimates.into_iter().find(|estimate| estimate.nanoseconds <= TIE * fastest).map(|estimate| estimate.algorithm)
    }
}

/// What the model says of one algorithm.
struct Estimate {
    /// The error that is to be expected, where it is above the largest allowed, and else that.
    excess: f64,
    nanoseconds: f64,
    algorithm: &'static dyn Algorithm,
}

/// The largest error of one output over the largest output that is to be expected, of data as after a ReLU.
///
/// The derived bounds hold for the worst data, and are 20 to 500 times what such data shows. What shows grows with the
/// transforms' amplification, which is the bound's growth over that of a plain sum, and with the root of that sum's
/// length. The factor is such that on the layers of AlexNet, VGG-16, ResNet-50 and GoogLeNet no method whose estimate is below
/// 1e-5 was measured above it: the closest was `winograd/f5x3` on 512 channels, which is estimated at 1.01e-5.
pub fn expected_error(algorithm: &dyn Algorithm, problem: &Problem) -> f64 {
    let reduction = problem.reduction() as f64;
    let amplification = algorithm.error_growth(problem) / reduction;
    f64::from(f32::EPSILON) / 2.0 * 1.22 * (amplification + reduction.sqrt())
}

/// Time of two things that run side by side: the longer one's, and what shows of the shorter one.
fn overlapped(a: f64, b: f64, shows: f64) -> f64 {
    a.max(b) + shows * a.min(b)
}

/// The share of the peak that the register tile reaches on `work`'s products.
///
/// `rows` are taken `shape.pixels` at a time, as equally as can be. A step along the depth costs a tile its multiply-adds,
/// two a cycle, or its loads, two a cycle, and no less than the latency of a multiply-add.
fn fill(work: &Work, shape: TileShape) -> f64 {
    const LATENCY: f64 = 4.0;
    let (rows, depth) = (work.rows.max(1), work.depth.max(1) as f64);
    let cost = |pixels: usize| {
        let sums = (pixels * shape.vectors) as f64;
        let multiply_adds = sums / 2.0 + CYCLES_A_WEIGHT * shape.vectors as f64;
        let loads = (pixels + shape.vectors) as f64 / 2.0;
        multiply_adds.max(loads).max(LATENCY) * depth + CYCLES_A_TILE + CYCLES_A_SUM * sums
    };
    let tiles = rows.div_ceil(shape.pixels);
    let (even, larger) = (rows / tiles, rows % tiles);
    let all = (tiles - larger) as f64 * cost(even) + larger as f64 * cost(even + 1);
    (rows * shape.vectors) as f64 / 2.0 * depth / all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{algorithms, family};

    /// The models of all kinds of cores, as `auto` uses them.
    fn models(options: &PlanOptions) -> [CostModel; 3] {
        Core::ALL.map(|core| CostModel::nominal(core, options))
    }

    #[test]
    fn full_deep_tiles_are_the_fastest() {
        let options = PlanOptions::new(1);
        let shape = options.isa.tile_shape();
        let direct = crate::registry::direct();
        let work = direct.work(&"mb1ic64ih56oc64kh3ph1".parse().unwrap(), &options).unwrap();
        let of = |rows, depth| fill(&Work { rows, depth, ..work }, shape);
        assert!((0.8..=1.0).contains(&of(shape.pixels, 2304)), "{}", of(shape.pixels, 2304));
        assert!(of(shape.pixels, 2304) > of(shape.pixels, 8) && of(shape.pixels, 2304) > of(1, 2304));
    }

    /// What it chooses must keep to the error on data that was not used to fit it.
    #[test]
    fn choices_are_exact_enough() {
        let options = PlanOptions::new(1);
        for text in
            ["mb1ic40ih20oc48kh3ph1", "mb1ic24ih24oc40kh5ph2", "mb2ic16ih31oc32kh7sh2ph3", "mb1ic300ih14oc32kh3"]
        {
            let problem: Problem = text.parse().unwrap();
            for max_error in [1e-5, 2e-6] {
                for model in models(&options) {
                    let algorithm = CostModel { max_error, ..model }.choose(&algorithms(), &problem, &options).unwrap();
                    let case = conv_check::Case::new(&problem, conv_check::Kind::ReluLike, 3, Default::default());
                    let errors = case.check(algorithm, &options).unwrap_or_else(|failure| panic!("{failure}")).errors;
                    assert!(errors.max_rel <= max_error, "{text} by {}: {}", algorithm.name(), errors.max_rel);
                }
            }
        }
    }

    /// Few output channels are where the plain FFT was once taken for the fastest; it takes three times as long there.
    #[test]
    fn the_plain_fft_is_no_choice_for_small_maps() {
        let options = PlanOptions::new(1);
        for text in ["mb16ic64ih28oc16kh7ph3", "mb1ic8ih56oc16kh7ph3", "mb1ic3ih112oc160kh7ph3"] {
            for model in models(&options) {
                let chosen = model.choose(&algorithms(), &text.parse().unwrap(), &options).unwrap();
                assert_ne!(chosen.name(), "fft/rustfft", "{text}");
            }
        }
    }

    /// ResNet's first layer, and others like it, by a transform whose data stays in L2.
    #[test]
    fn first_layers_are_not_the_ffts() {
        let options = PlanOptions::new(1);
        for text in ["mb1ic3ih224oc64oh112kh7sh2ph3", "mb1ic3ih512oc128oh256kh7sh2ph3"] {
            for model in models(&options) {
                let chosen = model.choose(&algorithms(), &text.parse().unwrap(), &options).unwrap();
                assert_eq!(family(chosen), "winograd", "{text}");
            }
        }
    }

    /// A vector, or half of one, is all that a tile has of them.
    #[test]
    fn narrow_groups_are_direct() {
        let options = PlanOptions::new(1);
        for text in ["g46mb1ic368ih7oc368kh3ph1", "g8mb1ic64ih28oc64kh3ph1", "g128mb1ic1024ih16oc1024kh3ph1"] {
            for model in models(&options) {
                let chosen = model.choose(&algorithms(), &text.parse().unwrap(), &options).unwrap();
                assert_eq!(chosen.name(), "direct/nhwc", "{text}");
            }
        }
    }

    #[test]
    fn of_equals_the_plainest_is_chosen() {
        let mut equals = 0;
        for (text, workers) in [
            ("mb1ic128ih28oc128kh3ph1", 1),
            ("mb1ic256ih14oc256kh1", 1),
            ("g64mb1ic1024ih14oc1024kh3ph1", 2),
            ("g64mb1ic512ih14oc1024kh3ph1", 2),
        ] {
            let (problem, options) = (text.parse::<Problem>().unwrap(), PlanOptions::new(workers));
            for model in models(&options) {
                let of = |algorithm: &'static dyn Algorithm| {
                    let work = algorithm.work(&problem, &options)?;
                    let exact = expected_error(algorithm, &problem) <= MAX_ERROR;
                    exact.then(|| (model.nanoseconds(&problem, &work, &options), algorithm.name()))
                };
                let all: Vec<_> = algorithms().into_iter().filter_map(of).collect();
                let least = all.iter().map(|one| one.0).fold(f64::INFINITY, f64::min);
                let first = all.iter().find(|one| one.0 <= TIE * least).unwrap();
                assert_eq!(model.choose(&algorithms(), &problem, &options).unwrap().name(), first.1, "{text}");
                equals += usize::from(first.0 > least);
            }
        }
        assert!(equals > 0);
    }

    /// SqueezeNet's last 3×3 layers, whose transformed weights stay in L3.
    #[test]
    fn small_networks_have_larger_transforms() {
        let options = PlanOptions::new(1);
        for text in ["mb1ic64ih13oc256kh3ph1", "mb1ic48ih13oc192kh3ph1"] {
            let problem: Problem = text.parse().unwrap();
            for model in models(&options) {
                let weights = |model: CostModel| {
                    let chosen = model.choose(&algorithms(), &problem, &options).unwrap();
                    chosen.work(&problem, &options).unwrap().footprint.prepared_bytes
                };
                let [small, large] = [5 << 20, 50 << 20].map(|bytes| weights(model.in_network(bytes)));
                assert_eq!(large, weights(model), "{text}");
                assert!(small >= large, "{text}: {small}, {large}");
                assert!(small >= 4 * 4 * problem.weight_len() * 9 / 10, "{text}: {small}");
            }
        }
    }

    #[test]
    fn winograd_where_it_pays() {
        let options = PlanOptions::new(1);
        for model in models(&options) {
            let chosen = |text: &str| model.choose(&algorithms(), &text.parse().unwrap(), &options).unwrap();
            assert_eq!(family(chosen("mb1ic256ih27oc256kh3ph1")), "winograd");
            assert_eq!(chosen("mb1ic64ih56oc64kh1").name(), "direct/nhwc");
            // Transforms of a vector's channels take as long to begin as to compute.
            assert_ne!(family(chosen("g36mb1ic576ih14oc576oh14kh3ph1")), "winograd");
            // Less memory than Winograd's transforms need.
            let limited = options.memory_limit(4 << 20);
            let problem = "mb1ic256ih27oc256kh3ph1".parse().unwrap();
            let direct = model.choose(&algorithms(), &problem, &limited).unwrap();
            assert_eq!(family(direct), "direct");
        }
    }
}
