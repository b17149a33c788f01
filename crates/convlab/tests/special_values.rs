//! What becomes of NaN, infinities, denormals and signed zeros, as METHODOLOGY.md ("Special values") says.

use std::ops::Range;

use conv_check::{Data, Kind};
use conv_core::{Algorithm, Epilogue, Filter, PlanOptions, Problem, Scratch};
use conv_simd::Isa;
use conv_tune::{algorithms, family};
use convlab::suite;

/// Layers of every kind, with tails: two images, or groups, or both. The first four are enough between two changes.
const PROBLEMS: [&str; 9] = [
    "g2mb2ic24ih13oc40kh5ph2",
    "mb2ic19ih14oc37kh3ph1",
    "g24mb2ic24ih17oc24kh3ph1",
    "mb2ic65ih7oc70kh1",
    "mb2ic3ih23oc21kh11sh4",
    "mb2ic33ih15oc24kh3sh2ph1",
    "g5mb2ic5ih12oc10kh5ph2",
    "g6mb2ic24ih12oc48kh3ph1",
    "mb2ic60oc77ih1kh1",
];
const USUAL: usize = 4;

/// One algorithm on one instruction set for one problem.
struct Subject<'a> {
    algorithm: &'static dyn Algorithm,
    isa: Isa,
    problem: &'a Problem,
}

impl Subject<'_> {
    fn run(&self, data: &Data, epilogue: Epilogue) -> Vec<f32> {
        let options = PlanOptions::new(1).isa(self.isa);
        let filter = Filter { weights: &data.weights, bias: Some(&data.bias) };
        let plan = self.algorithm.plan(self.problem, filter, epilogue, &options).unwrap();
        let mut scratch = Scratch::with_bytes(plan.footprint().scratch_bytes).unwrap();
        let mut output = vec![f32::NAN; self.problem.output_len()];
        plan.run(&data.input, &mut output, &mut scratch).unwrap();
        output
    }

    fn describe(&self) -> String {
        format!("{} on {}, '{}'", self.algorithm.name(), self.isa, self.problem)
    }

    /// Whether it sums products of what it is given, as it is.
    fn sums_products(&self) -> bool {
        ["direct", "im2col"].contains(&family(self.algorithm))
    }
}

/// Where an output is: image, row, pixel, channel.
fn outputs(problem: &Problem) -> impl Iterator<Item = (usize, [usize; 4])> {
    let ([height, width], channels) = (problem.output_size(), problem.out_channels());
    (0..problem.output_len()).map(move |index| {
        let (pixel, channel) = (index / channels, index % channels);
        (index, [pixel / width / height, pixel / width % height, pixel % width, channel])
    })
}

/// Whether a tap of output `o` lies at the input's `position`.
fn reaches(axis: &conv_core::Axis, o: usize, position: usize) -> bool {
    axis.valid_taps(o).any(|tap| axis.position(o, tap) == position as isize)
}

fn each(problems: &[&str], check: impl Fn(&Subject<'_>, &Data)) {
    let problems: Vec<Problem> = problems.iter().map(|text| text.parse().unwrap()).collect();
    let least = 20 * problems.len();
    let mut checked = 0;
    for case in suite::cases(problems, &algorithms(), &Isa::available()) {
        let data = Data::new(&case.problem, Kind::Signed, 3);
        for candidate in &case.candidates {
            let (algorithm, isa) = (candidate.method.algorithm, candidate.isa);
            check(&Subject { algorithm, isa, problem: &case.problem }, &data);
            checked += 1;
        }
    }
    assert!(checked > least, "{checked} plans");
}

/// `special` in one float of the second image: a pixel inside, of the last channel of the second group, if there is one.
fn with_input(problem: &Problem, data: &Data, special: f32) -> (Data, [usize; 3], Range<usize>) {
    let (height, width) = (problem.height().input, problem.width().input);
    let (row, pixel) = (height / 2, width / 2);
    let group = 1.min(problem.groups() - 1);
    let channel = (group + 1) * problem.group_in_channels() - 1;
    let mut data = data.clone();
    data.input[((height + row) * width + pixel) * problem.in_channels() + channel] = special;
    let channels = problem.group_out_channels();
    (data, [1, row, pixel], group * channels..(group + 1) * channels)
}

/// What is not a number, or infinite, in the input is no finite number in any output that it reaches, whatever comes behind;
/// other images and groups do not see it, and where products are summed, nor does any other output.
fn check_inputs(problems: &[&str]) {
    each(problems, |subject, data| {
        let problem = subject.problem;
        for epilogue in [Epilogue::default(), Epilogue::RELU] {
            let clean = subject.run(data, epilogue);
            for special in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let (spoiled, [image, row, pixel], channels) = with_input(problem, data, special);
                let output = subject.run(&spoiled, epilogue);
                for (index, [n, y, x, k]) in outputs(problem) {
                    let (got, was) = (output[index], clean[index]);
                    let place = || format!("{}: {special} in the input: {got} where it was {was}", subject.describe());
                    let same_part = n == image && channels.contains(&k);
                    if same_part && reaches(problem.height(), y, row) && reaches(problem.width(), x, pixel) {
                        // Of negative infinity a ReLU makes zero.
                        let cut = special.is_infinite() && epilogue == Epilogue::RELU && got == 0.0;
                        assert!(got.is_nan() || !special.is_nan() && (got.is_infinite() || cut), "{}", place());
                    } else if !same_part || subject.sums_products() {
                        assert_eq!(got.to_bits(), was.to_bits(), "{}", place());
                    }
                }
            }
        }
    });
}

/// The same of a weight: in its output channel nothing that it reaches is a number, and other channels do not see it.
fn check_weights(problems: &[&str]) {
    each(problems, |subject, data| {
        let problem = subject.problem;
        let (kernel_h, kernel_w) = (problem.height().kernel, problem.width().kernel);
        let (channel, tap) = (problem.out_channels() - 1, [kernel_h / 2, kernel_w / 2]);
        let clean = subject.run(data, Epilogue::RELU);
        for special in [f32::NAN, f32::INFINITY] {
            let mut spoiled = data.clone();
            let first = channel * problem.reduction();
            spoiled.weights[first + tap[0] * kernel_w + tap[1]] = special;
            let output = subject.run(&spoiled, Epilogue::RELU);
            for (index, [_, y, x, k]) in outputs(problem) {
                let (got, was) = (output[index], clean[index]);
                let place = || format!("{}: {special} in a weight: {got} where it was {was}", subject.describe());
                let inside =
                    problem.height().valid_taps(y).contains(&tap[0]) && problem.width().valid_taps(x).contains(&tap[1]);
                if k != channel {
                    assert_eq!(got.to_bits(), was.to_bits(), "{}", place());
                } else if inside {
                    let cut = special.is_infinite() && got == 0.0;
                    assert!(got.is_nan() || !special.is_nan() && (got.is_infinite() || cut), "{}", place());
                }
            }
        }
    });
}

/// The same of a bias.
fn check_biases(problems: &[&str]) {
    each(problems, |subject, data| {
        let mut spoiled = data.clone();
        let channel = subject.problem.out_channels() / 2;
        spoiled.bias[channel] = f32::NAN;
        let (clean, output) = (subject.run(data, Epilogue::RELU), subject.run(&spoiled, Epilogue::RELU));
        for (index, [.., k]) in outputs(subject.problem) {
            let (got, was) = (output[index], clean[index]);
            let right = if k == channel { got.is_nan() } else { got.to_bits() == was.to_bits() };
            assert!(right, "{}: NaN in a bias: {got} where it was {was}", subject.describe());
        }
    });
}

/// Denormals are numbers like others, on threads that keep them, and zeros on those that do not: either way no output is
/// further from what zeros give than the sum of what they stand for.
fn check_small_numbers(problems: &[&str]) {
    each(problems, |subject, data| {
        let problem = subject.problem;
        let mut zeros = data.clone();
        zeros.input.iter_mut().step_by(3).for_each(|x| *x = 0.0);
        let expected = subject.run(&zeros, Epilogue::default());
        for small in [-0.0, 1e-40, f32::MIN_POSITIVE / 2.0] {
            let mut spoiled = zeros.clone();
            spoiled.input.iter_mut().step_by(3).for_each(|x| *x = small);
            let output = subject.run(&spoiled, Epilogue::default());
            for (index, (got, was)) in output.iter().zip(&expected).enumerate() {
                // A few units in the last place of what is summed, where rounding falls otherwise.
                let bound = 1e-4 * was.abs().max(1.0);
                assert!((got - was).abs() <= bound, "{}: {small:e}: {got} at {index}", subject.describe());
            }
        }
        // Nothing but them.
        let tiny = Data { input: vec![1e-40; data.input.len()], bias: vec![0.0; data.bias.len()], ..data.clone() };
        let output = subject.run(&tiny, Epilogue::default());
        let bound = 1e-40 * problem.reduction() as f32 * 1e3;
        assert!(output.iter().all(|y| y.abs() <= bound), "{}: denormals alone", subject.describe());
    });
}

#[test]
fn what_no_number_is_in_the_input_stays_none() {
    check_inputs(&PROBLEMS[..USUAL]);
}

#[test]
fn what_no_number_is_in_the_weights_stays_none() {
    check_weights(&PROBLEMS[..USUAL]);
}

#[test]
fn what_no_number_is_in_the_bias_stays_none() {
    check_biases(&PROBLEMS[..USUAL]);
}

#[test]
fn denormals_and_negative_zeros_are_small_numbers() {
    check_small_numbers(&PROBLEMS[..USUAL]);
}

#[test]
#[ignore = "long: see CONTRIBUTING.md"]
fn special_values_on_all_layers() {
    for check in [check_inputs, check_weights, check_biases, check_small_numbers] {
        check(&PROBLEMS);
    }
}
