//! A convolution of AlexNet from another program: chosen, prepared once, run many times.
//!
//!     cargo run --release -p conv-tune --example conv2d
//!
//! After `convlab tune paper` it takes what was measured.

use std::error::Error;

use conv_tune::Conv2d;

fn main() -> Result<(), Box<dyn Error>> {
    // One image, 256 channels of 13×13, 384 filters of 3×3, padded by one: conv3 of the paper.
    let problem: conv_core::Problem = "mb1ic256ih13oc384kh3ph1".parse()?;
    let weights: Vec<f32> = (0..problem.weight_len()).map(|i| (i % 7) as f32 * 0.01 - 0.03).collect();
    let input: Vec<f32> = (0..problem.input_len()).map(|i| (i % 5) as f32).collect();

    let mut convolution = Conv2d::new(problem.clone(), &weights, None).relu().auto()?;
    let output = convolution.run(&input)?.to_vec();
    let memory = convolution.footprint();
    println!("{}: {} outputs, {} bytes of weights", convolution.method(), output.len(), memory.prepared_bytes);

    // The same by an algorithm of one's own choice.
    let mut direct = Conv2d::new(problem, &weights, None).relu().algorithm("direct")?;
    let farthest = direct.run(&input)?.iter().zip(&output).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("{}: at most {farthest:.1e} away from it", direct.method());
    Ok(())
}
