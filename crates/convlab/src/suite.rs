//! What is computed: the problems that arguments name, and the algorithms that compute each of them. The one enumeration
//! behind `check`, `bench` and `cargo bench`.

use std::path::Path;

use conv_core::{Algorithm, DescriptorError, Problem, ProblemError, Unsupported};
use conv_measure::Candidate;
use conv_net::onnx::{Model, OnnxError};
use conv_net::{Network, NetworkError, networks};
use conv_simd::Isa;

use crate::problem_file::{self, LeftOut, ProblemFileError};

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
    #[error(transparent)]
    Network(#[from] NetworkError),
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
#[derive(Debug)]
pub struct Named {
    /// The problems, in order.
    pub problems: Vec<Problem>,
    /// Of each file that had something else too, what that was.
    pub left_out: Vec<LeftOut>,
}

/// The problems that `arguments` name, each once for every batch in `batches`; with none given, networks have one image
/// and descriptors what they say.
///
/// An argument is a network (`paper`, or a model `file.onnx`: its convolutions), one of its layers (`paper/conv2`,
/// `file.onnx/conv2`), a file of problems ([`problem_file`]), or a descriptor.
///
/// # Errors
/// [`SuiteError`] naming the argument, the file and the line.
pub fn problems(arguments: &[String], batches: &[usize]) -> Result<Named, SuiteError> {
    let mut named = Named { problems: Vec::new(), left_out: Vec::new() };
    for argument in arguments {
        let problems = parse(argument, &mut named.left_out)?;
        if batches.is_empty() {
            named.problems.extend(problems);
            continue;
        }
        for problem in &problems {
            for &batch in batches {
                let error = |source| SuiteError::Batch { name: problem.label(), batch, source };
                named.problems.push(problem.with_batch(batch).map_err(error)?);
            }
        }
    }
    Ok(named)
}

/// Whether `path` is named as an ONNX model.
pub fn is_model(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "onnx")
}

/// The network of the ONNX model that `argument` names, if it names one.
pub fn model(argument: &str) -> Option<Result<Network, OnnxError>> {
    let path = Path::new(argument);
    is_model(path).then(|| Ok(Model::open(path)?.network().clone()))
}

fn parse(argument: &str, left_out: &mut Vec<LeftOut>) -> Result<Vec<Problem>, SuiteError> {
    if let Ok(network) = Network::by_name(argument) {
        return Ok(network.problems(1)?);
    }
    if let Some(network) = model(argument) {
        return Ok(network?.problems(1)?);
    }
    if let Some((path, layer)) = argument.split_once(".onnx/") {
        return network_layer(Model::open(Path::new(&format!("{path}.onnx")))?.network(), layer);
    }
    if let Some((network, layer)) = argument.split_once('/')
        && let Ok(network) = Network::by_name(network)
    {
        return network_layer(&network, layer);
    }
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
        let networks = networks().iter().map(|network| network.name.as_str()).collect::<Vec<_>>().join(", ");
        SuiteError::Argument { argument: argument.into(), networks, source: source.into() }
    })?;
    Ok(vec![problem])
}

fn network_layer(network: &Network, layer: &str) -> Result<Vec<Problem>, SuiteError> {
    let problems = network.problems(1)?;
    let layer_of = |problem: &Problem| problem.name().and_then(|name| Some(name.split_once('/')?.1.to_owned()));
    match problems.iter().find(|problem| layer_of(problem).as_deref() == Some(layer)) {
        Some(problem) => Ok(vec![problem.clone()]),
        None => Err(SuiteError::Layer {
            network: network.name.clone(),
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
        let named = problems(&arguments, batches).unwrap_or_else(|error| panic!("{error}"));
        named.problems.iter().map(|problem| format!("{} x{}", problem.label(), problem.batch())).collect()
    }

    fn error(argument: &str) -> String {
        problems(&[argument.into()], &[]).unwrap_err().to_string()
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
    }

    #[test]
    fn what_is_left_out_of_files_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["a", "b", "c"].map(|name| folder.path().join(name));
        for (path, text) in files.iter().zip(["ic8ih9oc8kh3", "ic8id9oc8kd3", "ic8ih9oc8kh3 -v1"]) {
            std::fs::write(path, text).unwrap();
        }
        let named = problems(&files.map(|path| path.to_str().unwrap().into()), &[1, 2]).unwrap();
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
        assert!(error("papre").contains("no network (paper, owt)"), "{}", error("papre"));
        assert!(error("paper/conv9").contains("it has conv1, conv2, conv3, conv4, conv5"));
        assert!(error(folder.path().to_str().unwrap()).contains("cannot read"));
        let message = problems(&["paper/conv1".into()], &[0]).unwrap_err().to_string();
        assert!(message.contains("batch of 0"), "{message}");
    }
}
