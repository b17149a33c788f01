//! Photographs as a network's input.

use std::io::{self, BufRead, BufReader, Read, Seek};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};

use ::image::imageops::FilterType;
use ::image::metadata::Orientation;
use ::image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

use crate::files;
use crate::shape::Map;

/// Length to which a photograph's shorter side is scaled, unless the network's input is larger.
const SHORTER_SIDE: usize = if cfg!(fuzzing) { 16 } else { 256 };

/// Largest width or height of a file, and of the photograph after scaling. A fuzzer's are small: it looks for mistakes in reading, and
/// spent nine tenths of its time on pixels.
const MAX_SIDE: u32 = if cfg!(fuzzing) { 64 } else { 16_384 };

/// Largest memory for decoding, of all that is needed at once: a JPEG of 16 384 pixels a side, or 97 megapixels of a progressive one.
const MAX_BYTES: u64 = 1 << 30;

/// Largest memory for what a PNG holds beside its pixels: notes and profiles, which are compressed.
const MAX_NOTES: u64 = 64 << 20;

/// Bytes of a JPEG's coefficients: two for each of up to four components.
const COEFFICIENTS: u64 = 8;

/// Pixels along the sides of a JPEG's largest blocks.
const BLOCK: u32 = 32;

/// Mean of ImageNet's red, green and blue over all its pixels, of white = 1, as torchvision states them.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];

/// Their standard deviations.
const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// Why a picture could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A file that cannot be opened or read.
    #[error("cannot read the picture {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something else than a picture, or a format that is not accepted.
    #[error("{path} is no JPEG or PNG picture (judged by its first bytes); convert it to one of these")]
    Format {
        /// The file.
        path: PathBuf,
    },
    /// A picture that would take too much memory.
    #[error(
        "the picture {path} needs {needed} bytes of memory to be decoded; the limit is {MAX_BYTES}: scale it down first"
    )]
    Memory {
        /// The file.
        path: PathBuf,
        /// Bytes needed.
        needed: u64,
    },
    /// A picture that does not decode.
    #[error("cannot decode the picture {path} (sides up to {MAX_SIDE} pixels are accepted): {source}")]
    Decode {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ::image::ImageError,
    },
    /// A JPEG whose colours have more samples than its brightness.
    #[error("the picture {path} has more samples of colour than of brightness, which is not accepted: save it anew")]
    FinerColours {
        /// The file.
        path: PathBuf,
    },
    /// A picture over which the decoder stumbled.
    #[error("the decoder failed on the picture {path}, which is damaged or made to harm: {words}")]
    Decoder {
        /// The file.
        path: PathBuf,
        /// What it said.
        words: String,
    },
    /// A picture much longer than wide.
    #[error(
        "{path} has {width}x{height} pixels; with its shorter side at {target} the longer one would pass {MAX_SIDE}: crop it first"
    )]
    Elongated {
        /// The file.
        path: PathBuf,
        /// Pixels of a row.
        width: u32,
        /// Rows.
        height: u32,
        /// What the shorter side is scaled to.
        target: usize,
    },
    /// A network that takes no colour pictures.
    #[error("the network's input has {channels} channels; a picture has 3")]
    Channels {
        /// Channels of the input.
        channels: usize,
    },
}

/// Reads a JPEG or PNG file as the input of one image, `[height][width][3]`.
///
/// As torchvision prepares images for its ImageNet models: the shorter side is scaled to 256 (bilinear, over all pixels
/// that an output pixel covers), the centre is cut out, and each channel is shifted and scaled to ImageNet's mean 0 and
/// standard deviation 1. The orientation that a camera noted is applied, transparency is dropped.
///
/// # Errors
/// [`ImageError`] if the file cannot be read or is no picture, its size is out of bounds, or `input` has not 3 channels.
pub fn read_image(path: &Path, input: Map) -> Result<Vec<f32>, ImageError> {
    if input.channels != MEAN.len() {
        return Err(ImageError::Channels { channels: input.channels });
    }
    let decoded = guarded(|| decode(path)).map_err(|words| ImageError::Decoder { path: path.into(), words })??;
    let cut = centre(path, &decoded, input)?;
    let pixels = cut.pixels().flat_map(|pixel| pixel.0.into_iter().zip(MEAN.into_iter().zip(STD)));
    Ok(pixels.map(|(value, (mean, std))| (f32::from(value) / 255.0 - mean) / std).collect())
}

fn decode(path: &Path) -> Result<RgbImage, ImageError> {
    let unreadable = |source| ImageError::Read { path: path.into(), source };
    let (file, length) = files::open(path).map_err(unreadable)?;
    let mut file = BufReader::new(file);
    let layout = layout(&mut file).unwrap_or_default();
    file.rewind().map_err(unreadable)?;
    // Without the path: a text file does not become a picture by its name.
    let mut reader = ImageReader::new(file).with_guessed_format().map_err(unreadable)?;
    let jpeg = match reader.format() {
        Some(ImageFormat::Jpeg) => true,
        Some(ImageFormat::Png) => false,
        _ => return Err(ImageError::Format { path: path.into() }),
    };
    let admit = |needed: u64| match needed > MAX_BYTES {
        true => Err(ImageError::Memory { path: path.into(), needed }),
        false => Ok(()),
    };
    // zune-jpeg 0.5.15 panics on some of these, found by fuzzing; no camera makes them.
    if jpeg && layout.finer_colours {
        return Err(ImageError::FinerColours { path: path.into() });
    }
    // JPEG's decoder reads all of its file at once.
    let read = if jpeg { length } else { 0 };
    admit(read)?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_NOTES);
    reader.limits(limits);
    let damaged = |source| ImageError::Decode { path: path.into(), source };
    let mut decoder = reader.into_decoder().map_err(damaged)?;
    // Notes that cannot be read turn nothing.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let ((width, height), decoded) = (decoder.dimensions(), decoder.total_bytes());
    let pixels = |width: u32, height: u32| u64::from(width) * u64::from(height);
    let coefficients = match jpeg && !layout.in_rows {
        true => COEFFICIENTS * pixels(width.next_multiple_of(BLOCK), height.next_multiple_of(BLOCK)),
        false => 0,
    };
    let converted = if decoder.color_type() == ColorType::Rgb8 { 0 } else { 3 * pixels(width, height) };
    let turned = if orientation == Orientation::NoTransforms { 0 } else { decoded };
    // One after the other, beside what is decoded.
    admit(decoded + (read + coefficients).max(turned).max(converted))?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    image.apply_orientation(orientation);
    Ok(image.into_rgb8())
}

/// What a JPEG's segments before its pixels say of how it is decoded.
#[derive(Default)]
struct Layout {
    /// Some rows at a time, so that its coefficients are not in memory all at once: its first scan has all components, and whole.
    in_rows: bool,
    /// Another component than the first, which is brightness, has more samples along an axis.
    finer_colours: bool,
}

fn layout(file: &mut (impl BufRead + Seek)) -> io::Result<Layout> {
    let (mut layout, mut sequential) = (Layout::default(), None);
    let mut start = [0; 2];
    file.read_exact(&mut start)?;
    loop {
        // Segments begin with a marker and, but for the marker, their length.
        let mut head = [0; 4];
        file.read_exact(&mut head)?;
        let [0xff, marker, high, low] = head else { return Ok(layout) };
        let Some(rest) = u16::from_be_bytes([high, low]).checked_sub(2) else { return Ok(layout) };
        let mut segment = Vec::new();
        (&mut *file).take(rest.into()).read_to_end(&mut segment)?;
        match marker {
            0xc4 | 0xc8 | 0xcc => {}
            // A frame: precision, height, width, components, and of each its name, samples along both axes, and a table.
            0xc0..=0xcf => {
                let samples = |component: &[u8]| component.get(1).map(|&both| [both >> 4, both & 15]);
                let mut samples = segment.get(6..).unwrap_or_default().chunks(3).filter_map(samples);
                let first = samples.next().unwrap_or_default();
                layout.finer_colours |= samples.any(|other| other[0] > first[0] || other[1] > first[1]);
                sequential = segment.get(5).copied().filter(|_| sequential.is_none() && marker <= 0xc1);
            }
            // A scan: components.
            0xda => {
                layout.in_rows = sequential.is_some() && segment.first().copied() == sequential;
                return Ok(layout);
            }
            0xd0..=0xd9 | 0x00 | 0x01 | 0xff => return Ok(layout),
            _ => {}
        }
    }
}

/// What `read` returns, or the words with which it panicked: decoders are large, are others' code, and are given hostile files.
fn guarded<T>(read: impl FnOnce() -> T) -> Result<T, String> {
    panic::catch_unwind(AssertUnwindSafe(read)).map_err(|payload| {
        let words = payload.downcast_ref::<String>().map(String::as_str);
        words.or(payload.downcast_ref::<&str>().copied()).unwrap_or("no words").into()
    })
}

/// Scales the shorter side and cuts out the centre.
fn centre(path: &Path, image: &RgbImage, input: Map) -> Result<RgbImage, ImageError> {
    let (width, height) = image.dimensions();
    let target = SHORTER_SIDE.max(input.height).max(input.width);
    let shorter = u64::from(width.min(height));
    // As torchvision: the longer side is rounded down.
    let scaled = |side: u32| {
        let side = (u64::from(side).checked_mul(target as u64)?).checked_div(shorter)?;
        u32::try_from(side).ok().filter(|&side| side <= MAX_SIDE)
    };
    let (Some(scaled_width), Some(scaled_height)) = (scaled(width), scaled(height)) else {
        return Err(ImageError::Elongated { path: path.into(), width, height, target });
    };
    let scaled = ::image::imageops::resize(image, scaled_width, scaled_height, FilterType::Triangle);
    // Not above the scaled sides, so they fit.
    let (cut_width, cut_height) = (input.width as u32, input.height as u32);
    // Half the margin; a half pixel goes to the even side, as Python rounds it.
    let offset = |margin: u32| margin / 2 + (margin & (margin / 2) & 1);
    let (x, y) = (offset(scaled_width - cut_width), offset(scaled_height - cut_height));
    Ok(::image::imageops::crop_imm(&scaled, x, y, cut_width, cut_height).to_image())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoder_that_panics_is_an_error() {
        assert_eq!(guarded(|| 7), Ok(7));
        assert_eq!(guarded(|| panic!("row {}", 3)).map(|()| 0), Err("row 3".into()));
        assert_eq!(guarded(|| panic!("row")).map(|()| 0), Err("row".into()));
        assert_eq!(guarded(|| panic::panic_any(5)).map(|()| 0), Err("no words".into()));
    }
}
