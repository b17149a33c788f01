//! `.npy` files: what NumPy writes, what it may write, and what must be refused.

use std::path::PathBuf;

use conv_net::npy::{self, Array, NpyError};
use tempfile::TempDir;

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Files(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Reads a file made of `bytes`.
    fn read(&self, bytes: &[u8]) -> Result<Array, NpyError> {
        let path = self.path("array.npy");
        std::fs::write(&path, bytes).unwrap();
        npy::read(&path)
    }
}

/// A version 1.0 file with `header` as it stands.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\0".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn writes_byte_for_byte_what_numpy_writes() {
    let files = Files::new();
    let path = files.path("written.npy");
    npy::write(&path, &[2, 3], &[0.0, 1.0, -2.5, f32::MAX, f32::MIN_POSITIVE, 7.0]).unwrap();
    let header = format!("{:<117}\n", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }");
    let expected = file(&header, &floats(&[0.0, 1.0, -2.5, f32::MAX, f32::MIN_POSITIVE, 7.0]));
    assert_eq!(std::fs::read(&path).unwrap(), expected);
    assert_eq!(std::fs::read_dir(files.0.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn reads_what_it_writes() {
    let files = Files::new();
    let path = files.path("round.npy");
    for shape in [vec![], vec![1], vec![5], vec![0], vec![3, 0, 2], vec![2, 3, 4, 5], vec![70_000], vec![1; 64]] {
        let data: Vec<f32> = (0..shape.iter().product()).map(|i: usize| i as f32 - 7.5).collect();
        npy::write(&path, &shape, &data).unwrap();
        assert_eq!(npy::read(&path).unwrap(), Array { shape, data });
    }
    let odd = [f32::NAN, f32::INFINITY, -0.0, 1e-45];
    npy::write(&path, &[4], &odd).unwrap();
    assert_eq!(npy::read(&path).unwrap().data.map_bits(), odd.to_vec().map_bits());
}

trait Bits {
    fn map_bits(self) -> Vec<u32>;
}

impl Bits for Vec<f32> {
    fn map_bits(self) -> Vec<u32> {
        self.into_iter().map(f32::to_bits).collect()
    }
}

#[test]
fn reads_other_spellings_and_versions() {
    let files = Files::new();
    let data = floats(&[1.0, 2.0]);
    for header in [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }            \n",
        "{'shape': (2,), 'fortran_order': False, 'descr': '<f4'}",
        "{\"descr\":\"<f4\",\"fortran_order\":False,\"shape\":(2,)}",
        " { 'descr' : '<f4' , 'fortran_order' : False , 'shape' : ( 1 , 2 ) , } \n",
    ] {
        assert_eq!(files.read(&file(header, &data)).unwrap_or_else(|e| panic!("{e}")).data, [1.0, 2.0], "{header}");
    }
    for version in [2, 3] {
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n";
        let mut bytes = b"\x93NUMPY".to_vec();
        bytes.extend([version, 0]);
        bytes.extend((header.len() as u32).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(&data);
        assert_eq!(files.read(&bytes).unwrap(), Array { shape: vec![2], data: vec![1.0, 2.0] });
    }
}

#[test]
fn other_arrays_are_refused_with_what_would_do() {
    let files = Files::new();
    let header = |descr: &str, order: &str, shape: &str| {
        file(&format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n"), &[0; 8])
    };
    for descr in ["'<f8'", "'>f4'", "'<i4'", "'|u1'", "'<f2'", "[('x', '<f4'), ('y', '<f4')]"] {
        let error = files.read(&header(descr, "False", "(2,)")).unwrap_err();
        assert!(matches!(&error, NpyError::Type { descr: got, .. } if got == descr), "{error}");
        assert!(error.to_string().contains("astype('<f4')"), "{error}");
    }
    let error = files.read(&header("'<f4'", "True", "(2, 1)")).unwrap_err();
    assert!(matches!(error, NpyError::FortranOrder { .. }) && error.to_string().contains("ascontiguousarray"));
    for (shape, needed) in [("(3,)", 12), ("(1,)", 4), ("()", 4), ("(0,)", 0), ("(1000000000,)", 4_000_000_000)] {
        let error = files.read(&header("'<f4'", "False", shape)).unwrap_err();
        assert!(matches!(error, NpyError::Length { needed: n, got: 8, .. } if n == needed), "{error}");
    }
    let wide = format!("({})", "1, ".repeat(65));
    for shape in ["(1000000000000,)", "(18446744073709551615, 18446744073709551615, 9)", &wide] {
        let error = files.read(&header("'<f4'", "False", shape)).unwrap_err();
        assert!(matches!(error, NpyError::TooLarge { .. }), "{error}");
    }
}

#[test]
fn damaged_files_are_refused() {
    let files = Files::new();
    let good = file("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n", &floats(&[1.0, 2.0]));
    assert!(files.read(&good).is_ok());
    for len in 0..good.len() {
        let error = files.read(&good[..len]).unwrap_err();
        assert!(matches!(error, NpyError::Header { .. } | NpyError::Length { .. }), "{len} bytes: {error}");
    }
    assert!(matches!(files.read(&[&good[..], &[0]].concat()), Err(NpyError::Length { needed: 8, got: 9, .. })));
    for (header, message) in [
        ("", "no '{'"),
        ("{}", "no 'descr'"),
        ("{'descr': '<f4', 'shape': (2,)}", "no 'fortran_order'"),
        ("{'descr': '<f4', 'fortran_order': False}", "no 'shape'"),
        ("{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}", "not True or False"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': 2}", "no tuple"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", "the size '-2'"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", "the size '99"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2,,)}", "the size ''"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2", "without end"),
        ("{'descr': '<f4' 'fortran_order': False, 'shape': (2,)}", "no 'fortran_order'"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'more': 1}", "unknown key 'more'"),
        ("{'descr': '<f4)', 'fortran_order': False), 'shape': (2,)}", "without end"),
    ] {
        let error = files.read(&file(header, &floats(&[1.0, 2.0]))).unwrap_err();
        assert!(matches!(&error, NpyError::Header { message: m, .. } if m.contains(message)), "{header}: {error}");
    }
    assert!(files.read(b"\x93NUMPY\x09\x01\0\0").unwrap_err().to_string().contains("version 9.1"));
    let endless = [b"\x93NUMPY\x02\0".as_slice(), &u32::MAX.to_le_bytes()].concat();
    assert!(files.read(&endless).unwrap_err().to_string().contains("4294967295 bytes"));
    assert!(files.read(b"# a text file\n").unwrap_err().to_string().contains("does not start as one"));
}

/// Whatever one byte is changed to, the answer is an array of two floats or an error, never a panic.
#[test]
fn no_byte_makes_it_panic() {
    let files = Files::new();
    let good = file("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n", &floats(&[1.0, 2.0]));
    for at in 0..good.len() - 8 {
        for byte in [0, b'\'', b'"', b'(', b')', b'[', b']', b'{', b'}', b',', b':', b'9', b' ', 0x80, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = byte;
            if let Ok(array) = files.read(&bytes) {
                assert_eq!(array.data.len(), 2);
            }
        }
    }
}

#[test]
fn what_cannot_be_written_is_refused() {
    let files = Files::new();
    let path = files.path("whole.npy");
    npy::write(&path, &[1], &[3.0]).unwrap();
    let error = npy::write(&path, &[2, 2], &[1.0]).unwrap_err();
    assert!(matches!(error, NpyError::Length { needed: 16, got: 4, .. }), "{error}");
    assert_eq!(npy::read(&path).unwrap().data, [3.0], "the old file is untouched");
    for impossible in [files.path("no/such/folder.npy"), files.0.path().to_path_buf()] {
        assert!(matches!(npy::write(&impossible, &[1], &[1.0]), Err(NpyError::Write { .. })), "{impossible:?}");
    }
    assert!(matches!(npy::write(&path, &[usize::MAX, 2], &[]), Err(NpyError::TooLarge { .. })));
    assert!(matches!(npy::read(files.0.path()), Err(NpyError::Read { .. })));
    assert!(matches!(npy::read(&files.path("missing.npy")), Err(NpyError::Read { .. })));
}
