//! The two limits that every figure is held against, multiply-add peak and read bandwidth, and the distance of two cores.

use std::hint::{self, black_box};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use conv_simd::{AlignedBuffer, AllocationError, Isa, Simd, SimdOp};
use rayon::ThreadPool;

use crate::machine::data_caches;

/// Peak and bandwidth of one pool, and the cache before the memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Multiply-add peak, GFLOP/s, two operations a multiply-add. (`portable` has no fused instruction: the rate of
    /// multiplications and additions side by side.)
    pub peak_gflops: f64,
    /// Read bandwidth of main memory, GB/s.
    pub bandwidth_gb_s: f64,
    /// Last-level cache, bytes; 0 where the system does not tell. At most half of [`BANDWIDTH_BYTES`]: if more than that fits
    /// into a cache, its bandwidth is what was measured.
    pub cache_bytes: usize,
}

impl Limits {
    /// Measures both on all threads of `pool`, in about a fifth of a second.
    ///
    /// # Errors
    /// [`AllocationError`] if there is no memory to read.
    pub fn measure(pool: &ThreadPool, isa: Isa) -> Result<Limits, AllocationError> {
        Ok(Limits {
            peak_gflops: peak_gflops(pool, isa),
            bandwidth_gb_s: bandwidth_gb_s(pool, isa)?,
            cache_bytes: data_caches().last().copied().unwrap_or_default().min(BANDWIDTH_BYTES / 2),
        })
    }
}

/// [`MultiplyAdds`] has as many independent sums as hide the latency of any current processor (five cycles on two units,
/// or four on two): as a register tile has them, so many pixels × vectors, which fit into sixteen registers.
const PIXELS: usize = 6;
const VECTORS: usize = 2;

/// `rounds` multiply-adds on each of [`PIXELS`] × [`VECTORS`] vectors.
struct MultiplyAdds {
    rounds: u64,
}

impl MultiplyAdds {
    fn flops(&self, isa: Isa) -> f64 {
        2.0 * (PIXELS * VECTORS * isa.lanes()) as f64 * self.rounds as f64
    }
}

impl SimdOp for MultiplyAdds {
    type Output = f32;

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) -> f32 {
        // Sums that stay far from denormals and infinity, which might be slower, and a result that is used.
        let pixels = [0.5_f32; PIXELS];
        let weights = [simd.splat(black_box(0.5)), simd.splat(black_box(1.0))];
        let mut sums = [[simd.zero(); VECTORS]; PIXELS];
        for _ in 0..self.rounds {
            // Read anew from L1, as by a kernel: products of what never changes would be computed once, before the loop,
            // and without a fused instruction only additions would be left.
            let pixels = black_box(&pixels);
            for (sums, pixel) in sums.iter_mut().zip(pixels) {
                let pixel = simd.splat(*pixel);
                for (sum, &weight) in sums.iter_mut().zip(&weights) {
                    *sum = simd.mul_add(pixel, weight, *sum);
                }
            }
        }
        total(simd, sums.as_flattened())
    }
}

/// The sum of all lanes of all vectors.
#[inline(always)]
fn total<S: Simd>(simd: S, vectors: &[S::Vec]) -> f32 {
    let mut sum = simd.zero();
    for &vector in vectors {
        sum = simd.add(sum, vector);
    }
    let mut lanes = [0.0; 64];
    simd.store_partial(&mut lanes, sum);
    lanes.iter().sum()
}

/// A loop of multiply-adds of known length, to be timed now and then: the clock of a shared machine drifts, and a share of
/// the peak means something only against a peak of the same moment.
#[derive(Debug, Clone, Copy)]
pub struct PeakProbe {
    isa: Isa,
    rounds: u64,
}

impl PeakProbe {
    /// A loop of about `length` on `pool`.
    pub fn new(pool: &ThreadPool, isa: Isa, length: Duration) -> Self {
        let trial = PeakProbe { isa, rounds: 100_000 };
        let took = best_time(pool, 3, |_| trial.run());
        let rounds = trial.rounds as f64 * length.as_secs_f64() / took.as_secs_f64();
        PeakProbe { isa, rounds: rounds.ceil().max(1.0) as u64 }
    }

    /// The instruction set that it runs on.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    fn run(&self) -> f32 {
        black_box(self.isa.run(MultiplyAdds { rounds: self.rounds }))
    }

    /// GFLOP/s of all threads of `pool`, the best of `attempts`.
    pub fn gflops(&self, pool: &ThreadPool, attempts: usize) -> f64 {
        let took = best_time(pool, attempts, |_| self.run());
        let flops = MultiplyAdds { rounds: self.rounds }.flops(self.isa);
        flops * pool.current_num_threads() as f64 / took.as_secs_f64() * 1e-9
    }
}

/// The best of twenty attempts of about 5 ms: whatever disturbs can only lower it.
fn peak_gflops(pool: &ThreadPool, isa: Isa) -> f64 {
    PeakProbe::new(pool, isa, Duration::from_millis(5)).gflops(pool, 20)
}

/// The sum of `data`, read as four streams of two vectors a step.
struct Read<'a> {
    data: &'a [f32],
}

impl SimdOp for Read<'_> {
    type Output = f32;

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) -> f32 {
        const STREAMS: usize = 4;
        let step = 2 * S::LANES;
        let length = self.data.len() / STREAMS / step * step;
        let (a, rest) = self.data.split_at(length);
        let (b, rest) = rest.split_at(length);
        let (c, d) = rest.split_at(length);
        let mut sums = [simd.zero(); 2 * STREAMS];
        for at in (0..length).step_by(step) {
            for (i, stream) in [a, b, c, d].into_iter().enumerate() {
                let chunk = &stream[at..at + step];
                sums[2 * i] = simd.add(sums[2 * i], simd.load(chunk));
                sums[2 * i + 1] = simd.add(sums[2 * i + 1], simd.load(&chunk[S::LANES..]));
            }
        }
        total(simd, &sums)
    }
}

/// Memory to be read: far larger than a last-level cache's share of one machine.
#[derive(Debug)]
pub struct Stream(AlignedBuffer);

impl Stream {
    /// Allocates and touches `bytes`.
    ///
    /// # Errors
    /// [`AllocationError`] if there is not that much memory.
    pub fn with_bytes(bytes: usize) -> Result<Self, AllocationError> {
        AlignedBuffer::zeroed(bytes / 4).map(Stream)
    }

    /// Reads the share of thread `index` of `threads`.
    fn read(&self, isa: Isa, [index, threads]: [usize; 2]) {
        let share = self.0.len() / threads;
        black_box(isa.run(Read { data: &self.0[index * share..][..share] }));
    }

    /// GB/s at which `pool` reads all of it, the best of `attempts`, each of so many passes.
    pub fn gb_s(&self, pool: &ThreadPool, isa: Isa, [attempts, passes]: [usize; 2]) -> f64 {
        let threads = pool.current_num_threads();
        let took = best_time(pool, attempts, |index| (0..passes).for_each(|_| self.read(isa, [index, threads])));
        (passes * 4 * self.0.len()) as f64 / took.as_secs_f64() * 1e-9
    }

    /// Reads everything once on the current pool, so that whatever was in the caches before no longer is.
    pub fn sweep(&self, isa: Isa) {
        rayon::broadcast(|context| self.read(isa, [context.index(), context.num_threads()]));
    }
}

/// Bytes that are read to measure the bandwidth.
pub const BANDWIDTH_BYTES: usize = 256 << 20;

/// The best of ten passes over [`BANDWIDTH_BYTES`] in huge pages, shared among the threads.
fn bandwidth_gb_s(pool: &ThreadPool, isa: Isa) -> Result<f64, AllocationError> {
    Ok(Stream::with_bytes(BANDWIDTH_BYTES)?.gb_s(pool, isa, [10, 1]))
}

/// Bytes that each thread reads from a cache in one attempt: some milliseconds of L3.
const CACHE_BYTES_READ: usize = 32 << 20;

/// Read bandwidth of each of `caches`, which are those of one core from the first level on, on all threads of `pool`, GB/s,
/// in about a tenth of a second. Half of each is read, so that it stays there; a third level is shared among the threads.
///
/// # Errors
/// [`AllocationError`] if there is no memory to read.
pub fn cache_gb_s(pool: &ThreadPool, isa: Isa, caches: &[usize]) -> Result<Vec<f64>, AllocationError> {
    let threads = pool.current_num_threads();
    let level = |(index, &bytes): (usize, &usize)| {
        let half = if index < 2 { threads * bytes / 2 } else { bytes / 2 }.clamp(4096, BANDWIDTH_BYTES);
        let passes = (threads * CACHE_BYTES_READ / half).max(1);
        Ok(Stream::with_bytes(half)?.gb_s(pool, isa, [5, passes]))
    };
    caches.iter().enumerate().map(level).collect()
}

/// How often a line changes hands in one sample of [`core_to_core_ns`]: so often that it does not matter which thread starts
/// first.
const HANDOVERS: usize = 20_000;

/// How long a cache line takes from the core of one thread of `pool` to that of another, nanoseconds; `None` if there is no
/// other. A guest's cores may share a cache now and be far apart a second later.
pub fn core_to_core_ns(pool: &ThreadPool) -> Option<f64> {
    let turn = AtomicUsize::new(0);
    let hand_over = |thread: usize| {
        if thread >= 2 {
            return;
        }
        for own in (thread..HANDOVERS).step_by(2) {
            let mut looks = 0;
            while turn.load(Ordering::Acquire) != own {
                looks += 1;
                // The other thread may wait for this very core.
                if looks % 10_000 == 0 { thread::yield_now() } else { hint::spin_loop() }
            }
            turn.store(own + 1, Ordering::Release);
        }
    };
    (pool.current_num_threads() > 1).then(|| best_time(pool, 1, hand_over).as_secs_f64() * 1e9 / HANDOVERS as f64)
}

/// Runs `work(thread)` on all threads of `pool` at once, `attempts` times; the shortest time from the common start to the
/// end of the last thread.
fn best_time<R>(pool: &ThreadPool, attempts: usize, work: impl Fn(usize) -> R + Sync) -> Duration {
    let barrier = Barrier::new(pool.current_num_threads());
    let attempt = || {
        let times = pool.broadcast(|context| {
            barrier.wait();
            let start = Instant::now();
            black_box(work(context.index()));
            (start, Instant::now())
        });
        let start = times.iter().map(|time| time.0).min();
        let end = times.iter().map(|time| time.1).max();
        start.zip(end).map_or(Duration::MAX, |(start, end)| end - start)
    };
    (0..attempts).map(|_| attempt()).min().unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::pool;

    #[test]
    fn sums_are_what_they_claim() {
        for isa in Isa::available() {
            // 64 times a quarter in one half of the sums, 64 halves in the other.
            let sum = isa.run(MultiplyAdds { rounds: 64 });
            assert_eq!(sum, 48.0 * (PIXELS * isa.lanes()) as f32, "{isa}");
            let data: Vec<f32> = (0..4096).map(|i| (i % 7) as f32).collect();
            assert_eq!(isa.run(Read { data: &data }), data.iter().sum::<f32>(), "{isa}: not everything was read");
        }
    }

    #[test]
    fn each_cache_has_a_bandwidth() {
        let pool = pool(2).unwrap();
        let rates = cache_gb_s(&pool, Isa::best(), &[4096, 0, 1 << 20]).unwrap();
        assert!(rates.len() == 3 && rates.iter().all(|&rate| rate > 0.01), "{rates:?}");
        assert!(rates.iter().all(|rate| rate.is_finite()), "{rates:?}");
    }

    #[test]
    fn a_line_changes_hands_between_two_threads() {
        assert_eq!(core_to_core_ns(&pool(1).unwrap()), None);
        for threads in [2, 3] {
            let pool = pool(threads).unwrap();
            let inside = pool.install(|| core_to_core_ns(&pool)).unwrap();
            assert!(inside > 1.0 && inside.is_finite(), "{inside} ns on {threads} threads");
        }
    }
}
