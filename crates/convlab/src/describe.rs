//! The walk through a network that a person wants to read.

use conv_core::Problem;
use conv_core::{format_bytes, thousands};
use conv_net::{LayerKind, Network, NetworkError, Shape, ShapedLayer, Window};
use conv_report::table;

/// Describes `network` as text of at most 100 columns: every layer with its shapes and costs for one image, the
/// convolutions as im2col would multiply them, and what crosses between two halves as on the paper's two GPUs.
///
/// # Errors
/// [`NetworkError`] if the layers do not fit together.
pub fn describe(network: &Network) -> Result<String, NetworkError> {
    let layers = network.infer(1)?;
    let parts = [summary(network, &layers), walk(&layers), matrices(&layers), halves(&network.name, &layers)];
    Ok(parts.join("\n\n"))
}

fn summary(network: &Network, layers: &[ShapedLayer<'_>]) -> String {
    let parameters: usize = layers.iter().map(ShapedLayer::parameters).sum();
    let giga = |flops: fn(&Problem) -> u128, connected: bool| {
        let counted = layers.iter().filter(|layer| is_connected(layer) == connected);
        let flops: u128 = counted.filter_map(|layer| layer.problem.as_ref()).map(flops).sum();
        format!("{:.3}", flops as f64 / 1e9)
    };
    format!(
        "{}: {} in, {} parameters ({} of f32).\n\
         An image takes {} GFLOP in the convolutions ({} without the taps in the padding)\n\
         and {} in the fully connected layers.",
        network.name,
        network.input,
        thousands(parameters),
        format_bytes(4.0 * parameters as f64),
        giga(Problem::flops, false),
        giga(Problem::flops_inside, false),
        giga(Problem::flops, true),
    )
}

fn is_connected(layer: &ShapedLayer<'_>) -> bool {
    matches!(layer.layer.kind, LayerKind::Linear(_))
}

/// The table of all layers.
fn walk(layers: &[ShapedLayer<'_>]) -> String {
    let header = ["layer", "input", "filters", "stride", "pad", "output", "bytes", "parameters", "bytes", "MFLOP"];
    let rows: Vec<_> = layers.iter().map(walk_row).collect();
    format!(
        "{}\n\nOne image, height x width x channels. A filter of a layer with two groups reaches half of\n\
         the channels. The first bytes are the output's, the second the parameters', both f32. MFLOP:\n\
         two operations a multiply-add, taps in the padding included.",
        table(&header, &rows)
    )
}

fn walk_row(shaped: &ShapedLayer<'_>) -> Vec<String> {
    let (filters, windows) = match shaped.layer.kind {
        LayerKind::Conv(conv) => {
            let reached = shaped.input.channels / conv.groups;
            (format!("{} of {}x{reached}", conv.out_channels, size(conv.windows)), Some(conv.windows))
        }
        LayerKind::Linear(linear) => (format!("{} of {}", linear.out_features, shaped.input.floats()), None),
        LayerKind::MaxPool(pool) => (size(pool.windows), Some(pool.windows)),
        LayerKind::AveragePool(average) => {
            (format!("mean of {}", size(average.pool.windows)), Some(average.pool.windows))
        }
        LayerKind::Lrn(lrn) => (format!("{} channels", lrn.size), None),
        LayerKind::Dropout | LayerKind::Relu | LayerKind::Softmax => (String::new(), None),
    };
    let stride = windows.map_or(String::new(), |windows| each(windows.map(|window| window.stride)));
    let pad = windows.map_or(String::new(), |[height, width]| {
        each([height.pad[0], height.pad[1], width.pad[0], width.pad[1]]) //
    });
    let parameters = shaped.parameters();
    let (parameter_bytes, flops) = shaped.problem.as_ref().map_or((String::new(), String::new()), |problem| {
        (format_bytes(4.0 * parameters as f64), format!("{:.1}", problem.flops() as f64 / 1e6))
    });
    vec![
        shaped.layer.name.clone(),
        shaped.input.to_string(),
        filters,
        stride,
        pad,
        shaped.output.to_string(),
        format_bytes(bytes(shaped.output)),
        if parameters > 0 { thousands(parameters) } else { String::new() },
        parameter_bytes,
        flops,
    ]
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
fn matrices(layers: &[ShapedLayer<'_>]) -> String {
    let convolutions = layers.iter().filter(|layer| !is_connected(layer));
    let rows: Vec<_> = convolutions
        .filter_map(|layer| {
            let problem = layer.problem.as_ref()?;
            let [oh, ow] = problem.output_size();
            let columns = problem.groups() * problem.reduction() * oh * ow;
            let filters = format!("{} x {}", problem.group_out_channels(), problem.reduction());
            Some(vec![
                layer.layer.name.clone(),
                problem.groups().to_string(),
                format!("{} x {}", problem.reduction(), oh * ow),
                filters,
                format_bytes(4.0 * columns as f64),
                format!("{:.2}", columns as f64 / problem.input_len() as f64),
            ])
        })
        .collect();
    if rows.is_empty() {
        return "No convolutions.".into();
    }
    format!(
        "As im2col multiplies them, one image: for each group a matrix of columns by a matrix of filters.\n\n{}\n\n\
         Duplication: how many floats the columns have for each float of the input.",
        table(&["layer", "groups", "columns", "by filters", "bytes", "duplication"], &rows)
    )
}

/// What the halves have and what crosses between them.
fn halves(name: &str, layers: &[ShapedLayer<'_>]) -> String {
    let groups = |layer: &ShapedLayer<'_>| layer.problem.as_ref().map_or(1, Problem::groups);
    if !layers.iter().any(|layer| groups(layer) % 2 == 0) {
        return format!("{name} is one tower: none of its layers has groups, so there are no halves to split it into.");
    }
    let rows: Vec<_> = layers.iter().enumerate().map(|(i, layer)| half_row(i == 0, layer)).collect();
    format!(
        "Split into two halves, as on the paper's two GPUs: each computes half of every layer's channels.\n\n{}",
        table(&["layer", "each half computes", "reads", "crosses, each way"], &rows)
    )
}

fn half_row(first: bool, shaped: &ShapedLayer<'_>) -> Vec<String> {
    let half = |shape: Shape| Shape { channels: shape.channels / 2, ..shape };
    let half_input = || {
        let half = half(shaped.input);
        format!("{half}, {}", format_bytes(bytes(half)))
    };
    let (reads, crosses) = match (&shaped.problem, shaped.layer.kind) {
        (Some(_), _) if first => ("the image", "nothing: both have the image".into()),
        (Some(problem), _) if problem.groups() % 2 == 0 => ("its own half", "nothing".into()),
        (Some(_), _) => ("both halves", half_input()),
        (None, LayerKind::Lrn(lrn)) if lrn.size > 1 => {
            let margin = Shape { channels: (lrn.size / 2).min(shaped.input.channels / 2), ..shaped.input };
            ("its own half", format!("{margin}, {}: the channels beside the cut", format_bytes(bytes(margin))))
        }
        (None, LayerKind::Softmax) => ("its own half", "a maximum and a sum".into()),
        (None, _) => ("its own half", "nothing".into()),
    };
    vec![shaped.layer.name.clone(), half(shaped.output).to_string(), reads.into(), crosses]
}

fn bytes(shape: Shape) -> f64 {
    4.0 * shape.floats() as f64
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
        let text = describe(&conv_net::paper()).unwrap();
        assert!(text.starts_with("paper: 227x227x3 in, 60,965,224 parameters (233 MiB of f32)."), "{text}");
        assert!(text.contains("1.332 GFLOP in the convolutions (1.225 without"), "{text}");
        let walk = "conv1 227x227x3 96 of 11x11x3 4 55x55x96 1.11 MiB 34,944 136 KiB 210.8";
        assert_eq!(line(&text, "conv1", 0), walk);
        assert_eq!(line(&text, "conv1", 1), "conv1 1 363 x 3025 96 x 363 4.19 MiB 7.10");
        assert_eq!(line(&text, "conv2", 1), "conv2 2 1200 x 729 128 x 1200 6.67 MiB 25.00");
        assert_eq!(line(&text, "conv2", 2), "conv2 27x27x128 its own half nothing");
        assert_eq!(line(&text, "conv3", 2), "conv3 13x13x192 both halves 13x13x128, 84.5 KiB");
        assert_eq!(line(&text, "fc6", 1), "fc6 1x1x2048 both halves 6x6x128, 18 KiB");
        assert_eq!(line(&text, "conv1", 2), "conv1 55x55x48 the image nothing: both have the image");
        assert!(line(&text, "lrn1", 1).starts_with("lrn1 55x55x48 its own half 55x55x2, 23.6 KiB"));
    }

    #[test]
    fn every_network_fits_a_hundred_columns() {
        for network in conv_net::networks() {
            let text = describe(&network).unwrap();
            for line in text.lines() {
                assert!(line.chars().count() <= 100, "{}: {line}", network.name);
            }
            assert!(!text.contains("NaN"));
        }
        assert!(describe(&conv_net::owt()).unwrap().contains("owt is one tower"));
    }

    #[test]
    fn digits_in_threes() {
        let text = [0, 999, 1000, 60_965_224].map(thousands);
        assert_eq!(text, ["0", "999", "1,000", "60,965,224"]);
    }
}
