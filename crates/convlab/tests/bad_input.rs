//! What the program says to bad input: exit code 2, or 3 where the algorithm does not compute the problem, and a message
//! that names what is wrong. It never panics.

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use common::{Folder, text};
use conv_net::npy;

/// Runs each command, which must end with `code` and a message that contains the second string.
fn assert_refused(folder: &Folder, code: i32, cases: &[(&str, &str)]) {
    for (arguments, part) in cases {
        let message = folder.fail(arguments, code);
        assert!(message.contains(part), "{arguments}: '{part}' is not in: {message}");
        assert!(!message.contains("panicked"), "{arguments}: {message}");
    }
}

#[test]
fn problems() {
    let folder = Folder::new();
    folder.write("set.txt", "ic8ih9oc8kh3\nic8ih9oc8kh3z5\n");
    folder.write("empty.txt", "# nothing\n");
    folder.write("same.txt", "ic8ih9oc8kh3n\"a\"\n");
    folder.write("deep.txt", "ic8id9oc8kd3\nic8id5oc8kd3 --dir=BWD_D\n");
    fs::create_dir(folder.path("other")).unwrap();
    folder.write("other/same.txt", "ic8ih9oc8kh3sh2n\"a\"\n");
    fs::write(folder.path("binary"), [0xff; 16]).unwrap();
    for command in ["check", "bench --quick --out out"] {
        let cases = [
            // The caret is under the x.
            ("ic8ih9oc8kx3", "  ic8ih9oc8kx3\n           ^"),
            ("mb1ic3ih4oc8kh9ph1", "the filter spans 9 elements in height, but the padded input has only 6"),
            ("mb1ic1000000000000ih13oc8kh3", "the input would need 676000000000000 bytes; the limit is"),
            ("mb1ic99999999999999999999ih13oc8kh3", "99999999999999999999"),
            ("mb1ic3ih9oc8kh3sh0", "stride height is 0"),
            ("papre", "no network (paper, owt, vgg16, "),
            ("paper/conv9", "it has conv1, conv2"),
            ("set.txt", "set.txt:2: "),
            ("same.txt other/same.txt", "two problems are called same/a"),
            ("binary", "cannot read problems from binary"),
            (".", "cannot read problems from ."),
            ("paper/conv3 --algorithm wingorad", "did you mean winograd?"),
            ("paper/conv3 --batch 0", "paper with a batch of 0"),
            ("paper/conv3 --batch x", "invalid value 'x'"),
            ("paper/conv3 --isa sse", "the names are avx512, avx2, portable"),
            ("mb1ic3ih9oc8kh3 --batch 99999999999", "with a batch of 99999999999"),
        ];
        for (problem, part) in cases {
            assert_refused(&folder, 2, &[(&format!("{command} {problem}"), part)]);
        }
        let cases = [
            ("paper/conv2 --algorithm winograd/f4x3", "winograd/f4x3 computes 3x3, 3x1 and 1x3 filters, not 5x5"),
            ("empty.txt", "convlab: empty.txt holds no problem that convlab has"),
            ("deep.txt", "convlab: deep.txt: left out 2 three-dimensional problems, 1 option that"),
            ("deep.txt empty.txt", "convlab: deep.txt, empty.txt holds no problem that convlab has"),
            ("ic8id9oc8kd3", "this is three-dimensional; convlab has two dimensions"),
        ];
        for (problem, part) in cases {
            assert_refused(&folder, 3, &[(&format!("{command} {problem}"), part)]);
        }
    }
    assert!(!folder.path("out").exists());
}

#[test]
fn a_valid_descriptor_of_no_convolution_is_not_called_a_file() {
    let message = Folder::new().fail("check mb1ic3ih4oc8kh9", 2);
    assert!(message.starts_with("convlab: 'mb1ic3ih4oc8kh9' is no convolution: "), "{message}");
}

#[test]
fn output_folders() {
    let folder = Folder::new();
    folder.write("file", "");
    folder.ok("bench ic8ih9oc8kh3 --algorithm direct --threads 1 --quick --out good");
    fs::create_dir(folder.path("damaged")).unwrap();
    folder.write("damaged/records.jsonl", "{\"kind\": \"conv\"\n");
    let bench = "bench ic8ih9oc8kh3 --algorithm direct --threads 1 --quick --out";
    // The rest of what was cut short is no reason to measure nothing.
    let kept = fs::read_to_string(folder.path("good/records.jsonl")).unwrap();
    fs::create_dir(folder.path("cut")).unwrap();
    folder.write("cut/records.jsonl", &(kept.clone() + &kept[..40]));
    let output = folder.run("bench ic8ih9oc8kh3 --algorithm direct --threads 1 --quick --resume --out cut");
    let told = text(&output.stderr);
    assert!(
        output.status.success() && told.matches("is cut and left out; those before it are whole").count() == 1,
        "{told}"
    );
    assert!(text(&output.stdout).contains("1 problems were there already"), "{}", text(&output.stdout));
    // Nothing is printed on standard output: all of it is refused before the first measurement.
    for (out, part) in [
        ("file", "cannot write records into file"),
        ("file/in", "cannot write records into file/in"),
        ("damaged", "records.jsonl:1: not a record"),
    ] {
        let output = folder.run(&format!("{bench} {out}"));
        let message = common::text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{out}: {message}");
        assert!(message.contains(part) && output.stdout.is_empty(), "{out}: {message}");
    }
    assert_refused(
        &folder,
        2,
        &[
            ("plot good --out file", "cannot write file"),
            ("check ic8ih9oc8kh3 --out file", "cannot write records into file"),
            ("check ic8ih9oc8kh3 --data relu,none", "'none'"),
            ("bench ic8ih9oc8kh3 --threads 0", "0 is not in 1..=1024"),
            ("bench ic8ih9oc8kh3 --threads 1025", "1025 is not in 1..=1024"),
        ],
    );
}

#[test]
fn records() {
    let folder = Folder::new();
    folder.write("text", "ms\n1.5\n");
    folder.write("cut.jsonl", "{\"kind\":\"conv\",\"name\":\"a\",\"isa\":\"avx2\",\"threa");
    folder.write("empty.jsonl", "\n");
    fs::create_dir(folder.path("folder")).unwrap();
    folder.write(
        "negative.jsonl",
        "{\"kind\":\"conv\",\"name\":\"a\",\"algorithm\":\"direct/nhwc\",\"isa\":\"avx2\",\"threads\":1,\
         \"median_ns\":-1.0,\"commit\":\"\",\"rustc\":\"\",\"cpu\":\"\",\"date\":\"\"}\n",
    );
    for command in ["plot", "report"] {
        for (file, part) in [
            ("none", "cannot read records from none"),
            ("folder", "cannot read records from folder/records.jsonl"),
            ("text", "text:1: not a record"),
            ("cut.jsonl", "cut.jsonl:1: this line, the last one, is cut and left out"),
            ("cut.jsonl", "in these records; make some with `convlab bench`"),
            ("empty.jsonl", "in these records; make some with `convlab bench`"),
        ] {
            assert_refused(&folder, 2, &[(&format!("{command} {file}"), part)]);
        }
    }
    assert_refused(
        &folder,
        2,
        &[
            ("plot negative.jsonl", "a median_ns of -1"),
            ("report text --isa sse", "'sse'"),
            ("report text --table speed", "'speed'"),
            ("report empty.jsonl --table peers", "make some with `scripts/peers/run`"),
        ],
    );
}

#[test]
fn long_texts() {
    let folder = Folder::new();
    let long = "_".repeat(70_000) + "x";
    let name = format!("mb1ic8ih9oc8kh3n\"{}\"", "a".repeat(70_000));
    folder.write("long.txt", &long);
    folder.write("option.txt", &format!("--mb={long}"));
    folder.write("name.txt", &name);
    for (arguments, part) in [
        (long.as_str(), "expected one of mb, ic"),
        ("long.txt", "long.txt:1: expected one of mb, ic"),
        ("option.txt", "expected at most 100 whole numbers"),
        ("name.txt", "this name has 70000 characters; give one of at most 256"),
        (&name, "this name has 70000 characters"),
    ] {
        let message = folder.fail(&format!("list problems {arguments}"), 2);
        assert!(message.contains(part) && message.len() < 1500, "{message}");
    }
    let record = |name: &str| {
        format!(
            "{{\"kind\":\"conv\",\"name\":\"{name}\",\"algorithm\":\"direct/nhwc\",\"isa\":\"avx2\",\"threads\":1,\
             \"median_ns\":1.0,\"commit\":\"\",\"rustc\":\"\",\"cpu\":\"\\u001b[2J\",\"date\":\"\"}}\n"
        )
    };
    folder.write("records.jsonl", &(record(&long) + &record("\\u001b[2J")));
    for arguments in ["report .", "report . --markdown", "report . --csv", "compare . . --all", "plot . --out charts"] {
        let printed = folder.ok(arguments);
        assert!(!printed.contains('\u{1b}'), "{arguments}");
    }
}

#[test]
fn outputs_that_are_inputs() {
    let folder = Folder::new();
    folder.write("set.txt", "mb1ic8ih9oc8kh3\n");
    folder.write("labels.txt", "a\n");
    folder.ok("export --network owt --onnx m.onnx");
    npy::write(&folder.path("x.npy"), &[3, 224, 224], &vec![0.5; 3 * 224 * 224]).unwrap();
    folder.ok("check set.txt --algorithm direct/nhwc --isa portable --out r");
    symlink("x.npy", folder.path("link.npy")).unwrap();
    let names = ["set.txt", "labels.txt", "m.onnx", "x.npy", "r/records.jsonl"];
    let before = names.map(|name| fs::read(folder.path(name)).unwrap());
    assert_refused(
        &folder,
        2,
        &[
            ("report r -o r/records.jsonl", "the records and -o are one file, r/records.jsonl: choose another place"),
            ("forward --network owt --input x.npy --output x.npy", "--input and --output are one file, x.npy"),
            ("forward --network owt --input x.npy --output link.npy", "--input and --output are one file"),
            ("forward --network owt --input input=x.npy --dump conv1=./x.npy", "--input and --dump are one file"),
            ("forward --network owt --input x.npy --towers 2 --split channels --output x.npy", "are one file"),
            ("forward --model m.onnx --output m.onnx", "--model and --output are one file"),
            ("forward --network owt --labels labels.txt --output labels.txt", "--labels and --output are one file"),
            ("forward --network owt --output y.npy --dump conv1=y.npy", "--output and --dump are one file"),
            ("forward --network owt --dump conv1=y.npy --dump conv2=y.npy", "--dump and --dump are one file"),
            ("forward --network owt --dump conv1=none/y.npy", "--dump: cannot write none/y.npy: there is no such"),
            ("tune --model m.onnx -o m.onnx", "--model and -o are one file"),
            ("tune set.txt -o set.txt", "the problems and -o are one file"),
            ("tune set.txt --records r -o r/records.jsonl", "--records and -o are one file"),
        ],
    );
    assert!(before == names.map(|name| fs::read(folder.path(name)).unwrap()), "nothing was written");
}

#[test]
fn what_is_no_file_is_neither_read_nor_written() {
    let folder = Folder::new();
    folder.write("set.txt", "mb1ic8ih9oc8kh3\n");
    folder.ok("check set.txt --algorithm direct/nhwc --isa portable --out r");
    let made = Command::new("mkfifo").arg(folder.path("fifo")).status().unwrap();
    assert!(made.success());
    symlink("/dev/null", folder.path("device")).unwrap();
    fs::create_dir(folder.path("f")).unwrap();
    symlink("../fifo", folder.path("f/records.jsonl")).unwrap();
    // Nobody writes into it: to open it would be to wait.
    assert_refused(
        &folder,
        2,
        &[
            ("list problems fifo", "cannot read problems from fifo: it is no regular file"),
            ("report fifo", "cannot read records from fifo: it is no regular file"),
            ("report device", "cannot read records from device: it is no regular file"),
            ("plot f", "it is no regular file"),
            ("compare r f", "it is no regular file"),
            ("check set.txt --out f", "cannot write records into f: it is no regular file"),
            ("bench set.txt --quick --out f --resume", "cannot write records into f: it is no regular file"),
            ("forward --network owt --plan fifo", "cannot read the plan fifo: it is no regular file"),
            ("forward --network owt --labels fifo", "cannot read the labels fifo: it is no regular file"),
            ("report r -o fifo", "-o: cannot write fifo: it is no regular file; choose another place"),
            ("report r -o device", "-o: cannot write device: it is no regular file"),
            ("tune set.txt -o fifo", "-o: cannot write fifo: it is no regular file"),
            ("export --network owt --onnx device", "--onnx: cannot write device: it is no regular file"),
            ("report r -o set.txt/page.html", "cannot write set.txt/page.html"),
            ("check set.txt --out set.txt/in", "cannot write records into set.txt/in"),
            ("tune set.txt -o set.txt/plan.toml", "cannot write set.txt/plan.toml"),
        ],
    );
    folder.write("include.txt", "--batch=fifo\n");
    assert_refused(&folder, 2, &[("list problems include.txt", "include.txt:1: '--batch=fifo': cannot read fifo")]);
    // What a shell hands over is taken.
    for line in [
        "cat set.txt | $convlab list problems /dev/stdin",
        "$convlab list problems /dev/stdin < set.txt",
        "$convlab list problems /dev/fd/7 7< set.txt",
        "cat r/records.jsonl | $convlab report --table errors /dev/stdin",
        "cat r/records.jsonl | $convlab report --table errors /dev/fd/0",
    ] {
        let output = folder.shell(line);
        let printed = text(&output.stdout);
        assert!(output.status.success() && printed.contains("ic8"), "{line}: {}", text(&output.stderr));
    }
    folder.write("large.toml", &"#".repeat((8 << 20) + 1));
    assert_refused(&folder, 2, &[("forward --network owt --plan large.toml", "it is larger than 8388608 bytes")]);
    assert_refused(&folder, 2, &[("report /dev/fd/7 -o page.html", "cannot read records from /dev/fd/7")]);
}

/// A limit of the size of files stands for a disk that is full: both end writing in the middle.
#[test]
fn what_cannot_be_written_leaves_the_old_file() {
    let folder = Folder::new();
    let descriptor = "mb1ic8ih9oc8kh3";
    npy::write(&folder.path("x.npy"), &[8, 9, 9], &[0.5; 8 * 9 * 9]).unwrap();
    npy::write(&folder.path("w.npy"), &[8, 8, 3, 3], &[0.5; 8 * 8 * 9]).unwrap();
    let check = format!("check {descriptor} --algorithm direct/nhwc --isa portable --out r");
    folder.ok(&check);
    for name in ["page.html", "plan.toml", "y.npy", "m.onnx"] {
        folder.write(name, "old");
    }
    let records = fs::read(folder.path("r/records.jsonl")).unwrap();
    for (arguments, part) in [
        (check.as_str(), "cannot write records into r: "),
        ("report r -o page.html", "cannot write page.html: "),
        (&format!("tune {descriptor} --time 1ms --threads 1 -o plan.toml"), "the plan plan.toml: "),
        ("conv --input x.npy --weights w.npy --algorithm direct/nhwc --output y.npy", "y.npy"),
        ("export --network owt --onnx m.onnx", "m.onnx"),
    ] {
        let output = folder.shell(&format!("trap '' XFSZ; ulimit -f 0; exec $convlab {arguments}"));
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments}: {told}");
        assert!(told.contains(part) && told.contains("File too large"), "{arguments}: {told}");
    }
    for name in ["page.html", "plan.toml", "y.npy", "m.onnx"] {
        assert_eq!(fs::read_to_string(folder.path(name)).unwrap(), "old", "{name}");
    }
    assert_eq!(fs::read(folder.path("r/records.jsonl")).unwrap(), records);
    for place in ["", "r", "cache/convlab/plans"] {
        assert_eq!(folder.unfinished(place), [""; 0], "{place}");
    }
}

#[test]
fn what_the_limits_of_the_process_do_not_hold_is_refused() {
    let folder = Folder::new();
    for (limit, arguments, part) in [
        (1_000_000, "forward --network owt --batch 1000 --threads 1", "an input of 1000 images needs "),
        (8_000_000, "scale paper --batch 20000 --algorithm direct --out out", "an input of 20000 images needs "),
    ] {
        let output = folder.shell(&format!("ulimit -v {limit}; exec $convlab {arguments}"));
        let told = text(&output.stderr);
        assert!(output.status.code() == Some(2) && told.contains(part), "{told}");
    }
}

#[test]
fn networks_pictures_and_arrays() {
    let folder = Folder::new();
    folder.write("text.jpg", "a picture of a cat");
    fs::write(folder.path("cut.png"), b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR").unwrap();
    npy::write(&folder.path("x.npy"), &[3, 227, 227], &vec![0.5; 3 * 227 * 227]).unwrap();
    let bytes = fs::read(folder.path("x.npy")).unwrap();
    fs::write(folder.path("short.npy"), &bytes[..bytes.len() - 2]).unwrap();
    npy::write(&folder.path("flat.npy"), &[2, 3], &[0.0; 6]).unwrap();
    assert_refused(
        &folder,
        2,
        &[
            ("describe papre", "the names are paper, owt"),
            ("list nothing", "possible values: algorithms, problems, networks"),
            ("list networks paper", "only problems are of something"),
            ("list problems papre", "'papre' is no file, no network"),
            ("forward", "--network"),
            ("forward --network papre", "the names are paper, owt"),
            ("forward --network paper --algorithm winorad", "did you mean winograd?"),
            ("forward --network paper --image none.jpg", "none.jpg"),
            ("forward --network paper --image text.jpg", "text.jpg is no JPEG or PNG picture"),
            ("forward --network paper --image cut.png", "cut.png"),
            ("forward --network paper --input short.npy", "truncated"),
            ("forward --network paper --input text.jpg", "text.jpg is no .npy file"),
            ("forward --network paper --input flat.npy", "has the shape [2, 3]; paper needs [n, 3, 227, 227]"),
            ("forward --network owt --input x.npy", "owt needs [n, 3, 224, 224]"),
            ("forward --network paper --input other=x.npy", "paper has no input other; it has input"),
            ("forward --network paper --input x.npy --input input=x.npy", "--input gives input twice"),
            ("forward --network paper --labels none.txt", "cannot read the labels none.txt"),
            ("forward --network paper --shape 1x3x9x9", "cannot be used with"),
            ("forward --model x.onnx --shape 1x0x9", "'1x0x9' is no shape: write sizes such as"),
            ("describe paper --shape 1x3x9x9", "--shape is for the inputs of models"),
            ("check paper --shape 1x3x9x9", "--shape is for the inputs of models"),
            ("forward --network paper --input x.npy --batch 2", "--batch 2, but there are 1 images"),
            ("forward --network paper --batch 0", "paper/input: the shape 0x3x227x227 is empty"),
            ("forward --network paper --batch 1000000000000", "the limit is"),
            ("forward --network paper --threads 1 --output none/y.npy", "none/y.npy"),
            ("forward --model none.onnx", "cannot read the model none.onnx"),
            ("forward --model text.jpg", "text.jpg cannot be taken as an ONNX model"),
            ("forward --model x.onnx --network paper", "cannot be used with"),
            ("forward --model x.onnx --weights x.safetensors", "cannot be used with"),
            ("forward --network paper --weights text.jpg", "text.jpg is no safetensors file"),
            ("describe none.onnx", "cannot read the model none.onnx"),
            ("check none.onnx", "cannot read the model none.onnx"),
            ("check none.onnx/conv1", "cannot read the model none.onnx"),
            ("export --network papre --onnx x.onnx", "the names are paper, owt"),
            ("export --network paper", "--onnx"),
            ("export --network paper --batch 0 --onnx x.onnx", "the shape 0x3x227x227 is empty"),
            ("export --network owt --onnx none/x.onnx", "cannot write none/x.onnx"),
            ("export --network owt --onnx .", "cannot write ."),
            ("tune paper/conv3 -o none/plan.toml", "cannot write none/plan.toml: there is no such folder"),
            ("forward --network paper --output none/y.npy", "cannot write none/y.npy: there is no such folder"),
        ],
    );
}
