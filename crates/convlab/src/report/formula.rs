//! What an algorithm's memory is by its definition, as text. A test evaluates these texts and holds them against what
//! plans declare.

/// What the letters mean, and what the columns beside the formulas are.
pub(super) const LEGEND: &str = "\
    n images of c channels, h × w; k output channels, oh × ow; filters of kh × kw; g groups; t threads; p phases of a \
    strided filter, its stride squared; N × N the tile that fft/rustfft chooses; i the images that im2col/faer lowers at a \
    time. \"x input\" is scratch over the bytes of the input, for im2col/faer at batch 1 the factor by which im2col \
    duplicates it; \"x weights\" prepared over given weights. Counted as prepared are also the plan itself and its tables.";

/// Bytes, as sums of products. Empty where blocking decides and there is nothing short to say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Formula {
    pub scratch: String,
    pub prepared: String,
}

impl Formula {
    /// The formulas of the algorithm called `name`, for channels of a group that fill whole vectors.
    pub fn of(name: &str) -> Formula {
        let given = "4·kh·kw·c/g·k + 4·k";
        let (scratch, prepared) = match name {
            "direct/nhwc" => ("0", given),
            "im2col/faer" => ("4·i·oh·ow·kh·kw·c", given),
            "im2col/nchw-faer" => ("4·c·h·w + 4·oh·ow·kh·kw·c + 4·k·oh·ow", given),
            "im2col/blocked" => ("at most 262144·t", given),
            "im2col/implicit" => ("at most 65536·t", given),
            "im2col/indirect" => ("0", "a table of pixels + 4·kh·kw·c/g·k + 4·k"),
            "im2col/mec" => ("4·n·ow·h·kw·c", given),
            "im2col/kn2row" => ("at most 4·128·32·t", given),
            "fft/rustfft" => ("", "4·N·N·c/g·k + 8·N·c/g·k + 4·k"),
            _ => ("", ""),
        };
        let tile = fft_tile(name).map(|(size, bytes)| format!("{bytes}·{size}·{size}·p·c/g·k + 4·k"));
        let tile = tile.or_else(|| winograd_tile(name).map(|size| format!("4·{size}·{size}·c/g·k + 4·k")));
        Formula { scratch: scratch.into(), prepared: tile.unwrap_or_else(|| prepared.into()) }
    }
}

/// 16 of `fft/t16` and `fft/t16-gauss`, and the bytes a point, of which three products have half as many again.
fn fft_tile(name: &str) -> Option<(usize, usize)> {
    let size = name.strip_prefix("fft/t")?;
    let gauss = size.strip_suffix("-gauss");
    Some((gauss.unwrap_or(size).parse().ok()?, if gauss.is_some() { 6 } else { 4 }))
}

/// 6 of `winograd/f4x3`: outputs and taps overlap in one point.
fn winograd_tile(name: &str) -> Option<usize> {
    let (outputs, taps) = name.strip_prefix("winograd/f")?.split_once('x')?;
    Some(outputs.parse::<usize>().ok()? + taps.parse::<usize>().ok()? - 1)
}

#[cfg(test)]
mod tests {
    use conv_check::{Data, Kind};
    use conv_core::{Epilogue, PlanOptions, Problem};

    use super::*;
    use crate::registry::algorithms;

    /// The value of a sum of products, `None` if it names what only the plan knows.
    fn value(formula: &str, problem: &Problem, threads: usize) -> Option<f64> {
        let [oh, ow] = problem.output_size();
        let (height, width) = (problem.height(), problem.width());
        let factor = |factor: &str| {
            Some(match factor {
                "n" => problem.batch(),
                "c" => problem.in_channels(),
                "c/g" => problem.group_in_channels(),
                "k" => problem.out_channels(),
                "h" => height.input,
                "w" => width.input,
                "kh" => height.kernel,
                "kw" => width.kernel,
                "p" => height.stride * width.stride,
                "oh" => oh,
                "ow" => ow,
                "t" => threads,
                number => number.parse().ok()?,
            } as f64)
        };
        formula.split(" + ").map(|term| term.split('·').map(factor).product::<Option<f64>>()).sum()
    }

    /// Problems whose channels fill vectors, so that nothing is padded: AlexNet's kinds of layers, smaller.
    const PROBLEMS: [&str; 5] = [
        "mb2ic16ih57oc32kh11sh4",
        "g2mb1ic32ih15oc64kh5ph2",
        "mb3ic16ih13oc32kh3ph1",
        "g2mb1ic64ih13oc64kh3ph1",
        "mb1ic32ih12oc32kh1",
    ];

    #[test]
    fn formulas_are_what_plans_declare() {
        let (mut exact, mut bounds) = (0, 0);
        for descriptor in PROBLEMS {
            let problem: Problem = descriptor.parse().unwrap();
            let data = Data::new(&problem, Kind::ReluLike, 1);
            for (algorithm, threads) in algorithms().into_iter().flat_map(|algorithm| [(algorithm, 1), (algorithm, 3)])
            {
                let options = PlanOptions::new(threads);
                let Ok(plan) = algorithm.plan(&problem, data.filter(), Epilogue::default(), &options) else { continue };
                let formula = Formula::of(algorithm.name());
                let footprint = plan.footprint();
                for (text, declared) in
                    [(formula.scratch, footprint.scratch_bytes), (formula.prepared, footprint.prepared_bytes)]
                {
                    let what = format!("{} of {descriptor}: {text}, {declared} declared", algorithm.name());
                    if let Some(bound) = text.strip_prefix("at most ") {
                        assert!(declared as f64 <= value(bound, &problem, threads).unwrap(), "{what}");
                        bounds += 1;
                    } else if text.contains('N') {
                        let size = |size: usize| value(&text.replace('N', &size.to_string()), &problem, threads);
                        assert!([4, 8, 16, 32].map(size).contains(&Some(declared as f64)), "{what}");
                        exact += 1;
                    } else if text.contains("·i·") && !copies_nothing(&problem, &text) {
                        let images = |i: usize| value(&text.replace("·i·", &format!("·{i}·")), &problem, threads);
                        assert!((1..=problem.batch()).map(images).any(|it| it == Some(declared as f64)), "{what}");
                        exact += 1;
                    } else if let Some(table) = text.strip_prefix("a table of pixels + ") {
                        assert!(declared as f64 > value(table, &problem, threads).unwrap(), "{what}");
                        bounds += 1;
                    } else if !text.is_empty() && !copies_nothing(&problem, &text) {
                        assert_eq!(value(&text, &problem, threads), Some(declared as f64), "{what}");
                        exact += 1;
                    }
                }
            }
        }
        assert!(exact > 80 && bounds > 20, "{exact} formulas, {bounds} bounds");
    }

    /// Whether the input already is the matrix that would be scratch.
    fn copies_nothing(problem: &Problem, scratch: &str) -> bool {
        problem.height().kernel == 1 && scratch.contains("oh·ow·kh·kw·c")
    }
}
