//! The joint choice over layers: the least time within limits, exactly.
//!
//! Scratch is shared, so a limit of it holds for each layer alone; prepared weights add up, so a limit of them is one for
//! all layers together: a knapsack with one item from each layer. Solved layer by layer over the sums of time and weights
//! that no other sum beats in both.

use conv_core::format_bytes;

/// What one method costs in one layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Nanoseconds; whole numbers, so that sums are exact.
    pub time_ns: u64,
    /// Bytes of scratch, which all layers share.
    pub scratch_bytes: usize,
    /// Bytes of prepared weights, which add up.
    pub prepared_bytes: usize,
    /// Largest error over the largest output.
    pub error: f64,
}

/// What a choice may cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Bytes of scratch.
    pub workspace_bytes: Option<usize>,
    /// Bytes of prepared weights of all layers together.
    pub weights_bytes: Option<usize>,
    /// Error of each layer.
    pub error: f64,
}

impl Limits {
    fn admit(&self, cost: &Cost) -> bool {
        cost.error <= self.error && self.workspace_bytes.is_none_or(|limit| cost.scratch_bytes <= limit)
    }
}

/// Limits that nothing keeps to.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Infeasible {
    /// No method of a layer is exact enough.
    #[error("{layer}: no method has an error below {limit:e}; the smallest is {smallest:.1e}: raise --max-error")]
    Error {
        /// The layer.
        layer: String,
        /// The smallest error of its methods; infinite if there is none.
        smallest: f64,
        /// The limit.
        limit: f64,
    },
    /// No exact enough method of a layer needs so little scratch.
    #[error(
        "{layer}: no method within the error works with {} of scratch; the least is {}: raise --workspace-limit",
        format_bytes(*limit as f64), format_bytes(*smallest as f64)
    )]
    Workspace {
        /// The layer.
        layer: String,
        /// The least scratch of its methods.
        smallest: usize,
        /// The limit.
        limit: usize,
    },
    /// The layers' smallest weights together are too large.
    #[error(
        "prepared weights of {} cannot be: those of all layers together need at least {}, of which {layer} {}: raise \
         --weights-limit",
        format_bytes(*limit as f64), format_bytes(*smallest as f64), format_bytes(*of_layer as f64)
    )]
    Weights {
        /// The layer with the largest share.
        layer: String,
        /// Its share.
        of_layer: usize,
        /// The least that all layers need.
        smallest: usize,
        /// The limit.
        limit: usize,
    },
}

/// One sum over the layers so far that no other one beats.
#[derive(Debug, Clone, Copy)]
struct Sum {
    time_ns: u64,
    bytes: usize,
    /// The layer's method, and the sum over the layers before that it was added to.
    method: usize,
    before: usize,
}

/// The method of each layer with which the sum of times is least, and of those choices the one with the least weights.
/// `layers` are names and the costs of their methods.
///
/// # Errors
/// [`Infeasible`] if no choice keeps to `limits`.
pub fn optimise(layers: &[(String, Vec<Cost>)], limits: &Limits) -> Result<Vec<usize>, Infeasible> {
    let mut admitted = Vec::new();
    for (layer, costs) in layers {
        admitted.push(admit(layer, costs, limits)?);
    }
    // What the layers from each on need at least.
    let mut least = vec![0; layers.len() + 1];
    for (index, methods) in admitted.iter().enumerate().rev() {
        least[index] = least[index + 1] + smallest(methods);
    }
    let limit = limits.weights_bytes.unwrap_or(usize::MAX);
    if least[0] > limit {
        let largest = (0..layers.len()).max_by_key(|&index| smallest(&admitted[index])).unwrap_or_default();
        let (layer, of_layer) = (layers[largest].0.clone(), smallest(&admitted[largest]));
        return Err(Infeasible::Weights { layer, of_layer, smallest: least[0], limit });
    }
    let mut stages: Vec<Vec<Sum>> = vec![vec![Sum { time_ns: 0, bytes: 0, method: 0, before: 0 }]];
    for (index, methods) in admitted.iter().enumerate() {
        let before = stages.last().map_or(&[][..], Vec::as_slice);
        let sums = before.iter().enumerate().flat_map(|(before, sum)| {
            methods.iter().map(move |&(method, cost)| Sum {
                time_ns: sum.time_ns + cost.time_ns,
                bytes: sum.bytes + cost.prepared_bytes,
                method,
                before,
            })
        });
        let fits = sums.filter(|sum| sum.bytes.saturating_add(least[index + 1]) <= limit).collect();
        let undominated = if limits.weights_bytes.is_some() { front(fits) } else { first(fits) };
        stages.push(undominated);
    }
    // The front is sorted by time: its first is the fastest that fits.
    let mut at = 0;
    let mut choice: Vec<usize> = stages[1..]
        .iter()
        .rev()
        .map(|stage| {
            let Sum { method, before, .. } = stage[at];
            at = before;
            method
        })
        .collect();
    choice.reverse();
    Ok(choice)
}

/// The methods of one layer that keep to its limits, with their places.
fn admit<'a>(layer: &str, costs: &'a [Cost], limits: &Limits) -> Result<Vec<(usize, &'a Cost)>, Infeasible> {
    let exact = || costs.iter().filter(|cost| cost.error <= limits.error);
    if exact().next().is_none() {
        let smallest = costs.iter().map(|cost| cost.error).fold(f64::INFINITY, f64::min);
        return Err(Infeasible::Error { layer: layer.into(), smallest, limit: limits.error });
    }
    let methods: Vec<_> = costs.iter().enumerate().filter(|(_, cost)| limits.admit(cost)).collect();
    match (methods.is_empty(), limits.workspace_bytes) {
        (true, Some(limit)) => {
            let smallest = exact().map(|cost| cost.scratch_bytes).min().unwrap_or_default();
            Err(Infeasible::Workspace { layer: layer.into(), smallest, limit })
        }
        _ => Ok(methods),
    }
}

fn smallest(methods: &[(usize, &Cost)]) -> usize {
    methods.iter().map(|(_, cost)| cost.prepared_bytes).min().unwrap_or_default()
}

/// Those of `sums` that no other one beats in both, by time.
fn front(mut sums: Vec<Sum>) -> Vec<Sum> {
    sums.sort_by_key(|sum| (sum.time_ns, sum.bytes));
    let mut least = usize::MAX;
    // One of the same weights that comes later is no faster.
    sums.retain(|sum| {
        let kept = sum.bytes < least;
        least = least.min(sum.bytes);
        kept
    });
    sums
}

/// The fastest of `sums`, and of those the one with the least weights.
fn first(sums: Vec<Sum>) -> Vec<Sum> {
    sums.into_iter().min_by_key(|sum| (sum.time_ns, sum.bytes)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cost(time_ns: u64, scratch_bytes: usize, prepared_bytes: usize, error: f64) -> Cost {
        Cost { time_ns, scratch_bytes, prepared_bytes, error }
    }

    fn layers(costs: Vec<Vec<Cost>>) -> Vec<(String, Vec<Cost>)> {
        costs.into_iter().enumerate().map(|(index, costs)| (format!("conv{index}"), costs)).collect()
    }

    const UNLIMITED: Limits = Limits { workspace_bytes: None, weights_bytes: None, error: 1.0 };

    /// Every choice, one after the other: the least time, and of those the least weights.
    fn brute_force(layers: &[(String, Vec<Cost>)], limits: &Limits) -> Option<(u64, usize)> {
        let mut sums = vec![(0, 0)];
        for (_, costs) in layers {
            let admitted = costs.iter().filter(|cost| {
                cost.error <= limits.error && cost.scratch_bytes <= limits.workspace_bytes.unwrap_or(usize::MAX)
            });
            sums = admitted
                .flat_map(|cost| sums.iter().map(|sum| (sum.0 + cost.time_ns, sum.1 + cost.prepared_bytes)))
                .collect();
        }
        sums.into_iter().filter(|sum| sum.1 <= limits.weights_bytes.unwrap_or(usize::MAX)).min()
    }

    proptest! {
        #[test]
        fn as_good_as_trying_all(
            costs in proptest::collection::vec(
                proptest::collection::vec((0..9_u64, 0..5_usize, 0..9_usize, 0..3_u8), 1..5), 1..6),
            workspace in proptest::option::of(0..5_usize),
            weights in proptest::option::of(0..30_usize),
            error in 0..3_u8,
        ) {
            let made = |c: &(u64, usize, usize, u8)| cost(c.0, c.1, c.2, f64::from(c.3));
            let layers = layers(costs.iter().map(|costs| costs.iter().map(made).collect()).collect());
            let limits = Limits { workspace_bytes: workspace, weights_bytes: weights, error: f64::from(error) };
            let expected = brute_force(&layers, &limits);
            match optimise(&layers, &limits) {
                Ok(choice) => {
                    let chosen: Vec<&Cost> = layers.iter().zip(&choice).map(|((_, costs), &i)| &costs[i]).collect();
                    prop_assert!(chosen.iter().all(|cost| limits.admit(cost)));
                    let sum = (chosen.iter().map(|cost| cost.time_ns).sum(),
                        chosen.iter().map(|cost| cost.prepared_bytes).sum());
                    prop_assert_eq!(Some(sum), expected);
                }
                Err(error) => prop_assert_eq!(None, expected, "{}", error),
            }
        }
    }

    #[test]
    fn greedy_would_spend_on_the_wrong_layer() {
        // The first layer gains 5 for 10 bytes, the second 4 for 4, the third 3 for 4.
        let of = |gain: u64, bytes| vec![cost(10, 0, 0, 0.0), cost(10 - gain, 0, bytes, 0.0)];
        let layers = layers(vec![of(5, 10), of(4, 4), of(3, 4)]);
        let limits = Limits { weights_bytes: Some(10), ..UNLIMITED };
        assert_eq!(optimise(&layers, &limits).unwrap(), [0, 1, 1]);
        assert_eq!(optimise(&layers, &UNLIMITED).unwrap(), [1, 1, 1]);
    }

    #[test]
    fn what_cannot_be_is_said_with_the_layer_and_what_can() {
        let layers =
            layers(vec![vec![cost(1, 8, 4, 1e-7)], vec![cost(1, 2048, 3000, 2e-7), cost(1, 4096, 2000, 1e-7)]]);
        let message = |limits: Limits| optimise(&layers, &limits).unwrap_err().to_string();
        let text = message(Limits { error: 1e-9, ..UNLIMITED });
        assert!(text.starts_with("conv0: ") && text.contains("smallest is 1.0e-7"), "{text}");
        let text = message(Limits { workspace_bytes: Some(1024), ..UNLIMITED });
        assert!(text.starts_with("conv1: ") && text.contains("least is 2 KiB"), "{text}");
        let text = message(Limits { weights_bytes: Some(10), ..UNLIMITED });
        assert!(text.contains("at least 1.96 KiB, of which conv1 1.95 KiB"), "{text}");
    }
}
