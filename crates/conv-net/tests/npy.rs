//! `.npy` files: what NumPy writes, what it may write, and what must be refused.

mod common;

use common::arrays::{Files, array, file, fixture, floats, fortran, packed, read};
use conv_net::npy::{self, Array, NpyError};
use half::f16;

#[test]
fn writes_a_header_that_numpy_takes() {
    let files = Files::new();
    let path = files.path("written.npy");
    npy::write(&path, &[2, 3], &[0.0, 1.0, -2.5, f32::MAX, f32::MIN_POSITIVE, 7.0]).unwrap();
    let header = format!("{:<117}\n", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, ), }");
    let expected = file(&header, &floats(&[0.0, 1.0, -2.5, f32::MAX, f32::MIN_POSITIVE, 7.0]));
    assert_eq!(std::fs::read(&path).unwrap(), expected);
    assert_eq!(std::fs::read_dir(files.folder()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn reads_what_it_writes() {
    let files = Files::new();
    let path = files.path("round.npy");
    for shape in [vec![], vec![1], vec![5], vec![0], vec![3, 0, 2], vec![2, 3, 4, 5], vec![70_000], vec![1; 64]] {
        let data: Vec<f32> = (0..shape.iter().product()).map(|i: usize| i as f32 - 7.5).collect();
        npy::write(&path, &shape, &data).unwrap();
        assert_eq!(read(&path).unwrap(), Array { shape, data });
    }
    let odd = [f32::NAN, f32::INFINITY, -0.0, 1e-45];
    npy::write(&path, &[4], &odd).unwrap();
    assert_eq!(bits(&read(&path).unwrap().data), bits(&odd));
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn reads_what_numpy_writes() {
    let array = read(&fixture("float16_big_fortran.npy")).unwrap();
    assert_eq!(array.shape, [2, 3, 2, 2]);
    assert_eq!(array.data, (0..24).map(|i| i as f32 / 4.0 - 2.0).collect::<Vec<_>>());
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
fn numbers_of_every_type_become_the_nearest_floats() {
    let files = Files::new();
    let check = |descr: &str, data: Vec<u8>, expected: &[f32]| {
        let bytes = array(&format!("'{descr}'"), &format!("({},)", expected.len()), &data);
        let array = files.read(&bytes).unwrap_or_else(|error| panic!("{descr}: {error}"));
        assert_eq!(bits(&array.data), bits(expected), "{descr}");
    };
    macro_rules! check {
        ($($code:literal $type:ty: $values:expr => $floats:expr;)*) => {$(
            check(concat!("<", $code), packed(&$values, <$type>::to_le_bytes), &$floats);
            check(concat!(">", $code), packed(&$values, <$type>::to_be_bytes), &$floats);
        )*};
    }
    let halves = [0.5, -2.0, 65504.0, f32::INFINITY, 6e-8];
    let [.., least] = halves.map(f16::from_f32);
    check! {
        "f2" f16: halves.map(f16::from_f32) => [0.5, -2.0, 65504.0, f32::INFINITY, least.to_f32()];
        "f4" f32: [0.1, -1e-45, f32::MAX, f32::NEG_INFINITY] => [0.1, -1e-45, f32::MAX, f32::NEG_INFINITY];
        "f8" f64: [0.1, -1e-300, 3.402_823_5e38, f64::NEG_INFINITY] => [0.1, -0.0, f32::MAX, f32::NEG_INFINITY];
        "i2" i16: [0, i16::MIN, i16::MAX] => [0.0, -32768.0, 32767.0];
        "i4" i32: [-1, i32::MIN, 16_777_217] => [-1.0, -2_147_483_648.0, 16_777_216.0];
        "i8" i64: [-1, i64::MIN, i64::MAX] => [-1.0, -9_223_372_036_854_775_808.0, 9_223_372_036_854_775_808.0];
        "u2" u16: [0, u16::MAX] => [0.0, 65535.0];
        "u4" u32: [1, u32::MAX] => [1.0, 4_294_967_296.0];
        "u8" u64: [1, u64::MAX] => [1.0, 18_446_744_073_709_551_616.0];
    }
    check("|i1", packed(&[-128, 127], i8::to_le_bytes), &[-128.0, 127.0]);
    check("|u1", vec![0, 255], &[0.0, 255.0]);
    check("|b1", vec![0, 1, 1], &[0.0, 1.0, 1.0]);
    assert!(files.read(&array("'<f8'", "()", &f64::NAN.to_le_bytes())).unwrap().data[0].is_nan());
    let error = files.read(&array("'|b1'", "(2,)", &[1, 2])).unwrap_err();
    assert!(error.to_string().contains("invalid value for bool: 2"), "{error}");
}

#[test]
fn numbers_beyond_all_floats_are_named() {
    let files = Files::new();
    let doubles = |values: &[f64]| packed(values, f64::to_le_bytes);
    for (bytes, place, number) in [
        (array("'<f8'", "(1, 2)", &doubles(&[1.0, 1e300])), vec![0, 1], 1e300),
        (array("'<f8'", "(2, 2)", &doubles(&[1.0, 2.0, -3.403e38, 1e300])), vec![1, 0], -3.403e38),
        (fortran("'<f8'", "(2, 3)", &doubles(&[1.0, 2.0, 3.0, 1e39, 5.0, 6.0])), vec![1, 1], 1e39),
        (array("'<f8'", "()", &doubles(&[f64::MIN])), vec![], f64::MIN),
        (array("'<f8'", "(40000,)", &doubles(&[&[0.0; 39_999][..], &[1e39]].concat())), vec![39_999], 1e39),
    ] {
        let error = files.read(&bytes).unwrap_err();
        let NpyError::Value { index, value, .. } = &error else { panic!("{error}") };
        assert_eq!((index, *value), (&place, number));
        let message = error.to_string();
        assert!(message.contains(&format!("{place:?} is {number:e}")) && message.contains("3.4028235e38"), "{message}");
    }
}

#[test]
fn fortran_order_becomes_c_order() {
    let files = Files::new();
    for shape in [&[2, 3][..], &[2, 3, 4, 5], &[7], &[], &[3, 0, 2], &[1, 150, 1, 130]] {
        let count: usize = shape.iter().product();
        // In each place of a file its own number: the sum of the indices, each times its stride in C order.
        let number = |mut position: usize| {
            let mut number = 0;
            for (dimension, size) in shape.iter().enumerate() {
                number += position % size * shape[dimension + 1..].iter().product::<usize>();
                position /= size;
            }
            number as u16
        };
        let numbers: Vec<u16> = (0..count).map(number).collect();
        let text = shape.iter().map(|size| format!("{size}, ")).collect::<String>();
        let read = files.read(&fortran("'>u2'", &format!("({text})"), &packed(&numbers, u16::to_be_bytes))).unwrap();
        assert_eq!(read.shape, shape);
        assert_eq!(read.data, (0..count).map(|i| i as f32).collect::<Vec<_>>(), "{shape:?}");
    }
}

#[test]
fn other_arrays_are_refused_with_what_would_do() {
    let files = Files::new();
    for descr in ["'<c8'", "'<U3'", "'|S4'", "'|O'", "'<M8[ns]'", "'<f16'", "'|V2'", "'<i3'", "'float32'", "None"] {
        let error = files.read(&array(descr, "(2,)", &[0; 8])).unwrap_err();
        assert!(matches!(&error, NpyError::Type { descr: got, .. } if got == descr), "{descr}: {error}");
        assert!(error.to_string().contains("astype('float32')"), "{error}");
    }
    for descr in ["[('x', '<f4'), ('y', '<f4')]", "[('x', '<f4', (2,))]"] {
        let message = files.read(&array(descr, "(1,)", &[0; 8])).unwrap_err().to_string();
        assert!(message.contains(descr) && message.contains("array['field'].astype('float32')"), "{message}");
    }
    for (shape, needed) in [("(3,)", 12), ("(1,)", 4), ("()", 4), ("(0,)", 0), ("(1000000000,)", 4_000_000_000)] {
        let error = files.read(&array("'<f4'", shape, &[0; 8])).unwrap_err();
        assert!(matches!(error, NpyError::Length { needed: n, got: 8, .. } if n == needed), "{error}");
    }
    let bytes = array("'<u8'", "(1,)", &[0; 9]);
    assert!(matches!(files.read(&bytes), Err(NpyError::Length { needed: 8, got: 9, .. })));
    let wide = format!("({})", "1, ".repeat(65));
    let empty = "(0, 18446744073709551615, 18446744073709551615)";
    for shape in ["(1000000000000,)", "(18446744073709551615, 18446744073709551615, 9)", empty, &wide] {
        for file in [array, fortran] {
            let error = files.read(&file("'|u1'", shape, &[])).unwrap_err();
            assert!(matches!(error, NpyError::TooLarge { .. }), "{error}");
        }
    }
}

#[test]
fn no_more_memory_is_taken_than_granted() {
    let files = Files::new();
    let path = files.path("array.npy");
    std::fs::write(&path, array("'|u1'", "(2, 1)", &[1, 2])).unwrap();
    assert_eq!(npy::read(&path, 8).unwrap().data, [1.0, 2.0]);
    let error = npy::read(&path, 7).unwrap_err();
    assert!(matches!(error, NpyError::Memory { needed: 8, limit: 7, .. }), "{error}");
}

#[test]
fn damaged_files_are_refused() {
    let files = Files::new();
    let good = array("'<f4'", "(2,)", &floats(&[1.0, 2.0]));
    assert!(files.read(&good).is_ok());
    for len in 0..good.len() {
        let error = files.read(&good[..len]).unwrap_err();
        assert!(matches!(error, NpyError::Header { .. } | NpyError::Length { .. }), "{len} bytes: {error}");
    }
    assert!(matches!(files.read(&[&good[..], &[0]].concat()), Err(NpyError::Length { needed: 8, got: 9, .. })));
    for (header, message) in [
        ("", "no Python dictionary"),
        ("{}", "no 'descr'"),
        ("{'descr': '<f4', 'shape': (2,)}", "no 'fortran_order'"),
        ("{'descr': '<f4', 'fortran_order': False}", "no 'shape'"),
        ("{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}", "fortran_order is 0, not True or False"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': 2}", "the shape is 2, no tuple"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", "the size -2"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", "the size 99"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': ('2',)}", "the size '2'"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2,,)}", "no Python dictionary"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2", "no Python dictionary"),
        ("{'descr': '<f4' 'fortran_order': False, 'shape': (2,)}", "no Python dictionary"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'more': 1}", "keys besides"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'shape': (3,)}", "more than one 'shape'"),
        // The parser takes time exponential in nested brackets.
        (&"[".repeat(5000), "opens 5000 brackets"),
        (&format!("{}{}", "{".repeat(40), "1,".repeat(2000)), "opens 40 brackets"),
    ] {
        let error = files.read(&file(header, &floats(&[1.0, 2.0]))).unwrap_err();
        assert!(matches!(&error, NpyError::Header { message: m, .. } if m.contains(message)), "{header}: {error}");
    }
    assert!(files.read(b"\x93NUMPY\x09\x01\0\0").unwrap_err().to_string().contains("version 9.1"));
    let endless = [b"\x93NUMPY\x02\0".as_slice(), &u32::MAX.to_le_bytes()].concat();
    assert!(files.read(&endless).unwrap_err().to_string().contains("4294967295 bytes"));
    assert!(files.read(b"# a text file\n").unwrap_err().to_string().contains("does not start as one"));
}

/// Whatever one byte is changed to, the answer is an array of two elements or an error, never a panic.
#[test]
fn no_byte_makes_it_panic() {
    let files = Files::new();
    let good = array("'<f4'", "(2,)", &floats(&[1.0, 2.0]));
    for at in 0..good.len() - 8 {
        for byte in b"\0'\"()[]{},:9+-\\.eb \x80\xff" {
            let mut bytes = good.clone();
            bytes[at] = *byte;
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
    assert_eq!(read(&path).unwrap().data, [3.0], "the old file is untouched");
    for impossible in [files.path("no/such/folder.npy"), files.folder().to_path_buf()] {
        assert!(matches!(npy::write(&impossible, &[1], &[1.0]), Err(NpyError::Write { .. })), "{impossible:?}");
    }
    assert!(matches!(npy::write(&path, &[usize::MAX, 2], &[]), Err(NpyError::TooLarge { .. })));
    assert!(matches!(read(files.folder()), Err(NpyError::Read { .. })));
    assert!(matches!(read(&files.path("missing.npy")), Err(NpyError::Read { .. })));
}

/// Whoever opens a pipe waits for the other end.
#[cfg(unix)]
#[test]
fn pipes_and_devices_are_refused() {
    let files = Files::new();
    let pipe = common::pipe(files.folder());
    for path in [&pipe, std::path::Path::new("/dev/zero")] {
        let path = path.to_owned();
        let error = common::in_time(move || npy::read(&path, 1 << 20)).unwrap_err();
        assert!(
            matches!(&error, NpyError::Read { source, .. } if source.to_string() == "it is no regular file"),
            "{error}"
        );
    }
}
