//! A folder of pictures, which are decoded while others are computed.

use std::ffi::OsString;
use std::fmt::{self, Display, Formatter};
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};
use std::{fs, mem, thread};

use conv_core::{format_bytes, format_value};
use conv_measure::{Stop, memory};
use conv_net::{ImageError, Map, Network, read_image};
use indicatif::ProgressBar;
use rayon::ThreadPool;

use super::args::Args;
use super::classes::{Classes, no_classes};
use super::given::{Inputs, load, picture};
use super::prepare::{prepare, setting};
use super::report::{announcement, plural};
use super::several::{agreed, part, threads};
use crate::cli::check::progress;
use crate::cli::plan::Setting;
use crate::cli::{CliError, Exit, interrupt, print, tell};
use crate::forward::TimedPass;
use crate::ranks::Ranks;

/// How the names of pictures end, in whatever case.
const EXTENSIONS: [&str; 3] = ["jpg", "jpeg", "png"];

/// Batches that wait while one is computed: one is complete, one is being decoded.
const WAITING: usize = 2;

/// The folder that is given in place of pictures.
///
/// # Errors
/// [`CliError::Input`] if there is something beside it, or something is asked for that a folder does not give.
pub(super) fn folder(args: &Args) -> Result<Option<&Path>, CliError> {
    let Some(folder) = args.image.iter().find(|path| path.is_dir()) else { return Ok(None) };
    let shown = folder.display();
    let refused = |why: &str| Err(CliError::input(format_args!("--image {shown} is a folder: {why}")));
    if args.image.len() > 1 {
        return refused("give it alone, or the pictures in it");
    }
    if args.output.is_some() {
        return refused("--output is for pictures that are given one by one; --json writes the classes of a folder's");
    }
    if !args.dump.is_empty() {
        return refused("--dump is for pictures that are given one by one");
    }
    Ok(Some(folder))
}

/// Tells the classes of every picture in `folder`, in the order of their names.
///
/// # Errors
/// [`CliError::Nothing`] for a folder without pictures, [`CliError::Input`] for one that cannot be listed, a network that does
/// not tell the classes of pictures, whatever else [`super::run`] refuses, or too little memory.
pub(super) fn run(args: &Args, folder: &Path) -> Result<Exit, CliError> {
    let mut ready = Ready::new(args, &setting(args)?, Pictures::of(folder)?)?;
    tell(&ready.pictures);
    tell(announcement(args, &ready.network, &ready.pass));
    let tally = ready.stream(args.json, &mut |lines| print(lines))?;
    tell(tally.text());
    Ok(exit(ready.pictures.names.len(), &tally))
}

/// The same by processes that `mpirun` started, each of which computes a stretch of the pictures. The first tells the classes of
/// its own as they come, then those of the others.
///
/// # Errors
/// As [`run`], and if the processes do not agree; [`CliError::Told`] with all but the first.
pub(super) fn run_shared(args: &Args, folder: &Path, ranks: &Ranks) -> Result<Exit, CliError> {
    let first = ranks.rank() == 0;
    let mut count = 0;
    let ready = Pictures::of(folder).and_then(|mut pictures| {
        count = pictures.names.len();
        pictures.names = pictures.names.drain(part(count, ranks)).collect();
        let setting = Setting { threads: threads(args, ranks), ..setting(args)? };
        let (network, mut weights) = load(args, args.batch)?;
        let inputs = Inputs { names: Vec::new(), data: Vec::new() };
        let mut agreement = agreed(&network, &mut *weights, &setting, &inputs)?;
        agreement.push(("the number of pictures", count.to_string()));
        Ok((agreement, Ready::new(args, &setting, pictures)?))
    });
    let mut ready = ranks.agree(ready)?;
    if first {
        tell(format_args!("{}: {count} pictures for {} ranks", folder.display(), ranks.count()));
        tell(announcement(args, &ready.network, &ready.pass));
    }
    let start = Instant::now();
    let mut kept = String::new();
    let streamed = ready.stream(args.json, &mut |lines| {
        if first {
            return print(lines);
        }
        kept += &lines;
        kept.push('\n');
        Ok(())
    });
    let mut tally = ranks.or_abort(streamed);
    for lines in ranks.all_texts(&kept).iter().filter(|lines| first && !lines.is_empty()) {
        ranks.or_abort(print(lines.trim_end()));
    }
    let tallies = ranks.all_texts(&format!("{} {} {}", tally.images, tally.skipped, tally.computing.as_nanos()));
    let sums = tallies.iter().skip(1).map(|told| told.split(' ').map(|count| count.parse().unwrap_or(0)).collect());
    for sum in sums.collect::<Vec<Vec<u64>>>() {
        if let (true, [images, skipped, computing]) = (first, &sum[..]) {
            tally.images += *images as usize;
            tally.skipped += *skipped as usize;
            tally.computing += Duration::from_nanos(*computing);
        }
    }
    if !first {
        return Ok(Exit::Done);
    }
    tally.elapsed = start.elapsed();
    tally.ranks = ranks.count();
    tell(tally.text());
    Ok(exit(count, &tally))
}

/// How a command ends that was to compute so many pictures.
fn exit(pictures: usize, tally: &Tally) -> Exit {
    // Nothing but a signal leaves any.
    match pictures - tally.images - tally.skipped {
        0 if tally.skipped == 0 => Exit::Done,
        0 => Exit::Skipped,
        left => {
            tell(format_args!("interrupted; {left} of {pictures} pictures are left"));
            Exit::Interrupted
        }
    }
}

/// A pass that waits for pictures.
struct Ready<'a> {
    pictures: Pictures<'a>,
    network: Network,
    classes: Classes,
    input: Map,
    pool: ThreadPool,
    pass: TimedPass,
}

impl<'a> Ready<'a> {
    fn new(args: &Args, setting: &Setting, pictures: Pictures<'a>) -> Result<Self, CliError> {
        let (network, mut weights) = load(args, args.batch)?;
        let batch = network.batch();
        let classes = Classes::of(&network, args)?.ok_or_else(|| {
            CliError::input(format_args!(
                "--image {}: {}; give pictures one by one, with --output Y.npy",
                pictures.folder.display(),
                no_classes(&network)
            ))
        })?;
        let input = picture(&network, batch)?;
        if input.channels != 3 {
            return Err(CliError::input(ImageError::Channels { channels: input.channels }));
        }
        let batches = WAITING + 1;
        let bytes = batches as u128 * batch as u128 * (size_of::<f32>() * input.floats()) as u128;
        memory::admit(&format!("an input of {batches} batches of {batch} images"), bytes).map_err(CliError::input)?;
        let (pool, pass, _) = prepare(args, setting, &network, &mut *weights)?;
        Ok(Ready { pictures, network, classes, input, pool, pass })
    }

    /// Computes all pictures and hands their lines to `give`, batch by batch.
    fn stream(&mut self, json: bool, give: &mut dyn FnMut(String) -> Result<(), CliError>) -> Result<Tally, CliError> {
        let stop = interrupt::listen()?;
        let bar = progress(self.pictures.names.len() as u64).with_message("pictures");
        let batch = self.network.batch();
        let decoder = Decoder { pictures: &self.pictures, input: self.input, batch, stop: &stop, bar: &bar };
        let streamed = stream(&decoder, json, &self.classes, &self.pool, &mut self.pass, give);
        bar.finish_and_clear();
        streamed
    }
}

/// Computes what `decoder` decodes, batch by batch, and gives a line for each picture.
fn stream(
    decoder: &Decoder<'_>,
    json: bool,
    classes: &Classes,
    pool: &ThreadPool,
    pass: &mut TimedPass,
    give: &mut dyn FnMut(String) -> Result<(), CliError>,
) -> Result<Tally, CliError> {
    let start = Instant::now();
    let mut tally = Tally::default();
    let line = |(name, scores): (&String, &[f32])| match json {
        true => classes.json(name, scores).to_string(),
        false => {
            let texts: Vec<String> = classes.texts(scores).collect();
            format!("{}: {}", name.replace(char::is_control, " "), texts.join("; "))
        }
    };
    tally.skipped = thread::scope(|scope| {
        let (sender, batches) = sync_channel(WAITING - 1);
        let thread = thread::Builder::new().spawn_scoped(scope, move || decoder.decode(&sender));
        let thread = thread.map_err(|error| CliError::input(format_args!("no thread to decode on: {error}")))?;
        for Batch { names, data } in batches {
            if decoder.stop.check().is_err() {
                break;
            }
            let begun = Instant::now();
            pool.install(|| pass.run(&[&data])).map_err(CliError::input)?;
            tally.computing += begun.elapsed();
            // What is an input, too, is not kept. Behind the last picture are no names.
            let scores = pass.pass().output(0).unwrap_or(&data);
            let lines: Vec<String> = names.iter().zip(classes.by_image(scores)).map(line).collect();
            decoder.bar.suspend(|| give(lines.join("\n")))?;
            decoder.bar.inc(names.len() as u64);
            tally.images += names.len();
        }
        Ok::<_, CliError>(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })?;
    tally.elapsed = start.elapsed();
    Ok(tally)
}

/// What a folder holds.
struct Pictures<'a> {
    folder: &'a Path,
    /// In order.
    names: Vec<OsString>,
    /// Files that are no pictures by their names.
    others: usize,
    subfolders: usize,
}

impl<'a> Pictures<'a> {
    fn of(folder: &'a Path) -> Result<Self, CliError> {
        let mut pictures = Pictures { folder, names: Vec::new(), others: 0, subfolders: 0 };
        let unreadable = |error| CliError::input(format_args!("cannot list the folder {}: {error}", folder.display()));
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let extension = path.extension().unwrap_or_default();
            let named = EXTENSIONS.iter().any(|picture| extension.eq_ignore_ascii_case(picture));
            // What leads nowhere is skipped with a reason later; a pipe would keep the reader waiting.
            match fs::metadata(&path) {
                Ok(kind) if kind.is_dir() => pictures.subfolders += 1,
                Ok(kind) if named && kind.is_file() => pictures.names.extend(path.file_name().map(OsString::from)),
                Err(_) if named => pictures.names.extend(path.file_name().map(OsString::from)),
                _ => pictures.others += 1,
            }
        }
        pictures.names.sort();
        if pictures.names.is_empty() {
            return Err(CliError::Nothing(format!("{pictures}; name pictures .jpg, .jpeg or .png")));
        }
        Ok(pictures)
    }
}

impl Display for Pictures<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [pictures, others, subfolders] = [self.names.len(), self.others, self.subfolders];
        write!(f, "{}: {pictures} picture{}", self.folder.display(), plural(pictures))?;
        if others > 0 {
            write!(f, ", {others} file{} of other names left out", plural(others))?;
        }
        if subfolders > 0 {
            write!(f, ", {subfolders} subfolder{} not entered", plural(subfolders))?;
        }
        Ok(())
    }
}

/// Pictures that are computed at once.
struct Batch {
    names: Vec<String>,
    /// `[batch][height][width][3]`, zeros behind the last picture.
    data: Vec<f32>,
}

/// Decodes on a thread of its own.
struct Decoder<'a> {
    pictures: &'a Pictures<'a>,
    input: Map,
    batch: usize,
    stop: &'a Stop,
    bar: &'a ProgressBar,
}

impl Decoder<'_> {
    /// Decodes until there are no more pictures, the end is asked for, or nobody takes them. Returns how many were skipped.
    fn decode(&self, batches: &SyncSender<Batch>) -> usize {
        let floats = self.batch * self.input.floats();
        let empty = || Batch { names: Vec::new(), data: Vec::with_capacity(floats) };
        let (mut next, mut skipped) = (empty(), 0);
        for name in &self.pictures.names {
            if self.stop.check().is_err() {
                return skipped;
            }
            let path = self.pictures.folder.join(name);
            match read_image(&path, self.input) {
                Ok(data) => {
                    next.names.push(path.display().to_string());
                    next.data.extend(data);
                }
                Err(error) => {
                    let why = error.to_string().replace(char::is_control, " ");
                    self.bar.suspend(|| tell(format_args!("skipped: {why}")));
                    self.bar.inc(1);
                    skipped += 1;
                }
            }
            if next.names.len() == self.batch && batches.send(mem::replace(&mut next, empty())).is_err() {
                return skipped;
            }
        }
        if !next.names.is_empty() {
            next.data.resize(floats, 0.0);
            // Nobody takes it where the end was asked for.
            let _ = batches.send(next);
        }
        skipped
    }
}

/// What came of a folder.
#[derive(Default)]
struct Tally {
    images: usize,
    skipped: usize,
    /// Of everything, and of the passes alone.
    elapsed: Duration,
    computing: Duration,
    /// Processes that share it, if several do.
    ranks: usize,
}

impl Tally {
    fn text(&self) -> String {
        let seconds = self.elapsed.as_secs_f64();
        let peak = memory::peak_resident_bytes();
        let peak = peak.map_or_else(String::new, |bytes| {
            format!("; at most {} were resident", format_bytes(bytes as f64)) //
        });
        format!(
            "{} image{}, {} skipped, {} images/s, {:.0}% of the time computing{peak}",
            self.images,
            plural(self.images),
            self.skipped,
            format_value(self.images as f64 / seconds),
            100.0 * self.computing.as_secs_f64() / seconds / self.ranks.max(1) as f64,
        )
    }
}
