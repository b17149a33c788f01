//! Photographs as input, against values that Pillow computes, and files that are no photographs.

mod common;

use std::path::{Path, PathBuf};

use conv_net::{ImageError, Map, read_image};

fn chelsea() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("images/chelsea.jpg")
}

/// One step of an 8-bit channel after normalisation, at most: 1 / 255 / 0.224. Decoders round JPEG's transform in their
/// own ways, and resizing rounds once more.
const STEP: f32 = 0.0176;

/// Pixels as Pillow 12 and NumPy prepare them with torchvision's rules.
#[test]
fn agrees_with_pillow() {
    for (size, mean, pixels) in [
        (
            227,
            -0.101_259,
            [
                ((0, 0), [0.861_803, 0.292_717, 0.182_484]),
                ((50, 60), [0.793_304, 0.292_717, 0.008_192]),
                ((113, 113), [1.084_425, 0.520_308, 0.304_488]),
                ((200, 30), [0.091_189, -0.547_619, -0.776_122]),
                ((226, 226), [1.187_174, 0.887_955, 0.809_935]),
            ],
        ),
        (
            224,
            -0.104_555,
            [
                ((0, 0), [0.810_429, 0.292_717, 0.095_338]),
                ((50, 60), [0.827_554, 0.327_731, 0.112_767]),
                ((80, 150), [1.307_047, 0.625_350, 0.182_484]),
                ((200, 30), [0.193_938, -0.530_112, -0.810_980]),
                ((223, 223), [1.170_049, 0.870_448, 0.792_506]),
            ],
        ),
    ] {
        let image = read_image(&chelsea(), Map::new(size, size, 3)).unwrap();
        assert_eq!(image.len(), size * size * 3);
        let got = image.iter().sum::<f32>() / image.len() as f32;
        // From the same pixels as PNG the mean is 1.4e-5 off: the rest, a tenth of a step, is the JPEG decoder's.
        assert!((got - mean).abs() < STEP / 5.0, "{size}: mean {got} for {mean}");
        for ((y, x), expected) in pixels {
            let pixel = &image[(y * size + x) * 3..][..3];
            let near = pixel.iter().zip(expected).all(|(got, expected)| (got - expected).abs() < 2.5 * STEP);
            assert!(near, "{size}, row {y}, column {x}: {pixel:?} for {expected:?}");
        }
    }
}

/// The photograph with a note that it was taken upside down.
#[test]
fn orientation_is_applied() {
    let mut upside_down = std::fs::read(chelsea()).unwrap();
    let tiff = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0";
    let mut segment = vec![0xff, 0xe1, 0, tiff.len() as u8 + 2];
    segment.extend(tiff);
    upside_down.splice(2..2, segment);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("turned.jpg");
    std::fs::write(&path, upside_down).unwrap();
    let map = Map::new(224, 224, 3);
    let (turned, upright) = (read_image(&path, map).unwrap(), read_image(&chelsea(), map).unwrap());
    let pixels = turned.chunks(3).rev().zip(upright.chunks(3));
    let largest = pixels.flat_map(|(a, b)| a.iter().zip(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(largest < 1.5 * STEP, "{largest}");
}

#[test]
fn a_network_larger_than_256_is_filled_too() {
    let image = read_image(&chelsea(), Map::new(200, 300, 3)).unwrap();
    assert_eq!(image.len(), 200 * 300 * 3);
}

fn refusal(name: &str, bytes: &[u8]) -> ImageError {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    read_image(&path, Map::new(227, 227, 3)).expect_err(name)
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(width, height).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[test]
fn what_is_no_photograph_is_refused() {
    let text = refusal("text.jpg", b"Dear network,\nthis is a cat.\n");
    assert!(matches!(text, ImageError::Format { .. }));
    assert!(text.to_string().contains("text.jpg is no JPEG or PNG picture"), "{text}");
    assert!(matches!(refusal("empty.png", b""), ImageError::Format { .. }));
    assert!(matches!(refusal("animation.gif", b"GIF89a\x01\0\x01\0"), ImageError::Format { .. }));

    let photograph = std::fs::read(chelsea()).unwrap();
    assert!(matches!(refusal("cut.jpg", &photograph[..300]), ImageError::Decode { .. }));
    let mut finer_colours = photograph.clone();
    let frame = photograph.windows(2).position(|bytes| bytes == [0xff, 0xc0]).unwrap();
    // Of the second component, behind marker, length, precision, sides, their number, the first component and its own name.
    finer_colours[frame + 14] = 0x44;
    assert!(matches!(refusal("finer.jpg", &finer_colours), ImageError::FinerColours { .. }));
    let picture = png(400, 300);
    assert!(matches!(refusal("cut.png", &picture[..picture.len() / 2]), ImageError::Decode { .. }));

    let long = refusal("long.png", &png(16_000, 10));
    assert!(matches!(long, ImageError::Elongated { width: 16_000, height: 10, target: 256, .. }), "{long}");
    let huge = refusal("huge.png", &png(16_385, 1));
    assert!(matches!(huge, ImageError::Decode { .. }) && huge.to_string().contains("16384"), "{huge}");

    let missing = read_image(Path::new("/no/such/picture.png"), Map::new(227, 227, 3)).unwrap_err();
    assert!(matches!(missing, ImageError::Read { .. }));
    let folder = read_image(Path::new("/"), Map::new(227, 227, 3)).unwrap_err();
    assert!(matches!(folder, ImageError::Read { .. }), "{folder}");
    let channels = read_image(&chelsea(), Map::new(13, 13, 256)).unwrap_err();
    assert!(matches!(channels, ImageError::Channels { channels: 256 }));
}

/// A picture of nothing but what is before its pixels.
fn png_header(side: u32, depth: u8, colour: u8) -> Vec<u8> {
    let chunk = |kind: &[u8], content: &[u8]| {
        let content = [kind, content].concat();
        let crc = content.iter().fold(u32::MAX, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
        });
        [&(content.len() as u32 - 4).to_be_bytes()[..], &content, &(!crc).to_be_bytes()].concat()
    };
    let sides = [side.to_be_bytes(), side.to_be_bytes()].concat();
    let header = [&sides[..], &[depth, colour, 0, 0, 0]].concat();
    [b"\x89PNG\r\n\x1a\n", &chunk(b"IHDR", &header)[..], &chunk(b"IDAT", &[0x78, 1]), &chunk(b"IEND", &[])].concat()
}

/// The same, of a first scan of so many of its components.
fn jpeg_header(frame: u8, side: u16, components: u8, scanned: u8) -> Vec<u8> {
    let segment =
        |marker: u8, content: &[u8]| [&[0xff, marker][..], &(content.len() as u16 + 2).to_be_bytes(), content].concat();
    let quantisation = segment(0xdb, &[&[0][..], &[1; 64]].concat());
    let of_each: Vec<u8> = (1..=components).flat_map(|component| [component, 0x11, 0]).collect();
    let sides = [side.to_be_bytes(), side.to_be_bytes()].concat();
    let frame = segment(frame, &[&[8][..], &sides, &[components], &of_each].concat());
    // One code of one bit, of each kind of table.
    let code = |class: u8| segment(0xc4, &[&[class, 1][..], &[0; 15], &[0]].concat());
    let of_each: Vec<u8> = (1..=scanned).flat_map(|component| [component, 0]).collect();
    let scan = segment(0xda, &[&[scanned][..], &of_each, &[0, 0, 0]].concat());
    [&[0xff, 0xd8][..], &quantisation, &frame, &code(0), &code(0x10), &scan, &[0; 64], &[0xff, 0xd9]].concat()
}

/// Before it is taken: of a picture of a kilobyte two gigabytes.
#[test]
fn no_more_memory_is_taken_than_stated() {
    let pixels = 16_384_u64 * 16_384;
    for (name, bytes, expected) in [
        ("deep.png", png_header(16_384, 16, 6), (8 + 3) * pixels),
        ("transparent.png", png_header(16_384, 8, 6), (4 + 3) * pixels),
        ("progressive.jpg", jpeg_header(0xc2, 16_384, 3, 3), (3 + 8) * pixels),
        ("inks.jpg", jpeg_header(0xc2, 16_384, 4, 4), (3 + 8) * pixels),
        // Not progressive, but of several scans.
        ("scans.jpg", jpeg_header(0xc0, 16_384, 3, 1), (3 + 8) * pixels),
    ] {
        let error = refusal(name, &bytes);
        let ImageError::Memory { needed, .. } = error else { panic!("{name}: {error}") };
        assert!((expected..expected + 1000).contains(&needed), "{name}: {needed} for {expected}");
        let message = error.to_string();
        assert!(message.contains(&needed.to_string()) && message.contains("the limit is 1073741824"), "{message}");
    }
    // A file of a length that no picture has, and nothing in it.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparse.jpg");
    std::fs::write(&path, &jpeg_header(0xc0, 16, 3, 3)[..20]).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(100 << 30).unwrap();
    let error = read_image(&path, Map::new(227, 227, 3)).unwrap_err();
    assert!(matches!(error, ImageError::Memory { needed: 107_374_182_400, .. }), "{error}");
}

/// Whoever opens a pipe waits for the other end.
#[cfg(unix)]
#[test]
fn pipes_and_devices_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = common::pipe(folder.path());
    for path in [&pipe, Path::new("/dev/zero")] {
        let path = path.to_owned();
        let error = common::in_time(move || read_image(&path, Map::new(227, 227, 3))).unwrap_err();
        let refused =
            matches!(&error, ImageError::Read { source, .. } if source.to_string() == "it is no regular file");
        assert!(refused, "{error}");
    }
}
