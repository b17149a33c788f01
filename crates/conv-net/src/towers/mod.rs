//! A network cut for several workers, as AlexNet was for two devices: who computes which channels, and what crosses between them.
//!
//! `DESIGN.md`, under "Towers", says why it is as it is.

mod cut;
mod pass;
mod peers;
mod rules;
mod share;

pub use cut::{Crossing, Split, TowerError, Towers};
pub use pass::{TowerPass, TowerRunError};
pub use peers::{PeerError, Peers, Threads};
