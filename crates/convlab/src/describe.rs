//! The walk through a network that a person wants to read, and its data for programs.

use conv_core::Problem;
use conv_core::{format_bytes, thousands};
use conv_net::{Crossing, Map, Network, Node, Operator, Split, Towers, Value, ValueId, Window};
use conv_report::narrow;
use serde_json::json;

/// Describes `network` as text, both AlexNets in at most 100 columns: every node with its shapes and costs, and what is
/// not computed. Of a chain of layers also the convolutions as im2col would multiply them, and, where it has groups, what
/// crosses between two towers as on the paper's two GPUs.
pub fn describe(network: &Network) -> String {
    let mut parts = vec![summary(network), walk(network)];
    parts.extend(not_computed(network));
    if is_chain(network) {
        parts.push(matrices(network));
        parts.extend(Towers::new(network, 2, Split::Groups, 1).ok().as_ref().map(towers));
    }
    parts.join("\n\n")
}

/// The same as one object for programs.
pub fn json(network: &Network) -> serde_json::Value {
    let sizes = |value: &Value| value.shape.as_ref().map(|shape| shape.sizes().to_vec());
    let value = |&id: &ValueId| {
        let value = network.value(id);
        json!({ "name": value.name, "shape": sizes(value) })
    };
    let values = |ids: &[ValueId]| ids.iter().map(value).collect::<Vec<_>>();
    let node = |node: &Node| {
        let reason = match &node.operator {
            Operator::Opaque(opaque) => Some(&opaque.reason),
            _ => None,
        };
        let inputs: Vec<&str> = node.inputs.iter().map(|&input| network.value(input).name.as_str()).collect();
        json!({
            "name": node.name,
            "operator": node.operator.name(),
            "inputs": inputs,
            "outputs": values(&node.outputs),
            "parameters": node.parameter_count(),
            "flops": flops(network, node).map(|flops| flops as f64),
            "output_bytes": output_bytes(network, node),
            "parameter_bytes": size_of::<f32>() * node.parameter_count(),
            "problem": node.problem.as_ref().map(descriptor),
            "not_computed": reason,
        })
    };
    json!({
        "network": network.name(),
        "batch": network.batch(),
        "inputs": values(network.inputs()),
        "outputs": values(network.outputs()),
        "parameters": network.parameter_count(),
        "nodes": network.nodes().iter().map(node).collect::<Vec<_>>(),
    })
}

/// The descriptor of `problem` without its name.
fn descriptor(problem: &Problem) -> String {
    problem.clone().with_name("").to_string().trim_end_matches("n\"\"").into()
}

fn summary(network: &Network) -> String {
    let parameters = network.parameter_count();
    let giga = |flops: fn(&Problem) -> u128, connected: bool| {
        let counted = network.nodes().iter().filter(|node| is_connected(node) == connected);
        let flops: u128 = counted.filter_map(|node| node.problem.as_ref()).map(flops).sum();
        format!("{:.3}", flops as f64 / 1e9)
    };
    let shapes = |ids: &[ValueId]| ids.iter().map(|&id| shape(network.value(id))).collect::<Vec<_>>().join(", ");
    format!(
        "{}: {} in, {} out, {} parameters ({} of f32).\n\
         {} takes {} GFLOP in the convolutions ({} without the taps in\n\
         the padding) and {} in the fully connected layers.",
        network.name(),
        shapes(network.inputs()),
        shapes(network.outputs()),
        thousands(parameters),
        format_bytes(4.0 * parameters as f64),
        if network.batch() == 1 { "An image".into() } else { format!("A batch of {} images", network.batch()) },
        giga(Problem::flops, false),
        giga(Problem::flops_inside, false),
        giga(Problem::flops, true),
    )
}

fn is_connected(node: &Node) -> bool {
    matches!(node.operator, Operator::Linear(_))
}

/// Whether each node reads what the one before writes, and nothing else.
fn is_chain(network: &Network) -> bool {
    let [input] = network.inputs() else { return false };
    let mut last = *input;
    network.nodes().iter().all(|node| {
        let follows = node.inputs == [last] && node.outputs.len() == 1;
        last = node.outputs.first().copied().unwrap_or(last);
        follows && map(network, last).is_some()
    })
}

/// One image's map of a value.
fn map(network: &Network, value: ValueId) -> Option<Map> {
    network.value(value).shape.as_ref()?.map()
}

/// The sizes of a value, `?` if they are not known.
fn shape(value: &Value) -> String {
    value.shape.as_ref().map_or_else(|| "?".into(), ToString::to_string)
}

/// Bytes of what a node writes, if all of it is known.
fn output_bytes(network: &Network, node: &Node) -> Option<usize> {
    node.outputs.iter().map(|&output| Some(network.value(output).shape.as_ref()?.bytes())).sum()
}

/// Operations of convolutions, of their transposes and of fully connected layers, two a multiply-add.
fn flops(network: &Network, node: &Node) -> Option<u128> {
    match (&node.problem, &node.operator) {
        (Some(problem), _) => Some(problem.flops()),
        (None, Operator::ConvTranspose(conv)) => Some(conv.flops(network.value(*node.inputs.first()?).shape.as_ref()?)),
        _ => None,
    }
}

/// The table of all nodes.
fn walk(network: &Network) -> String {
    let header = ["node", "kind", "filters", "stride", "pad", "output", "bytes", "parameters", "bytes", "MFLOP"];
    let rows: Vec<_> = network.nodes().iter().map(|node| walk_row(network, node)).collect();
    format!(
        "{}\n\nOutputs as frameworks write them, images x channels x height x width. A filter\n\
         of a layer with two groups reaches half of the channels. The first bytes are the\n\
         output's, the second the parameters', both f32. MFLOP: two operations a\n\
         multiply-add, taps in the padding included.",
        narrow(&header, &rows)
    )
}

fn walk_row(network: &Network, node: &Node) -> Vec<String> {
    let input = node.inputs.first().and_then(|&input| map(network, input));
    let (filters, windows) = filters(node, input);
    let stride = windows.map_or(String::new(), |windows| each(windows.map(|window| window.stride)));
    let pad = windows.map_or(String::new(), |[height, width]| {
        each([height.pad[0], height.pad[1], width.pad[0], width.pad[1]]) //
    });
    let parameters = node.parameter_count();
    let counted = |text: String| if parameters > 0 { text } else { String::new() };
    let outputs: Vec<String> = node.outputs.iter().map(|&output| shape(network.value(output))).collect();
    vec![
        node.name.clone(),
        format!("{}{}", node.operator.name(), if is_opaque(node) { " *" } else { "" }),
        filters,
        stride,
        pad,
        outputs.join(", "),
        output_bytes(network, node).map_or_else(|| "?".into(), |bytes| format_bytes(bytes as f64)),
        counted(thousands(parameters)),
        counted(format_bytes(4.0 * parameters as f64)),
        flops(network, node).map_or(String::new(), |flops| format!("{:.1}", flops as f64 / 1e6)),
    ]
}

/// What a node moves over `input`, and how.
fn filters(node: &Node, input: Option<Map>) -> (String, Option<[Window; 2]>) {
    let channels = input.map_or(0, |input| input.channels);
    match &node.operator {
        Operator::Conv(conv) => {
            let reached = channels / conv.groups;
            (format!("{} of {}x{reached}", conv.out_channels, size(conv.windows)), Some(conv.windows))
        }
        Operator::ConvTranspose(conv) => {
            let written = conv.out_channels / conv.groups;
            (format!("{channels} of {}x{written}", size(conv.windows)), Some(conv.windows))
        }
        Operator::Linear(linear) => {
            (format!("{} of {}", linear.out_features, input.map_or(0, |input| input.floats())), None)
        }
        Operator::MaxPool(pool) => (size(pool.windows), Some(pool.windows)),
        Operator::AveragePool(average) => {
            (format!("mean of {}", size(average.pool.windows)), Some(average.pool.windows))
        }
        Operator::Lrn(lrn) => (format!("{} channels", lrn.size), None),
        _ => (String::new(), None),
    }
}

fn is_opaque(node: &Node) -> bool {
    matches!(node.operator, Operator::Opaque(_))
}

/// The nodes that are not computed, and why.
fn not_computed(network: &Network) -> Option<String> {
    let lines: Vec<String> = network
        .opaque()
        .map(|(node, opaque)| format!("  {} ({}) {}", node.name, opaque.operator, opaque.reason))
        .collect();
    (!lines.is_empty()).then(|| {
        let count = lines.len();
        let nodes = if count == 1 { "1 node is" } else { &format!("{count} nodes are") };
        format!("* {nodes} not computed here:\n{}", lines.join("\n"))
    })
}

/// `3x3`.
fn size([height, width]: [Window; 2]) -> String {
    format!("{}x{}", height.kernel, width.kernel)
}

/// One number if all are the same, nothing for zeros.
fn each<const N: usize>(numbers: [usize; N]) -> String {
    if numbers == [0; N] {
        return String::new();
    }
    let mut texts: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    if numbers == [numbers[0]; N] {
        texts.truncate(1);
    }
    texts.join(",")
}

/// The convolutions as the matrix product that im2col makes of them.
fn matrices(network: &Network) -> String {
    let convolutions = network.nodes().iter().filter(|node| !is_connected(node));
    let rows: Vec<_> = convolutions
        .filter_map(|node| {
            let problem = node.problem.as_ref()?;
            let [oh, ow] = problem.output_size();
            let columns = problem.groups() * problem.reduction() * oh * ow;
            let filters = format!("{} x {}", problem.group_out_channels(), problem.reduction());
            Some(vec![
                node.name.clone(),
                problem.groups().to_string(),
                format!("{} x {}", problem.reduction(), oh * ow),
                filters,
                format_bytes(4.0 * columns as f64),
                format!("{:.2}", (columns * problem.batch()) as f64 / problem.input_len() as f64),
            ])
        })
        .collect();
    if rows.is_empty() {
        return "No convolutions.".into();
    }
    format!(
        "As im2col multiplies them, one image: for each group a matrix of columns by a\nmatrix of filters.\n\n{}\n\n\
         Duplication: how many floats the columns have for each float of the input.",
        narrow(&["layer", "groups", "columns", "by filters", "bytes", "duplication"], &rows)
    )
}

/// What each of `workers` has of `towers`, and what crosses between them.
pub fn towers(towers: &Towers) -> String {
    let workers = towers.workers();
    let row = |worker: usize| {
        let networks = || towers.networks(worker);
        let nodes = networks().flat_map(|part| part.nodes().iter().map(move |node| (part, node)));
        let flops: u128 = nodes.filter_map(|(part, node)| Some(flops(part, node)? * repeats(towers, part))).sum();
        let parameters: usize = networks().map(Network::parameter_count).sum();
        let bytes = format_bytes(4.0 * parameters as f64);
        vec![worker.to_string(), thousands(parameters), bytes, format!("{:.1}", flops as f64 / 1e6)]
    };
    let rows: Vec<_> = (0..workers).map(row).collect();
    format!(
        "In {workers} towers, {} phases:\n\n{}\n\n{}",
        towers.phases(),
        narrow(&["tower", "parameters", "bytes", "MFLOP"], &rows),
        crossings(&towers.crossings())
    )
}

/// Runs of a part of a network for all images.
fn repeats(towers: &Towers, part: &Network) -> u128 {
    (towers.network().batch() / part.batch().max(1)) as u128
}

/// What crosses, as a table.
pub fn crossings(crossings: &[Crossing]) -> String {
    let bytes = |bytes: usize| format_bytes(bytes as f64);
    let row = |crossing: &Crossing| {
        let readers = match crossing.readers.len() {
            0 => "the output".into(),
            _ => crossing.readers.join(", "),
        };
        let sent = &crossing.sent_bytes;
        let each = match sent.iter().all(|bytes| *bytes == sent[0]) {
            true => format!("{} each", bytes(sent[0])),
            false => sent.iter().map(|&sent| bytes(sent)).collect::<Vec<_>>().join(", "),
        };
        vec![crossing.value.clone(), readers, each, bytes(sent.iter().sum())]
    };
    let mut rows: Vec<Vec<String>> = crossings.iter().map(row).collect();
    let all = crossings.iter().flat_map(|crossing| &crossing.sent_bytes).sum();
    rows.push(vec!["all".into(), String::new(), String::new(), bytes(all)]);
    narrow(&["what crosses", "for", "sent", "together"], &rows)
}

/// What crosses of one value, for programs.
pub fn crossing_json(crossing: &Crossing) -> serde_json::Value {
    json!({ "value": crossing.value, "readers": crossing.readers, "sent_bytes": crossing.sent_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line of `text` that begins with `layer`, its columns one blank apart; the `nth` of them.
    fn line(text: &str, layer: &str, nth: usize) -> String {
        let mut lines = text.lines().filter(|line| line.split_whitespace().next() == Some(layer));
        lines.nth(nth).unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_paper_as_published() {
        let text = describe(&conv_net::paper(1).unwrap());
        assert!(
            text.starts_with("paper: 1x3x227x227 in, 1x1000 out, 60,965,224 parameters (233 MiB of f32)."),
            "{text}"
        );
        assert!(text.contains("1.332 GFLOP in the convolutions (1.225 without"), "{text}");
        assert_eq!(line(&text, "conv1", 0), "conv1 Conv 96 of 11x11x3 4 1x96x55x55 1.11 MiB");
        assert_eq!(line(&text, "conv1", 1), "conv1 34,944 136 KiB 210.8");
        assert_eq!(line(&text, "conv1", 2), "conv1 1 363 x 3025 96 x 363 4.19 MiB 7.10");
        assert_eq!(line(&text, "conv2", 2), "conv2 2 1200 x 729 128 x 1200 6.67 MiB 25.00");
        assert!(text.contains("In 2 towers, 8 phases:"), "{text}");
        assert_eq!(line(&text, "pool2", 2), "pool2 conv3 84.5 KiB each 169 KiB");
        assert_eq!(line(&text, "conv1.relu", 2), "conv1.relu lrn1 23.6 KiB each 47.3 KiB");
        assert_eq!(line(&text, "1", 0), "1 30,482,612 116 MiB 724.4");
    }

    #[test]
    fn alexnet_fits_a_terminal() {
        for name in crate::suite::ALEXNETS {
            let text = describe(&Network::by_name(name, 1).unwrap());
            for line in text.lines() {
                assert!(line.chars().count() <= 80, "{name}: {line}");
            }
            assert!(!text.contains("NaN"));
        }
        assert!(!describe(&conv_net::owt(1).unwrap()).contains("towers"), "it has no groups");
    }

    #[test]
    fn what_is_not_computed_is_told() {
        let mut builder = conv_net::Builder::new("model");
        let input = builder.input("input", &[1, 4, 9, 9]).unwrap();
        let windows = Window::square(3, 1, 1);
        let conv = conv_net::Conv { out_channels: 8, windows, groups: 1, bias: true };
        let conv = builder.node("conv", Operator::Conv(conv), &[input]).unwrap();
        let opaque = conv_net::Opaque { operator: "TopK".into(), reason: "is not computed".into() };
        let outputs =
            vec![("values".into(), Some(conv_net::Shape::new(&[1, 8, 9, 2]).unwrap())), ("indices".into(), None)];
        let odd = builder.opaque("odd", opaque, &[conv], outputs).unwrap();
        let network = builder.finish(&odd).unwrap();

        let text = describe(&network);
        assert!(text.starts_with("model: 1x4x9x9 in, 1x8x9x2, ? out, 296 parameters"), "{text}");
        assert_eq!(line(&text, "odd", 0), "odd TopK * 1x8x9x2, ? ?");
        assert!(text.ends_with("* 1 node is not computed here:\n  odd (TopK) is not computed"), "{text}");
        let nodes = &json(&network)["nodes"];
        assert_eq!(nodes[0]["problem"], "mb1ic4ih9oc8oh9kh3ph1");
        assert_eq!((&nodes[0]["flops"], &nodes[0]["not_computed"]), (&json!(46656.0), &json!(null)));
        assert_eq!((&nodes[1]["inputs"], &nodes[1]["not_computed"]), (&json!(["conv"]), &json!("is not computed")));
        let outputs = json!([{ "name": "values", "shape": [1, 8, 9, 2] }, { "name": "indices", "shape": null }]);
        assert_eq!(nodes[1]["outputs"], outputs);
    }

    #[test]
    fn digits_in_threes() {
        let text = [0, 999, 1000, 60_965_224].map(thousands);
        assert_eq!(text, ["0", "999", "1,000", "60,965,224"]);
    }
}
