//! A model of scale: what a forward pass takes when several ranks share it, from what one takes and what crossing costs.
//!
//! METHODOLOGY.md, under "Scale", has the formulas and what they leave out.

use std::collections::BTreeMap;

use conv_net::{PeerError, Peers, Towers};

/// What a layer takes with nobody beside it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerCost {
    /// Nanoseconds a pass.
    pub ns: f64,
    /// Bytes of prepared weights that must come from memory for it.
    pub streamed_bytes: f64,
}

/// How ranks reach each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// Nanoseconds of an exchange of nothing.
    pub latency_ns: f64,
    /// Bytes a nanosecond, each way.
    pub bytes_per_ns: f64,
}

impl Link {
    fn ns(self, bytes: usize) -> f64 {
        self.latency_ns + bytes as f64 / self.bytes_per_ns
    }
}

/// Where ranks compute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Bytes a nanosecond that a rank alone reads from memory.
    pub alone: f64,
    /// Bytes a nanosecond that each reads while all do: less, where they share a machine.
    pub together: f64,
}

impl Place {
    /// Ranks that have a machine each.
    pub fn apart(self) -> Place {
        Place { together: self.alone, ..self }
    }

    /// Nanoseconds that `layers` take beside others: longer by what reading their weights then takes longer.
    pub fn computing(self, layers: &[LayerCost]) -> f64 {
        let beside = |layer: &LayerCost| {
            let reading = (layer.streamed_bytes / self.alone).min(layer.ns);
            layer.ns + reading * (self.alone / self.together - 1.0)
        };
        layers.iter().map(beside).sum()
    }
}

/// Nanoseconds of all exchanges of `towers`: of each its latency and the bytes of the worker that sends or receives most.
pub fn exchanging(towers: &Towers, link: Link) -> f64 {
    // What a worker sends and receives after each phase.
    let mut exchanges: BTreeMap<usize, Vec<[usize; 2]>> = BTreeMap::new();
    for crossing in towers.crossings() {
        let bytes = exchanges.entry(crossing.phase).or_insert_with(|| vec![[0; 2]; towers.workers()]);
        for (worker, [sent, received]) in bytes.iter_mut().enumerate() {
            *sent += crossing.sent_bytes[worker];
            *received += crossing.received_bytes[worker];
        }
    }
    exchanges.values().map(|bytes| link.ns(bytes.iter().flatten().copied().max().unwrap_or(0))).sum()
}

/// Nanoseconds of gathering the outputs of a batch with the first of `ranks`, which has its share of them.
pub fn gathering(images: usize, ranks: usize, output_bytes: usize, link: Link) -> f64 {
    if ranks > 1 { link.ns((images - images / ranks) * output_bytes) } else { 0.0 }
}

/// The first of so many workers with nobody beside it: what others would send stays as it is. Its results are wrong, and take as
/// long.
pub struct Alone(pub usize);

impl Peers for Alone {
    fn worker(&self) -> usize {
        0
    }

    fn workers(&self) -> usize {
        self.0
    }

    fn exchange(&mut self, _: &[Vec<f32>], _: &mut [Vec<f32>], meanwhile: &mut dyn FnMut()) -> Result<(), PeerError> {
        meanwhile();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conv_net::{Split, paper};

    const LINK: Link = Link { latency_ns: 1000.0, bytes_per_ns: 2.0 };

    #[test]
    fn exchanges_take_their_latency_and_their_bytes() {
        let towers = Towers::new(&paper(1).unwrap(), 2, Split::Groups, 1).unwrap();
        // Seven exchanges; of each the same is sent as received.
        let bytes = 4.0 * f64::from(55 * 55 * 2 + 27 * 27 * 2 + 13 * 13 * 128 + 6 * 6 * 128 + 2 * 2048 + 500);
        let ns = exchanging(&towers, LINK);
        assert!((ns - (7.0 * 1000.0 + bytes / 2.0)).abs() < 1e-3, "{ns}");
        assert_eq!(gathering(16, 2, 4000, LINK), 1000.0 + 8.0 * 4000.0 / 2.0);
        assert_eq!(gathering(16, 1, 4000, LINK), 0.0);
    }

    #[test]
    fn weights_come_slower_while_others_read() {
        let place = Place { alone: 10.0, together: 5.0 };
        // Ten of the twelve nanoseconds are for reading, and become twenty.
        let layers = [LayerCost { ns: 12.0, streamed_bytes: 100.0 }, LayerCost { ns: 7.0, streamed_bytes: 0.0 }];
        assert_eq!(place.computing(&layers), 29.0);
        assert_eq!(place.apart().computing(&layers), 19.0);
    }
}
