//! Plans from weights that come a few output channels at a time.

use std::ops::Range;

use conv_core::{Axis, Epilogue, Filter, PlanError, PlanOptions, Problem, Scratch, StreamedFilter};
use conv_simd::Isa;

/// Fully connected layers of many blocks and of one, and a convolution.
fn problems() -> Vec<Problem> {
    let problem = |channels, axes| Problem::new(2, 1, channels, axes).unwrap();
    vec![
        problem([7, 3000], [Axis::new(3, 3), Axis::new(2, 2)]),
        problem([5, 3], [Axis::new(1, 1); 2]),
        problem([4, 9], [Axis::new(6, 3).pad(1, 1); 2]),
    ]
}

#[test]
fn the_result_is_the_same() {
    let algorithm = conv_direct::ALGORITHMS[0];
    for problem in problems() {
        let weights: Vec<f32> = (0..problem.weight_len()).map(|i| (i * 7919 % 211) as f32 - 100.0).collect();
        let bias: Vec<f32> = (0..problem.out_channels()).map(|i| i as f32).collect();
        let input: Vec<f32> = (0..problem.input_len()).map(|i| (i % 17) as f32 - 8.0).collect();
        for isa in Isa::available() {
            let options = PlanOptions::new(3).isa(isa);
            let mut asked = Vec::new();
            let mut read = |channels: Range<usize>, values: &mut [f32]| {
                let row = problem.reduction();
                values.copy_from_slice(&weights[channels.start * row..channels.end * row]);
                asked.push(channels);
                Ok(())
            };
            let streamed = StreamedFilter { weights: &mut read, bias: Some(&bias) };
            let streamed = algorithm.plan_streamed(&problem, streamed, Epilogue::RELU, &options).unwrap();
            assert_eq!((asked[0].start, asked.last().unwrap().end), (0, problem.out_channels()));
            assert!(asked.windows(2).all(|pair| pair[0].end == pair[1].start), "in order, once: {asked:?}");
            let largest = asked.iter().map(Range::len).max().unwrap();
            assert!(problem.out_channels() < 1000 || largest <= problem.out_channels() / 20, "{largest} at a time");
            let filter = Filter { weights: &weights, bias: Some(&bias) };
            let whole = algorithm.plan(&problem, filter, Epilogue::RELU, &options).unwrap();
            assert_eq!(streamed.footprint(), whole.footprint());
            let outputs = [streamed, whole].map(|plan| {
                let mut output = vec![f32::NAN; problem.output_len()];
                plan.run(&input, &mut output, &mut Scratch::with_bytes(0).unwrap()).unwrap();
                output
            });
            assert_eq!(outputs[0], outputs[1], "{problem} on {isa}");
        }
    }
}

#[test]
fn what_cannot_be_read_or_kept_is_an_error() {
    let algorithm = conv_direct::ALGORITHMS[0];
    for problem in problems() {
        let mut fail = |_: Range<usize>, _: &mut [f32]| Err(PlanError::Weights { message: "no".into() });
        let mut plan = |options: &PlanOptions| {
            let filter = StreamedFilter { weights: &mut fail, bias: None };
            algorithm.plan_streamed(&problem, filter, Epilogue::default(), options).map(|_| ())
        };
        assert_eq!(plan(&PlanOptions::new(1)), Err(PlanError::Weights { message: "no".into() }));
        let little = plan(&PlanOptions::new(1).memory_limit(8));
        assert!(matches!(little, Err(PlanError::Memory { limit: 8, .. })), "{little:?}");
    }
}
