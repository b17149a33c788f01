//! What exchanges take here, and what reading memory takes, alone and together.

use std::time::Instant;

use conv_measure::Samples;
use conv_net::{PeerError, Peers, TowerRunError};

use crate::cli::CliError;
use crate::scale::Link;

/// Floats of the message by which a bandwidth is measured, and messages of each size.
const MESSAGE: usize = 1 << 20;
const MESSAGES: usize = 20;

/// Why one of those who measure together ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum MemberError {
    /// For a reason of its own.
    #[error("{0}")]
    Own(String),
    /// For another's.
    #[error(transparent)]
    Peer(#[from] PeerError),
}

impl From<TowerRunError> for MemberError {
    fn from(error: TowerRunError) -> Self {
        match error {
            TowerRunError::Peer(error) => error.into(),
            TowerRunError::Run(error) => MemberError::Own(error.to_string()),
        }
    }
}

impl From<CliError> for MemberError {
    fn from(error: CliError) -> Self {
        MemberError::Own(error.to_string())
    }
}

/// What every worker tells, with every worker; all wait for the last.
pub(super) fn all_tell(peers: &mut dyn Peers, value: f64) -> Result<Vec<f64>, PeerError> {
    let mut receives = vec![vec![0.0]; peers.workers()];
    receives[peers.worker()].clear();
    let mut sends = vec![vec![value as f32]; peers.workers()];
    sends[peers.worker()].clear();
    peers.exchange(&sends, &mut receives, &mut || {})?;
    receives[peers.worker()] = vec![value as f32];
    Ok(receives.concat().into_iter().map(f64::from).collect())
}

/// Read bandwidths of one alone, and of each while all read, on average.
pub(super) fn bandwidths(peers: &mut dyn Peers, read: impl Fn() -> f64) -> Result<[f64; 2], PeerError> {
    let alone = if peers.worker() == 0 { read() } else { 0.0 };
    let alone = all_tell(peers, alone)?[0];
    let each = all_tell(peers, read())?;
    Ok([alone, each.iter().sum::<f64>() / each.len() as f64])
}

/// What an exchange of the first two takes, and its bandwidth.
pub(super) fn link(peers: &mut dyn Peers) -> Result<Link, PeerError> {
    let mut median = |floats: usize| {
        let mut sends = vec![Vec::new(); peers.workers()];
        if peers.worker() < 2 {
            sends[1 - peers.worker()] = vec![0.0; floats];
        }
        let (mut receives, mut samples) = (sends.clone(), Samples::default());
        for _ in 0..MESSAGES {
            let start = Instant::now();
            peers.exchange(&sends, &mut receives, &mut || {})?;
            samples.push(start.elapsed().as_nanos() as f64);
        }
        Ok::<_, PeerError>(samples.median())
    };
    let [nothing, message] = [median(1)?, median(MESSAGE)?];
    let bytes = (size_of::<f32>() * MESSAGE) as f64;
    // A long message takes no less than a short one, whatever else the machine did meanwhile.
    Ok(Link { latency_ns: nothing, bytes_per_ns: bytes / (message - nothing).max(1.0) })
}
