//! `.npz` archives: which array is meant, and what must be refused.

mod common;

use std::io::Write;

use common::arrays::{Files, array, fixture, floats, packed, read};
use conv_net::npy::{self, Array, NpyError};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use rawzip::path::EntryPath;
use rawzip::{CompressionMethod, ZipArchiveWriter, crc32};

/// An archive of the given files.
fn archive(method: CompressionMethod, files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipArchiveWriter::new(Vec::new());
    for (name, bytes) in files {
        let (mut entry, config) =
            zip.new_file(EntryPath::verbatim(name.as_bytes())).compression_method(method).start().unwrap();
        let descriptor = if method == CompressionMethod::DEFLATE {
            let mut data = config.wrap(DeflateEncoder::new(&mut entry, Compression::default()));
            data.write_all(bytes).unwrap();
            let (encoder, descriptor) = data.finish().unwrap();
            encoder.finish().unwrap();
            descriptor
        } else {
            let mut data = config.wrap(&mut entry);
            data.write_all(bytes).unwrap();
            data.finish().unwrap().1
        };
        entry.finish(descriptor).unwrap();
    }
    zip.finish().unwrap()
}

/// Of two floats.
fn pair() -> Vec<u8> {
    array("'<f4'", "(2,)", &floats(&[1.0, 2.0]))
}

/// `archive` with the bytes at `offset` of its directory's first entry replaced.
fn forged(mut archive: Vec<u8>, offset: usize, bytes: &[u8]) -> Vec<u8> {
    let entry = archive.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    archive[entry + offset..][..bytes.len()].copy_from_slice(bytes);
    archive
}

/// Places in an entry of the directory.
const FLAGS: usize = 8;
const METHOD: usize = 10;
const CHECKSUM: usize = 16;
const UNPACKED_SIZE: usize = 24;

#[test]
fn reads_what_numpy_writes() {
    let stored = |name: &str| read(&fixture(&format!("stored.npz:{name}"))).unwrap();
    let x = (0..24).map(|i| i as f32 / 8.0).collect();
    assert_eq!(stored("x"), Array { shape: vec![2, 3, 2, 2], data: x });
    assert_eq!(stored("n"), Array { shape: vec![2], data: vec![-3.0, 300.0] });
    assert_eq!(stored("flags"), Array { shape: vec![2, 1], data: vec![1.0, 0.0] });
    let only = read(&fixture("deflated.npz")).unwrap();
    assert_eq!(only, Array { shape: vec![2, 500], data: [[7.0; 500], [9.0; 500]].concat() });
    assert_eq!(read(&fixture("deflated.npz:arr_0")).unwrap(), only);
}

#[test]
fn an_array_is_named_where_there_are_several() {
    let files = Files::new();
    let path = |name: &str| files.path(name);
    let other = array("'|u1'", "()", &[9]);
    for method in [CompressionMethod::STORE, CompressionMethod::DEFLATE] {
        let bytes = archive(method, &[("notes.txt", b"1"), ("w.npy", &pair()), ("layer/b:0.npy", &other)]);
        std::fs::write(path("two.npz"), bytes).unwrap();
        assert_eq!(read(&path("two.npz:w")).unwrap().data, [1.0, 2.0]);
        assert_eq!(read(&path("two.npz:layer/b:0")).unwrap().data, [9.0]);
    }
    for (name, message) in [
        ("two.npz", "two.npz holds 2 arrays, w, layer/b:0: name one, as "),
        ("two.npz:x", "two.npz holds no array 'x', but w, layer/b:0"),
        ("two.npz:notes.txt", "holds no array 'notes.txt', but w"),
        ("two.npz:", "holds no array '', but w"),
    ] {
        let error = read(&path(name)).unwrap_err();
        assert!(matches!(error, NpyError::Name { .. }) && error.to_string().contains(message), "{name}: {error}");
    }
    let many: Vec<String> = (0..1000).map(|i| format!("array{i}.npy")).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|name| (&name[..], &b""[..])).collect();
    std::fs::write(path("many.npz"), archive(CompressionMethod::STORE, &many)).unwrap();
    let message = read(&path("many.npz")).unwrap_err().to_string();
    assert!(message.contains("holds 1000 arrays, array0, array1, ") && message.contains(", array19, …"), "{message}");
    std::fs::write(path("none.npz"), archive(CompressionMethod::STORE, &[("notes.txt", b"1")])).unwrap();
    let message = read(&path("none.npz")).unwrap_err().to_string();
    assert!(message.contains("an archive without arrays"), "{message}");
    assert!(read(&path("missing.npz:w")).unwrap_err().to_string().contains("missing.npz: "));
}

#[test]
fn contents_tell_archives_from_arrays() {
    let files = Files::new();
    std::fs::write(files.path("array.npz"), pair()).unwrap();
    assert_eq!(read(&files.path("array.npz")).unwrap().data, [1.0, 2.0]);
    let error = read(&files.path("array.npz:w")).unwrap_err();
    assert!(matches!(error, NpyError::Archive { .. }), "{error}");
    let one = archive(CompressionMethod::DEFLATE, &[("w.npy", &pair())]);
    assert_eq!(files.read(&one).unwrap().data, [1.0, 2.0]);
}

#[test]
fn arrays_in_archives_are_held_to_the_same_rules() {
    let files = Files::new();
    for method in [CompressionMethod::STORE, CompressionMethod::DEFLATE] {
        let inside = |bytes: &[u8]| files.read(&archive(method, &[("w.npy", bytes)])).unwrap_err();
        let error = inside(&array("'<f4'", "(3,)", &floats(&[1.0, 2.0])));
        assert!(matches!(error, NpyError::Length { needed: 12, got: 8, .. }), "{error}");
        let error = inside(&array("'<f4'", "(1,)", &floats(&[1.0, 2.0])));
        assert!(matches!(error, NpyError::Length { needed: 4, got: 8, .. }), "{error}");
        let error = inside(&array("'<f8'", "(1,)", &packed(&[1e300], f64::to_le_bytes)));
        assert!(matches!(&error, NpyError::Value { path, .. } if path.ends_with("array.npy:w")), "{error}");
        let error = inside(&array("'<c8'", "(1,)", &[0; 8]));
        assert!(matches!(error, NpyError::Type { .. }), "{error}");
        let error = inside(&pair()[..40]);
        assert!(error.to_string().contains("array.npy:w is no .npy file") && error.to_string().contains("ends within"));
    }
}

#[test]
fn what_unpacks_to_too_much_is_not_unpacked() {
    let files = Files::new();
    let zeros = 4_000_000;
    let bytes = array("'|u1'", &format!("({zeros},)"), &vec![0; zeros]);
    let bomb = archive(CompressionMethod::DEFLATE, &[("w.npy", &bytes)]);
    assert!(bomb.len() < 8000);
    std::fs::write(files.path("bomb.npz"), &bomb).unwrap();
    let error = npy::read(&files.path("bomb.npz"), 4 * zeros - 1).unwrap_err();
    assert!(matches!(error, NpyError::Memory { needed: 16_000_000, .. }), "{error}");
    assert_eq!(npy::read(&files.path("bomb.npz"), 4 * zeros).unwrap().data.len(), zeros);

    // Shape and directory agree on more than the compressed bytes can stand for.
    let shape = array("'|u1'", "(4000000000,)", b"");
    let size = (shape.len() as u32 + 4_000_000_000).to_le_bytes();
    for method in [CompressionMethod::STORE, CompressionMethod::DEFLATE] {
        let lie = forged(archive(method, &[("w.npy", &shape)]), UNPACKED_SIZE, &size);
        let error = files.read(&lie).unwrap_err();
        assert!(error.to_string().contains("cannot unpack to the 40000000"), "{error}");
    }
    // Or on so little more that they could.
    for order in [array, common::arrays::fortran] {
        let shape = order("'|u1'", "(20, 1000)", &[1; 3000]);
        let size = (shape.len() as u32 + 17_000).to_le_bytes();
        let lie = forged(archive(CompressionMethod::DEFLATE, &[("w.npy", &shape)]), UNPACKED_SIZE, &size);
        let error = files.read(&lie).unwrap_err();
        assert!(error.to_string().contains("Invalid size: expected 20"), "{error}");
    }
    // Or on less than there is, by the right checksum.
    let more = array("'|u1'", "(2,)", &[1, 2, 3]);
    let less = &more[..more.len() - 1];
    let lie = forged(archive(CompressionMethod::DEFLATE, &[("w.npy", &more)]), CHECKSUM, &crc32(less).to_le_bytes());
    let error = files.read(&forged(lie, UNPACKED_SIZE, &(less.len() as u32).to_le_bytes())).unwrap_err();
    assert!(error.to_string().contains("Invalid size: expected"), "{error}");
}

#[test]
fn damaged_and_foreign_archives_are_refused() {
    let files = Files::new();
    let good = archive(CompressionMethod::STORE, &[("w.npy", &pair())]);
    for (message, bytes) in [
        ("'w' is encrypted; save it by numpy.savez", forged(good.clone(), FLAGS, &[1, 0])),
        ("'w' is compressed by method 14; save it", forged(good.clone(), METHOD, &[14, 0])),
        ("Missing end of central directory", b"PK\x03\x04".to_vec()),
    ] {
        let error = files.read(&bytes).unwrap_err();
        assert!(matches!(&error, NpyError::Archive { message: m, .. } if m.contains(message)), "{error}");
    }
    for len in 0..good.len() {
        assert!(files.read(&good[..len]).is_err(), "{len} bytes");
    }
}

/// Whatever one byte is changed to, the answer is the same array or an error, never a panic or another array: elements
/// have a checksum.
#[test]
fn no_byte_makes_it_panic_or_lie() {
    let files = Files::new();
    for method in [CompressionMethod::STORE, CompressionMethod::DEFLATE] {
        let good = archive(method, &[("w.npy", &pair())]);
        for at in 0..good.len() {
            for change in [1, 0x80, 0xff] {
                let mut bytes = good.clone();
                bytes[at] ^= change;
                if let Ok(array) = files.read(&bytes) {
                    assert_eq!(array, Array { shape: vec![2], data: vec![1.0, 2.0] }, "byte {at} changed by {change}");
                }
            }
        }
    }
}
