//! What is computed: the problems that arguments name, and the algorithms that compute each of them. The one enumeration
//! behind `check`, `bench` and `cargo bench`.

use std::collections::HashMap;
use std::path::Path;

use conv_core::{Algorithm, DescriptorError, Problem, ProblemError, Unsupported, shown};
use conv_measure::Candidate;
use conv_net::onnx::{InputShape, Model, OnnxError};
use conv_net::{Network, NetworkError, presets};
use conv_simd::Isa;

use crate::problem_file::{self, LeftOut, ProblemFileError};

/// The built-in networks that are meant where none is named: both AlexNets.
pub const ALEXNETS: [&str; 2] = ["paper", "owt"];

/// Why an argument names no problems.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// Nothing that an argument may be.
    #[error("'{argument}' is no file, no network ({networks}), and no problem descriptor: {source}")]
    Argument {
        /// The argument.
        argument: String,
        /// Every network.
        networks: String,
        /// What is wrong with it as a descriptor.
        source: Box<DescriptorError>,
    },
    /// A problem descriptor, but of no convolution, or of none that a [`Problem`] can be.
    #[error(transparent)]
    Problem(DescriptorError),
    /// A network, but no such layer.
    #[error("{network} has no convolution called '{layer}'; it has {known}")]
    Layer {
        /// The network.
        network: String,
        /// The layer asked for.
        layer: String,
        /// Its convolutions.
        known: String,
    },
    /// A file that cannot be read.
    #[error(transparent)]
    File(#[from] ProblemFileError),
    /// A model that cannot be read.
    #[error(transparent)]
    Model(#[from] OnnxError),
    /// A network that cannot have this batch.
    #[error("{network} with a batch of {batch}: {source}")]
    Network {
        /// The network.
        network: String,
        /// The batch asked for.
        batch: usize,
        /// Why.
        source: Box<NetworkError>,
    },
    /// A problem that cannot have this batch.
    #[error("{name} with a batch of {batch}: {source}")]
    Batch {
        /// The problem.
        name: String,
        /// The batch asked for.
        batch: usize,
        /// Why.
        source: ProblemError,
    },
}

/// What arguments name.
#[derive(Debug, Default)]
pub struct Named {
    /// The problems, in order.
    pub problems: Vec<Problem>,
    /// Of each file that had something else too, what that was.
    pub left_out: Vec<LeftOut>,
    /// The models that are named as a whole, and those built-in networks some of whose convolutions are equal, each with
    /// every batch.
    pub models: Vec<ModelProblems>,
}

/// The convolutions of a network. Equal ones are one problem, called as the first layer that has it.
#[derive(Debug)]
pub struct ModelProblems {
    /// The model or network, as it was named.
    pub model: String,
    /// Images.
    pub batch: usize,
    /// The distinct problems, in order, and how many layers have each.
    pub distinct: Vec<(Problem, usize)>,
    /// How many convolutions there are that cannot be had.
    pub missing: usize,
    /// Why not: each reason once, with the name of the first that it is of.
    pub reasons: Vec<String>,
}

impl ModelProblems {
    fn new(model: &str, network: &Network) -> Self {
        let mut problems = ModelProblems {
            model: model.into(),
            batch: network.batch(),
            distinct: Vec::new(),
            missing: 0,
            reasons: Vec::new(),
        };
        let mut places = HashMap::new();
        for problem in network.problems() {
            let place = *places.entry(problem.clone().with_name("")).or_insert(problems.distinct.len());
            match problems.distinct.get_mut(place) {
                Some((_, count)) => *count += 1,
                None => problems.distinct.push((problem, 1)),
            }
        }
        let mut told: Vec<&str> = Vec::new();
        for (node, opaque) in network.opaque().filter(|(_, opaque)| opaque.operator.contains("Conv")) {
            problems.missing += 1;
            if !told.contains(&opaque.reason.as_str()) {
                told.push(&opaque.reason);
                problems.reasons.push(format!("{} ({}) {}", node.name, opaque.operator, opaque.reason));
            }
        }
        problems
    }

    /// How many layers there are, and what of them cannot be had: a line each.
    pub fn notices(&self) -> Vec<String> {
        let Self { model, distinct, missing, .. } = self;
        let all: usize = distinct.iter().map(|(_, count)| count).sum();
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let mut notices = vec![format!("{model}: {all} convolution{}, {} distinct", plural(all), distinct.len())];
        if *missing > 0 {
            let reasons = self.reasons.join("; ");
            notices.push(format!("{model}: left out {missing} convolution{}: {reasons}", plural(*missing)));
        }
        notices
    }
}

/// The problems that `arguments` name, for every batch in `batches`; with none given, networks have one image, models what
/// they say, and descriptors what they say. Models have the input `shapes` that they leave open.
///
/// An argument is a network (`paper`, or a model `file.onnx`: its convolutions), one of its layers (`paper/conv2`,
/// `file.onnx/conv2`), a file of problems ([`problem_file`]), or a descriptor.
///
/// # Errors
/// [`SuiteError`] naming the argument, the file and the line.
pub fn problems(arguments: &[String], batches: &[usize], shapes: &[InputShape]) -> Result<Named, SuiteError> {
    let mut named = Named::default();
    for argument in arguments {
        let (network, layer) = match argument.split_once(".onnx/") {
            Some((path, layer)) => (format!("{path}.onnx"), Some(layer)),
            None => match argument.split_once('/') {
                Some((network, layer)) if is_preset(network) && !is_model(Path::new(argument)) => {
                    (network.into(), Some(layer))
                }
                _ => (argument.clone(), None),
            },
        };
        if !is_preset(&network) && !is_model(Path::new(&network)) {
            named.add(argument, batches)?;
            continue;
        }
        let each = if batches.is_empty() { vec![None] } else { batches.iter().copied().map(Some).collect() };
        for batch in each {
            let made = if is_preset(&network) { preset(&network, batch)? } else { model(&network, batch, shapes)? };
            match layer {
                Some(layer) => named.problems.push(network_layer(&made, layer)?),
                None => {
                    let problems = ModelProblems::new(&network, &made);
                    named.problems.extend(problems.distinct.iter().map(|(problem, _)| problem.clone()));
                    let repeats = problems.distinct.iter().any(|(_, count)| *count > 1);
                    named.models.extend(Some(problems).filter(|_| repeats || !is_preset(&network)));
                }
            }
        }
    }
    Ok(named)
}

impl Named {
    /// Adds what is no network: the problems of a file, or that of a descriptor.
    fn add(&mut self, argument: &str, batches: &[usize]) -> Result<(), SuiteError> {
        let problems = parse(argument, &mut self.left_out)?;
        if batches.is_empty() {
            self.problems.extend(problems);
            return Ok(());
        }
        for problem in &problems {
            for &batch in batches {
                let error = |source| SuiteError::Batch { name: problem.label(), batch, source };
                self.problems.push(problem.with_batch(batch).map_err(error)?);
            }
        }
        Ok(())
    }
}

/// Whether `path` is named as an ONNX model.
pub fn is_model(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "onnx")
}

/// The network of the ONNX model in the file `path`.
///
/// # Errors
/// As [`Model::open`].
pub fn model(path: &str, batch: Option<usize>, shapes: &[InputShape]) -> Result<Network, OnnxError> {
    Ok(Model::open(Path::new(path), batch, shapes)?.network().clone())
}

fn is_preset(name: &str) -> bool {
    presets().iter().any(|preset| preset.name == name)
}

fn preset(name: &str, batch: Option<usize>) -> Result<Network, SuiteError> {
    let batch = batch.unwrap_or(1);
    Network::by_name(name, batch).map_err(|source| SuiteError::Network {
        network: name.into(),
        batch,
        source: Box::new(source),
    })
}

fn parse(argument: &str, left_out: &mut Vec<LeftOut>) -> Result<Vec<Problem>, SuiteError> {
    let path = Path::new(argument);
    if path.exists() {
        let file = problem_file::read(path)?;
        left_out.extend(Some(file.left_out).filter(|left_out| !left_out.is_empty()));
        return Ok(file.problems);
    }
    let problem = argument.parse().map_err(|source: DescriptorError| {
        if let DescriptorError::Problem { .. } | DescriptorError::Unrepresentable { .. } = source {
            return SuiteError::Problem(source);
        }
        let networks = presets().iter().map(|preset| preset.name).collect::<Vec<_>>().join(", ");
        SuiteError::Argument { argument: shown(argument), networks, source: source.into() }
    })?;
    Ok(vec![problem])
}

fn network_layer(network: &Network, layer: &str) -> Result<Problem, SuiteError> {
    let prefix = format!("{}/", network.name());
    let problems = network.problems();
    let layer_of = |problem: &Problem| problem.name().and_then(|name| Some(name.strip_prefix(&prefix)?.to_owned()));
    match problems.iter().find(|problem| layer_of(problem).as_deref() == Some(layer)) {
        Some(problem) => Ok(problem.clone()),
        None => Err(SuiteError::Layer {
            network: network.name().into(),
            layer: layer.into(),
            known: problems.iter().filter_map(layer_of).collect::<Vec<_>>().join(", "),
        }),
    }
}

/// One problem and who computes it.
pub struct Case {
    /// The problem.
    pub problem: Problem,
    /// Every algorithm that supports it, on every instruction set asked for.
    pub candidates: Vec<Candidate>,
    /// The others, and why not.
    pub unsupported: Vec<(&'static str, Unsupported)>,
}

/// Pairs every problem with the algorithms that support it.
pub fn cases(problems: Vec<Problem>, algorithms: &[&'static dyn Algorithm], isas: &[Isa]) -> Vec<Case> {
    let case = |problem: Problem| {
        let mut case = Case { problem, candidates: Vec::new(), unsupported: Vec::new() };
        for &algorithm in algorithms {
            match algorithm.supports(&case.problem) {
                Ok(()) => case.candidates.extend(isas.iter().map(|&isa| Candidate { method: algorithm.into(), isa })),
                Err(reason) => case.unsupported.push((algorithm.name(), reason)),
            }
        }
        case
    };
    problems.into_iter().map(case).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(arguments: &[&str], batches: &[usize]) -> Vec<String> {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let named = problems(&arguments, batches, &[]).unwrap_or_else(|error| panic!("{error}"));
        named.problems.iter().map(|problem| format!("{} x{}", problem.label(), problem.batch())).collect()
    }

    fn error(argument: &str) -> String {
        problems(&[argument.into()], &[], &[]).unwrap_err().to_string()
    }

    #[test]
    fn arguments_are_networks_layers_files_and_descriptors() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("set.txt");
        std::fs::write(&file, "mb4ic8ih9oc8kh3n\"a\"\nic8ih9oc8kh1\n").unwrap();
        assert_eq!(
            names(&["paper/conv2", "owt/conv5"], &[1, 16]),
            ["paper/conv2 x1", "paper/conv2 x16", "owt/conv5 x1", "owt/conv5 x16"]
        );
        assert_eq!(names(&["paper"], &[]).len(), 5);
        let file = file.to_str().unwrap();
        assert_eq!(
            names(&[file, "mb1ic4ih5oc4kh5"], &[]),
            ["set/a x4", "mb2ic8ih9oc8oh9kh1ph0 x2", "mb1ic4ih5oc4oh1kh5ph0 x1"]
        );
        assert_eq!(names(&["mb4ic4ih5oc4kh5n\"a\""], &[1, 16]), ["a x1", "a x16"]);
    }

    #[test]
    fn what_is_left_out_of_files_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["a", "b", "c"].map(|name| folder.path().join(name));
        for (path, text) in files.iter().zip(["ic8ih9oc8kh3", "ic8id9oc8kd3", "ic8ih9oc8kh3 -v1"]) {
            std::fs::write(path, text).unwrap();
        }
        let named = problems(&files.map(|path| path.to_str().unwrap().into()), &[1, 2], &[]).unwrap();
        let told: Vec<String> = named.left_out.iter().map(ToString::to_string).collect();
        assert_eq!(named.problems.len(), 4);
        assert!(
            told.len() == 2 && told[0].contains("b: left out 1 three-") && told[1].contains("c: left out"),
            "{told:?}"
        );
    }

    #[test]
    fn errors_name_the_argument_the_file_and_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("set.txt");
        std::fs::write(&file, "ic8ih9oc8kh3\nic8ih9oc8kx3\n").unwrap();
        let message = error(file.to_str().unwrap());
        assert!(message.contains("set.txt:2: ") && message.contains("       ^"), "{message}");
        assert!(error("ic3oc4id5kd3").starts_with("this is three-dimensional"));
        assert!(error("papre").contains("no network (paper, owt, "), "{}", error("papre"));
        assert!(error("paper/conv9").contains("it has conv1, conv2, conv3, conv4, conv5"));
        assert!(error(folder.path().to_str().unwrap()).contains("cannot read"));
        let message = problems(&["paper/conv1".into()], &[0], &[]).unwrap_err().to_string();
        assert!(message.contains("batch of 0"), "{message}");
    }

    #[test]
    fn equal_convolutions_of_a_model_are_one_problem() {
        let mut builder = conv_net::Builder::new("model");
        let mut last = builder.input("input", &[2, 8, 9, 9]).unwrap();
        for (name, kernel) in [("a", 3), ("b", 1), ("c", 3)] {
            let windows = conv_net::Window::square(kernel, 1, kernel / 2);
            let conv = conv_net::Conv { out_channels: 8, windows, groups: 1, bias: false };
            last = builder.node(name, conv_net::Operator::Conv(conv), &[last]).unwrap();
        }
        let unknown = |operator: &str| conv_net::Opaque { operator: operator.into(), reason: "is odd".into() };
        for (name, operator) in [("d", "Conv"), ("e", "QLinearConv"), ("f", "NonZero")] {
            last = builder.opaque(name, unknown(operator), &[last], vec![(name.into(), None)]).unwrap()[0];
        }
        let problems = ModelProblems::new("model.onnx", &builder.finish(&[last]).unwrap());
        let distinct: Vec<_> = problems.distinct.iter().map(|(problem, count)| (problem.label(), *count)).collect();
        assert_eq!((problems.batch, distinct), (2, vec![("model/a".into(), 2), ("model/b".into(), 1)]));
        let notices =
            ["model.onnx: 3 convolutions, 2 distinct", "model.onnx: left out 2 convolutions: d (Conv) is odd"];
        assert_eq!(problems.notices(), notices);
    }
}
