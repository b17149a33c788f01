//! `.npz`: a zip archive in which the array `w` is the file `w.npy`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::DeflateDecoder;
use npyz::npz::array_name_from_file_name;
use rawzip::{CompressionMethod, MAX_CENTRAL_DIRECTORY_RECORD_SIZE, ZipArchive};

use super::{Array, NpyError, elements};

/// Bytes that one byte of deflate's can stand for, at most: two bits for 258 bytes.
const MAX_DEFLATE_RATIO: u64 = 1032;

/// Names of arrays that a message lists.
const MAX_LISTED: usize = 20;

/// Reads the array called `name`, or the only one, from an archive of `file_bytes`. Nothing is unpacked but what its shape
/// says, and held against the archive's checksum.
///
/// # Errors
/// As [`super::read`].
pub(super) fn read(
    path: &Path,
    file: File,
    file_bytes: u64,
    name: Option<&str>,
    memory_limit: usize,
) -> Result<Array, NpyError> {
    let broken = |message: String| NpyError::Archive { path: path.into(), message };
    let mut buffer = vec![0; MAX_CENTRAL_DIRECTORY_RECORD_SIZE];
    let archive = ZipArchive::from_file(file, &mut buffer).map_err(|error| broken(error.to_string()))?;
    let (mut wanted, mut names, mut count) = (None, Vec::new(), 0);
    let mut entries = archive.entries(&mut buffer);
    while let Some(entry) = entries.next_entry().map_err(|error| broken(error.to_string()))? {
        let file_name = str::from_utf8(entry.file_path().as_bytes());
        let Some(known) = file_name.ok().and_then(array_name_from_file_name) else { continue };
        if name.is_none_or(|name| name == known) {
            let packing = (entry.compression_method(), entry.flags().is_encrypted());
            wanted = Some((known.to_owned(), entry.wayfinder(), packing));
        }
        if names.len() < MAX_LISTED {
            names.push(known.to_owned());
        }
        count += 1;
    }
    let Some((name, entry, packing)) = wanted.filter(|_| name.is_some() || count == 1) else {
        return Err(NpyError::Name { path: path.into(), name: name.map(String::from), names, count });
    };

    let (bytes, packed) = (entry.uncompressed_size_hint(), entry.compressed_size_hint().min(file_bytes));
    if bytes > MAX_DEFLATE_RATIO.saturating_mul(packed) {
        return Err(broken(format!("{packed} bytes cannot unpack to the {bytes} that it says '{name}' has")));
    }
    let entry = archive.get_entry(entry).map_err(|error| broken(error.to_string()))?;
    let unpacked: Box<dyn Read + '_> = match packing {
        (CompressionMethod::STORE, false) => Box::new(entry.reader()),
        (CompressionMethod::DEFLATE, false) => Box::new(DeflateDecoder::new(entry.reader())),
        (method, encrypted) => {
            let how = if encrypted { "encrypted".into() } else { format!("compressed by method {}", method.as_u16()) };
            return Err(broken(format!("'{name}' is {how}; save it by numpy.savez or numpy.savez_compressed")));
        }
    };
    let path = PathBuf::from(format!("{}:{name}", path.display()));
    elements::read(&path, &mut entry.verifying_reader(unpacked), bytes, memory_limit)
}
