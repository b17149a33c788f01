//! A network as an ONNX model.

use alexnet::{Weights, onnx, paper};

#[test]
fn every_weight_is_in_the_file_once() {
    let mut network = paper();
    // Without the large layers.
    network.layers.truncate(10);
    let weights = Weights::synthetic(&network, 4).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("paper.onnx");
    onnx::write(&path, &network, None, &weights).unwrap();
    let file = std::fs::read(&path).unwrap();
    let floats: usize = weights.layers.iter().map(|layer| layer.weights.len() + layer.bias.len()).sum();
    assert!((4 * floats..4 * floats + 4096).contains(&file.len()), "{} for {floats} floats", file.len());
    let last: Vec<u8> = weights.layers.last().unwrap().bias.iter().flat_map(|bias| bias.to_le_bytes()).collect();
    assert!(file.ends_with(&last));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
}
