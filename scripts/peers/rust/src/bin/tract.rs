//! tract on an ONNX file of one convolution.

use std::process::ExitCode;

use ndarray::{ArrayD, IxDyn};
use peers::{Args, numbers, work};
use tract_onnx::prelude::*;

fn main() -> ExitCode {
    let prepare = |args: &Args| {
        let executor = match args.threads {
            1 => multithread::Executor::SingleThread,
            threads => multithread::Executor::multithread(threads),
        };
        multithread::set_default_executor(executor);
        let plan = tract_onnx::onnx().model_for_path(&args.model)?.into_optimized()?.into_runnable()?;
        let mut state = plan.spawn()?;
        let images = Tensor::from_shape(args.images.shape(), &numbers(&args.images))?.into_tvalue();
        Ok(move || Ok(state.run(tvec!(images.clone()))?.remove(0)))
    };
    let array = |output: TValue| {
        let values = output.to_plain_array_view::<f32>()?.iter().copied().collect();
        Ok(ArrayD::from_shape_vec(IxDyn(output.shape()), values)?)
    };
    work("tract 0.23.9", prepare, array)
}
