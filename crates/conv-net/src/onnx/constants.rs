//! Constants of a model, whose elements stay in their files until they are asked for.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use conv_core::MAX_TENSOR_BYTES;
use half::{bf16, f16};

use super::messages::{Place, Tensor, element};
use super::movement::MAX_RANK;
use super::{listed, shown};
use crate::files;
use crate::weights::elements::Element;

/// The most elements of a constant whose values are looked at.
pub(super) const MAX_ELEMENTS: usize = 1 << 16;

/// A constant of floats.
#[derive(Debug, Clone)]
pub(super) struct Constant {
    pub shape: Vec<usize>,
    values: Values,
}

#[derive(Debug, Clone)]
enum Values {
    /// Little-endian, from a byte of a file on.
    Stored { file: usize, element: Element, offset: u64 },
    /// The bits of 16-bit floats as varints.
    Varints(Varints),
    /// All the same.
    Fill(f32),
}

/// A place in the model's file, and how far it was read.
#[derive(Debug, Clone)]
struct Varints {
    element: Element,
    place: Place,
    /// Elements before the byte from which reading goes on.
    next: (usize, u64),
}

impl Constant {
    /// As many times `value` as `shape` has elements.
    ///
    /// # Errors
    /// What is wrong with `shape`.
    pub(super) fn fill(shape: &[i64], value: f32) -> Result<Self, String> {
        let (shape, _) = checked_shape(shape)?;
        Ok(Constant { shape, values: Values::Fill(value) })
    }

    /// The constant of a model's tensor.
    ///
    /// # Errors
    /// What is wrong with its shape, type or place.
    pub(super) fn of(tensor: &Tensor, files: &mut Files) -> Result<Self, String> {
        let (shape, count) = checked_shape(&tensor.dims)?;
        let element = match tensor.data_type {
            element::FLOAT => Element::F32,
            element::FLOAT16 => Element::F16,
            element::BFLOAT16 => Element::Bf16,
            other => {
                return Err(format!("holds elements of type {other}; f32, f16 and bf16 (1, 10 and 16) are accepted"));
            }
        };
        let values = match (tensor.int32_data, tensor.float_data, tensor.raw_data) {
            (Some(place), None, None) if tensor.data_location == 0 && element != Element::F32 => {
                Values::Varints(Varints { element, place, next: (0, place.offset) })
            }
            (None, Some(place), None) if tensor.data_location == 0 && element == Element::F32 => {
                Values::Stored { file: 0, element, offset: within(place, 4 * count as u64)? }
            }
            _ => {
                let (file, offset) = files.find(tensor, (element.size() * count) as u64)?;
                Values::Stored { file, element, offset }
            }
        };
        Ok(Constant { shape, values })
    }

    /// The same elements in another shape; `None` if it has not as many.
    pub(super) fn reshaped(self, shape: Vec<usize>) -> Option<Self> {
        let count = |shape: &[usize]| shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
        (count(&shape) == count(&self.shape)).then_some(Constant { shape, ..self })
    }

    /// Reads the elements from `first` on.
    ///
    /// # Errors
    /// If a file cannot be read, and where it is.
    pub(super) fn read(&mut self, files: &mut Files, first: usize, values: &mut [f32]) -> Result<(), FileError> {
        match &mut self.values {
            Values::Fill(value) => values.fill(*value),
            Values::Stored { file, element, offset } => {
                let offset = *offset + (first * element.size()) as u64;
                files.with(*file, |file| element.read(file, offset, values))?;
            }
            Values::Varints(varints) => files.with(0, |file| varints.read(file, first, values))?,
        }
        Ok(())
    }
}

impl Varints {
    fn read(&mut self, file: &mut File, first: usize, values: &mut [f32]) -> io::Result<()> {
        let element = self.element;
        self.read_with(file, first, values, |bits| match element {
            // The lower half is the float.
            Element::F16 => f16::from_bits(bits as u16).to_f32(),
            _ => bf16::from_bits(bits as u16).to_f32(),
        })
    }

    fn read_with<T>(
        &mut self,
        file: &mut File,
        first: usize,
        values: &mut [T],
        number: impl Fn(u64) -> T,
    ) -> io::Result<()> {
        if first < self.next.0 {
            self.next = (0, self.place.offset);
        }
        file.seek(SeekFrom::Start(self.next.1))?;
        let end = self.place.offset + self.place.length;
        let mut bytes = BufReader::new(file.take(end - self.next.1)).bytes();
        let mut consumed = 0;
        let mut next = || -> io::Result<u64> {
            let mut value = 0;
            for shift in (0..64).step_by(7) {
                let byte = bytes.next().ok_or(io::ErrorKind::UnexpectedEof)??;
                consumed += 1;
                value |= u64::from(byte & 0x7f) << shift;
                if byte < 0x80 {
                    return Ok(value);
                }
            }
            Err(io::Error::other("a number that does not end"))
        };
        for _ in self.next.0..first {
            next()?;
        }
        for value in &mut *values {
            *value = number(next()?);
        }
        self.next = (first + values.len(), self.next.1 + consumed);
        Ok(())
    }
}

/// The integers or truth values of a tensor.
///
/// # Errors
/// What is wrong with it.
pub(super) fn integers(tensor: &Tensor, files: &mut Files) -> Result<Vec<i64>, String> {
    let (_, count) = checked_shape(&tensor.dims)?;
    let size = match tensor.data_type {
        element::INT64 => 8,
        element::INT32 => 4,
        element::BOOL => 1,
        other => return Err(format!("holds elements of type {other}, not integers")),
    };
    if count > MAX_ELEMENTS {
        return Err(format!("has {count} integers; up to {MAX_ELEMENTS} are read"));
    }
    if tensor.data_type == element::INT64 && tensor.int64_data.len() == count && tensor.raw_data.is_none() {
        return Ok(tensor.int64_data.clone());
    }
    if let (Some(place), None, 0) = (tensor.int32_data, tensor.raw_data, tensor.data_location) {
        let mut varints = Varints { element: Element::F32, place, next: (0, place.offset) };
        let mut values = vec![0; count];
        let read = |file: &mut File| varints.read_with(file, 0, &mut values, |bits| i64::from(bits as i32));
        files.with(0, read).map_err(|error| error.source.to_string())?;
        return Ok(values);
    }
    let (file, offset) = files.find(tensor, size as u64 * count as u64)?;
    let bytes = files.bytes(file, offset, size * count)?;
    Ok(match size {
        8 => bytes.as_chunks().0.iter().map(|&integer| i64::from_le_bytes(integer)).collect(),
        4 => bytes.as_chunks().0.iter().map(|&integer| i64::from(i32::from_le_bytes(integer))).collect(),
        _ => bytes.iter().map(|&byte| i64::from(byte != 0)).collect(),
    })
}

/// The elements of a tensor of f64, rounded.
///
/// # Errors
/// What is wrong with it.
pub(super) fn doubles(tensor: &Tensor, files: &mut Files) -> Result<Vec<f32>, String> {
    let (_, count) = checked_shape(&tensor.dims)?;
    if count > MAX_ELEMENTS {
        return Err(format!("has {count} elements of f64; up to {MAX_ELEMENTS} are read"));
    }
    let (file, offset) = match tensor.double_data {
        Some(place) => (0, within(place, 8 * count as u64)?),
        None => files.find(tensor, 8 * count as u64)?,
    };
    let bytes = files.bytes(file, offset, 8 * count)?;
    Ok(bytes.as_chunks().0.iter().map(|&number| f64::from_le_bytes(number) as f32).collect())
}

/// Sizes and number of elements, within the limit of any tensor here.
fn checked_shape(dims: &[i64]) -> Result<(Vec<usize>, usize), String> {
    let shape: Option<Vec<usize>> = dims.iter().map(|&size| usize::try_from(size).ok()).collect();
    let shape = shape.filter(|shape| shape.len() <= MAX_RANK);
    // A size of zero does not make up for others that overflow.
    let bytes = |shape: &[usize]| shape.iter().try_fold(4_u128, |bytes, &size| bytes.checked_mul(size.max(1) as u128));
    match shape.as_deref().and_then(bytes) {
        Some(bytes) if bytes <= MAX_TENSOR_BYTES => {
            let shape = shape.unwrap_or_default();
            let count = shape.iter().product();
            Ok((shape, count))
        }
        _ => {
            let dims = listed(dims);
            Err(format!("has the shape {dims}; sizes of up to {MAX_TENSOR_BYTES} bytes together are accepted"))
        }
    }
}

/// Where a place begins that must have `needed` bytes.
fn within(place: Place, needed: u64) -> Result<u64, String> {
    if place.length != needed {
        return Err(format!("has {} bytes of elements; its shape and type need {needed}", place.length));
    }
    Ok(place.offset)
}

/// A file that cannot be read.
#[derive(Debug)]
pub(super) struct FileError {
    pub path: PathBuf,
    pub source: io::Error,
}

/// The model's file, the first, and those beside it that hold elements. One is open at a time.
#[derive(Debug)]
pub(super) struct Files {
    paths: Vec<PathBuf>,
    open: Option<(usize, File)>,
}

impl Files {
    /// With the model's file, which is open.
    pub(super) fn new(path: &Path, file: File) -> Self {
        Files { paths: vec![path.into()], open: Some((0, file)) }
    }

    /// Does `work` with a file.
    fn with<T>(&mut self, index: usize, work: impl FnOnce(&mut File) -> io::Result<T>) -> Result<T, FileError> {
        let error = |source| FileError { path: self.paths[index].clone(), source };
        if self.open.as_ref().is_none_or(|(open, _)| *open != index) {
            self.open = Some((index, files::open(&self.paths[index]).map_err(error)?.0));
        }
        match &mut self.open {
            Some((_, file)) => work(file).map_err(error),
            None => unreachable!("it was opened above"),
        }
    }

    /// A few bytes of a file.
    fn bytes(&mut self, index: usize, offset: u64, count: usize) -> Result<Vec<u8>, String> {
        let mut bytes = vec![0; count];
        let read = |file: &mut File| {
            file.seek(SeekFrom::Start(offset))?;
            file.read_exact(&mut bytes)
        };
        self.with(index, read).map_err(|error| error.source.to_string())?;
        Ok(bytes)
    }

    /// File and offset of the `needed` bytes of a tensor's elements.
    fn find(&mut self, tensor: &Tensor, needed: u64) -> Result<(usize, u64), String> {
        if tensor.data_location == 0 {
            return match tensor.raw_data {
                Some(place) => Ok((0, within(place, needed)?)),
                None if needed == 0 => Ok((0, 0)),
                None => Err(format!("has no elements; its shape and type need {needed} bytes")),
            };
        }
        let entry = |key: &str| tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| &entry.value);
        let number = |key: &str| match entry(key) {
            Some(value) => match value.parse::<u64>() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(format!("is in another file, with the {key} {}, which is no size", shown(value))),
            },
            None => Ok(None),
        };
        let location = entry("location").ok_or("is in another file, without a location")?;
        let offset = number("offset")?.unwrap_or(0);
        if let Some(length) = number("length")?.filter(|&length| length != needed) {
            return Err(format!("has {length} bytes in another file; its shape and type need {needed}"));
        }
        let path = self.inside(location).map_err(|message| format!("is in the file {}, {message}", shown(location)))?;
        let length = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        if offset.checked_add(needed).is_none_or(|end| end > length) {
            let file = shown(location);
            return Err(format!("is in {file}, which has {length} bytes; {needed} from {offset} on are needed"));
        }
        let known = self.paths.iter().position(|known| *known == path);
        let index = known.unwrap_or_else(|| {
            self.paths.push(path);
            self.paths.len() - 1
        });
        Ok((index, offset))
    }

    /// The file at `location`, which must be in the model's folder: a model may not have others read.
    fn inside(&self, location: &str) -> Result<PathBuf, String> {
        let model = self.paths[0].parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let relative = Path::new(location);
        if !relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err("which is not in the model's folder".into());
        }
        let cannot = |error: io::Error| format!("which cannot be read: {error}");
        let (folder, path) =
            (model.canonicalize().map_err(cannot)?, model.join(relative).canonicalize().map_err(cannot)?);
        if !path.starts_with(&folder) {
            return Err("which is a link out of the model's folder".into());
        }
        if !path.is_file() {
            return Err("which is no regular file".into());
        }
        Ok(path)
    }
}
