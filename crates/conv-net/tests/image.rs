//! Photographs as input, against values that Pillow computes, and files that are no photographs.

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
