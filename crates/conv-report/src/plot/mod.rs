//! Charts from records: throughput, memory, both against each other, and phases of each layer; speed by filter size; time
//! of whole forward passes, also by limit of the workspace. Nothing is measured here.
//!
//! One chart of each kind for each combination of batch, threads, instruction set, cache state and processor that the
//! records have: `throughput-b1-t1.svg`, `memory-b16-t2.png`. Instruction sets below the best one of the file add their
//! name (`throughput-b1-t1-avx2.svg`), measurements with cold caches `-cold`, and processors other than the last record's
//! theirs.

mod bars;
mod content;
mod crossover;
mod frame;
mod picture;
mod points;
mod price;
mod scale;
mod select;
mod stack;

#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use picture::Picture;

use crate::record::{self, RecordError};

/// Why no charts were drawn.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// Records that cannot be read, with file and line.
    #[error(transparent)]
    Records(#[from] RecordError),
    /// A file without anything to draw.
    #[error("{}: no measurements of layers or forward passes in these records; make some with `convlab bench`", path.display())]
    Empty {
        /// The file of records.
        path: PathBuf,
    },
    /// A value that no measurement can have.
    #[error("{}: '{name}' by {algorithm} has a {field} of {value}; expected a number from 0 to 1e15", path.display())]
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

/// Draws every chart that the file `records` has measurements for into the folder `out`, which is created if it is not
/// there, each as SVG and PNG. Returns the files written.
///
/// # Errors
/// [`PlotError`]; what was written until then stays.
pub fn charts(records: &Path, out: &Path) -> Result<Vec<PathBuf>, PlotError> {
    let all = record::read(records)?;
    let pictures = draw(&all, records)?;
    fs::create_dir_all(out).map_err(|source| PlotError::Write { path: out.into(), source })?;
    let mut files = Vec::new();
    for (name, picture) in pictures {
        files.push(write(out, &format!("{name}.svg"), picture.svg()?.as_bytes())?);
        files.push(write(out, &format!("{name}.png"), &encode(&picture)?)?);
    }
    Ok(files)
}

/// The charts of `records`, named; `path` is for errors.
fn draw(records: &[record::Record], path: &Path) -> Result<Vec<(String, Picture)>, PlotError> {
    select::check(records, path)?;
    let mut pictures = Vec::new();
    for group in select::groups(records, record::Kind::Conv) {
        pictures.push((format!("throughput-{}", group.suffix), content::throughput(&group).picture()?));
        // Memory is the same whatever the caches hold.
        if !group.setting.cold {
            pictures.push((format!("memory-{}", group.suffix), content::memory(&group).picture()?));
            if let Some(chart) = price::price(&group) {
                pictures.push((format!("price-{}", group.suffix), chart.picture()?));
            }
        }
        if group.records.iter().any(|record| !record.phases.is_empty()) {
            pictures.push((format!("phases-{}", group.suffix), content::phases(&group).picture()?));
        }
        if let Some(chart) = crossover::crossover(&group) {
            pictures.push((format!("crossover-{}", group.suffix), chart.picture()?));
        }
    }
    for group in select::groups(records, record::Kind::Forward) {
        pictures.push((format!("forward-{}", group.suffix), content::forward(&group).picture()?));
    }
    for group in select::groups(records, record::Kind::Tune) {
        pictures.extend(content::workspace(&group).map(|chart| chart.picture()).transpose()?.map(|picture| {
            (format!("workspace-{}", group.suffix), picture) //
        }));
    }
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

/// Writes beside the file and renames: a reader never sees half a picture.
fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, PlotError> {
    let path = folder.join(name);
    let beside = folder.join(format!(".{name}.{}", std::process::id()));
    let written = fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, &path));
    if written.is_err() {
        // Whatever went wrong, half a file is of no use; that it may not exist is no second error.
        let _ = fs::remove_file(&beside);
    }
    written.map(|()| path.clone()).map_err(|source| PlotError::Write { path, source })
}
