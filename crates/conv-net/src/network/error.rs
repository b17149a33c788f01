//! What keeps nodes from being a network.

use crate::operators::OperatorError;
use crate::shape::ShapeError;
use crate::text::{plain, shown};

/// Why nodes are no network, or none that can be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// No network of this name.
    #[error("no network is called '{name}'; the names are {known}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// Every known name.
        known: String,
    },
    /// No node or value of this name.
    #[error("{network} has no layer called '{name}'; `convlab describe` lists them")]
    NoSuchLayer {
        /// The network.
        network: String,
        /// The name asked for.
        name: String,
    },
    /// Nothing to compute.
    #[error("{network} has no layer that computes anything")]
    Empty {
        /// The network.
        network: String,
    },
    /// Two nodes, or values, of one name.
    #[error(
        "{network} has two {what} called {}; weights and results are found by name, so names must differ",
        shown(name)
    )]
    DuplicateName {
        /// The network.
        network: String,
        /// `layers` or `values`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A node that does not fit its inputs.
    #[error("{} {source}", plain(node))]
    Operator {
        /// `network/node`.
        node: String,
        /// Why.
        source: OperatorError,
    },
    /// An input that is no tensor.
    #[error("{}: {source}", plain(input))]
    Input {
        /// `network/input`.
        input: String,
        /// Why.
        source: ShapeError,
    },
    /// A node that is not computed here.
    #[error("{} ({operator}) {reason}; `convlab bench` takes the network's convolutions nevertheless", plain(node))]
    Opaque {
        /// `network/node`.
        node: String,
        /// What its format calls it.
        operator: String,
        /// Why.
        reason: String,
    },
    /// A tensor whose shape does not follow from what is known.
    #[error("the shape of {} is not known", plain(value))]
    UnknownShape {
        /// `network/value`.
        value: String,
    },
}
