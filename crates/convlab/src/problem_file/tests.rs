use std::fs;

use tempfile::TempDir;

use super::*;

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// Reads the first of these files.
fn read_first(files: &[(&str, &str)]) -> Result<ProblemFile, ProblemFileError> {
    read(&folder(files).path().join(files[0].0))
}

/// The problems and the notice of what must be readable.
fn told(files: &[(&str, &str)]) -> (Vec<String>, String) {
    let file = read_first(files).unwrap_or_else(|error| panic!("{error}"));
    let problems = file.problems.iter().map(ToString::to_string).collect();
    let notice = file.left_out.to_string();
    assert_eq!(file.left_out.is_empty(), notice.ends_with(": left out "), "{notice}");
    (problems, notice.split_once(": left out ").unwrap().1.into())
}

fn problems(files: &[(&str, &str)]) -> Vec<String> {
    told(files).0
}

fn message(files: &[(&str, &str)]) -> String {
    match read_first(files) {
        Ok(file) => panic!("{:?}", file.problems),
        Err(error) => error.to_string(),
    }
}

#[test]
fn words_comments_and_joined_lines() {
    let text = "# all of it\n\na b#c # d\n\te\\\n  f \\ # g\n h\n\\\n";
    let expected = [(3, "a"), (3, "b#c"), (4, "efh")].map(|(line, word)| (line, word.to_owned()));
    assert_eq!(words(text), expected);
    assert_eq!(words("\\\na\r\n"), [(2, "a".to_owned())]);
    assert_eq!(words(""), []);
}

#[test]
fn problems_are_named_after_their_file() {
    let files = [("a.txt", "ic3ih9oc4kh3n\"x\" ic3ih9oc4kh1 # two\n--batch=b\n"), ("b", "ic3oc4_iw9kw3pw1_ny:1*2\n")];
    assert_eq!(
        problems(&files),
        ["mb2ic3ih9oc4oh7kh3ph0n\"a/x\"", "mb2ic3ih9oc4oh9kh1ph0", "mb2ic3ih1iw9oc4oh1ow9kh1kw3ph0pw1n\"b/y:1*2\""]
    );
    assert_eq!(problems(&[("empty", "# nothing")]), [""; 0]);
}

#[test]
fn what_stands_there_twice_is_one_problem_and_others_get_a_number() {
    let text = "ic3ih9oc4kh3n\"x\" ic3ih9oc4kh3n\"x\" ic3ih9oc4kh1n\"x\" ic3ih9oc4kh2n\"x#2\" mb7ic3ih9oc4kh3n\"x\"
        ic3ih9oc4kh4n\"x\" ic3ih9oc4kh1n\"x\" ic3ih9oc4kh5n\"x#2\" ic3ih9oc4kh4 ic3ih9oc4kh4";
    assert_eq!(
        problems(&[("a", text)]),
        [
            "mb2ic3ih9oc4oh7kh3ph0n\"a/x\"",
            "mb2ic3ih9oc4oh9kh1ph0n\"a/x#3\"",
            "mb2ic3ih9oc4oh8kh2ph0n\"a/x#2\"",
            "mb7ic3ih9oc4oh7kh3ph0n\"a/x\"",
            "mb2ic3ih9oc4oh6kh4ph0n\"a/x#4\"",
            "mb2ic3ih9oc4oh5kh5ph0n\"a/x#2#2\"",
            "mb2ic3ih9oc4oh6kh4ph0",
        ]
    );
}

#[test]
fn options_set_the_batch_until_they_are_reset() {
    let of = |text: &str| -> Vec<usize> {
        let file = read_first(&[("a", text), ("b", "--mb=5"), ("c", "mb4ic3ih9oc4kh1")]).unwrap();
        file.problems.iter().map(Problem::batch).collect()
    };
    let (one, other) = ("mb3ic3ih9oc4kh3", "ic3ih9oc4kh2");
    assert_eq!(of(&format!("{one} --mb=7 {other}")), [3, 7]);
    assert_eq!(of(&format!("--mb=7 {one} --mb= {other}")), [7, 2]);
    assert_eq!(of(&format!("--mb=7 {one} --mb=0\n{other}")), [7, 2]);
    assert_eq!(of(&format!("--mb=7 {one}\n--reset\n{other}")), [7, 2]);
    assert_eq!(of(&format!("--mb=7,0,1 {one} {other}")), [7, 3, 1, 7, 2, 1]);
    assert_eq!(of(&format!("--mb=1 --batch=c {one}")), [1, 1], "it holds for included files");
    assert_eq!(of(&format!("--batch=b {one}")), [5], "and after them");
}

#[test]
fn includes_are_found_from_the_file_that_has_them() {
    let folder = folder(&[("a", "--batch=in/b")]);
    fs::create_dir(folder.path().join("in")).unwrap();
    fs::write(folder.path().join("in/b"), "--batch=c").unwrap();
    fs::write(folder.path().join("in/c"), "ic3ih9oc4kh3n\"x\"").unwrap();
    assert_eq!(read(&folder.path().join("a")).unwrap().problems[0].name(), Some("c/x"));
}

#[test]
fn what_is_not_computed_is_counted() {
    let (kept, notice) = told(&[
        (
            "a",
            "ic3oc4id9kd3 ic3oc4id1kd1ih9kh3iw9kw3\n--conv --dir=FWD_B --dt=f32 --stag=axb --attr-post-ops=relu\n--batch=b",
        ),
        ("b", "--stag=abx ic3ih9oc4oh3kh3 ic3oc4id9kd2\n-v5 -v5"),
    ]);
    assert_eq!(kept, ["mb2ic3ih9oc4oh7kh3ph0"]);
    assert_eq!(
        notice,
        "2 three-dimensional problems, 1 problem that crops its input, \
         5 options that convlab does not have (--attr-post-ops, --stag, -v5)"
    );
    let many: String = (10..100).map(|i| format!("--{}{i} ", "o".repeat(30))).collect();
    let (_, notice) = told(&[("a", &many)]);
    assert!(notice.starts_with("90 options") && notice.ends_with(", …)") && notice.len() < 500, "{notice}");
    assert_eq!(told(&[("a", "--attr-x ic3ih9oc4kh3")]).1, "1 option that convlab does not have (--attr-x)");
    let (kept, notice) = told(&[("a", "mb9999999999ic3ih9oc4kh1 --mb=1,99999999999 ic3ih9oc4kh1")]);
    assert_eq!((kept.len(), notice.as_str()), (1, "2 problems with a tensor beyond 64 GiB"));
    assert_eq!(told(&[("a", "ic3ih9oc4kh3")]).1, "");
}

#[test]
fn mistakes_are_told_with_file_line_and_word() {
    let said = message(&[("a", "ic3ih9oc4kh3\nic3ih9oc4kh3 ic8ih9oc8kx3")]);
    assert!(said.contains("a:2: expected one of ") && said.ends_with("\n  ic8ih9oc8kx3\n           ^"), "{said}");
    let said = message(&[("a", "\n--batch=b"), ("b", "ic3ih9oc4kh19")]);
    assert!(said.contains("b:1: 'ic3ih9oc4kh19' is no convolution: the filter spans 19"), "{said}");
    for (text, part) in [
        ("--mb=x", "a:1: '--mb=x': expected at most 100 whole numbers"),
        ("--mb=-1", "'--mb=-1': expected at most 100 whole numbers"),
        ("--mb=1,", "'--mb=1,': expected at most 100 whole numbers"),
        ("\n--batch=none", "a:2: '--batch=none': cannot read "),
        ("--batch=", "a:1: '--batch=': cannot read "),
        ("--batch=a", "a:1: '--batch=a': more than 8 files include each other; does one include itself?"),
    ] {
        let said = message(&[("a", text)]);
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn sizes_are_limited() {
    let chain: Vec<_> = (1..=9).map(|i| (i.to_string(), format!("--batch={}", i + 1))).collect();
    let mut files: Vec<_> = chain.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    files[8].1 = "ic3ih9oc4kh3";
    assert_eq!(problems(&files[1..]).len(), 1, "a chain of eight");
    assert!(message(&files).contains("8:1: '--batch=9': more than 8 files include each other"));
    let large = "#".repeat(MAX_FILE_BYTES as usize);
    assert!(problems(&[("a", &large)]).is_empty());
    let said = message(&[("a", &format!("{large}#"))]);
    assert!(said.contains("cannot read problems from ") && said.ends_with("larger than 1048576 bytes"), "{said}");
    let said = message(&[("a", &"--batch=b ".repeat(65)), ("b", &large)]);
    assert!(said.contains("'--batch=b': with this, included files are larger than 67108864 bytes"), "{said}");
    let batches = (1..=MAX_BATCHES).map(|batch| batch.to_string()).collect::<Vec<_>>().join(",");
    let widths: String = (0..MAX_PROBLEMS / MAX_BATCHES).map(|i| format!(" ic1oc1ih{}kh1", i + 1)).collect();
    assert_eq!(problems(&[("a", &format!("--mb={batches}{widths}{widths}"))]).len(), MAX_PROBLEMS);
    let said = message(&[("a", &format!("--mb={batches}{widths} ic3ih9oc4kh1"))]);
    assert!(said.ends_with("'ic3ih9oc4kh1': with this, there are more than 100000 problems"), "{said}");
    let said = message(&[("a", &format!("--mb={batches},1"))]);
    assert!(said.ends_with(": expected at most 100 whole numbers, separated by commas"), "{said}");
}
