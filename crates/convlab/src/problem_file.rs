//! Files of problems, as oneDNN's benchdnn has them: `benches/problems/*.txt` here, `tests/benchdnn/inputs/conv` there.
//!
//! A file is words between blanks and line ends. `#` before a word makes the rest of its line a comment; `\` after a word
//! joins the next one to it. A word is a descriptor, from which a [`Problem`] is read, or an option:
//!
//! | option | what it does to the problems after it |
//! | --- | --- |
//! | `--batch=FILE` | before them come those of another file, found from the folder of the file that says so |
//! | `--mb=N` | they have this batch whatever they say, with `--mb=1,16` one after the other; with `--mb=0` or `--mb=` their own |
//! | `--reset` | they have their own batch |
//!
//! As in benchdnn, what an included file sets is still set after it.
//!
//! A file is not refused for what this program does not compute; that is left out and counted in [`LeftOut`]: convolutions
//! of three dimensions, those that crop their input or are beyond [`conv_core::MAX_TENSOR_BYTES`], and all other options.
//! These say how benchdnn runs a problem (type, direction, layout, what follows the convolution); without them it is what
//! convlab runs, forward in `f32`. Options that ask for just that are not counted.
//!
//! Problems are called `file/name`, after the file in which they stand. What stands there twice is one problem; a second,
//! different one of the same name is called `file/name#2`. Problems that differ in their batch only keep their name.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use conv_core::{Axis, DescriptorError, Problem, ProblemError, Unrepresentable, file, shown};

/// Bytes of a file that are read at most.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Bytes that are read at most of a file and all that it includes, as often as it does.
const MAX_TOTAL_BYTES: u64 = 64 << 20;

/// Files that are open at most: one that includes another that includes another, and so on.
const MAX_OPEN: usize = 8;

/// Different problems of a file, with all that it includes, at most.
const MAX_PROBLEMS: usize = 100_000;

/// Batches of one `--mb` at most.
const MAX_BATCHES: usize = 100;

/// Options of which a notice names so many.
const MAX_NAMED_OPTIONS: usize = 8;

/// Characters that a notice shows of an option's name.
const MAX_OPTION_CHARACTERS: usize = 40;

/// Options that ask for what is computed anyway.
const HARMLESS: [&str; 9] = [
    "--conv",
    "--dir=FWD_B",
    "--dir=FWD_D",
    "--dir=FWD_I",
    "--dt=f32",
    "--cfg=f32",
    "--stag=any",
    "--wtag=any",
    "--dtag=any",
];

/// Why a file of problems cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ProblemFileError {
    /// A file that cannot be read, or is too large.
    #[error("cannot read problems from {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A word that is no descriptor.
    #[error("{}:{line}: {source}", path.display())]
    Descriptor {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Why.
        source: Box<DescriptorError>,
    },
    /// An option that cannot be followed, or a descriptor that is one too many.
    #[error("{}:{line}: '{word}': {reason}", path.display())]
    Word {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The option.
        word: String,
        /// Why.
        reason: String,
    },
}

/// What a file and those that it includes hold.
#[derive(Debug)]
pub struct ProblemFile {
    /// The problems, in order.
    pub problems: Vec<Problem>,
    /// What else there was.
    pub left_out: LeftOut,
}

/// What was left out of a file, as one line to be shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOut {
    path: PathBuf,
    three_dimensional: usize,
    cropped: usize,
    too_large: usize,
    options: usize,
    /// Names of options, as many as are shown and one more.
    option_names: BTreeSet<String>,
}

impl LeftOut {
    /// Whether nothing was.
    pub fn is_empty(&self) -> bool {
        self.three_dimensional + self.cropped + self.too_large + self.options == 0
    }

    /// Counts what `error` refuses, or returns it where it is a mistake.
    fn count(&mut self, error: DescriptorError) -> Result<(), DescriptorError> {
        let count = match &error {
            DescriptorError::Unrepresentable { reason: Unrepresentable::ThreeDimensional, .. } => {
                &mut self.three_dimensional
            }
            DescriptorError::Unrepresentable { reason: Unrepresentable::Cropped { .. }, .. } => &mut self.cropped,
            DescriptorError::Problem { source: ProblemError::TooLarge { .. }, .. } => &mut self.too_large,
            _ => return Err(error),
        };
        *count += 1;
        Ok(())
    }

    fn count_option(&mut self, name: &str) {
        self.options += 1;
        if self.option_names.len() <= MAX_NAMED_OPTIONS {
            self.option_names.insert(name.chars().take(MAX_OPTION_CHARACTERS).collect());
        }
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            (self.three_dimensional, "three-dimensional problem", "three-dimensional problems"),
            (self.cropped, "problem that crops its input", "problems that crop their input"),
            (self.too_large, "problem with a tensor beyond 64 GiB", "problems with a tensor beyond 64 GiB"),
            (self.options, "option that convlab does not have", "options that convlab does not have"),
        ];
        let counted = kinds.into_iter().filter(|(count, ..)| *count > 0);
        let parts: Vec<String> =
            counted.map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many })).collect();
        write!(f, "{}: left out {}", self.path.display(), parts.join(", "))?;
        if self.options > 0 {
            let mut names: Vec<&str> = self.option_names.iter().take(MAX_NAMED_OPTIONS).map(String::as_str).collect();
            if names.len() < self.option_names.len() {
                names.push("…");
            }
            write!(f, " ({})", names.join(", "))?;
        }
        Ok(())
    }
}

/// Reads the problems of the file at `path` and of those that it includes.
///
/// # Errors
/// [`ProblemFileError`] naming the file and the line.
pub fn read(path: &Path) -> Result<ProblemFile, ProblemFileError> {
    let read = file::read_to_string(path, MAX_FILE_BYTES);
    let text = read.map_err(|source| ProblemFileError::Read { path: path.into(), source })?;
    let mut reader = Reader {
        batches: vec![OWN_BATCH],
        problems: Vec::new(),
        seen: HashSet::new(),
        left_out: LeftOut { path: path.into(), ..LeftOut::default() },
        open: 0,
        bytes: 0,
    };
    reader.file(path, &text)?;
    Ok(ProblemFile { problems: tell_apart(reader.problems), left_out: reader.left_out })
}

/// The words of a file that are no comments, and their lines, from 1.
fn words(text: &str) -> Vec<(usize, String)> {
    let mut words: Vec<(usize, String)> = Vec::new();
    let mut joined = false;
    for (i, line) in text.lines().enumerate() {
        for word in line.split_whitespace().take_while(|word| !word.starts_with('#')) {
            let part = word.strip_suffix('\\');
            match (part.unwrap_or(word), words.last_mut()) {
                ("", None) => {}
                (part, Some((_, last))) if joined || part.is_empty() => last.push_str(part),
                (part, _) => words.push((i + 1, part.into())),
            }
            joined = part.is_some();
        }
    }
    words
}

/// Stands for the batch that a descriptor says, among those of `--mb`.
const OWN_BATCH: usize = 0;

/// A word of a file.
#[derive(Clone, Copy)]
struct Word<'a> {
    path: &'a Path,
    line: usize,
    text: &'a str,
}

impl Word<'_> {
    fn refused(self, reason: impl Into<String>) -> ProblemFileError {
        let Word { path, line, text } = self;
        ProblemFileError::Word { path: path.into(), line, word: shown(text), reason: reason.into() }
    }

    fn no_descriptor(self, source: DescriptorError) -> ProblemFileError {
        ProblemFileError::Descriptor { path: self.path.into(), line: self.line, source: source.into() }
    }
}

/// What was read so far, and what is set.
struct Reader {
    batches: Vec<usize>,
    problems: Vec<Problem>,
    seen: HashSet<Problem>,
    left_out: LeftOut,
    open: usize,
    bytes: u64,
}

impl Reader {
    fn file(&mut self, path: &Path, text: &str) -> Result<(), ProblemFileError> {
        self.open += 1;
        for (line, text) in words(text) {
            let word = Word { path, line, text: &text };
            if text.starts_with('-') { self.option(word)? } else { self.descriptor(word)? }
        }
        self.open -= 1;
        Ok(())
    }

    fn option(&mut self, word: Word) -> Result<(), ProblemFileError> {
        let (option, value) = word.text.split_once('=').unwrap_or((word.text, ""));
        match option {
            "--batch" => self.include(word, &word.path.with_file_name("").join(value))?,
            "--mb" if value.is_empty() => self.batches = vec![OWN_BATCH],
            "--mb" => {
                let batches: Result<Vec<_>, _> = value.split(',').map(str::parse).collect();
                self.batches = batches.ok().filter(|batches| batches.len() <= MAX_BATCHES).ok_or_else(|| {
                    word.refused(format!("expected at most {MAX_BATCHES} whole numbers, separated by commas"))
                })?;
            }
            "--reset" => self.batches = vec![OWN_BATCH],
            _ if HARMLESS.contains(&word.text) => {}
            other => self.left_out.count_option(other),
        }
        Ok(())
    }

    fn include(&mut self, word: Word, path: &Path) -> Result<(), ProblemFileError> {
        if self.open == MAX_OPEN {
            return Err(
                word.refused(format!("more than {MAX_OPEN} files include each other; does one include itself?"))
            );
        }
        let text = file::read_to_string(path, MAX_FILE_BYTES)
            .map_err(|source| word.refused(format!("cannot read {}: {source}", path.display())))?;
        self.bytes += text.len() as u64;
        if self.bytes > MAX_TOTAL_BYTES {
            return Err(word.refused(format!("with this, included files are larger than {MAX_TOTAL_BYTES} bytes")));
        }
        self.file(path, &text)
    }

    fn descriptor(&mut self, word: Word) -> Result<(), ProblemFileError> {
        let problem: Problem = match word.text.parse() {
            Ok(problem) => problem,
            Err(error) => return self.left_out.count(error).map_err(|error| word.no_descriptor(error)),
        };
        let stem = word.path.file_stem().unwrap_or_default().to_string_lossy();
        let problem = match problem.name().map(|name| format!("{stem}/{name}")) {
            Some(name) => problem.with_name(name),
            None => problem,
        };
        for &batch in &self.batches {
            match if batch == OWN_BATCH { Ok(problem.clone()) } else { problem.with_batch(batch) } {
                Ok(problem) if self.seen.contains(&problem) => {}
                Ok(_) if self.problems.len() == MAX_PROBLEMS => {
                    return Err(word.refused(format!("with this, there are more than {MAX_PROBLEMS} problems")));
                }
                Ok(problem) => {
                    self.seen.insert(problem.clone());
                    self.problems.push(problem);
                }
                Err(source) => {
                    let error = DescriptorError::Problem { text: word.text.into(), source };
                    self.left_out.count(error).map_err(|error| word.no_descriptor(error))?;
                }
            }
        }
        Ok(())
    }
}

/// What a problem is but for its name and batch.
fn shape(problem: &Problem) -> (usize, [usize; 2], [Axis; 2]) {
    let channels = [problem.in_channels(), problem.out_channels()];
    (problem.groups(), channels, [*problem.height(), *problem.width()])
}

/// Gives problems of one name but different shapes names of their own.
fn tell_apart(problems: Vec<Problem>) -> Vec<Problem> {
    let written: HashSet<String> = problems.iter().filter_map(|problem| Some(problem.name()?.into())).collect();
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut names: HashMap<_, String> = HashMap::new();
    let own_name = |problem: Problem| {
        let Some(name) = problem.name().map(str::to_owned) else { return problem };
        let count = counts.entry(name.clone()).or_default();
        let own = names.entry((name, shape(&problem))).or_insert_with_key(|(name, _)| {
            loop {
                *count += 1;
                let own = if *count == 1 { name.clone() } else { format!("{name}#{count}") };
                if *count == 1 || !written.contains(&own) {
                    break own;
                }
            }
        });
        problem.with_name(own.as_str())
    };
    problems.into_iter().map(own_name).collect()
}

#[cfg(test)]
mod tests;
