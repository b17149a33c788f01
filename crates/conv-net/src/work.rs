//! What a layer of a forward pass has to do, whoever does it.

use conv_core::Problem;

use crate::network::{LayerKind, Pool, ShapedLayer};

/// The least work of one layer that a pass executes, all images together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerWork {
    /// Floating-point operations of the direct method, two a multiply-add, taps in the padding not counted. Beside
    /// convolutions and fully connected layers: of a normalisation two for each float of its window and four more a
    /// float (scale, offset, power, product), of a pooling one for each float of a window that is no padding, of a
    /// softmax four a float (maximum, exponential, sum, quotient), of a ReLU one.
    pub flops: u128,
    /// Bytes of weights and biases, f32.
    pub weight_bytes: u128,
    /// Bytes of input and output, f32.
    pub activation_bytes: u128,
}

impl LayerWork {
    /// Of `layer` on `batch` images, and of the `pool` that is executed with it.
    pub(crate) fn new(layer: &ShapedLayer<'_>, pool: Option<(&Pool, usize)>, batch: usize) -> Self {
        let floats = layer.input.floats() as u128;
        let pooled = |pool: &Pool| {
            let [height, width] = pool.axes(layer.input);
            height.valid_pairs() * width.valid_pairs() * layer.input.channels as u128
        };
        // Of one image, where there is no problem that knows the batch.
        let flops = match layer.layer.kind {
            LayerKind::Lrn(lrn) => floats * (2 * lrn.size.min(layer.input.channels) as u128 + 4),
            LayerKind::MaxPool(pool) => pooled(&pool),
            LayerKind::AveragePool(average) => pooled(&average.pool),
            LayerKind::Relu => floats,
            LayerKind::Softmax => 4 * floats,
            LayerKind::Conv(_) | LayerKind::Linear(_) | LayerKind::Dropout => 0,
        };
        let (pool_flops, output) = pool.map_or((0, layer.output.floats()), |(pool, output)| (pooled(pool), output));
        LayerWork {
            flops: layer.problem.as_ref().map_or(0, Problem::flops_inside) + batch as u128 * (flops + pool_flops),
            weight_bytes: 4 * layer.parameters() as u128,
            activation_bytes: 4 * batch as u128 * (floats + output as u128),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{AveragePool, Conv, Layer, Linear, Lrn, Network, Shape, Window};

    fn work(input: Shape, kind: LayerKind, batch: usize) -> LayerWork {
        let network = Network { name: "net".into(), input, layers: vec![Layer::new("layer", kind)] };
        let layers = network.infer(batch).unwrap();
        LayerWork::new(&layers[0], None, batch)
    }

    #[test]
    fn counted_by_hand() {
        let windows = [Window { kernel: 2, stride: 2, pad: [1, 0], dilation: 1 }; 2];
        let input = Shape::new(3, 3, 4);
        // Of each axis one tap of the first output and two of the second are inside.
        let conv = Conv { out_channels: 6, windows, groups: 2, relu: true };
        let conv = work(input, LayerKind::Conv(conv), 2);
        assert_eq!(conv.flops, 2 * 2 * 3 * 3 * 6 * 2);
        assert_eq!(conv.weight_bytes, 4 * (6 * 2 * 2 * 2 + 6));
        assert_eq!(conv.activation_bytes, 4 * 2 * (3 * 3 * 4 + 2 * 2 * 6));
        let linear = work(input, LayerKind::Linear(Linear { out_features: 5, relu: false }), 3);
        assert_eq!((linear.flops, linear.weight_bytes), (2 * 3 * 36 * 5, 4 * (36 * 5 + 5)));
        let pool = Pool { windows, ceil: false };
        for kind in [LayerKind::MaxPool(pool), LayerKind::AveragePool(AveragePool { pool, count_padding: true })] {
            let pool = work(input, kind, 2);
            assert_eq!((pool.flops, pool.weight_bytes), (2 * 3 * 3 * 4, 0));
            assert_eq!(pool.activation_bytes, 4 * 2 * (36 + 16));
        }
        let lrn = |size| LayerKind::Lrn(Lrn { size, k: 1.0, alpha: 1.0, beta: 0.75 });
        assert_eq!(work(input, lrn(3), 2).flops, 2 * 36 * (2 * 3 + 4));
        assert_eq!(work(input, lrn(9), 2).flops, 2 * 36 * (2 * 4 + 4), "a window has no more channels than there are");
        assert_eq!(work(input, LayerKind::Softmax, 2).flops, 2 * 36 * 4);
        assert_eq!(work(input, LayerKind::Relu, 2).flops, 2 * 36);
    }

    #[test]
    fn a_normalisation_and_its_pooling_are_one() {
        let pool = Pool { windows: Window::square(2, 1, 0), ceil: false };
        let kinds = [LayerKind::Lrn(Lrn { size: 3, k: 1.0, alpha: 1.0, beta: 0.75 }), LayerKind::MaxPool(pool)];
        let layers = kinds.iter().enumerate().map(|(i, kind)| Layer::new(i.to_string(), *kind)).collect();
        let network = Network { name: "net".into(), input: Shape::new(3, 3, 4), layers };
        let layers = network.infer(2).unwrap();
        let both = LayerWork::new(&layers[0], Some((&pool, layers[1].output.floats())), 2);
        assert_eq!(both.flops, 2 * (36 * (2 * 3 + 4) + 4 * 4 * 4));
        assert_eq!(both.activation_bytes, 4 * 2 * (36 + 16), "what lies between them is not moved");
    }
}
