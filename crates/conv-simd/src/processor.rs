//! What is known of this machine's processor beside its instruction sets.

use std::sync::OnceLock;

/// Kinds of cores that compute or read memory each in their own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Core {
    /// Intel's.
    Intel,
    /// AMD's Zen 3 and Zen 4: two multiply-adds of 256 bits a cycle, or one of 512.
    Zen4,
    /// AMD's Zen 5, which has two of 512 bits, and all others.
    Other,
}

impl Core {
    /// All kinds.
    pub const ALL: [Core; 3] = [Core::Intel, Core::Zen4, Core::Other];

    /// This machine's.
    pub fn detect() -> Self {
        // Asked once: a hypervisor answers the instruction in the processor's place, and plans ask often.
        static CORE: OnceLock<Core> = OnceLock::new();
        *CORE.get_or_init(Core::told)
    }

    #[cfg(target_arch = "x86_64")]
    fn told() -> Self {
        // SAFETY: every x86-64 processor has the instruction and these leaves. (In newer compilers the functions are safe.)
        #[allow(unused_unsafe)]
        let (vendor, version) = unsafe { (std::arch::x86_64::__cpuid(0), std::arch::x86_64::__cpuid(1).eax) };
        let name = [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes);
        // Family 15 and what the extended field adds; of the older families that field is zero.
        let family = (version >> 8 & 0xf) + (version >> 20 & 0xff);
        match (name.as_flattened(), family) {
            (b"GenuineIntel", _) => Core::Intel,
            (b"AuthenticAMD", 0x19) => Core::Zen4,
            _ => Core::Other,
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn told() -> Self {
        Core::Other
    }

    /// How many stretches of memory one core should read at once to get the most of the bandwidth: a power of two.
    ///
    /// Two on AMD's processors: on a Zen 5, weights of 234 MB at 44–45 GB/s of measured bandwidth, one stretch got 93%, two
    /// 96%, four 82–90%. Eight on Intel's, where what hides the latency of a server's memory is the prefetcher of L2, which
    /// follows a stretch within each 4 KiB page: on a Xeon of the fifth generation a matrix of 151 MB took 0.93 and 0.88 of
    /// two stretches' time with four and eight, on two threads 0.92 and 0.86.
    pub fn read_stretches(self) -> usize {
        match self {
            Core::Intel => 8,
            Core::Zen4 | Core::Other => 2,
        }
    }
}

/// What the bits of a data cache's line that choose its set span, in bytes: lines this far apart share a set. 64 sets of 64
/// bytes in the first level of every x86-64 server since Nehalem and Zen.
pub(crate) const L1_SET_SPAN: usize = 4096;
const LINE_BYTES: usize = 64;

/// Lines of the first level's data cache that hold what is so many `bytes` apart: those of all sets in which it begins.
pub fn l1_lines_apart(bytes: usize) -> usize {
    let sets = L1_SET_SPAN >> bytes.trailing_zeros().min(L1_SET_SPAN.trailing_zeros());
    l1_ways() * sets.min(L1_SET_SPAN / LINE_BYTES)
}

/// Lines that a set of the first level's data cache holds: eight where the processor does not tell, which the smallest have.
pub(crate) fn l1_ways() -> usize {
    static WAYS: OnceLock<usize> = OnceLock::new();
    *WAYS.get_or_init(|| told_l1_ways().unwrap_or(8))
}

#[cfg(target_arch = "x86_64")]
fn told_l1_ways() -> Option<usize> {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    // AMD's leaf has the form of Intel's. Subleaf 0 is the first level's data cache.
    let (first, leaf) = match Core::detect() {
        Core::Intel => (0, 4),
        Core::Zen4 | Core::Other => (0x8000_0000, 0x8000_001d),
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

    use super::Core;

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
    fn the_kind_of_core_is_the_one_that_linux_tells() {
        let cpuinfo = read_to_string("/proc/cpuinfo").unwrap();
        let told = |name: &str| {
            let of = cpuinfo.lines().find(|line| line.split('\t').next() == Some(name))?;
            of.rsplit(": ").next()
        };
        let expected = match (told("vendor_id"), told("cpu family")) {
            (Some("GenuineIntel"), _) => Core::Intel,
            (Some("AuthenticAMD"), Some("25")) => Core::Zen4,
            _ => Core::Other,
        };
        assert_eq!(Core::detect(), expected);
    }
}
