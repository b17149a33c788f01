//! `convlab list`: what there is.

use clap::ValueEnum;
use conv_core::Problem;
use conv_net::{Network, Operator, presets};
use conv_report::table;
use conv_tune::{algorithms, family};
use serde_json::{Value, json};

use crate::cli::{CliError, Exit, print};
use crate::suite;

/// List the algorithms, problems or networks that are built in.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  convlab list algorithms\n  convlab list problems --json | jq '.[].descriptor'")]
pub struct Args {
    /// What to list.
    what: What,
    /// As a JSON array.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    /// Names, and which of AlexNet's convolutions they compute.
    Algorithms,
    /// The networks' distinct convolutions with descriptors, operations and bytes.
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
    let (fields, rows) = match args.what {
        What::Algorithms => list_algorithms()?,
        What::Problems => list_problems()?,
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
        print(table(&fields, &rows))?;
    }
    Ok(Exit::Done)
}

fn list_algorithms() -> Result<Listing, CliError> {
    let problems = suite::problems(&suite::ALEXNETS.map(Into::into), &[], &[])?.problems;
    let rows = algorithms().into_iter().map(|algorithm| {
        let supported: Vec<String> =
            problems.iter().filter(|problem| algorithm.supports(problem).is_ok()).map(Problem::label).collect();
        vec![json!(algorithm.name()), json!(family(algorithm)), json!(supported)]
    });
    Ok((vec!["algorithm", "family", "computes"], rows.collect()))
}

fn list_problems() -> Result<Listing, CliError> {
    let giga = |flops: u128| json!((flops as f64 * 1e-6).round() / 1e3);
    let names: Vec<String> = presets().iter().map(|preset| preset.name.into()).collect();
    let rows = suite::problems(&names, &[], &[])?.problems.into_iter().map(|problem| {
        vec![
            json!(problem.label()),
            json!(problem.clone().with_name("").to_string().trim_end_matches("n\"\"")),
            giga(problem.flops()),
            giga(problem.flops_inside()),
            json!((problem.bytes() as f64 * 1e-3).round() / 1e3),
        ]
    });
    Ok((vec!["name", "descriptor", "gflop", "gflop_inside", "megabytes"], rows.collect()))
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
