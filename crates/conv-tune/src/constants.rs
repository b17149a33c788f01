//! What the cost model knows of a machine.

use conv_measure::{BANDWIDTH_BYTES, Machine, PeakProbe, Stream};
use conv_simd::{AllocationError, Core, Isa};
use rayon::ThreadPool;
use serde::{Deserialize, Serialize};

/// Speeds of all threads of a pool together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constants {
    /// Multiply-add peak, GFLOP/s.
    pub peak_gflops: f64,
    /// L2 of one core, bytes.
    pub l2_bytes: usize,
    /// L3, bytes: this machine's share of it.
    pub l3_bytes: usize,
    /// Read bandwidth of L2, GB/s.
    pub l2_gb_s: f64,
    /// Read bandwidth of L3, GB/s.
    pub l3_gb_s: f64,
    /// Read bandwidth of main memory, GB/s.
    pub memory_gb_s: f64,
}

/// L2 and L3 where the system does not tell: those of a server of today.
const CACHES: [usize; 2] = [1 << 20, 32 << 20];

/// What one core does in a cycle, and how much of memory's bytes all have together.
struct Rates {
    /// The widest vector of which it multiplies and adds two, in floats.
    lanes: usize,
    /// Bytes that each core reads.
    l2: f64,
    /// Bytes that each core reads.
    l3: f64,
    /// Bytes that one core reads alone.
    memory: f64,
    /// Cores whose memory rates add up.
    memory_cores: f64,
}

impl Constants {
    /// Ratios of a server of today, the same at every call: only the ratios decide a choice. Read bandwidths as measured on
    /// a Zen 4 at about 3.7 GHz, a Zen 5 at 4.2, and a Xeon of the fifth generation at 2.7 GHz with 2 MiB of L2, whose L3 is
    /// hardly faster than its memory.
    pub fn nominal(core: Core, isa: Isa, threads: usize) -> Self {
        const GHZ: f64 = 4.2;
        let [l2_bytes, l3_bytes] = if core == Core::Intel { [2 << 20, 32 << 20] } else { CACHES };
        let rates = match core {
            Core::Intel => Rates { lanes: 16, l2: 38.0, l3: 7.5, memory: 5.5, memory_cores: 8.0 },
            Core::Zen4 => Rates { lanes: 8, l2: 31.0, l3: 27.0, memory: 9.0, memory_cores: 1.1 },
            Core::Other => Rates { lanes: 16, l2: 56.0, l3: 30.0, memory: 11.0, memory_cores: 1.25 },
        };
        let lanes = isa.lanes().min(rates.lanes);
        let cores = threads as f64;
        Constants {
            peak_gflops: 4.0 * lanes as f64 * GHZ * cores,
            l2_bytes,
            l3_bytes,
            l2_gb_s: rates.l2 * GHZ * cores,
            l3_gb_s: rates.l3 * GHZ * cores,
            memory_gb_s: rates.memory * GHZ * cores.min(rates.memory_cores),
        }
    }

    /// Measured on all threads of `pool`, in about a third of a second.
    ///
    /// # Errors
    /// [`AllocationError`] if there is no memory to read.
    pub fn measure(pool: &ThreadPool, isa: Isa, machine: &Machine) -> Result<Self, AllocationError> {
        let level = |index: usize| machine.caches.get(1 + index).copied().unwrap_or(CACHES[index]);
        let (l2_bytes, mut l3_bytes) = (level(0), level(1));
        let threads = pool.current_num_threads();
        let gb_s = |bytes: usize, attempts, passes| {
            Ok::<_, AllocationError>(Stream::with_bytes(bytes)?.gb_s(pool, isa, [attempts, passes]))
        };
        // Half of each level, so that it stays there.
        let l2_gb_s = gb_s(threads * l2_bytes / 2, 10, 16)?;
        let l3_gb_s = gb_s((threads * l2_bytes * 4).min(l3_bytes / 2), 10, 2)?;
        let memory_gb_s = gb_s(BANDWIDTH_BYTES, 5, 1)?;
        // A guest is told of the whole cache of a host that it shares: of 300 MiB, 64 MiB were read as slowly as memory.
        while l3_bytes > 16 * l2_bytes && gb_s(l3_bytes / 2, 5, 1)?.powi(2) < l3_gb_s * memory_gb_s {
            l3_bytes /= 2;
        }
        let peak_gflops = PeakProbe::new(pool, isa, std::time::Duration::from_millis(5)).gflops(pool, 10);
        Ok(Constants { peak_gflops, l2_bytes, l3_bytes, l2_gb_s, l3_gb_s, memory_gb_s })
    }

    /// Bytes that stay in L3, three quarters of it.
    pub fn in_l3(&self) -> f64 {
        0.75 * self.l3_bytes as f64
    }

    /// GB/s at which `threads` workers read `bytes` that they have read before: what fits into L2 from there, what fits into
    /// three quarters of L3 from there, and the rest from memory.
    pub fn gb_s(&self, bytes: f64, threads: usize) -> f64 {
        let share = |cache: f64| if bytes > cache { cache / bytes } else { 1.0 };
        let l2 = share((self.l2_bytes * threads) as f64);
        let l3 = share(self.in_l3()).max(l2);
        1.0 / (l2 / self.l2_gb_s + (l3 - l2) / self.l3_gb_s + (1.0 - l3) / self.memory_gb_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_read_from_the_next_level() {
        for core in Core::ALL {
            let constants = Constants::nominal(core, Isa::best(), 2);
            let [l2, l3] = [2 * constants.l2_bytes, constants.l3_bytes].map(|bytes| bytes as f64);
            assert_eq!(constants.gb_s(0.0, 2), constants.l2_gb_s);
            assert_eq!(constants.gb_s(l2, 2), constants.l2_gb_s);
            let half = constants.gb_s(2.0 * l2, 2);
            let expected = 2.0 / (1.0 / constants.l2_gb_s + 1.0 / constants.l3_gb_s);
            assert!((half / expected - 1.0).abs() < 1e-9, "{half} {expected}");
            assert!(constants.gb_s(100.0 * l3, 2) < 1.1 * constants.memory_gb_s);
            let speeds: Vec<f64> = (0..40).map(|power| constants.gb_s(f64::from(power).exp2(), 2)).collect();
            assert!(speeds.is_sorted_by(|a, b| a >= b), "{speeds:?}");
        }
    }
}
