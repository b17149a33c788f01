//! Charts from records: throughput, memory, both against each other, and phases of each layer; speed by filter size; each
//! family beneath the machine's roofs; time of whole forward passes, also by limit of the workspace; their speed by the number of
//! ranks that share them. Nothing is measured here.
//!
//! One chart of each kind for each combination of batch, threads, instruction set, cache state and processor that the
//! records have: `throughput-b1-t1.svg`, `memory-b16-t2.png`; of passes that ranks share one for each network instead of each
//! number of threads: `scale-paper-b16.svg`. Instruction sets below the best one of the file add their name
//! (`throughput-b1-t1-avx2.svg`), measurements with cold caches `-cold`, and processors other than the last record's theirs.

mod bars;
mod content;
mod crossover;
mod frame;
mod picture;
mod points;
mod price;
mod ranks;
mod roofline;
mod scale;
mod select;
mod stack;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use conv_core::{file, shown};

pub(crate) use content::shape;
pub(crate) use picture::Picture;
pub(crate) use select::{Setting, check};

use crate::record::{Kind, Record};

/// Why no charts were drawn.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// A file without anything to draw.
    #[error("{}: no measurements of layers or forward passes in these records; make some with `convlab bench`", path.display())]
    Empty {
        /// The file of records.
        path: PathBuf,
    },
    /// A value that no measurement can have.
    #[error("{}: '{}' by {} has a {field} of {value}; expected a number from 0 to 1e15", path.display(), shown(name), shown(algorithm))]
    Value {
        /// The file of records.
        path: PathBuf,
        /// The record's name.
        name: String,
        /// The record's algorithm.
        algorithm: String,
        /// Which value.
        field: &'static str,
        /// The value.
        value: f64,
    },
    /// More layers and algorithms than fit a picture.
    #[error("a chart would be {width} x {height} pixels; plot fewer layers or algorithms at once")]
    TooLarge {
        /// Pixels.
        width: u64,
        /// Pixels.
        height: u64,
    },
    /// A picture that could not be drawn or encoded.
    #[error("cannot draw a chart: {0}")]
    Drawing(String),
    /// A chart that could not be written.
    #[error("cannot write {}: {source}; choose another folder with --out", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Draws every chart that `records`, which were read from `path`, have measurements for into the folder `out`, which is created if
/// it is not there, each as SVG and PNG. Returns the files written.
///
/// # Errors
/// [`PlotError`]; what was written until then stays.
pub fn charts(records: &[Record], path: &Path, out: &Path) -> Result<Vec<PathBuf>, PlotError> {
    let pictures = draw(records, path)?;
    fs::create_dir_all(out).map_err(|source| PlotError::Write { path: out.into(), source })?;
    let mut files = Vec::new();
    for (name, picture) in pictures {
        for (extension, bytes) in [("svg", picture.svg()?.into_bytes()), ("png", encode(&picture)?)] {
            let path = out.join(format!("{name}.{extension}"));
            file::write(&path, &bytes).map_err(|source| PlotError::Write { path: path.clone(), source })?;
            files.push(path);
        }
    }
    Ok(files)
}

/// What a chart is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    Throughput,
    Memory,
    Price,
    Phases,
    Crossover,
    Roofline,
    Forward,
    Workspace,
    Scale,
}

impl Subject {
    /// The beginning of its charts' file names.
    fn file_name(self) -> &'static str {
        match self {
            Subject::Throughput => "throughput",
            Subject::Memory => "memory",
            Subject::Price => "price",
            Subject::Phases => "phases",
            Subject::Crossover => "crossover",
            Subject::Roofline => "roofline",
            Subject::Forward => "forward",
            Subject::Workspace => "workspace",
            Subject::Scale => "scale",
        }
    }
}

/// A chart of one setting.
pub(crate) struct Chart<'a> {
    pub subject: Subject,
    pub setting: Setting<'a>,
    suffix: String,
    /// Too many layers and algorithms make no picture.
    pub picture: Result<Picture, PlotError>,
}

/// Every chart that `records` have measurements for. Their values have been checked.
pub(crate) fn all(records: &[Record]) -> Vec<Chart<'_>> {
    let of_layers = select::groups(records, Kind::Conv).into_iter().flat_map(|group| {
        // Memory is the same whatever the caches hold.
        let warm = !group.setting.cold;
        let has_phases = group.records.iter().any(|record| !record.phases.is_empty());
        let drawn = [
            (Subject::Throughput, Some(content::throughput(&group).picture())),
            (Subject::Memory, warm.then(|| content::memory(&group).picture())),
            (Subject::Price, price::price(&group).filter(|_| warm).map(|chart| chart.picture())),
            (Subject::Phases, has_phases.then(|| content::phases(&group).picture())),
            (Subject::Crossover, crossover::crossover(&group).map(|chart| chart.picture())),
            (Subject::Roofline, roofline::roofline(&group).map(|chart| chart.picture())),
        ];
        charts_of(group, drawn)
    });
    let of_passes = select::groups(records, Kind::Forward).into_iter().flat_map(|group| {
        let drawn = [(Subject::Forward, Some(content::forward(&group).picture()))];
        charts_of(group, drawn)
    });
    let of_tuning = select::groups(records, Kind::Tune).into_iter().flat_map(|group| {
        let drawn = [(Subject::Workspace, content::workspace(&group).map(|chart| chart.picture()))];
        charts_of(group, drawn)
    });
    let of_ranks = select::shared(records).into_iter().flat_map(|group| {
        let drawn = [(Subject::Scale, ranks::ranks(&group).map(|chart| chart.picture()))];
        charts_of(group, drawn)
    });
    of_layers.chain(of_passes).chain(of_tuning).chain(of_ranks).collect()
}

fn charts_of<const N: usize>(
    group: select::Group<'_>,
    drawn: [(Subject, Option<Result<Picture, PlotError>>); N],
) -> Vec<Chart<'_>> {
    let (setting, suffix) = (group.setting, group.suffix);
    let chart = |(subject, picture): (Subject, Option<_>)| {
        Some(Chart { subject, setting, suffix: suffix.clone(), picture: picture? })
    };
    drawn.into_iter().filter_map(chart).collect()
}

/// The charts of `records`, named; `path` is for errors.
fn draw(records: &[Record], path: &Path) -> Result<Vec<(String, Picture)>, PlotError> {
    check(records, path)?;
    let mut taken = HashSet::new();
    let named = |chart: Chart<'_>| {
        let name = format!("{}-{}", chart.subject.file_name(), chart.suffix);
        // Of a processor's name only letters and digits come into it.
        let mut names = (1..).map(|n| if n == 1 { name.clone() } else { format!("{name}-{n}") });
        let name = names.find(|name| taken.insert(name.clone())).unwrap_or_default();
        Ok((name, chart.picture?))
    };
    let pictures = all(records).into_iter().map(named).collect::<Result<Vec<_>, PlotError>>()?;
    if pictures.is_empty() {
        return Err(PlotError::Empty { path: path.into() });
    }
    Ok(pictures)
}

fn encode(picture: &Picture) -> Result<Vec<u8>, PlotError> {
    let (pixels, [width, height]) = picture.pixels()?;
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&pixels));
    written.map_err(|error| PlotError::Drawing(error.to_string()))?;
    Ok(bytes)
}
