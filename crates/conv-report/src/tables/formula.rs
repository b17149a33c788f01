//! What an algorithm's memory is by its definition, as text. `convlab`'s tests evaluate these texts and hold them
//! against what plans declare.

/// What the letters mean, and what the columns beside the formulas are.
pub(super) const LEGEND: &str = "\
    n images of c channels, h × w; k output channels, oh × ow; filters of kh × kw; g groups; t threads; p phases of a \
    strided filter, its stride squared; N × N the tile that fft/rustfft chooses; i the images that im2col/faer lowers at a \
    time. \"x input\" is scratch over the bytes of the input, for im2col/faer at batch 1 the factor by which im2col \
    duplicates it; \"x weights\" prepared over given weights. Counted as prepared are also the plan itself and its tables.";

/// Bytes, as sums of products. Empty where blocking decides and there is nothing short to say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Formula {
    /// What a run borrows.
    pub scratch: String,
    /// What a plan keeps of weights and bias.
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
    outputs.parse::<usize>().ok()?.checked_add(taps.parse().ok()?)?.checked_sub(1)
}
