//! `convlab forward --image FOLDER` as a user runs it.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Folder, text};
use conv_net::{
    Activation, Builder, Conv, Linear, Network, Operator, Reduce, Reduction, Softmax, Synthetic, Window, onnx,
};
use image::{ImageFormat, Rgb, RgbImage};
use serde_json::Value;

/// Of ten classes; `filters` decides how long it takes.
fn network(channels: usize, side: usize, filters: usize) -> Network {
    let mut builder = Builder::new("small");
    let input = builder.input("input", &[1, channels, side, side]).unwrap();
    let conv = Conv { out_channels: filters, windows: Window::square(7, 1, 3), groups: 1, bias: true };
    let mean = Reduce { reduction: Reduction::Mean, axes: vec![2, 3], keep: false };
    let operators = [
        ("conv", Operator::Conv(conv)),
        ("relu", Operator::Activation(Activation::Relu)),
        ("mean", Operator::Reduce(mean)),
        ("linear", Operator::Linear(Linear { out_features: 10, bias: true })),
        ("softmax", Operator::Softmax(Softmax::channels())),
    ];
    let last = operators.into_iter().fold(input, |last, (name, operator)| {
        builder.node(name, operator, &[last]).unwrap() //
    });
    builder.finish(&[last]).unwrap()
}

fn write_model(path: &Path, network: &Network) {
    onnx::write(path, network, true, &mut Synthetic::new(network, 1)).unwrap();
}

/// A picture whose colours no other seed has.
fn write_picture(path: &Path, seed: u8) {
    let pixel = |x: u32, y: u32| Rgb([seed.wrapping_mul(37), (x * 5) as u8 ^ seed, (y * 7) as u8 ^ (seed << 4)]);
    let format = ImageFormat::from_path(path).unwrap();
    RgbImage::from_fn(48, 40, pixel).save_with_format(path, format).unwrap();
}

/// In the order in which they are told.
const NAMES: [&str; 5] = ["A.PNG", "a.jpeg", "b.png", "m.jpg", "z.png"];

/// Five pictures, a broken and a huge one, a text, and a folder in the folder.
fn pictures() -> Folder {
    let folder = Folder::new();
    write_model(&folder.path("small.onnx"), &network(3, 32, 8));
    fs::create_dir_all(folder.path("pics/more.png")).unwrap();
    // Not in the order of their names.
    for (seed, name) in NAMES.iter().enumerate().rev() {
        write_picture(&folder.path(&format!("pics/{name}")), seed as u8);
    }
    write_picture(&folder.path("pics/more.png/inner.png"), 9);
    let whole = fs::read(folder.path("pics/b.png")).unwrap();
    fs::write(folder.path("pics/broken.png"), &whole[..whole.len() / 2]).unwrap();
    RgbImage::new(16_385, 1).save(folder.path("pics/huge.png")).unwrap();
    folder.write("pics/notes.txt", "a picture of a cat");
    folder
}

const FORWARD: &str = "forward --model small.onnx --algorithm direct/nhwc --threads 1 --top 3";

/// What a run of single pictures says of one.
fn alone(folder: &Folder, name: &str) -> Value {
    let report: Value = serde_json::from_str(&folder.ok(&format!("{FORWARD} --json --image pics/{name}"))).unwrap();
    report["images"][0].clone()
}

fn probabilities(image: &Value) -> Vec<f64> {
    image["top"].as_array().unwrap().iter().map(|class| class["probability"].as_f64().unwrap()).collect()
}

#[test]
fn every_picture_has_the_line_that_it_has_alone() {
    let folder = pictures();
    let expected = NAMES.map(|name| alone(&folder, name));
    assert!(expected.iter().skip(1).all(|image| probabilities(image) != probabilities(&expected[0])), "{expected:?}");
    for batch in [1, 2, 8] {
        let output = folder.run(&format!("{FORWARD} --json --image pics --batch {batch}"));
        let (lines, told) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{told}");
        let images: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let names: Vec<&str> = images.iter().map(|image| image["name"].as_str().unwrap()).collect();
        assert_eq!(names, NAMES.map(|name| format!("pics/{name}")), "{batch}");
        if batch == 1 {
            assert_eq!(images, expected);
        }
        for (got, expected) in images.iter().zip(&expected) {
            let near = |(one, other): (&f64, &f64)| (one - other).abs() < 1e-6;
            assert!(
                probabilities(got).iter().zip(&probabilities(expected)).all(near),
                "batch {batch}: {got} for {expected}"
            );
        }
        assert!(told.contains("pics: 7 pictures, 1 file of other names left out, 1 subfolder not entered\n"), "{told}");
        assert!(told.contains("convlab: skipped: cannot decode the picture pics/broken.png"), "{told}");
        let huge = told.lines().find(|line| line.contains("pics/huge.png")).unwrap();
        assert!(huge.contains("sides up to 16384 pixels"), "{huge}");
        assert!(told.lines().last().unwrap().starts_with("convlab: 5 images, 2 skipped, "), "{told}");
    }
}

#[test]
fn without_json_a_line_names_the_classes() {
    let folder = pictures();
    for name in ["broken.png", "huge.png"] {
        fs::remove_file(folder.path(&format!("pics/{name}"))).unwrap();
    }
    let labels: String = (0..10).map(|class| format!("name {class}\n")).collect();
    folder.write("labels.txt", &labels);
    let lines = folder.ok(&format!("{FORWARD} --image pics --labels labels.txt --batch 2"));
    assert_eq!(lines.lines().count(), 5, "{lines}");
    for (line, name) in lines.lines().zip(NAMES) {
        let expected = alone(&folder, name);
        let class = &expected["top"][0];
        let percent = 100.0 * class["probability"].as_f64().unwrap();
        let class = class["class"].as_u64().unwrap();
        let start = format!("pics/{name}: class {class:<4} {percent:8.4}%  name {class}; class ");
        assert!(line.starts_with(&start), "{line} does not begin with {start}");
    }
}

#[test]
fn what_a_folder_cannot_do_is_refused() {
    let folder = pictures();
    fs::create_dir(folder.path("empty")).unwrap();
    fs::create_dir(folder.path("texts")).unwrap();
    folder.write("texts/a.txt", "a picture of a cat");
    write_model(&folder.path("grey.onnx"), &network(1, 32, 8));
    let mut builder = Builder::new("map");
    let input = builder.input("input", &[1, 3, 8, 8]).unwrap();
    let relu = builder.node("relu", Operator::Activation(Activation::Relu), &[input]).unwrap();
    write_model(&folder.path("map.onnx"), &builder.finish(&[relu]).unwrap());
    for (arguments, code, part) in [
        ("--image empty", 3, "empty: 0 pictures; name pictures .jpg, .jpeg or .png"),
        ("--image texts", 3, "texts: 0 pictures, 1 file of other names left out; name pictures"),
        ("--image pics pics/a.jpeg", 2, "--image pics is a folder: give it alone"),
        ("--image pics --output y.npy", 2, "--image pics is a folder: --output is for pictures"),
        ("--image pics --dump conv=y.npy", 2, "--image pics is a folder: --dump is for pictures"),
        ("--image pics --batch 0", 2, "the shape 0x3x32x32 is empty"),
        ("--image pics --batch 1000000000000", 2, "the limit is"),
        ("--image pics --labels none.txt", 2, "cannot read the labels none.txt"),
    ] {
        let message = folder.fail(&format!("{FORWARD} {arguments}"), code);
        assert!(message.contains(part), "{arguments}: {message}");
    }
    let message = folder.fail("forward --model grey.onnx --image pics", 2);
    assert!(message.contains("the network's input has 1 channels; a picture has 3"), "{message}");
    let message = folder.fail("forward --model map.onnx --image pics", 2);
    assert!(
        message.contains("the output of map is 1x3x8x8, which is no classes of images; give pictures"),
        "{message}"
    );
}

/// `count` names of one picture.
fn many(folder: &Folder, name: &str, count: usize) {
    fs::create_dir(folder.path(name)).unwrap();
    write_picture(&folder.path("one.png"), 1);
    for index in 0..count {
        fs::hard_link(folder.path("one.png"), folder.path(&format!("{name}/{index:04}.png"))).unwrap();
    }
}

#[test]
fn memory_does_not_grow_with_the_folder() {
    let folder = Folder::new();
    // A picture is decoded in a fraction of the time that it is computed in, so that decoded ones would heap up.
    write_model(&folder.path("small.onnx"), &network(3, 224, 64));
    let peak = |count: usize| {
        let name = format!("pics{count}");
        many(&folder, &name, count);
        let output = folder.run(&format!("{FORWARD} --image {name}"));
        let told = text(&output.stderr);
        assert!(output.status.success(), "{told}");
        let last = told.lines().last().unwrap();
        let (_, peak) = last.split_once("at most ")?;
        let peak = peak.strip_suffix(" MiB were resident").unwrap_or_else(|| panic!("{last}"));
        Some(peak.parse::<f64>().unwrap())
    };
    // Elsewhere than on Linux it is not known.
    let (Some(few), Some(more)) = (peak(6), peak(80)) else { return };
    // All would be 44 MiB more.
    assert!(more < few + 12.0, "{few} MiB for 6 pictures, {more} for 80");
}

#[test]
fn a_signal_ends_it_after_the_batch() {
    let folder = Folder::new();
    write_model(&folder.path("small.onnx"), &network(3, 32, 8));
    // Their lines do not fit into a pipe that nobody reads, so they are not done before the signal comes.
    many(&folder, "pics", 2000);
    let mut command = Command::new(env!("CARGO_BIN_EXE_convlab"));
    command.current_dir(folder.path("")).args(FORWARD.split(' ')).args(["--json", "--image", "pics", "--batch", "2"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut told = BufReader::new(child.stderr.take().unwrap());
    let (mut said, mut printed) = (String::new(), String::new());
    lines.read_line(&mut printed).unwrap();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    while !said.contains("stopping") {
        assert!(told.read_line(&mut said).unwrap() > 0, "{said}");
    }
    lines.read_to_string(&mut printed).unwrap();
    told.read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
    let images = printed.lines().count();
    assert!(images < 2000 && images.is_multiple_of(2) && printed.ends_with('\n'), "{images} lines");
    let summary = format!("convlab: {images} images, 0 skipped, ");
    let left = format!("convlab: interrupted; {} of 2000 pictures are left\n", 2000 - images);
    assert!(said.contains(&summary) && said.ends_with(&left), "{said}");
}
