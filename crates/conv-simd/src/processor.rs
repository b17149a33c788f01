//! What is known of this machine's processor beside its instruction sets.

use std::sync::OnceLock;

/// Who made a processor: memory answers Intel's cores otherwise than AMD's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vendor {
    /// Intel.
    Intel,
    /// AMD and all others.
    Other,
}

impl Vendor {
    /// Both.
    pub const ALL: [Vendor; 2] = [Vendor::Intel, Vendor::Other];

    /// Of this machine's processor.
    #[cfg(target_arch = "x86_64")]
    pub fn detect() -> Self {
        // SAFETY: every x86-64 processor has the instruction. (In newer compilers the function is safe.)
        #[allow(unused_unsafe)]
        let leaf = unsafe { std::arch::x86_64::__cpuid(0) };
        let name = [leaf.ebx, leaf.edx, leaf.ecx].map(u32::to_le_bytes);
        if name.as_flattened() == b"GenuineIntel" { Vendor::Intel } else { Vendor::Other }
    }

    /// Of this machine's processor.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn detect() -> Self {
        Vendor::Other
    }

    /// How many stretches of memory one core should read at once to get the most of the bandwidth: a power of two.
    ///
    /// Two on AMD's processors: on a Zen 5, weights of 234 MB at 44–45 GB/s of measured bandwidth, one stretch got 93%, two
    /// 96%, four 82–90%. Eight on Intel's, where what hides the latency of a server's memory is the prefetcher of L2, which
    /// follows a stretch within each 4 KiB page: on a Xeon of the fifth generation a matrix of 151 MB took 0.93 and 0.88 of
    /// two stretches' time with four and eight, on two threads 0.92 and 0.86.
    pub fn read_stretches(self) -> usize {
        match self {
            Vendor::Intel => 8,
            Vendor::Other => 2,
        }
    }
}

/// What the bits of a data cache's line that choose its set span, in bytes: lines this far apart share a set. 64 sets of 64
/// bytes in the first level of every x86-64 server since Nehalem and Zen.
pub(crate) const L1_SET_SPAN: usize = 4096;

/// Lines that a set of the first level's data cache holds: eight where the processor does not tell, which the smallest have.
pub(crate) fn l1_ways() -> usize {
    static WAYS: OnceLock<usize> = OnceLock::new();
    *WAYS.get_or_init(|| told_l1_ways().unwrap_or(8))
}

#[cfg(target_arch = "x86_64")]
fn told_l1_ways() -> Option<usize> {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    // AMD's leaf has the form of Intel's. Subleaf 0 is the first level's data cache.
    let (first, leaf) = match Vendor::detect() {
        Vendor::Intel => (0, 4),
        Vendor::Other => (0x8000_0000, 0x8000_001d),
    };
    // SAFETY: every x86-64 processor has the instruction, and a leaf that it lacks is not asked for. (In newer compilers the
    // functions are safe.)
    #[allow(unused_unsafe)]
    let cache = unsafe { (__cpuid(first).eax >= leaf).then(|| __cpuid_count(leaf, 0))? };
    let (kind, level) = (cache.eax & 0x1f, cache.eax >> 5 & 7);
    ((kind, level) == (1, 1)).then_some((cache.ebx >> 22) as usize + 1)
}

#[cfg(not(target_arch = "x86_64"))]
fn told_l1_ways() -> Option<usize> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs::read_to_string;

    /// In a file of what Linux tells of the first core's first cache, a data cache wherever it was seen.
    fn told(file: &str) -> Option<String> {
        let cache = "/sys/devices/system/cpu/cpu0/cache/index0";
        let data = read_to_string(format!("{cache}/type")).ok()?.trim() == "Data";
        data.then(|| read_to_string(format!("{cache}/{file}")).ok()).flatten().map(|text| text.trim().to_owned())
    }

    #[test]
    fn the_first_cache_is_the_one_that_linux_tells() {
        if let Some(ways) = told("ways_of_associativity") {
            assert_eq!(super::l1_ways().to_string(), ways);
        }
        if let (Some(sets), Some(line)) = (told("number_of_sets"), told("coherency_line_size")) {
            assert_eq!(super::L1_SET_SPAN, sets.parse::<usize>().unwrap() * line.parse::<usize>().unwrap());
        }
    }

    #[test]
    fn the_vendor_is_the_one_that_linux_tells() {
        let cpuinfo = read_to_string("/proc/cpuinfo").unwrap();
        assert_eq!(super::Vendor::detect() == super::Vendor::Intel, cpuinfo.contains("GenuineIntel"));
    }
}
