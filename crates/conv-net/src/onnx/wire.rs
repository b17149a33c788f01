//! A model's messages without the elements of its tensors: those stay in the file, and their place is noted.

use std::fs::File;
use std::io::{self, BufReader, Read};

use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::messages::{Attribute, Place};

/// The most bytes of messages that a model may have beside its tensors' elements; ResNet-152 has 60 KB, detectors with all
/// shapes stated some hundreds.
const MAX_BYTES: usize = 16 << 20;

/// The most bytes that these may become in memory: of two bytes of a file a message is made that has some hundreds.
const MAX_MEMORY: usize = 128 << 20;

/// Bytes of a message in memory, beside what its fields hold: of the largest.
const MESSAGE: usize = size_of::<Attribute>();

/// Bytes of a text or list in memory, or of some numbers, beside those that it holds.
const FIELD: usize = size_of::<String>();

/// Bytes in memory for one of a list of numbers, which may have one in the file.
const NUMBER: usize = size_of::<i64>();

/// What becomes of a field.
enum Keep {
    /// It is copied.
    Whole,
    /// It is copied, one or more numbers.
    Numbers,
    /// It is a message, of which the fields in the list are kept.
    Message(&'static Fields),
    /// It is noted where in the file its content is.
    Place,
}

type Fields = [(u32, Keep)];

const MODEL: &Fields = &[(1, Keep::Whole), (7, Keep::Message(GRAPH)), (8, Keep::Message(PAIR))];
const GRAPH: &Fields = &[
    (1, Keep::Message(NODE)),
    (2, Keep::Whole),
    (5, Keep::Message(TENSOR)),
    (11, Keep::Message(VALUE)),
    (12, Keep::Message(VALUE)),
    (13, Keep::Message(VALUE)),
];
const NODE: &Fields = &[
    (1, Keep::Whole),
    (2, Keep::Whole),
    (3, Keep::Whole),
    (4, Keep::Whole),
    (5, Keep::Message(ATTRIBUTE)),
    (7, Keep::Whole),
];
const ATTRIBUTE: &Fields = &[
    (1, Keep::Whole),
    (2, Keep::Whole),
    (3, Keep::Whole),
    (4, Keep::Whole),
    (5, Keep::Message(TENSOR)),
    (7, Keep::Numbers),
    (8, Keep::Numbers),
    (20, Keep::Whole),
];
const TENSOR: &Fields = &[
    (1, Keep::Numbers),
    (2, Keep::Whole),
    (4, Keep::Place),
    (5, Keep::Place),
    (7, Keep::Numbers),
    (8, Keep::Whole),
    (9, Keep::Place),
    (10, Keep::Place),
    (13, Keep::Message(PAIR)),
    (14, Keep::Whole),
];
const VALUE: &Fields = &[(1, Keep::Whole), (2, Keep::Message(VALUE_TYPE))];
const VALUE_TYPE: &Fields = &[(1, Keep::Message(TENSOR_TYPE))];
const TENSOR_TYPE: &Fields = &[(1, Keep::Whole), (2, Keep::Message(SHAPE))];
const SHAPE: &Fields = &[(1, Keep::Message(PAIR))];
/// A version of operators, a key and its value, and a size: the first two fields of all of them.
const PAIR: &Fields = &[(1, Keep::Whole), (2, Keep::Whole)];

/// Why a file is no model.
pub(super) enum WireError {
    Io(io::Error),
    Damaged(String),
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        WireError::Io(error)
    }
}

/// The bytes of a [`Model`](super::messages::Model) in a file of `length` bytes, with a [`Place`] for the elements of each
/// tensor. Whatever the file says, at most [`MAX_BYTES`] are kept, which become at most [`MAX_MEMORY`], and messages nest as
/// deep as [`MODEL`] does.
pub(super) fn skeleton(file: &mut File, length: u64) -> Result<Vec<u8>, WireError> {
    let mut walk = Walk { file: BufReader::new(file), at: 0, left: MAX_BYTES, memory_left: MAX_MEMORY };
    walk.message(length, MODEL)
}

struct Walk<'a> {
    file: BufReader<&'a mut File>,
    /// Bytes read and skipped.
    at: u64,
    /// Bytes that may still be kept.
    left: usize,
    /// Bytes that these may still become.
    memory_left: usize,
}

impl Walk<'_> {
    /// The message up to `end`, of which `fields` are kept.
    fn message(&mut self, end: u64, fields: &Fields) -> Result<Vec<u8>, WireError> {
        let mut kept = Vec::new();
        while self.at < end {
            let start = self.at;
            let tag = self.varint(end)?;
            let (number, wire_type) = (u32::try_from(tag >> 3).unwrap_or(0), WireType::try_from(tag & 7));
            let keep = fields.iter().find(|(field, _)| *field == number).map(|(_, keep)| keep);
            let length = match wire_type {
                Ok(WireType::LengthDelimited) => self.varint(end)?,
                Ok(WireType::ThirtyTwoBit) => 4,
                Ok(WireType::SixtyFourBit) => 8,
                Ok(WireType::Varint) => {
                    let value = self.varint(end)?;
                    if keep.is_some() {
                        self.remember(NUMBER)?;
                        self.keep(&mut kept, |kept| {
                            encode_key(number, WireType::Varint, kept);
                            encode_varint(value, kept);
                        })?;
                    }
                    continue;
                }
                Ok(WireType::StartGroup | WireType::EndGroup) | Err(_) => {
                    return Err(WireError::Damaged(format!("there is no field with the tag {tag} at byte {start}")));
                }
            };
            if number == 0 || length > end - self.at {
                return Err(WireError::Damaged(format!(
                    "field {number} at byte {start} would have {length} bytes; {} follow",
                    end - self.at
                )));
            }
            match (keep, wire_type) {
                (None, _) => self.skip(length)?,
                (Some(Keep::Message(fields)), Ok(WireType::LengthDelimited)) => {
                    self.remember(MESSAGE)?;
                    let message = self.message(self.at + length, fields)?;
                    self.keep(&mut kept, |kept| key(kept, number, message.len()))?;
                    kept.extend(message);
                }
                (Some(Keep::Place), Ok(WireType::LengthDelimited)) => {
                    self.remember(size_of::<Place>())?;
                    let place = Place { offset: self.at, length };
                    self.keep(&mut kept, |kept| field(kept, number, &place.encode_to_vec()))?;
                    self.skip(length)?;
                }
                (Some(keep @ (Keep::Whole | Keep::Numbers)), Ok(wire_type)) => {
                    self.allow(length)?;
                    let each = if matches!(keep, Keep::Numbers) { NUMBER } else { 1 };
                    self.remember(FIELD + length as usize * each)?;
                    let mut content = vec![0; length as usize];
                    self.file.read_exact(&mut content)?;
                    self.at += length;
                    self.keep(&mut kept, |kept| match wire_type {
                        WireType::LengthDelimited => field(kept, number, &content),
                        fixed => {
                            encode_key(number, fixed, kept);
                            kept.extend(content);
                        }
                    })?;
                }
                _ => return Err(WireError::Damaged(format!("field {number} at byte {start} is of another type"))),
            }
        }
        Ok(kept)
    }

    /// A number of at most ten bytes before `end`.
    fn varint(&mut self, end: u64) -> Result<u64, WireError> {
        let start = self.at;
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let mut byte = [0];
            if self.at == end {
                break;
            }
            self.file.read_exact(&mut byte)?;
            self.at += 1;
            value |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] < 0x80 {
                return Ok(value);
            }
        }
        Err(WireError::Damaged(format!("the number at byte {start} does not end")))
    }

    fn skip(&mut self, length: u64) -> Result<(), WireError> {
        // Within the file, so it fits.
        self.file.seek_relative(length as i64)?;
        self.at += length;
        Ok(())
    }

    /// Appends to `kept`, within the limit.
    fn keep(&mut self, kept: &mut Vec<u8>, append: impl FnOnce(&mut Vec<u8>)) -> Result<(), WireError> {
        let before = kept.len();
        append(kept);
        let bytes = kept.len() - before;
        self.allow(bytes as u64)?;
        self.left -= bytes;
        Ok(())
    }

    /// Counts bytes of what is made of a field, within the limit.
    fn remember(&mut self, bytes: usize) -> Result<(), WireError> {
        let left = self.memory_left.checked_sub(bytes).ok_or_else(|| {
            WireError::Damaged(format!(
                "its nodes and names would take more than {MAX_MEMORY} bytes of memory, which no network of convolutions needs"
            ))
        })?;
        self.memory_left = left;
        Ok(())
    }

    fn allow(&self, bytes: u64) -> Result<(), WireError> {
        if bytes > self.left as u64 {
            return Err(WireError::Damaged(format!(
                "its nodes and names have more than {MAX_BYTES} bytes, which no network of convolutions needs"
            )));
        }
        Ok(())
    }
}

/// Appends a field of some bytes.
fn field(kept: &mut Vec<u8>, number: u32, content: &[u8]) {
    key(kept, number, content.len());
    kept.extend(content);
}

/// Appends the start of a field of `length` bytes.
pub(super) fn key(kept: &mut Vec<u8>, number: u32, length: usize) {
    encode_key(number, WireType::LengthDelimited, kept);
    encode_varint(length as u64, kept);
}
