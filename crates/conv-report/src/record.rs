//! Records: one measurement each, one schema for every table and chart, kept as JSON lines.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str;
use std::time::Duration;

use conv_core::file;
use serde::de::Error as _;
use serde::{Deserialize, Serialize};

/// The file of records in an output folder.
pub const FILE_NAME: &str = "records.jsonl";

/// Bytes of a file of records that are read at most.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// How long to wait for another process that merges records into the same file, which takes it a moment.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One convolution by one algorithm.
    #[default]
    Conv,
    /// A whole forward pass.
    Forward,
    /// What tuning a network, a layer or a file took, and what came of it under one limit.
    Tune,
    /// The machine itself: peak and bandwidth.
    Machine,
    /// Errors of one algorithm on data of one kind; nothing was timed.
    Check,
    /// What a forward pass is predicted to take, and took, shared by several ranks.
    Scale,
}

/// What the numbers are like that an algorithm was checked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Data {
    /// Inputs as after a ReLU, weights of both signs.
    Relu,
    /// Inputs of both signs.
    Signed,
    /// Alternating signs and magnitudes over six decades.
    Adversarial,
}

/// Which part of an algorithm was timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Model {
    /// The computation, weights prepared.
    Run,
    /// Making the plan: weight preparation, tables.
    Prepare,
}

/// State of the caches when a sample begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cache {
    /// As the run before left them.
    Warm,
    /// After 234 MB of other memory (AlexNet's fully connected weights) were read.
    Cold,
    /// The same, and then input, output and scratch were written anew: as between two visits of a layer in a network, where
    /// only the weights come from memory.
    Network,
}

/// Who measured. Times of two clocks are not compared; where one has to be chosen, the first is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// `convlab` itself: candidates interleaved.
    #[default]
    Convlab,
    /// `scripts/peers`: processes of several inference engines interleaved.
    Peers,
    /// Criterion, one candidate after another.
    Criterion,
}

impl Clock {
    /// Who measured, where that is not convlab itself.
    pub fn timed_by(self) -> Option<&'static str> {
        match self {
            Clock::Convlab => None,
            Clock::Peers => Some("timed by scripts/peers"),
            Clock::Criterion => Some("timed by criterion"),
        }
    }
}

/// One layer's part of a forward pass.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LayerTime {
    /// The layer, for example `conv2` or `fc6`.
    pub name: String,
    /// Who computed it, for example `direct/nhwc`; absent where there is no choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// Median time, nanoseconds a batch.
    pub median_ns: f64,
    /// What the direct method takes at the least, nanoseconds a batch: the larger of its operations over the peak and
    /// the bytes from memory over its bandwidth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound_ns: Option<f64>,
    /// Scratch that it borrows, bytes.
    #[serde(default)]
    pub scratch_bytes: usize,
}

/// One worker's part of a forward pass that several share.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TowerTime {
    /// Median time of whole passes, nanoseconds.
    pub median_ns: f64,
    /// Median of what it computed, nanoseconds a pass.
    pub computing_ns: f64,
    /// Median of what it waited for others beyond that, nanoseconds a pass.
    pub waiting_ns: f64,
    /// What it sends to others in a pass, bytes.
    pub sent_bytes: usize,
    /// Its share of the weights, prepared, bytes.
    pub prepared_bytes: usize,
    /// Everything that it keeps, as planned: prepared weights, scratch, activations and what comes from others, bytes.
    pub memory_bytes: usize,
    /// Peak resident memory of its process, if it has one to itself, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_resident_bytes: Option<usize>,
}

/// One measurement. A field that does not apply is absent, in JSON too.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Record {
    /// `conv`, `forward`, `tune`, `machine`, `check` or `scale`.
    pub kind: Kind,
    /// What it is called: `paper/conv2`, the descriptor of a problem without name, `paper` for a forward pass, `machine`.
    pub name: String,
    /// Problem descriptor (benchdnn's syntax), batch included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// `family/variant`; for a forward pass what was asked for, for example `winograd` or `auto`, or another inference
    /// engine: `peer/onnxruntime` in f32, `peer-bf16/openvino` in bf16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// Name, version and settings of the other inference engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// Why there are no times: what the other inference engine said, or which memory the method would need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// The algorithm's parameters, where they are not left to it: `block_tiles=24 chunk_blocks=2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<String>,
    /// Whose choice it is: `tuned`, `auto`, or a family.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chosen_by: Vec<String>,
    /// Methods that were considered, by `tune` records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub considered: Option<usize>,
    /// Methods of these that were measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<usize>,
    /// Scratch that was allowed, bytes; absent without a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_limit_bytes: Option<usize>,
    /// How long tuning took, nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuned_in_ns: Option<f64>,
    /// Instruction set: `avx512`, `avx2` or `portable`.
    pub isa: String,
    /// Images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<usize>,
    /// Threads of the pool.
    pub threads: usize,
    /// `run` or `prepare`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Model>,
    /// `warm` or `cold`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// `convlab`, `peers` or `criterion`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Clock>,
    /// Samples; each is the mean of as many runs as fill a millisecond (one if cold).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<usize>,
    /// Fastest sample, nanoseconds a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ns: Option<f64>,
    /// Median of the samples, nanoseconds a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median_ns: Option<f64>,
    /// Median of the problem's first candidate in the same rounds, nanoseconds a run, where not all candidates fitted into
    /// memory side by side and this one was measured in a later wave: what `median_ns` is to be held against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_ns: Option<f64>,
    /// Median absolute deviation of the samples from their median, nanoseconds (not scaled to a standard deviation).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mad_ns: Option<f64>,
    /// Where the median lies with 95% confidence, by the bootstrap over this run's rounds, nanoseconds a run. What the machine does
    /// from minute to minute is not in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_ns: Option<[f64; 2]>,
    /// What the machine did meanwhile, where too few rounds were quiet for these times to be leant on: `peak at 71% of 117 GFLOP/s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disturbed: Option<String>,
    /// Operations of the direct method, taps in the padding included, over the median time: GFLOP/s (10⁹ a second; a
    /// multiply-add is two operations). Algorithms that multiply less may pass the peak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gflops_effective: Option<f64>,
    /// Floating-point operations that one run really executes ([`conv_core::Plan::executed_flops`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executed_flops: Option<f64>,
    /// `executed_flops` over the median time, as a fraction of `peak_gflops`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_fraction: Option<f64>,
    /// Where the time of a run goes: nanoseconds a run by phase (`lower`, `transform_input`, `multiply`,
    /// `transform_output`, `reshape`), averaged over the threads; absent for algorithms that tell no phases.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub phases: BTreeMap<String, f64>,
    /// A forward pass's layers, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<LayerTime>,
    /// How a forward pass is shared: `groups` or `channels` of a network in towers, `batch` where each has images of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// How those who share it reach each other: `memory` or `mpi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
    /// Those who share a forward pass, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub towers: Vec<TowerTime>,
    /// Ranks that share it (`scale` records).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranks: Option<usize>,
    /// Bandwidth of the network between them, Gbit/s (10⁹ bits a second); absent where they are on one machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_gbit_s: Option<f64>,
    /// Latency of one exchange between them, nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ns: Option<f64>,
    /// What the model says that a pass takes, nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted_ns: Option<f64>,
    /// Scratch (workspace) that the plan declares, bytes, all threads together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scratch_bytes: Option<usize>,
    /// Scratch as the counting allocator saw it being allocated, and whatever a run allocates beside it, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scratch_counted_bytes: Option<usize>,
    /// Weights as the algorithm keeps them, bytes, as the plan declares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepared_bytes: Option<usize>,
    /// Bytes that a plan keeps allocated, as the counting allocator saw it: prepared weights, tables and the plan itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepared_counted_bytes: Option<usize>,
    /// The arena in which a forward pass's activations lie while they are needed, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation_bytes: Option<usize>,
    /// The images of a forward pass, which its caller holds, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_bytes: Option<usize>,
    /// Allocations of one run, as the counting allocator saw them (`peers` clock).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocations: Option<usize>,
    /// Peak resident memory of a process that makes this pass by this algorithm or engine and nothing else, from its start
    /// on, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_resident_bytes: Option<usize>,
    /// Weights as given, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_bytes: Option<usize>,
    /// `relu`, `signed` or `adversarial` (`check` records; everything that is timed computes on `relu`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Data>,
    /// Largest difference from the f64 oracle over the oracle's largest magnitude, no unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rel_error: Option<f64>,
    /// Root of the summed squared differences over that of the oracle's squares, no unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub l2_rel_error: Option<f64>,
    /// Largest difference from ONNX Runtime's output over the largest magnitude in that, no unit (`peers` clock): of graphs with a
    /// node that is not computed in f64, and in older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_peer_difference: Option<f64>,
    /// Commit that the program was built from, abbreviated; `-dirty` after it if files had been changed.
    pub commit: String,
    /// Compiler version, for example `1.95.0`.
    pub rustc: String,
    /// Processor name.
    pub cpu: String,
    /// Data caches of one core, bytes, from the first level on (`machine` records).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caches: Vec<usize>,
    /// Read bandwidth of each of `caches` on this many threads, GB/s (10⁹ bytes a second; `machine` records).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cache_gb_s: Vec<f64>,
    /// Multiply-add peak of `isa` on this many threads, measured in this run, GFLOP/s: in `machine` records the best of
    /// twenty attempts, in those of the `convlab` clock the median of samples taken in turn with the algorithms'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_gflops: Option<f64>,
    /// Read bandwidth of main memory on this many threads, measured in this run, GB/s (10⁹ bytes a second).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth_gb_s: Option<f64>,
    /// Time of a cache line from one thread's core to another's, nanoseconds: the median of samples taken in turn with the
    /// algorithms' (`convlab` clock, two threads and more).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub core_to_core_ns: Option<f64>,
    /// When the run began, UTC, `2026-01-31T12:00:00Z`. Records of one run share it.
    pub date: String,
}

/// Records that could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file cannot be read.
    #[error("cannot read records from {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is no record.
    #[error("{}:{line}: not a record: {source}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// The file or its folder cannot be written.
    #[error("cannot write records into {}: {source}; choose another folder with --out", path.display())]
    Write {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The file of records that `path` means: itself, or the [`FILE_NAME`] of a folder.
pub fn file(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(FILE_NAME) } else { path.into() }
}

/// The file of records in `folder`, whether it is there or not.
pub fn file_in(folder: &Path) -> PathBuf {
    folder.join(FILE_NAME)
}

/// A last line without its end that is no record: what stays where a file is cut, by a copy that ended early or a full disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutLine {
    path: PathBuf,
    line: usize,
}

impl fmt::Display for CutLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CutLine { path, line } = self;
        write!(f, "{}:{line}: this line, the last one, is cut and left out; those before it are whole", path.display())
    }
}

/// Reads a file of records; empty lines are skipped, and so is a last line that is cut.
///
/// # Errors
/// [`RecordError`] naming the file, and the line if that is no record.
pub fn read(path: &Path) -> Result<Vec<Record>, RecordError> {
    read_telling(path).map(|(records, _)| records)
}

/// The same, and which line is cut.
///
/// # Errors
/// As [`read`].
pub fn read_telling(path: &Path) -> Result<(Vec<Record>, Option<CutLine>), RecordError> {
    let bytes = file::read(path, MAX_FILE_BYTES).map_err(|source| RecordError::Read { path: path.into(), source })?;
    let mut records = Vec::new();
    for (line, text) in (1..).zip(bytes.split_inclusive(|&byte| byte == b'\n')) {
        if text.trim_ascii().is_empty() {
            continue;
        }
        let utf8 = str::from_utf8(text).map_err(|_| serde_json::Error::custom("it is not UTF-8"));
        match utf8.and_then(serde_json::from_str) {
            Ok(record) => records.push(record),
            Err(_) if !text.ends_with(b"\n") => return Ok((records, Some(CutLine { path: path.into(), line }))),
            Err(source) => return Err(RecordError::Line { path: path.into(), line, source }),
        }
    }
    Ok((records, None))
}

/// Makes sure that records can be merged into `folder`, which is created if it is not there. Called before anything is
/// measured: an hour of measurements must not end at a folder that is write-protected, or at damaged records in it. Returns the
/// line that is cut of those that are there.
///
/// # Errors
/// As [`merge_into`].
pub fn prepare_folder(folder: &Path) -> Result<Option<CutLine>, RecordError> {
    let path = file_in(folder);
    let written = fs::create_dir_all(folder).and_then(|()| file::writable(&path));
    written.map_err(|source| RecordError::Write { path: folder.into(), source })?;
    if path.exists() { read_telling(&path).map(|(_, cut)| cut) } else { Ok(None) }
}

/// [`read`], and nothing from a file that is not there.
///
/// # Errors
/// As [`read`].
pub fn read_if_there(path: &Path) -> Result<Vec<Record>, RecordError> {
    if path.exists() { read(path) } else { Ok(Vec::new()) }
}

/// Writes `records` into the [`FILE_NAME`] of `folder`, beside it first and then renamed. Returns the file's path.
///
/// Records of earlier runs stay, except those of a measurement that is made again: everything is compared within one
/// run, so all algorithms of that problem (and batch, threads, instruction set, model, cache, clock, data, and of a pass who
/// shares it how and over what) are replaced. The new ones stand where the old ones stood: tables and charts keep their order
/// when one layer is measured again. Of several processes that merge into a folder at once each waits for the others.
///
/// # Errors
/// [`RecordError`] if what is there already cannot be read, or the folder cannot be written.
pub fn merge_into(folder: &Path, records: &[Record]) -> Result<PathBuf, RecordError> {
    let path = file_in(folder);
    let unwritten = |source| RecordError::Write { path: folder.into(), source };
    let _lock = file::lock(&path, PATIENCE).map_err(unwritten)?;
    let all = merged(read_if_there(&path)?, records);
    let written = file::replace(&path, |out| {
        all.iter().try_for_each(|record| {
            serde_json::to_writer(&mut *out, record)?;
            out.write_all(b"\n")
        })
    });
    written.map_err(unwritten)?;
    Ok(path)
}

/// `old` records with `new` ones in the place of those of the same comparisons, and at the end those that are of none.
pub fn merged(old: Vec<Record>, new: &[Record]) -> Vec<Record> {
    let (mut all, mut left) = (Vec::new(), new.to_vec());
    for old in old {
        all.extend(left.extract_if(.., |new| same_comparison(&old, new)));
        if !new.iter().any(|new| same_comparison(&old, new)) {
            all.push(old);
        }
    }
    all.append(&mut left);
    all
}

fn same_comparison(a: &Record, b: &Record) -> bool {
    let key = |r: &Record| (r.kind, r.batch, r.threads, r.model, r.cache, r.clock, r.data, r.workspace_limit_bytes);
    let sharing = |r: &Record| (r.ranks, r.link_gbit_s);
    key(a) == key(b)
        && a.name == b.name
        && a.isa == b.isa
        && sharing(a) == sharing(b)
        && a.shard == b.shard
        && a.transport == b.transport
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_again_stands_where_it_stood() {
        let record = |name: &str, algorithm: &str, milliseconds| Record {
            name: name.into(),
            algorithm: Some(algorithm.into()),
            median_ns: Some(1e6 * milliseconds),
            ..Record::default()
        };
        let old = [record("a", "x", 1.0), record("a", "y", 2.0), record("b", "x", 3.0), record("c", "x", 4.0)];
        let again = [record("a", "x", 5.0), record("d", "x", 6.0), record("b", "y", 7.0)];
        let folder = tempfile::tempdir().unwrap();
        merge_into(folder.path(), &old).unwrap();
        let path = merge_into(folder.path(), &again).unwrap();
        let [a, d, b] = again;
        assert_eq!(read(&path).unwrap(), [a.clone(), b.clone(), old[3].clone(), d.clone()]);

        // In another setting it is another measurement.
        let others = [
            Record { isa: "avx2".into(), ..a.clone() },
            Record { threads: 2, ..a.clone() },
            Record { batch: Some(7), ..a.clone() },
            Record { shard: Some("groups".into()), ..a.clone() },
            Record { transport: Some("mpi".into()), ..a.clone() },
            Record { ranks: Some(2), ..a.clone() },
            Record { link_gbit_s: Some(10.0), ..a.clone() },
            Record { link_gbit_s: Some(25.0), ..a.clone() },
        ];
        merge_into(folder.path(), &others).unwrap();
        assert_eq!(read(&path).unwrap(), [&[a, b, old[3].clone(), d], &others[..]].concat());
    }

    fn named(name: &str) -> Record {
        Record { name: name.into(), ..Record::default() }
    }

    fn line(name: &str) -> String {
        serde_json::to_string(&named(name)).unwrap() + "\n"
    }

    #[test]
    fn a_last_line_that_is_cut_is_told_and_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let (whole, last) = (line("a") + "\n" + &line("b"), line("é"));
        for end in 0..last.len() {
            fs::write(&path, [whole.as_bytes(), &last.as_bytes()[..end]].concat()).unwrap();
            let (records, cut) = read_telling(&path).unwrap();
            // Without its line end the last one is a record, too.
            let all = end == last.len() - 1;
            assert_eq!(records.len(), if all { 3 } else { 2 }, "{end}");
            assert_eq!(cut.map(|cut| cut.line), (end > 0 && !all).then_some(4), "{end}");
        }
        fs::write(&path, whole.clone() + "{\"kind\":").unwrap();
        let told = prepare_folder(folder.path()).unwrap().unwrap().to_string();
        assert!(told.contains("records.jsonl:4: this line, the last one, is cut and left out"), "{told}");
        merge_into(folder.path(), &[named("c")]).unwrap();
        assert_eq!(read_telling(&path).unwrap(), (vec![named("a"), named("b"), named("c")], None));

        for (text, at) in [(b"{\"kind\":\n".as_slice(), 4), (b"\xff\n", 4), (b"{}\n{\"kind\":", 4)] {
            fs::write(&path, [whole.as_bytes(), text].concat()).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(&format!("records.jsonl:{at}: not a record: ")), "{error}");
        }
    }

    #[test]
    fn those_who_merge_at_once_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let merge = |writer: usize| {
            for i in 0..10 {
                merge_into(folder.path(), &[named(&format!("{writer}/{i}"))]).unwrap();
            }
        };
        std::thread::scope(|scope| {
            for writer in 0..4 {
                scope.spawn(move || merge(writer));
            }
        });
        assert_eq!(read(&file_in(folder.path())).unwrap().len(), 40);
    }

    #[test]
    fn a_lock_that_another_holds_is_waited_for_and_then_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = file_in(folder.path());
        let held = file::lock(&path, Duration::ZERO).unwrap();
        let error = file::lock(&path, Duration::from_millis(30)).unwrap_err().to_string();
        assert!(error.contains("has held") && error.contains(".records.jsonl.lock"), "{error}");
        drop(held);
        let _lock = file::lock(&path, Duration::ZERO).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn what_a_link_leads_to_is_written_and_what_is_no_file_is_not() {
        use std::os::unix::fs::{PermissionsExt, symlink};

        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("elsewhere")).unwrap();
        symlink("elsewhere/all.jsonl", at(FILE_NAME)).unwrap();
        for name in ["a", "b"] {
            // It is not there at first.
            merge_into(folder.path(), &[named(name)]).unwrap();
        }
        assert!(at(FILE_NAME).is_symlink());
        assert_eq!(read(&at("elsewhere/all.jsonl")).unwrap(), [named("a"), named("b")]);
        fs::write(at("usual"), "").unwrap();
        let mode = |name: &str| fs::metadata(at(name)).unwrap().permissions().mode();
        assert_eq!(mode("elsewhere/all.jsonl"), mode("usual"));

        symlink("circle", at("circle")).unwrap();
        symlink("/dev/null", at("device")).unwrap();
        for name in ["circle", "device", "elsewhere", "elsewhere/", "new/"] {
            assert!(file::writable(&at(name)).is_err() && file::write(&at(name), b"text").is_err(), "{name}");
        }
        assert!(file::write(&at("usual/file"), b"text").is_err(), "below a file");
        let failed = file::replace(&at("usual"), |out| {
            out.write_all(b"half")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert!(failed.is_err() && fs::read(at("usual")).unwrap().is_empty(), "the older one stays");
        let left = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(left.into_iter().all(|name| !name.to_string_lossy().starts_with(".convlab")), "nothing else does");
    }
}
