//! NumPy's `.npy` files of 32-bit floats.
//!
//! The format ("NEP 1", versions 1.0 to 3.0): the magic bytes `\x93NUMPY`, two version bytes, the header's length (two
//! bytes little-endian in version 1, four later), the header (a Python dictionary literal, Latin-1 or, in version 3,
//! UTF-8), then the elements.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use conv_core::MAX_TENSOR_BYTES;

use crate::files;

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// The one element type: little-endian 32-bit floats.
const DESCR: &str = "<f4";

/// Headers longer than any that describes a plain array are refused; NumPy's own limit is 10 000 bytes.
const MAX_HEADER_BYTES: usize = 10_000;

/// NumPy's own limit.
const MAX_DIMENSIONS: usize = 64;

/// An array as a file holds it, C order: the last dimension is contiguous.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Its dimensions; none for a single number.
    pub shape: Vec<usize>,
    /// As many floats as the dimensions' product.
    pub data: Vec<f32>,
}

/// Why an array could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum NpyError {
    /// A file that cannot be opened or read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that is not in this format, or whose header is broken.
    #[error("{path} is no .npy file that convlab can read: {message}")]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// Another element type.
    #[error(
        "{path} holds elements of type {descr}; only '<f4' (little-endian 32-bit floats) is accepted: \
         save array.astype('<f4')"
    )]
    Type {
        /// The file.
        path: PathBuf,
        /// NumPy's name of the type, as the header has it.
        descr: String,
    },
    /// Columns first.
    #[error("{path} is in Fortran order; only C order is accepted: save numpy.ascontiguousarray(array)")]
    FortranOrder {
        /// The file.
        path: PathBuf,
    },
    /// A shape beyond [`MAX_TENSOR_BYTES`] or 64 dimensions.
    #[error(
        "{path}: the shape {shape:?} is beyond the limits of {MAX_DIMENSIONS} dimensions and {MAX_TENSOR_BYTES} bytes (64 GiB)"
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The shape.
        shape: Vec<usize>,
    },
    /// More or fewer elements than the shape says.
    #[error(
        "{path}: the shape {shape:?} needs {needed} bytes of floats, but there are {got}; it is truncated or damaged"
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// The shape.
        shape: Vec<usize>,
        /// Bytes that the shape needs.
        needed: u64,
        /// Bytes that are there.
        got: u64,
    },
    /// Memory that the system would not give.
    #[error("{path}: {bytes} bytes of memory could not be allocated for its elements")]
    Allocation {
        /// The file.
        path: PathBuf,
        /// Bytes asked for.
        bytes: u64,
    },
    /// A file that cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Reads an array of 32-bit floats. The shape is held against the file's length before anything is allocated for it.
///
/// # Errors
/// [`NpyError`] if the file cannot be read, is not of this format, element type and order, or is damaged.
pub fn read(path: &Path) -> Result<Array, NpyError> {
    let unreadable = |source| NpyError::Read { path: path.into(), source };
    let mut file = BufReader::new(File::open(path).map_err(unreadable)?);
    let metadata = file.get_ref().metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(unreadable(io::Error::other("it is no regular file")));
    }
    let (header, offset) = read_header(&mut file).map_err(|error| match error {
        HeaderError::Io(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
            NpyError::Header { path: path.into(), message: "it ends within its header".into() }
        }
        HeaderError::Io(source) => unreadable(source),
        HeaderError::Message(message) => NpyError::Header { path: path.into(), message },
    })?;
    if header.descr != format!("'{DESCR}'") {
        return Err(NpyError::Type { path: path.into(), descr: header.descr });
    }
    if header.fortran_order {
        return Err(NpyError::FortranOrder { path: path.into() });
    }
    let shape = header.shape;
    let floats = checked_floats(path, &shape)?;
    let (needed, got) = (4 * floats as u64, metadata.len().saturating_sub(offset));
    if got != needed {
        return Err(NpyError::Length { path: path.into(), shape, needed, got });
    }
    let mut data = Vec::new();
    data.try_reserve_exact(floats).map_err(|_| NpyError::Allocation { path: path.into(), bytes: needed })?;
    let mut chunk = vec![0; 1 << 16];
    while data.len() < floats {
        let bytes = (4 * (floats - data.len())).min(chunk.len());
        file.read_exact(&mut chunk[..bytes]).map_err(unreadable)?;
        data.extend(chunk[..bytes].as_chunks().0.iter().map(|&float| f32::from_le_bytes(float)));
    }
    Ok(Array { shape, data })
}

/// Writes `data` as an array of `shape`, beside `path` first and then renamed, so that a file of that name is always whole.
///
/// # Errors
/// [`NpyError`] if `shape` does not fit `data` or the file cannot be written.
pub fn write(path: &Path, shape: &[usize], data: &[f32]) -> Result<(), NpyError> {
    let floats = checked_floats(path, shape)?;
    if floats != data.len() {
        let (needed, got) = (4 * floats as u64, 4 * data.len() as u64);
        return Err(NpyError::Length { path: path.into(), shape: shape.into(), needed, got });
    }
    let write = |out: &mut dyn Write| {
        out.write_all(&header(shape))?;
        data.iter().try_for_each(|float| out.write_all(&float.to_le_bytes()))
    };
    files::replace(path, write).map_err(|source| NpyError::Write { path: path.into(), source })
}

/// The file up to its elements, which start at a multiple of 64 bytes.
fn header(shape: &[usize]) -> Vec<u8> {
    let mut dimensions = shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if shape.len() == 1 {
        // A tuple of one.
        dimensions.push(',');
    }
    let dictionary = format!("{{'descr': '{DESCR}', 'fortran_order': False, 'shape': ({dimensions}), }}");
    let start = MAGIC.len() + 4;
    let end = (start + dictionary.len() + 1).next_multiple_of(64);
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    // At most 64 dimensions of 20 digits: far below 2^16.
    bytes.extend(((end - start) as u16).to_le_bytes());
    bytes.extend(dictionary.as_bytes());
    bytes.resize(end - 1, b' ');
    bytes.push(b'\n');
    bytes
}

/// Floats of `shape`, within the limits.
fn checked_floats(path: &Path, shape: &[usize]) -> Result<usize, NpyError> {
    let bytes = shape.iter().try_fold(4_u128, |product, &size| product.checked_mul(size as u128));
    match bytes {
        Some(bytes) if bytes <= MAX_TENSOR_BYTES && shape.len() <= MAX_DIMENSIONS => Ok((bytes / 4) as usize),
        _ => Err(NpyError::TooLarge { path: path.into(), shape: shape.into() }),
    }
}

struct Header {
    /// The type as written, quotes included.
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
}

enum HeaderError {
    Io(io::Error),
    Message(String),
}

impl From<io::Error> for HeaderError {
    fn from(error: io::Error) -> Self {
        HeaderError::Io(error)
    }
}

/// The header, and where the elements start.
fn read_header(file: &mut impl Read) -> Result<(Header, u64), HeaderError> {
    let mut start = [0; 8];
    file.read_exact(&mut start)?;
    if !start.starts_with(MAGIC) {
        return Err(HeaderError::Message("it does not start as one".into()));
    }
    let length_bytes = match (start[6], start[7]) {
        (1, 0) => 2,
        (2 | 3, 0) => 4,
        (major, minor) => {
            let message = format!("it has format version {major}.{minor}; 1.0, 2.0 and 3.0 are known");
            return Err(HeaderError::Message(message));
        }
    };
    let mut length = [0; 4];
    file.read_exact(&mut length[..length_bytes])?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_HEADER_BYTES {
        let message = format!("its header has {length} bytes; up to {MAX_HEADER_BYTES} are accepted");
        return Err(HeaderError::Message(message));
    }
    let mut text = vec![0; length];
    file.read_exact(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let header = parse(&text).map_err(|message| HeaderError::Message(format!("{message} in its header {text:?}")))?;
    Ok((header, (start.len() + length_bytes + length) as u64))
}

/// Reads the dictionary literal: each of the three keys once, in any order.
fn parse(text: &str) -> Result<Header, String> {
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    let mut rest = expect(text, '{')?;
    while !rest.starts_with('}') {
        let (key, value) = rest.split_once(':').ok_or("a key without value")?;
        let value = value.trim_start();
        let (value, after) = value.split_at(value_end(value).ok_or("a value without end")?);
        match key.trim_end().trim_matches(['\'', '"']) {
            "descr" => descr = Some(value.replace('"', "'")),
            "fortran_order" => {
                fortran_order = Some(match value {
                    "True" => true,
                    "False" => false,
                    _ => return Err(format!("fortran_order is {value}, not True or False")),
                });
            }
            "shape" => shape = Some(parse_shape(value)?),
            key => return Err(format!("the unknown key '{key}'")),
        }
        rest = after.trim_start();
        if let Some(next) = rest.strip_prefix(',') {
            rest = next.trim_start();
        } else if !rest.starts_with('}') {
            return Err("no comma between two entries".into());
        }
    }
    Ok(Header {
        descr: descr.ok_or("no 'descr'")?,
        fortran_order: fortran_order.ok_or("no 'fortran_order'")?,
        shape: shape.ok_or("no 'shape'")?,
    })
}

/// Length of the value at the start of `text`: up to the comma or brace that is inside no quotes or brackets.
fn value_end(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0_usize, None);
    for (at, character) in text.char_indices() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(character),
            (None, '(' | '[') => depth += 1,
            (None, ')' | ']') => depth = depth.checked_sub(1)?,
            (None, ',' | '}') if depth == 0 => return Some(text[..at].trim_end().len()),
            _ => {}
        }
    }
    None
}

/// Reads a tuple of sizes: `()`, `(3,)`, `(3, 4)`.
fn parse_shape(text: &str) -> Result<Vec<usize>, String> {
    let inner = text.strip_prefix('(').and_then(|text| text.strip_suffix(')'));
    let inner = inner.ok_or_else(|| format!("the shape is {text}, no tuple"))?.trim();
    let inner = inner.strip_suffix(',').unwrap_or(inner);
    if inner.is_empty() {
        return Ok(Vec::new());
    }
    let size = |size: &str| size.trim().parse().map_err(|_| format!("the size '{}' in the shape", size.trim()));
    inner.split(',').map(size).collect()
}

/// `text` after `character`, spaces around it skipped.
fn expect(text: &str, character: char) -> Result<&str, String> {
    let after = text.trim_start().strip_prefix(character);
    after.map(str::trim_start).ok_or_else(|| format!("no '{character}'"))
}
