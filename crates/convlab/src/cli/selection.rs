//! The arguments that say what is computed: problems, algorithms, instruction sets, batch.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use conv_core::{Algorithm, Problem};
use conv_net::Network;
use conv_net::onnx::InputShape;
use conv_simd::Isa;
use conv_tune::{Chooser, algorithms, select};

use crate::cli::CliError;
use crate::suite::{self, Case, ModelProblems, Named};

/// What to compute.
#[derive(Debug, Clone, clap::Args)]
pub struct Selection {
    /// Networks (paper, or models: file.onnx), their layers (paper/conv2), descriptors (mb1ic96ih27oc256kh5ph2), or files
    /// of them, as benchdnn has them: one- and two-dimensional ones are taken, and how many others there were is said
    /// [default: paper owt].
    #[arg(value_name = "PROBLEM|FILE|NETWORK|NETWORK/LAYER")]
    problems: Vec<String>,
    /// Names, families or patterns (winograd/f4x3, winograd, '*/f?x3'), separated by commas [default: all].
    #[arg(long, value_name = "GLOB", value_delimiter = ',')]
    algorithm: Vec<String>,
    /// Images, separated by commas [default: 1, and what descriptors and models say].
    #[arg(long, value_name = "N", value_delimiter = ',')]
    batch: Vec<usize>,
    /// The shape of an input that a model leaves open, for example 1x3x320x320; of several inputs each with its name.
    #[arg(long, value_name = "[NAME:]SIZES")]
    shape: Vec<InputShape>,
}

impl Selection {
    /// These problems by these algorithms, as they stand on a command line.
    pub fn by(problems: Vec<String>, algorithm: Vec<String>) -> Selection {
        Selection { problems, algorithm, batch: Vec::new(), shape: Vec::new() }
    }

    /// The words of a command line that select the same problems and algorithms.
    pub fn words(&self) -> Vec<String> {
        let mut words = self.arguments();
        if !self.algorithm.is_empty() {
            words.push(format!("--algorithm={}", self.algorithm.join(",")));
        }
        words
    }

    /// Every problem with the algorithms that compute it.
    ///
    /// # Errors
    /// As [`problems`], and [`CliError::Unsupported`] if no algorithm of the selection computes any of the problems.
    pub fn cases(&self, isas: &[Isa]) -> Result<Vec<Case>, CliError> {
        Ok(self.cases_and_models(isas)?.0)
    }

    /// [`Selection::cases`], and the models that are named as a whole.
    ///
    /// # Errors
    /// As [`Selection::cases`].
    pub fn cases_and_models(&self, isas: &[Isa]) -> Result<(Vec<Case>, Vec<ModelProblems>), CliError> {
        let names_model = |argument: &String| suite::is_model(Path::new(argument)) || argument.contains(".onnx/");
        if !self.shape.is_empty() && !self.problems.iter().any(names_model) {
            return Err(CliError::input("--shape is for the inputs of models; name one, file.onnx, or leave it out"));
        }
        let (problems, models) = problems(&self.arguments(), &self.batch, &self.shape)?;
        let cases = suite::cases(problems, &self.algorithms()?, isas);
        if cases.iter().all(|case| case.candidates.is_empty())
            && let Some((_, reason)) = cases.iter().flat_map(|case| &case.unsupported).next()
        {
            return Err(reason.clone().into());
        }
        Ok((cases, models))
    }

    /// The built-in networks that are named as a whole, each with every batch asked for.
    pub fn networks(&self) -> Vec<Network> {
        let batches = if self.batch.is_empty() { vec![1] } else { each_once(self.batch.clone()) };
        let of = |name: String| batches.iter().filter_map(move |&batch| Network::by_name(&name, batch).ok());
        each_once(self.arguments()).into_iter().flat_map(of).collect()
    }

    /// How whole passes choose: by each name or family of the selection, or, with none given, by every family and `auto`.
    /// Patterns choose for no pass.
    pub fn choosers(&self) -> Vec<Chooser> {
        if self.algorithm.is_empty() {
            return Chooser::all();
        }
        each_once(self.algorithm.clone()).iter().filter_map(|name| Chooser::by_name(name).ok()).collect()
    }

    /// The problems as they were named, with the shapes of models' inputs.
    pub fn text(&self) -> String {
        self.arguments().join(" ") + &shape_arguments(&self.shape)
    }

    /// The first argument that is a whole model.
    pub fn model(&self) -> Option<&str> {
        self.problems.iter().map(String::as_str).find(|argument| suite::is_model(Path::new(argument)))
    }

    /// The files among the arguments, and what names none.
    pub fn paths(&self) -> impl Iterator<Item = PathBuf> {
        let path = |argument: &String| argument.split_once(".onnx/").map(|(model, _)| format!("{model}.onnx"));
        self.problems.iter().map(move |argument| path(argument).unwrap_or_else(|| argument.clone()).into())
    }

    /// Whether no problem is named.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// Whether every algorithm may be chosen.
    pub fn is_unrestricted(&self) -> bool {
        self.algorithm.is_empty()
    }

    /// The same of the one problem, layer, network or file that `argument` names.
    pub fn of(&self, argument: &str) -> Selection {
        Selection { problems: vec![argument.into()], ..self.clone() }
    }

    fn arguments(&self) -> Vec<String> {
        let defaults = || suite::ALEXNETS.map(Into::into).into();
        if self.problems.is_empty() { defaults() } else { self.problems.clone() }
    }

    /// The selected algorithms, each once, in the registry's order.
    ///
    /// # Errors
    /// [`CliError::Input`] for a name, family or pattern that none has.
    pub fn algorithms(&self) -> Result<Vec<&'static dyn Algorithm>, CliError> {
        let mut all = algorithms();
        if !self.algorithm.is_empty() {
            let mut names = Vec::new();
            for pattern in &self.algorithm {
                names.extend(select(pattern).map_err(CliError::input)?.iter().map(|algorithm| algorithm.name()));
            }
            all.retain(|algorithm| names.contains(&algorithm.name()));
        }
        Ok(all)
    }
}

/// Shapes of inputs as they are given on the command line.
pub fn shape_arguments(shapes: &[InputShape]) -> String {
    let argument = |InputShape { name, sizes }: &InputShape| {
        let name = name.as_ref().map_or(String::new(), |name| format!("{name}:"));
        let sizes: Vec<String> = sizes.iter().map(ToString::to_string).collect();
        format!(" --shape {name}{}", sizes.join("x"))
    };
    shapes.iter().map(argument).collect()
}

/// The problems that `arguments` name, each once, with each batch of `batches`, and the models that are named as a whole,
/// whose inputs have `shapes`. What files hold beside them, and how many convolutions models have, is told on standard
/// error.
///
/// # Errors
/// [`CliError::Input`] for arguments that name nothing and for two problems of one name, [`CliError::Nothing`] if nothing
/// is named that has two dimensions.
pub fn problems(
    arguments: &[String],
    batches: &[usize],
    shapes: &[InputShape],
) -> Result<(Vec<Problem>, Vec<ModelProblems>), CliError> {
    let Named { problems: named, left_out, models } = suite::problems(arguments, batches, shapes)?;
    let of_models = models.iter().flat_map(ModelProblems::notices);
    for notice in each_once(left_out.iter().map(ToString::to_string).chain(of_models).collect()) {
        // Nothing is lost if stderr is closed.
        let _ = writeln!(io::stderr(), "convlab: {notice}");
    }
    if named.is_empty() {
        return Err(CliError::Nothing(format!("{} holds no problem that convlab has", arguments.join(", "))));
    }
    // Records are told apart by their names.
    let mut by_name: HashMap<_, Problem> = HashMap::new();
    let mut problems = Vec::new();
    for problem in named {
        match by_name.entry((problem.label(), problem.batch())) {
            Entry::Vacant(entry) => {
                entry.insert(problem.clone());
                problems.push(problem);
            }
            Entry::Occupied(entry) if *entry.get() == problem => {}
            Entry::Occupied(entry) => {
                let (name, other) = (&entry.key().0, entry.get());
                return Err(CliError::input(format_args!(
                    "two problems are called {name}, '{other}' and '{problem}': give one of them another name"
                )));
            }
        }
    }
    Ok((problems, models))
}

/// The instruction sets called `names`, or `otherwise` if there are none.
///
/// # Errors
/// [`CliError::Input`] if there is no such name or this machine lacks it.
pub fn isas(names: &[String], otherwise: Vec<Isa>) -> Result<Vec<Isa>, CliError> {
    if names.is_empty() {
        return Ok(otherwise);
    }
    let isas = names.iter().map(|name| Isa::by_name(name)).collect::<Result<Vec<_>, _>>().map_err(CliError::input)?;
    Ok(each_once(isas))
}

/// `values` without those that came before: what is named twice is measured once.
pub fn each_once<T: PartialEq>(values: Vec<T>) -> Vec<T> {
    let mut once = Vec::with_capacity(values.len());
    for value in values {
        if !once.contains(&value) {
            once.push(value);
        }
    }
    once
}

/// A line that says which algorithms do not compute a problem, if there are such.
pub fn refusals(case: &Case) -> Option<String> {
    let names: Vec<&str> = case.unsupported.iter().map(|(name, _)| *name).collect();
    (!names.is_empty()).then(|| format!("not computed by {}", names.join(", ")))
}
