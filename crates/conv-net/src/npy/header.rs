//! What stands before an array's elements.
//!
//! The format ("NEP 1", versions 1.0 to 3.0): the magic bytes `\x93NUMPY`, two version bytes, the header's length (two
//! bytes little-endian in version 1, four later), the header (a Python dictionary literal, Latin-1 or, in version 3,
//! UTF-8), then the elements.
//!
//! `npyz::NpyHeader` reads it too, but allocates whatever length a file claims, multiplies a shape's sizes unchecked, and
//! leaves its parser, `py_literal`, to nested brackets. So the parser is called from here, behind bounds.

use std::io::{self, Read};
use std::path::Path;

use npyz::DType;
use py_literal::Value;

use super::NpyError;

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// Headers longer than any that describes a plain array are refused; NumPy's own limit is 10 000 bytes.
const MAX_HEADER_BYTES: usize = 10_000;

/// A header of numbers opens two brackets, one of dates three, one of structures more. The parser takes up to three times
/// as long for each that is nested in others: five of them in 10 kB took 1.4 s.
const MAX_BRACKETS: usize = 3;

/// What describes the elements.
pub(super) struct Header {
    /// Of one element.
    pub dtype: DType,
    /// Whether the first index runs fastest instead of the last.
    pub fortran_order: bool,
    /// Not yet within any limit.
    pub shape: Vec<usize>,
    /// Bytes before the elements.
    pub bytes: u64,
}

enum HeaderError {
    Io(io::Error),
    Message(String),
    Type(String),
}

impl From<io::Error> for HeaderError {
    fn from(error: io::Error) -> Self {
        HeaderError::Io(error)
    }
}

impl From<String> for HeaderError {
    fn from(message: String) -> Self {
        HeaderError::Message(message)
    }
}

/// Reads the header and nothing beyond it.
///
/// # Errors
/// [`NpyError`] naming `path` if there is none, or it is damaged or describes no elements that NumPy knows.
pub(super) fn read(path: &Path, input: &mut impl Read) -> Result<Header, NpyError> {
    read_header(input).map_err(|error| match error {
        HeaderError::Io(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
            NpyError::Header { path: path.into(), message: "it ends within its header".into() }
        }
        HeaderError::Io(source) => NpyError::Read { path: path.into(), source },
        HeaderError::Message(message) => NpyError::Header { path: path.into(), message },
        HeaderError::Type(descr) => NpyError::Type { path: path.into(), descr },
    })
}

fn read_header(input: &mut impl Read) -> Result<Header, HeaderError> {
    let mut start = [0; 8];
    input.read_exact(&mut start)?;
    if !start.starts_with(MAGIC) {
        return Err("it does not start as one".to_owned().into());
    }
    let length_bytes = match (start[6], start[7]) {
        (1, 0) => 2,
        (2 | 3, 0) => 4,
        (major, minor) => {
            return Err(format!("it has format version {major}.{minor}; 1.0, 2.0 and 3.0 are known").into());
        }
    };
    let mut length = [0; 4];
    input.read_exact(&mut length[..length_bytes])?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_HEADER_BYTES {
        return Err(format!("its header has {length} bytes; up to {MAX_HEADER_BYTES} are accepted").into());
    }
    let mut text = vec![0; length];
    input.read_exact(&mut text)?;
    parse(String::from_utf8_lossy(&text).trim(), (start.len() + length_bytes + length) as u64)
}

/// Reads the dictionary of a header: each of the three keys once, in any order.
fn parse(text: &str, bytes: u64) -> Result<Header, HeaderError> {
    let brackets = text.matches(['(', '[', '{']).count();
    if brackets > MAX_BRACKETS {
        let message = format!(
            "its header {text:?} opens {brackets} brackets, and up to {MAX_BRACKETS} are accepted: \
             save a structured array one field at a time, as array['field'].astype('float32')"
        );
        return Err(message.into());
    }
    let Ok(Value::Dict(entries)) = text.parse() else {
        return Err(format!("its header {text:?} is no Python dictionary").into());
    };
    let entry = |key: &str| {
        let mut named = entries.iter().filter(|(name, _)| name.as_string().is_some_and(|name| name == key));
        match (named.next(), named.next()) {
            (Some((_, value)), None) => Ok(value),
            (None, _) => Err(format!("no '{key}' in its header {text:?}")),
            (Some(_), Some(_)) => Err(format!("more than one '{key}' in its header {text:?}")),
        }
    };
    let (descr, fortran_order, shape) = (entry("descr")?, entry("fortran_order")?, entry("shape")?);
    if entries.len() > 3 {
        return Err(format!("keys besides 'descr', 'fortran_order' and 'shape' in its header {text:?}").into());
    }
    let &Value::Boolean(fortran_order) = fortran_order else {
        return Err(format!("fortran_order is {fortran_order}, not True or False").into());
    };
    let Value::Tuple(sizes) = shape else {
        return Err(format!("the shape is {shape}, no tuple").into());
    };
    let size = |size: &Value| match size {
        Value::Integer(number) => usize::try_from(number).ok(),
        _ => None,
    };
    let size = |value| size(value).ok_or_else(|| format!("the size {value} in the shape"));
    let shape = sizes.iter().map(size).collect::<Result<_, _>>()?;
    let name = descr.as_string().and_then(|name| name.parse().ok());
    let dtype = name.map(DType::Plain).ok_or_else(|| HeaderError::Type(descr.to_string()))?;
    Ok(Header { dtype, fortran_order, shape, bytes })
}
