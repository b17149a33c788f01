//! What measurements must have in common to stand in one part of the page.

use conv_simd::Isa;

use crate::plot::Chart;
use crate::record::Record;

/// Ordered by what is read first: the newest processor, the strongest instruction set, the fewest images and threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Setting<'a> {
    older: bool,
    pub cpu: &'a str,
    isa_rank: usize,
    pub isa: &'a str,
    pub batch: usize,
    pub threads: usize,
}

impl<'a> Setting<'a> {
    /// That of `record`, where the last record is of `newest_cpu`.
    pub fn of(record: &'a Record, newest_cpu: &str) -> Setting<'a> {
        Setting::new((&record.cpu, &record.isa), record.batch.unwrap_or(1), record.threads, newest_cpu)
    }

    /// That of `chart`.
    pub fn of_chart(chart: &Chart<'a>, newest_cpu: &str) -> Setting<'a> {
        let setting = chart.setting;
        Setting::new((setting.cpu, setting.isa), setting.batch, setting.threads, newest_cpu)
    }

    fn new((cpu, isa): (&'a str, &'a str), batch: usize, threads: usize, newest_cpu: &str) -> Setting<'a> {
        let isa_rank = Isa::NAMES.iter().position(|name| *name == isa).unwrap_or(Isa::NAMES.len());
        Setting { older: cpu != newest_cpu, cpu, isa_rank, isa, batch, threads }
    }

    /// Whether `record` was measured in it.
    pub fn holds(&self, record: &Record) -> bool {
        self.cpu == record.cpu
            && self.isa == record.isa
            && self.batch == record.batch.unwrap_or(1)
            && self.threads == record.threads
    }

    /// `batch 1, 2 threads, avx512`, and a processor that is not the newest one's.
    pub fn words(&self) -> String {
        let threads = if self.threads == 1 { "1 thread".into() } else { format!("{} threads", self.threads) };
        let cpu = if self.older { format!(", {}", self.cpu) } else { String::new() };
        format!("batch {}, {threads}, {}{cpu}", self.batch, self.isa)
    }
}

/// The processor of the last record.
pub(super) fn newest_cpu(records: &[Record]) -> &str {
    records.last().map_or("", |record| &record.cpu)
}
