//! Photographs as a network's input.

use std::io::{self, BufRead, BufReader, Read, Seek};
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
    let cut = centre(path, &decode(path)?, input)?;
    let pixels = cut.pixels().flat_map(|pixel| pixel.0.into_iter().zip(MEAN.into_iter().zip(STD)));
    Ok(pixels.map(|(value, (mean, std))| (f32::from(value) / 255.0 - mean) / std).collect())
}

fn decode(path: &Path) -> Result<RgbImage, ImageError> {
    let unreadable = |source| ImageError::Read { path: path.into(), source };
    let (file, length) = files::open(path).map_err(unreadable)?;
    let mut file = BufReader::new(file);
    let in_rows = rows_at_once(&mut file).unwrap_or(false);
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
    let coefficients = match jpeg && !in_rows {
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

/// Whether a JPEG is decoded some rows at a time, so that its coefficients are not in memory all at once: its first scan has
/// all components, and whole.
fn rows_at_once(file: &mut (impl BufRead + Seek)) -> io::Result<bool> {
    let mut sequential = None;
    let mut start = [0; 2];
    file.read_exact(&mut start)?;
    loop {
        // Segments begin with a marker and, but for the marker, their length.
        let mut head = [0; 4];
        file.read_exact(&mut head)?;
        let [0xff, marker, high, low] = head else { return Ok(false) };
        let Some(rest) = u16::from_be_bytes([high, low]).checked_sub(2) else { return Ok(false) };
        let mut segment = Vec::new();
        (&mut *file).take(rest.into()).read_to_end(&mut segment)?;
        match (marker, sequential) {
            // A frame: precision, height, width, components.
            (0xc0 | 0xc1, None) => sequential = segment.get(5).copied(),
            (0xc4 | 0xc8 | 0xcc, _) => {}
            (0xc0..=0xcf, _) => return Ok(false),
            // A scan: components.
            (0xda, _) => return Ok(sequential.is_some() && segment.first().copied() == sequential),
            (0xd0..=0xd9 | 0x00 | 0x01 | 0xff, _) => return Ok(false),
            _ => {}
        }
    }
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
