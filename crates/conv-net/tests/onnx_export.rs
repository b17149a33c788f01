//! A network as an ONNX model, and back.

mod common;

use common::Kept;
use conv_net::onnx::{self, Model};
use conv_net::{Layer, LayerKind, Linear, Lrn, Synthetic, networks};

#[test]
fn a_network_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    for mut network in networks() {
        // Without dropout, which is not written, and with smaller matrices.
        network.layers.retain(|layer| layer.kind != LayerKind::Dropout);
        for layer in &mut network.layers {
            match &mut layer.kind {
                LayerKind::Linear(Linear { out_features, .. }) => *out_features /= 50,
                // ONNX's is this times the window, and rounded.
                LayerKind::Lrn(Lrn { alpha, size, .. }) => *alpha = *alpha * *size as f32 / *size as f32,
                _ => {}
            }
        }
        for batch in [None, Some(3)] {
            let path = folder.path().join(format!("{}.onnx", network.name));
            onnx::write(&path, &network, batch, &mut Synthetic::new(&network, 4).unwrap()).unwrap();
            let expected = Kept::of(&network, &mut Synthetic::new(&network, 4).unwrap()).unwrap();
            let floats: usize = expected.layers.iter().map(|layer| layer.weights.len() + layer.bias.len()).sum();
            let bytes = std::fs::metadata(&path).unwrap().len() as usize;
            assert!((4 * floats..4 * floats + 4096).contains(&bytes), "{bytes} for {floats} floats");
            let mut model = Model::open(&path).unwrap();
            assert_eq!(*model.network(), network);
            let read = Kept::of(&network, &mut model).unwrap();
            for (read, expected) in read.layers.iter().zip(&expected.layers) {
                assert_eq!((&read.weights, &read.bias), (&expected.weights, &expected.bias), "{}", read.name);
            }
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside them");
}

#[test]
fn weights_that_are_missing_leave_no_file() {
    let [paper, mut other] = networks().try_into().unwrap();
    other.layers.insert(0, Layer::new("relu", LayerKind::Relu));
    let folder = tempfile::tempdir().unwrap();
    let mut weights = Kept { layers: Vec::new() };
    let path = folder.path().join("x.onnx");
    assert!(onnx::write(&path, &paper, None, &mut weights).unwrap_err().to_string().contains("no weights for conv1"));
    assert!(onnx::write(&path, &other, Some(0), &mut weights).unwrap_err().to_string().contains("batch is 0"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
