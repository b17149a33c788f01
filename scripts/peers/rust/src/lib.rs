//! What the workers around engines in Rust have in common: their arguments and the protocol of `scripts/peers`.
//!
//! A worker says `ready` when it has computed once, answers every line of standard input, a number, with the time of so
//! many runs in nanoseconds, one run before them not timed, and at the end of input says what engine it is.

use std::env;
use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use ndarray::ArrayD;

pub type Failure = Box<dyn Error + Send + Sync>;

/// `worker MODEL images.npy output.npy --threads N`
pub struct Args {
    /// The model, in whatever form the engine takes it.
    pub model: PathBuf,
    /// What it computes on, `[n, c, h, w]`.
    pub images: ArrayD<f32>,
    /// How many threads it may have.
    pub threads: usize,
    output: PathBuf,
}

impl Args {
    fn parse() -> Result<Self, Failure> {
        let words: Vec<String> = env::args().skip(1).collect();
        let [model, images, output, option, threads] = &words[..] else { return Err("wants five arguments".into()) };
        if option != "--threads" {
            return Err(format!("there is no {option}").into());
        }
        let images = read(Path::new(images))?;
        Ok(Args { model: model.into(), images, threads: threads.parse()?, output: output.into() })
    }
}

/// A process's whole life: what `prepare` makes computes, `array` turns its result into plain numbers.
pub fn work<T, Run: FnMut() -> Result<T, Failure>>(
    engine: &str,
    prepare: impl FnOnce(&Args) -> Result<Run, Failure>,
    array: impl FnOnce(T) -> Result<ArrayD<f32>, Failure>,
) -> ExitCode {
    let serve = || {
        let args = Args::parse()?;
        let mut run = prepare(&args)?;
        ndarray_npy::write_npy(&args.output, &array(run()?)?)?;
        say("ready")?;
        for line in io::stdin().lines() {
            let runs: usize = line?.parse()?;
            run()?;
            let start = Instant::now();
            for _ in 0..runs {
                run()?;
            }
            say(&start.elapsed().as_nanos().to_string())?;
        }
        say(&format!(r#"{{"engine":"{engine}, f32"}}"#))
    };
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", error.to_string().replace('\n', "; "));
            ExitCode::from(2)
        }
    }
}

/// An array of a `.npy` file.
pub fn read(path: &Path) -> Result<ArrayD<f32>, Failure> {
    Ok(ndarray_npy::read_npy(path)?)
}

/// Its numbers in order.
pub fn numbers(array: &ArrayD<f32>) -> Vec<f32> {
    array.iter().copied().collect()
}

fn say(line: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    Ok(writeln!(out, "{line}").and_then(|()| out.flush())?)
}
