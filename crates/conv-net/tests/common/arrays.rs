//! NumPy's files made by hand.

use std::path::{Path, PathBuf};

use conv_net::npy::{self, Array, NpyError};
use tempfile::TempDir;

/// A folder of arrays.
pub struct Files(TempDir);

impl Files {
    pub fn new() -> Self {
        Files(tempfile::tempdir().unwrap())
    }

    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// Reads a file made of `bytes`.
    pub fn read(&self, bytes: &[u8]) -> Result<Array, NpyError> {
        let path = self.path("array.npy");
        // A new file: some systems write one to the disk at once that was cut and is written again.
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, bytes).unwrap();
        read(&path)
    }
}

/// Reads without a limit of memory.
pub fn read(path: &Path) -> Result<Array, NpyError> {
    npy::read(path, usize::MAX)
}

/// What NumPy wrote, by the name of the file.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// A version 1.0 file with `header` as it stands.
pub fn file(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\0".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

/// A file of `descr` and `shape` as they stand, in C order.
pub fn array(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    file(&format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n"), data)
}

/// As [`array`], in Fortran order.
pub fn fortran(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    file(&format!("{{'descr': {descr}, 'fortran_order': True, 'shape': {shape}, }}\n"), data)
}

/// The bytes of `values`, each by `bytes`.
pub fn packed<T: Copy, const SIZE: usize>(values: &[T], bytes: impl Fn(T) -> [u8; SIZE]) -> Vec<u8> {
    values.iter().flat_map(|&value| bytes(value)).collect()
}

pub fn floats(values: &[f32]) -> Vec<u8> {
    packed(values, f32::to_le_bytes)
}
