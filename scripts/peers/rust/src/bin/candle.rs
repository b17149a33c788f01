//! Candle's convolution of two dimensions, on the arrays beside `conv.txt`.

use std::collections::HashMap;
use std::fs;
use std::process::ExitCode;

use candle_core::{Device, Tensor};
use ndarray::{ArrayD, IxDyn};
use peers::{Args, Failure, numbers, read, work};

fn tensor(array: &ArrayD<f32>) -> Result<Tensor, Failure> {
    Ok(Tensor::from_vec(numbers(array), array.shape(), &Device::Cpu)?)
}

fn main() -> ExitCode {
    let prepare = |args: &Args| {
        let text = fs::read_to_string(&args.model)?;
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        let sizes: HashMap<&str, usize> =
            lines.map(|(name, size)| Ok((name, size.parse()?))).collect::<Result<_, Failure>>()?;
        // One number each for down and across. What is after the input follows: the output's size tells whether it is right.
        if ["s", "d", "p"].iter().any(|kind| sizes[&*format!("{kind}h")] != sizes[&*format!("{kind}w")]) {
            return Err("strides, dilations and paddings that differ down and across are not computed".into());
        }
        let weights = tensor(&read(&args.model.with_file_name("weights.npy"))?)?;
        let bias = tensor(&read(&args.model.with_file_name("bias.npy"))?)?.reshape((1, (), 1, 1))?;
        let images = tensor(&args.images)?;
        let [padding, stride, dilation, groups] = ["ph", "sh", "dh", "g"].map(|name| sizes[name]);
        Ok(move || {
            let product = images.conv2d(&weights, padding, stride, dilation + 1, groups)?;
            Ok(product.broadcast_add(&bias)?)
        })
    };
    let array = |output: Tensor| {
        let shape = output.dims().to_vec();
        Ok(ArrayD::from_shape_vec(IxDyn(&shape), output.flatten_all()?.to_vec1()?)?)
    };
    work("candle 0.11.1", prepare, array)
}
