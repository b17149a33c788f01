//! The machine that measures: its identity, its pools of threads, and the two limits that every figure is held against,
//! multiply-add peak and read bandwidth.

use std::fs;
use std::hint::{self, black_box};
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use alexnet::LayerWork;
use conv_simd::{AlignedBuffer, AllocationError, Isa, Simd, SimdOp, flush_denormals};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::record::{Kind, Record};

/// Threads that a pool may have.
pub const MAX_THREADS: usize = 1024;

/// Processor, caches, compiler, commit, and when this run began: what every record of a run says about its origin.
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
            date: utc(SystemTime::now()),
        }
    }

    /// A record that says where it comes from and nothing else yet.
    pub fn record(&self) -> Record {
        Record {
            commit: env!("CONVLAB_COMMIT").into(),
            rustc: env!("CONVLAB_RUSTC").into(),
            cpu: self.cpu.clone(),
            date: self.date.clone(),
            ..Record::default()
        }
    }
}

/// Threads that this machine runs at once.
pub fn hardware_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS)
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

    /// What `work` takes the direct method at the least, nanoseconds: the larger of its operations over the peak and its
    /// bytes over the bandwidth. These are the bytes that the last-level cache cannot hold from one use to the next: a
    /// layer's weights if the `weight_bytes` of the whole pass do not fit in there, its input and output if both together
    /// do not.
    pub fn bound_ns(&self, work: &LayerWork, weight_bytes: u128) -> f64 {
        let from_memory = |bytes, together| if together > self.cache_bytes as u128 { bytes } else { 0 };
        let bytes =
            from_memory(work.weight_bytes, weight_bytes) + from_memory(work.activation_bytes, work.activation_bytes);
        (work.flops as f64 / self.peak_gflops).max(bytes as f64 / self.bandwidth_gb_s)
    }

    /// The record of kind `machine`.
    pub fn record(&self, machine: &Machine, isa: Isa, threads: usize) -> Record {
        Record {
            kind: Kind::Machine,
            name: "machine".into(),
            isa: isa.name().into(),
            threads,
            caches: machine.caches.clone(),
            peak_gflops: Some(self.peak_gflops),
            bandwidth_gb_s: Some(self.bandwidth_gb_s),
            ..machine.record()
        }
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

/// Sizes of the data and unified caches of one core that Linux lists, by level.
fn data_caches() -> Vec<usize> {
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

/// `time` as `2026-01-31T12:00:00Z`, by Hinnant's days-to-civil algorithm.
fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March, so that the leap day is the last; 719 468 days from 0000-03-01 to 1970-01-01.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let at = |seconds| utc(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_827_696), "2000-02-29T12:34:56Z");
        assert_eq!(at(1_767_225_599), "2025-12-31T23:59:59Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00Z");
    }

    #[test]
    fn bounds_are_the_larger_of_operations_and_bytes() {
        let limits = Limits { peak_gflops: 100.0, bandwidth_gb_s: 10.0, cache_bytes: 1000 };
        let bound = |flops, weight_bytes, activation_bytes, pass_weights| {
            limits.bound_ns(&LayerWork { flops, weight_bytes, activation_bytes }, pass_weights)
        };
        assert_eq!(bound(5000, 600, 1000, 1001), 60.0, "weights from memory");
        assert_eq!(bound(7000, 600, 1000, 1001), 70.0, "more operations than bytes");
        assert_eq!(bound(5000, 600, 1000, 1000), 50.0, "everything in the cache");
        assert_eq!(bound(5000, 600, 1001, 1000), 100.1, "activations from memory");
        assert_eq!(bound(5000, 600, 1001, 1001), 160.1, "both");
        let unknown = Limits { cache_bytes: 0, ..limits };
        assert_eq!(unknown.bound_ns(&LayerWork { flops: 0, weight_bytes: 100, activation_bytes: 200 }, 100), 30.0);
    }

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
    fn pools_flush_denormals_on_every_thread() {
        let products = pool(3).unwrap().broadcast(|_| black_box(1e-30_f32) * black_box(1e-10_f32));
        assert_eq!(products, [0.0; 3]);
        assert!(matches!(pool(0), Err(PoolError::Count(0))));
        assert!(matches!(pool(MAX_THREADS + 1), Err(PoolError::Count(_))));
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
