//! The same plan gives the same bits on any number of threads, again and again, also while others keep the processor busy.

use std::hint;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use conv_check::{Data, Kind};
use conv_core::{Epilogue, PlanOptions, Problem, Scratch};
use conv_net::{ForwardPass, Network, Synthetic};
use conv_simd::Isa;
use conv_tune::{Chooser, algorithms};
use convlab::forward::random_inputs;
use convlab::suite;

const THREADS: usize = 8;

/// Layers of every kind, with tails: the first three are enough between two changes.
const PROBLEMS: [&str; 8] = [
    "mb2ic19ih14oc37kh3ph1",
    "g6mb1ic24ih12oc48kh3ph1",
    "mb3ic65ih7oc70kh1",
    "mb2ic3ih35oc21kh11sh4",
    "g2mb1ic24ih13oc40kh5ph2",
    "mb1ic33ih15oc24kh3sh2ph1",
    "g24mb1ic24ih17oc24kh3ph1",
    "mb5ic600oc77ih1kh1",
];

/// Threads that compute something else meanwhile.
const BUSY: usize = 2;

/// Calls `work` while others keep the processor busy.
fn under_load(work: impl FnOnce()) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..BUSY {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    hint::spin_loop();
                }
            });
        }
        work();
        done.store(true, Ordering::Relaxed);
    });
}

fn bits(floats: &[f32]) -> Vec<u32> {
    floats.iter().map(|float| float.to_bits()).collect()
}

#[test]
fn convolutions_have_the_same_bits_on_one_to_eight_threads() {
    check_convolutions(&PROBLEMS[..3], 1);
}

#[test]
#[ignore = "long: see CONTRIBUTING.md"]
fn convolutions_have_the_same_bits_again_and_again() {
    check_convolutions(&PROBLEMS, 5);
}

/// Each plan so many times on each number of threads.
fn check_convolutions(problems: &[&str], runs: usize) {
    let problems: Vec<Problem> = problems.iter().map(|text| text.parse().unwrap()).collect();
    let pool = conv_measure::pool(THREADS).unwrap();
    let mut compared = 0;
    let mut check_all = || {
        for case in suite::cases(problems.clone(), &algorithms(), &Isa::available()) {
            let problem = &case.problem;
            let data = Data::new(problem, Kind::Signed, 1);
            for candidate in &case.candidates {
                let algorithm = candidate.method.algorithm;
                let mut first = None;
                for workers in 1..=THREADS {
                    let options = PlanOptions::new(workers).isa(candidate.isa);
                    let plan = algorithm.plan(problem, data.filter(), Epilogue::RELU, &options).unwrap();
                    let mut scratch = Scratch::with_bytes(plan.footprint().scratch_bytes).unwrap();
                    for run in 0..runs {
                        let mut output = vec![f32::NAN; problem.output_len()];
                        pool.install(|| plan.run(&data.input, &mut output, &mut scratch)).unwrap();
                        let first = first.get_or_insert_with(|| bits(&output));
                        let (name, isa) = (algorithm.name(), candidate.isa);
                        assert_eq!(bits(&output), *first, "{name} on {isa}, '{problem}', {workers} workers, run {run}");
                        compared += 1;
                    }
                }
            }
        }
    };
    under_load(&mut check_all);
    assert!(compared > 20 * problems.len() * THREADS * runs, "{compared} runs");
}

#[test]
fn passes_have_the_same_bits_on_one_to_eight_threads() {
    check_passes(&["squeezenet1_1"]);
}

#[test]
#[ignore = "long: see CONTRIBUTING.md"]
fn passes_of_more_networks_have_the_same_bits() {
    check_passes(&["mobilenet_v2", "googlenet", "densenet121", "paper"]);
}

/// Networks with the methods that one worker would be given.
fn check_passes(names: &[&str]) {
    let pool = conv_measure::pool(THREADS).unwrap();
    for name in names {
        let network = Network::by_name(name, 2).unwrap();
        let inputs = random_inputs(&network, 1).unwrap();
        let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
        let alone = PlanOptions::new(1);
        let choose = |problem: &Problem| Chooser::Auto.choose(problem, &alone).method;
        let mut first = None;
        under_load(|| {
            for workers in 1..=THREADS {
                let mut weights = Synthetic::new(&network, 1);
                let mut pass = pool.install(|| {
                    ForwardPass::new(&network, &mut weights, &choose, &PlanOptions::new(workers)).unwrap() //
                });
                for run in 0..2 {
                    pool.install(|| pass.run(&inputs, &mut ())).unwrap();
                    let output = bits(pass.output(0).unwrap());
                    let first = first.get_or_insert_with(|| output.clone());
                    assert!(output == *first, "{name}, {workers} workers, run {run}");
                }
            }
        });
    }
}
