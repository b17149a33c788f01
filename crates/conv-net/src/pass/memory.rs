//! What a forward pass keeps in memory.

use crate::network::ValueId;

/// Memory of what a pass executes as one: a layer or a chain of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerMemory {
    /// The layer's name, or those of the first and the last of a chain that is computed as one.
    pub name: String,
    /// All of these.
    pub layers: Vec<String>,
    /// The value that it writes: its node's, or that of the last node which is executed with it.
    pub output: ValueId,
    /// Who computes it; only convolutions and fully connected layers have a choice.
    pub algorithm: Option<&'static str>,
    /// Bytes of prepared weights.
    pub prepared_bytes: usize,
    /// Bytes of the common scratch that it uses.
    pub scratch_bytes: usize,
    /// Bytes of its output, all images together.
    pub activation_bytes: usize,
    /// Bytes of activations that are alive while it runs, its inputs and output among them.
    pub alive_bytes: usize,
}

/// Everything that a pass keeps in memory, known before the first run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryPlan {
    /// The layers that are executed, in order.
    pub layers: Vec<LayerMemory>,
    /// Bytes of prepared weights, all layers together.
    pub prepared_bytes: usize,
    /// Bytes of the one scratch that all layers share: the largest need.
    pub scratch_bytes: usize,
    /// Bytes of the one arena in which all activations lie while they are needed.
    pub activation_bytes: usize,
    /// The most bytes of activations that are alive at once: no arena can be smaller.
    pub least_activation_bytes: usize,
}

impl MemoryPlan {
    /// Bytes of all of it.
    pub fn total_bytes(&self) -> usize {
        self.prepared_bytes + self.scratch_bytes + self.activation_bytes
    }

    pub(super) fn push(&mut self, layer: LayerMemory) {
        self.prepared_bytes += layer.prepared_bytes;
        self.scratch_bytes = self.scratch_bytes.max(layer.scratch_bytes);
        self.layers.push(layer);
    }
}
