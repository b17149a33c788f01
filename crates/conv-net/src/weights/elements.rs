//! Elements of tensors in files: floats of three sizes, little-endian.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use half::{bf16, f16};

/// Bytes that are read and converted at a time.
const CHUNK_BYTES: usize = 1 << 16;

/// A type of floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    F32,
    F16,
    Bf16,
}

impl Element {
    /// Bytes of one.
    pub(crate) fn size(self) -> usize {
        match self {
            Element::F32 => 4,
            Element::F16 | Element::Bf16 => 2,
        }
    }

    /// Reads `values` from `offset` on.
    pub(crate) fn read(self, file: &mut File, offset: u64, values: &mut [f32]) -> io::Result<()> {
        let size = self.size();
        let mut bytes = vec![0; CHUNK_BYTES.min(values.len() * size)];
        file.seek(SeekFrom::Start(offset))?;
        for values in values.chunks_mut(CHUNK_BYTES / size) {
            let bytes = &mut bytes[..values.len() * size];
            file.read_exact(bytes)?;
            match self {
                Element::F32 => convert(bytes, values, f32::from_le_bytes),
                Element::F16 => convert(bytes, values, |bytes| f16::from_le_bytes(bytes).to_f32()),
                Element::Bf16 => convert(bytes, values, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            }
        }
        Ok(())
    }
}

fn convert<const SIZE: usize>(bytes: &[u8], values: &mut [f32], value: impl Fn([u8; SIZE]) -> f32) {
    bytes.as_chunks().0.iter().zip(values).for_each(|(&bytes, slot)| *slot = value(bytes));
}
