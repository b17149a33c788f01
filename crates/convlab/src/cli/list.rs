//! `convlab list`: what there is.

use clap::ValueEnum;
use conv_core::Problem;
use conv_net::{Network, Operator, presets};
use conv_report::narrow;
use conv_tune::{algorithms, families, family};
use serde_json::{Value, json};

use crate::cli::{CliError, Exit, print, selection};
use crate::suite;

/// List the algorithms, problems or networks that are built in.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  convlab list algorithms\n  convlab list problems --json | jq '.[].descriptor'\n  \
                       convlab list problems benches/problems/convbench.txt paper detector.onnx"
)]
pub struct Args {
    /// What to list.
    what: What,
    /// Whose problems, as `convlab bench` takes them: networks, models, files, descriptors. Of networks and models equal
    /// convolutions are one [default: every network].
    #[arg(value_name = "PROBLEM|FILE|NETWORK")]
    of: Vec<String>,
    /// Images, separated by commas [default: 1, and what descriptors and models say].
    #[arg(long, value_name = "N", value_delimiter = ',')]
    batch: Vec<usize>,
    /// As a JSON array.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    /// Names, and which of AlexNet's filters they compute.
    Algorithms,
    /// The networks' distinct convolutions with descriptors, operations, bytes and the families that compute them.
    Problems,
    /// Names, input sizes, layers and parameters.
    Networks,
}

/// A list: the columns of the table and the fields of the JSON objects alike.
type Listing = (Vec<&'static str>, Vec<Vec<Value>>);

/// Prints the list.
///
/// # Errors
/// [`CliError`] if it cannot be printed.
pub fn run(args: &Args) -> Result<Exit, CliError> {
    if !args.of.is_empty() && !matches!(args.what, What::Problems) {
        return Err(CliError::input(format_args!(
            "only problems are of something: '{}' has no place here",
            args.of[0]
        )));
    }
    let (fields, rows) = match args.what {
        What::Algorithms => list_algorithms()?,
        What::Problems => list_problems(args)?,
        What::Networks => list_networks()?,
    };
    if args.json {
        let object = |row: Vec<Value>| -> Value {
            fields.iter().zip(row).map(|(field, value)| ((*field).to_owned(), value)).collect()
        };
        let objects: Value = rows.into_iter().map(object).collect();
        print(format_args!("{objects:#}"))?;
    } else {
        let text = |value: Value| match value {
            Value::String(text) => text,
            Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
            other => other.to_string(),
        };
        let rows: Vec<Vec<String>> = rows.into_iter().map(|row| row.into_iter().map(text).collect()).collect();
        print(narrow(&fields, &rows))?;
    }
    Ok(Exit::Done)
}

fn list_algorithms() -> Result<Listing, CliError> {
    let problems = suite::problems(&[suite::ALEXNETS[0].into()], &[], &[])?.problems;
    let rows = algorithms().into_iter().map(|algorithm| {
        let supported = problems.iter().filter(|problem| algorithm.supports(problem).is_ok());
        let mut filters: Vec<String> = supported.map(filter).collect();
        filters.dedup();
        vec![json!(algorithm.name()), json!(family(algorithm)), json!(filters)]
    });
    Ok((vec!["algorithm", "family", "computes"], rows.collect()))
}

/// The filter of `problem`, `11x11/4` with its stride if that is not one.
fn filter(problem: &Problem) -> String {
    let [height, width] = [problem.height(), problem.width()];
    let stride = if height.stride == 1 { String::new() } else { format!("/{}", height.stride) };
    format!("{}x{}{stride}", height.kernel, width.kernel)
}

fn list_problems(args: &Args) -> Result<Listing, CliError> {
    let giga = |flops: u128| json!((flops as f64 * 1e-6).round() / 1e3);
    let every = || presets().iter().map(|preset| preset.name.into()).collect();
    let names: Vec<String> = if args.of.is_empty() { every() } else { args.of.clone() };
    let rows = selection::problems(&names, &args.batch, &[])?.0.into_iter().map(|problem| {
        let computing = |name: &&str| {
            algorithms().iter().any(|algorithm| family(*algorithm) == *name && algorithm.supports(&problem).is_ok()) //
        };
        let families: Vec<&str> = families().into_iter().filter(computing).collect();
        vec![
            json!(problem.label()),
            json!(problem.clone().with_name("").to_string().trim_end_matches("n\"\"")),
            giga(problem.flops()),
            giga(problem.flops_inside()),
            json!((problem.bytes() as f64 * 1e-3).round() / 1e3),
            json!(families),
        ]
    });
    Ok((vec!["name", "descriptor", "gflop", "gflop_inside", "megabytes", "families"], rows.collect()))
}

fn list_networks() -> Result<Listing, CliError> {
    let rows = presets().iter().map(|preset| {
        let network = preset.network(1).map_err(CliError::input)?;
        let layers = network.nodes().iter().filter(|node| !matches!(node.operator, Operator::Activation(_)));
        Ok(vec![json!(network.name()), json!(input(&network)), json!(network.parameter_count()), json!(layers.count())])
    });
    Ok((vec!["network", "input", "parameters", "layers"], rows.collect::<Result<_, CliError>>()?))
}

/// One image's map, of a network of one input.
fn input(network: &Network) -> String {
    let shape = network.inputs().first().and_then(|&input| network.shape(input).ok());
    shape.and_then(conv_net::Shape::map).map_or_else(String::new, |map| map.to_string())
}
