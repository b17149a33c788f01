//! `convlab conv` as a user runs it.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use conv_check::{Case, Kind};
use conv_core::{Axis, Epilogue, Problem};
use conv_net::npy::{self, Array};
use conv_tune::algorithms;
use convlab::conv::transpose;
use half::f16;
use rawzip::ZipArchiveWriter;
use tempfile::TempDir;

/// A problem's arrays as files, and its exact result.
struct Files {
    folder: TempDir,
    case: Case,
}

impl Files {
    fn new(problem: &Problem, relu: bool) -> Files {
        let case = Case::new(problem, Kind::Signed, 7, if relu { Epilogue::RELU } else { Epilogue::default() });
        let files = Files { folder: tempfile::tempdir().unwrap(), case };
        let (h, w) = (problem.height(), problem.width());
        let pixels = h.input * w.input;
        let nchw = transpose(files.case.input(), [pixels, problem.in_channels()]).unwrap();
        files.write("x", &[problem.batch(), problem.in_channels(), h.input, w.input], &nchw);
        files.write("nhwc", &[problem.batch(), h.input, w.input, problem.in_channels()], files.case.input());
        let filter = files.case.filter();
        let shape = [problem.out_channels(), problem.group_in_channels(), h.kernel, w.kernel];
        files.write("w", &shape, filter.weights);
        files.write("b", &[problem.out_channels()], filter.bias.unwrap());
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.npy"))
    }

    fn write(&self, name: &str, shape: &[usize], data: &[f32]) {
        npy::write(&self.path(name), shape, data).unwrap();
    }

    /// Runs the command in the folder of the files.
    fn run(&self, arguments: &str) -> Output {
        convlab(self.folder.path(), arguments)
    }

    /// Runs the command and reads `y.npy`.
    fn convolve(&self, arguments: &str) -> Array {
        let output = self.run(&format!("{arguments} --output y.npy"));
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
        npy::read(&self.path("y"), usize::MAX).unwrap()
    }

    /// Runs the command, which must end with `code`, and returns its message.
    fn fail(&self, arguments: &str, code: i32) -> String {
        let output = self.run(arguments);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments}: {message}");
        message
    }

    /// Holds `output` in NCHW against the oracle.
    fn assert_exact(&self, algorithm: &str, output: &Array) {
        let problem = self.case.problem();
        let [oh, ow] = problem.output_size();
        assert_eq!(output.shape, [problem.batch(), problem.out_channels(), oh, ow]);
        let nhwc = transpose(&output.data, [problem.out_channels(), oh * ow]).unwrap();
        let algorithm = algorithms().into_iter().find(|known| known.name() == algorithm).unwrap();
        self.case.judge(algorithm, &nhwc).unwrap_or_else(|flaw| panic!("{}: {flaw}", algorithm.name()));
    }
}

fn convlab(folder: &Path, arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_convlab"));
    command.current_dir(folder).arg("conv").args(arguments.split_whitespace()).output().unwrap()
}

/// 3×3, stride 1, grouped, padded differently on the four sides: computed by every family.
fn common() -> Problem {
    let axis = |input, before, after| Axis::new(input, 3).pad(before, after);
    Problem::new(2, 2, [8, 12], [axis(13, 0, 1), axis(11, 2, 1)]).unwrap()
}

const COMMON: &str = "--input x.npy --weights w.npy --bias b.npy --pad 0,2,1,1 --groups 2 --relu";

#[test]
fn every_algorithm_agrees_with_the_oracle() {
    let files = Files::new(&common(), true);
    let mut computed = 0;
    for algorithm in algorithms() {
        let arguments = format!("{COMMON} --algorithm {}", algorithm.name());
        if algorithm.supports(files.case.problem()).is_ok() {
            files.assert_exact(algorithm.name(), &files.convolve(&arguments));
            computed += 1;
        } else {
            files.fail(&format!("{arguments} --output y.npy"), 3);
        }
    }
    assert!(computed >= 4, "only {computed} algorithms computed it");
}

#[test]
fn stride_and_dilation_in_each_direction() {
    let (height, width) = (Axis::new(17, 3).stride(2).dilation(2), Axis::new(14, 2).stride(3).dilation(4));
    let files = Files::new(&Problem::new(1, 1, [5, 7], [height, width]).unwrap(), false);
    let arguments = "--input x.npy --weights w.npy --bias b.npy --stride 2,3 --dilation 2,4";
    files.assert_exact("direct/nhwc", &files.convolve(&format!("{arguments} --algorithm direct/nhwc")));
}

#[test]
fn one_number_stands_for_all() {
    let axis = Axis::new(12, 3).stride(2).pad(1, 1).dilation(2);
    let files = Files::new(&Problem::new(1, 1, [4, 4], [axis, axis]).unwrap(), false);
    let given = "--input x.npy --weights w.npy --algorithm direct/nhwc";
    let all = files.convolve(&format!("{given} --stride 2,2 --pad 1,1,1,1 --dilation 2,2"));
    assert_eq!(all, files.convolve(&format!("{given} --stride 2 --pad 1 --dilation 2")));
}

#[test]
fn both_layouts_and_single_images_give_the_same_numbers() {
    let files = Files::new(&common(), true);
    let nchw = files.convolve(&format!("{COMMON} --algorithm direct"));
    let arguments = COMMON.replace("x.npy", "nhwc.npy");
    let nhwc = files.convolve(&format!("{arguments} --layout nhwc --algorithm direct"));
    let [n, c, h, w] = nchw.shape[..] else { panic!("{:?}", nchw.shape) };
    assert_eq!(nhwc.shape, [n, h, w, c]);
    assert_eq!(transpose(&nchw.data, [c, h * w]).unwrap()[..], nhwc.data);

    let input = npy::read(&files.path("x"), usize::MAX).unwrap();
    files.write("one", &input.shape[1..], &input.data[..input.data.len() / 2]);
    let one = files.convolve(&format!("{} --algorithm direct", COMMON.replace("x.npy", "one.npy")));
    assert_eq!(one.shape, nchw.shape[1..]);
    assert_eq!(one.data, nchw.data[..one.data.len()]);
}

#[test]
fn bias_and_relu_are_applied_only_if_asked_for() {
    let files = Files::new(&common(), false);
    let given = "--input x.npy --weights w.npy --pad 0,2,1,1 --groups 2 --algorithm direct/nhwc";
    let plain = files.convolve(given);
    let biased = files.convolve(&format!("{given} --bias b.npy"));
    let relu = files.convolve(&format!("{given} --bias b.npy --relu"));
    assert_ne!(plain, biased);
    assert!(biased.data.iter().any(|&y| y < 0.0));
    assert!(biased.data.iter().zip(&relu.data).all(|(&y, &relu)| relu == y.max(0.0)));
}

/// What numpy.save writes for `array` if its type is `descr`, of which `bytes` makes elements.
fn saved<const SIZE: usize>(array: &Array, descr: &str, fortran: bool, bytes: fn(f32) -> [u8; SIZE]) -> Vec<u8> {
    let (shape, order) = (&array.shape, if fortran { "True" } else { "False" });
    let sizes: String = shape.iter().map(|size| format!("{size}, ")).collect();
    let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({sizes}), }}\n");
    let mut file = b"\x93NUMPY\x01\0".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    for mut position in 0..array.data.len() {
        let mut place = position;
        if fortran {
            place = 0;
            for (dimension, size) in shape.iter().enumerate() {
                place += position % size * shape[dimension + 1..].iter().product::<usize>();
                position /= size;
            }
        }
        file.extend(bytes(array.data[place]));
    }
    file
}

#[test]
fn whatever_numpy_saves_gives_the_same_numbers() {
    let files = Files::new(&common(), true);
    let mut archive = ZipArchiveWriter::new(File::create(files.folder.path().join("all.npz")).unwrap());
    for name in ["x", "w", "b"] {
        let mut array = npy::read(&files.path(name), usize::MAX).unwrap();
        // Numbers that all of the types hold.
        array.data.iter_mut().for_each(|value| *value = f16::from_f32(*value).to_f32());
        files.write(name, &array.shape, &array.data);
        let save = |kind: &str, bytes: Vec<u8>| fs::write(files.path(&format!("{kind}_{name}")), bytes).unwrap();
        save("double", saved(&array, "<f8", false, |value| f64::from(value).to_le_bytes()));
        save("half", saved(&array, "<f2", false, |value| f16::from_f32(value).to_le_bytes()));
        save("big", saved(&array, ">f4", false, f32::to_be_bytes));
        save("fortran", saved(&array, "<f4", true, f32::to_le_bytes));
        let (mut entry, config) = archive.new_file(&*format!("{name}.npy")).start().unwrap();
        let mut data = config.wrap(&mut entry);
        data.write_all(&fs::read(files.path(name)).unwrap()).unwrap();
        let (_, descriptor) = data.finish().unwrap();
        entry.finish(descriptor).unwrap();
    }
    archive.finish().unwrap();
    let convolve = |file: &dyn Fn(&str) -> String| {
        let arrays = format!("--input {} --weights {} --bias {}", file("x"), file("w"), file("b"));
        files.convolve(&format!("{arrays} --pad 0,2,1,1 --groups 2 --relu --algorithm direct/nhwc"))
    };
    let expected = convolve(&|name| format!("{name}.npy"));
    assert!(expected.data.iter().any(|&y| y > 0.0));
    for kind in ["double", "half", "big", "fortran"] {
        assert_eq!(convolve(&|name| format!("{kind}_{name}.npy")), expected, "{kind}");
    }
    assert_eq!(convolve(&|name| format!("all.npz:{name}")), expected);
    let message = files.fail("--input all.npz --weights w.npy --algorithm direct --output y.npy", 2);
    assert!(message.contains("all.npz holds 3 arrays, x, w, b: name one, as all.npz:NAME"), "{message}");
}

#[test]
fn an_algorithm_that_does_not_compute_it_exits_with_3_and_its_reason() {
    let axis = Axis::new(12, 3).stride(2);
    let files = Files::new(&Problem::new(1, 1, [16, 16], [axis, axis]).unwrap(), false);
    let message = files.fail("--input x.npy --weights w.npy --stride 2 --algorithm winograd/f2x3 --output y.npy", 3);
    assert!(message.contains("winograd/f2x3 computes stride 1 only, not 2x2"), "{message}");
    assert!(!files.path("y").exists());
}

#[test]
fn bad_input_exits_with_2_and_says_what() {
    let files = Files::new(&common(), true);
    let direct = |arguments: &str| format!("{arguments} --algorithm direct/nhwc --output y.npy");
    let mut bytes = fs::read(files.path("x")).unwrap();
    bytes.truncate(bytes.len() - 6);
    fs::write(files.path("short"), &bytes).unwrap();
    fs::write(files.path("text"), "1 2 3").unwrap();
    files.write("flat", &[2, 3], &[0.0; 6]);
    files.write("thirteen", &[13], &[0.0; 13]);
    files.write("empty", &[2, 8, 0, 11], &[]);
    let beyond = Array { shape: vec![1], data: vec![1.0] };
    fs::write(files.path("beyond"), saved(&beyond, "<f8", false, |_| 1e300_f64.to_le_bytes())).unwrap();
    fs::write(files.path("complex"), saved(&beyond, "<c8", false, |_| [0; 8])).unwrap();
    for (arguments, part) in [
        (direct(&COMMON.replace("x.npy", "none.npy")), "none.npy"),
        (direct(&COMMON.replace("x.npy", "short.npy")), "truncated"),
        (direct(&COMMON.replace("x.npy", "text.npy")), "text.npy is no .npy file"),
        (direct(&COMMON.replace("b.npy", "beyond.npy")), "beyond.npy: element [0] is 1e300"),
        (direct(&COMMON.replace("b.npy", "complex.npy")), "type '<c8'; floats of 16, 32 or 64 bits, integers and bool"),
        (direct(&COMMON.replace("x.npy", "flat.npy")), "the input has the shape [2, 3]; expected [n, c, h, w]"),
        (direct(&COMMON.replace("x.npy", "empty.npy")), "ih is 0"),
        (direct(&COMMON.replace("w.npy", "b.npy")), "the weights has the shape [12]"),
        (direct(&COMMON.replace("b.npy", "thirteen.npy")), "the bias has the shape [13]; expected [12]"),
        (direct(&COMMON.replace("--groups 2", "--groups 1")), "4 in all, but the input has 8"),
        (direct(&format!("{COMMON} --layout nhwc")), "but the input has 11"),
        (direct(&COMMON.replace("--groups 2", "--groups 0")), "groups is 0"),
        (direct(&format!("{COMMON} --stride 0")), "stride height is 0"),
        (direct(&format!("{COMMON} --stride 1,2,3")), "3 numbers; give one for all, or 2"),
        (direct(&format!("{COMMON} --dilation x")), "'x' is no whole number"),
        (direct(&COMMON.replace("0,2,1,1", "-1")), "'-1' is no whole number"),
        (direct(&COMMON.replace("0,2,1,1", "99999999999999")), "the limit is"),
        (direct(&format!("{COMMON} --dilation 9")), "the filter spans 19 elements"),
        (format!("{COMMON} --algorithm direct/ncwh --output y.npy"), "did you mean direct/nhwc?"),
        (format!("{COMMON} --algorithm direct/nhwc --output none/y.npy"), "none/y.npy"),
        (format!("{COMMON} --algorithm direct/nhwc --output ."), "cannot write ."),
        (format!("{COMMON} --algorithm direct/nhwc --output x.npy"), "--input and --output are one file, x.npy"),
    ] {
        let message = files.fail(&arguments, 2);
        assert!(message.contains(part), "{arguments}: {message}");
        assert!(!message.contains("panicked"), "{arguments}: {message}");
    }
    assert!(!files.path("y").exists());
}
