//! NumPy's arrays in files: `.npy`, and `.npz`, a zip archive of them.

mod archive;
mod elements;
mod header;

use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use conv_core::MAX_TENSOR_BYTES;
use npyz::{DType, TypeStr, WriterBuilder};

use crate::files;

/// NumPy's own limit.
const MAX_DIMENSIONS: usize = 64;

/// What an archive, and no `.npy` file, begins with.
const ZIP_MAGIC: &[u8] = b"PK";

/// An array in C order: the last dimension is contiguous.
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
    /// A file that is no archive, or whose directory is broken.
    #[error("{path} is no .npz file that convlab can read: {message}")]
    Archive {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// An array that an archive does not hold, or no name where it holds several.
    #[error("{}", choice(path, name.as_deref(), names, *count))]
    Name {
        /// The archive.
        path: PathBuf,
        /// What was asked for.
        name: Option<String>,
        /// What there is, or the first of it.
        names: Vec<String>,
        /// How many there are.
        count: usize,
    },
    /// Elements that are no numbers, or none that a 32-bit float stands for.
    #[error(
        "{path} holds elements of type {descr}; floats of 16, 32 or 64 bits, integers and bool are accepted: \
         save array.astype('float32'), of a structured array one field at a time"
    )]
    Type {
        /// The file.
        path: PathBuf,
        /// NumPy's name of the type, as the header has it.
        descr: String,
    },
    /// A number that a 32-bit float cannot hold.
    #[error(
        "{path}: element {index:?} is {value:e}, but the numbers are computed with as 32-bit floats, which end at \
         {:e}: scale the array before it is saved",
        f32::MAX
    )]
    Value {
        /// The file.
        path: PathBuf,
        /// Its place, an index for each dimension.
        index: Vec<usize>,
        /// What it is.
        value: f64,
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
        "{path}: the shape {shape:?} needs {needed} bytes of elements, but there are {got}; it is truncated or damaged"
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
    /// More memory than the caller grants.
    #[error(
        "{path}: its elements need {needed} bytes as 32-bit floats; {limit} are available: save a part of the array"
    )]
    Memory {
        /// The file.
        path: PathBuf,
        /// Bytes needed.
        needed: u64,
        /// Bytes granted.
        limit: usize,
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

/// Reads an array of floats (16, 32 or 64 bits), integers or bool, of either byte order and either order of dimensions, as
/// 32-bit floats in C order. Numbers are rounded; one that no 32-bit float is near, such as 1e300, is an error.
///
/// `path` is a `.npy` file, a `.npz` archive of one array, stored or deflated, or `archive.npz:NAME`, an array in it; the
/// files' contents tell them apart. Nothing is allocated for elements before their length has been held against the
/// shape's, and then no more than `memory_limit` bytes.
///
/// # Errors
/// [`NpyError`] if the file cannot be read, is not of these formats and types, holds no such array, is damaged, or needs
/// more memory.
pub fn read(path: &Path, memory_limit: usize) -> Result<Array, NpyError> {
    let (path, name) = split_name(path);
    let unreadable = |source| NpyError::Read { path: path.into(), source };
    let (file, length) = files::open(path).map_err(unreadable)?;
    let mut file = BufReader::new(file);
    if name.is_some() || file.fill_buf().map_err(unreadable)?.starts_with(ZIP_MAGIC) {
        archive::read(path, file.into_inner(), length, name, memory_limit)
    } else {
        elements::read(path, &mut file, length, memory_limit)
    }
}

/// The file, and after `.npz:` the name of an array in it.
fn split_name(path: &Path) -> (&Path, Option<&str>) {
    const EXTENSION: &str = ".npz";
    let split = path.to_str().and_then(|text| text.split_at_checked(text.find(".npz:")? + EXTENSION.len()));
    split.map_or((path, None), |(file, name)| (Path::new(file), name.strip_prefix(':')))
}

/// Writes `data` as an array of `shape`, in `.npy` and little-endian 32-bit floats, beside `path` first and then renamed,
/// so that a file of that name is always whole.
///
/// # Errors
/// [`NpyError`] if `shape` does not fit `data` or the file cannot be written.
pub fn write(path: &Path, shape: &[usize], data: &[f32]) -> Result<(), NpyError> {
    let floats = checked_floats(path, shape)?;
    if floats != data.len() {
        let (needed, got) = (4 * floats as u64, 4 * data.len() as u64);
        return Err(NpyError::Length { path: path.into(), shape: shape.into(), needed, got });
    }
    let dtype = DType::Plain("<f4".parse::<TypeStr>().expect("NumPy's name of a type"));
    let sizes: Vec<u64> = shape.iter().map(|&size| size as u64).collect();
    let write = |out: &mut dyn Write| {
        let mut array = npyz::WriteOptions::new().dtype(dtype).shape(&sizes).writer(out).begin_nd()?;
        array.extend(data)?;
        array.finish()
    };
    files::replace(path, write).map_err(|source| NpyError::Write { path: path.into(), source })
}

/// Floats of `shape`, within the limits. As in NumPy, an empty array's other sizes have limits, too.
fn checked_floats(path: &Path, shape: &[usize]) -> Result<usize, NpyError> {
    let bytes = shape.iter().try_fold(4_u128, |product, &size| product.checked_mul(size.max(1) as u128));
    match bytes {
        Some(bytes) if bytes <= MAX_TENSOR_BYTES && shape.len() <= MAX_DIMENSIONS => Ok(shape.iter().product()),
        _ => Err(NpyError::TooLarge { path: path.into(), shape: shape.into() }),
    }
}

/// What there is to choose from in an archive of `count` arrays.
fn choice(path: &Path, name: Option<&str>, names: &[String], count: usize) -> String {
    let path = path.display();
    let listed = names.iter().map(|name| name.escape_debug().to_string()).collect::<Vec<_>>().join(", ");
    let more = if count > names.len() { ", …" } else { "" };
    match (name, count) {
        (_, 0) => format!("{path} is an archive without arrays: numpy.savez writes one with some"),
        (Some(name), _) => format!("{path} holds no array '{name}', but {listed}{more}"),
        (None, _) => format!("{path} holds {count} arrays, {listed}{more}: name one, as {path}:NAME"),
    }
}
