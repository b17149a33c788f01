//! RTen on an ONNX file of one convolution.

use std::process::ExitCode;
use std::sync::Arc;

use ndarray::{ArrayD, IxDyn};
use peers::{Args, numbers, work};
use rten::{ModelOptions, RunOptions, ThreadPool, Value};
use rten_tensor::prelude::*;
use rten_tensor::{NdTensor, Tensor};

fn main() -> ExitCode {
    let prepare = |args: &Args| {
        let model = ModelOptions::with_all_ops().prepack_weights(true).load_file(&args.model)?;
        let images = Tensor::from_data(args.images.shape(), numbers(&args.images));
        let mut options = RunOptions::default();
        options.thread_pool = Some(Arc::new(ThreadPool::with_num_threads(args.threads)));
        Ok(move || Ok(model.run_one(images.view().into(), Some(options.clone()))?))
    };
    let array = |output: Value| {
        let output: NdTensor<f32, 4> = output.try_into()?;
        Ok(ArrayD::from_shape_vec(IxDyn(&output.shape()), output.to_vec())?)
    };
    work("RTen 0.27.0", prepare, array)
}
