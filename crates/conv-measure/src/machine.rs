//! The machine that measures: its identity and its pools of threads.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use conv_simd::flush_denormals;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Threads that a pool may have.
pub const MAX_THREADS: usize = 1024;

/// Processor, caches, and when this run began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Processor name.
    pub cpu: String,
    /// Data caches of one core, bytes, from the first level on; empty where the system does not tell.
    pub caches: Vec<usize>,
    /// When this value was made, UTC, `2026-01-31T12:00:00Z`.
    pub date: String,
}

impl Machine {
    /// Asks the system.
    pub fn detect() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find(|line| line.starts_with("model name"));
        let cpu = model.and_then(|line| line.split_once(':')).map(|(_, name)| name.trim().to_owned());
        Machine {
            cpu: cpu.unwrap_or_else(|| format!("unknown {}", std::env::consts::ARCH)),
            caches: data_caches(),
            date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        }
    }
}

/// Threads that this machine runs at once.
pub fn hardware_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS)
}

/// Threads that the whole machine runs at once, whatever of it this process is bound to.
pub fn online_threads() -> usize {
    let online = fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    // As in `0-3,8`.
    let count = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(last.parse::<usize>().ok()?.checked_sub(first.parse().ok()?)? + 1)
    };
    let all = online.trim().split(',').map(count).sum::<Option<usize>>();
    all.unwrap_or_else(hardware_threads).max(hardware_threads())
}

/// A pool that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// None, or more than [`MAX_THREADS`].
    #[error("{0} threads cannot be used: give 1 to {MAX_THREADS}")]
    Count(usize),
    /// The system gave no more threads.
    #[error("{0} threads could not be started: {1}")]
    System(usize, rayon::ThreadPoolBuildError),
}

/// A pool of `threads` threads, each of which treats denormal floats as zero ([`flush_denormals`]): everything that is
/// checked or measured runs in such a pool.
///
/// # Errors
/// [`PoolError`] if that many threads are too many, or none.
pub fn pool(threads: usize) -> Result<ThreadPool, PoolError> {
    if threads == 0 || threads > MAX_THREADS {
        return Err(PoolError::Count(threads));
    }
    let builder = ThreadPoolBuilder::new().num_threads(threads).start_handler(|_| flush_denormals());
    builder.build().map_err(|error| PoolError::System(threads, error))
}

/// Sizes of the data and unified caches of one core that Linux lists, by level.
pub(crate) fn data_caches() -> Vec<usize> {
    let folder = Path::new("/sys/devices/system/cpu/cpu0/cache");
    let entry = |index: usize| {
        let read = |name: &str| fs::read_to_string(folder.join(format!("index{index}/{name}")));
        let kib = read("size").ok()?.trim().strip_suffix('K')?.parse::<usize>().ok()?;
        Some((read("type").ok()?, read("level").ok()?.trim().parse::<usize>().ok()?, kib << 10))
    };
    let mut caches: Vec<_> = (0..8).filter_map(entry).filter(|(kind, ..)| kind.trim() != "Instruction").collect();
    caches.sort_by_key(|(_, level, _)| *level);
    caches.into_iter().map(|(.., bytes)| bytes).collect()
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn pools_flush_denormals_on_every_thread() {
        let products = pool(3).unwrap().broadcast(|_| black_box(1e-30_f32) * black_box(1e-10_f32));
        assert_eq!(products, [0.0; 3]);
        assert!(matches!(pool(0), Err(PoolError::Count(0))));
        assert!(matches!(pool(MAX_THREADS + 1), Err(PoolError::Count(_))));
    }
}
