//! Every algorithm of the workspace, by name, family or pattern, and the choice of one for a problem.

use conv_core::{Algorithm, Problem, Unsupported};

/// All algorithms, family by family.
///
/// This is the only place that names the kernel crates: tests, benches, records and charts follow from it.
pub fn algorithms() -> Vec<&'static dyn Algorithm> {
    [conv_direct::ALGORITHMS, conv_im2col::ALGORITHMS, conv_fft::ALGORITHMS, conv_winograd::ALGORITHMS].concat()
}

/// The part of an algorithm's name before the slash.
pub fn family(algorithm: &dyn Algorithm) -> &'static str {
    let name = algorithm.name();
    name.split_once('/').map_or(name, |(family, _)| family)
}

/// The families, each once, in the order of [`algorithms`].
pub fn families() -> Vec<&'static str> {
    let mut families: Vec<_> = algorithms().into_iter().map(family).collect();
    families.dedup();
    families
}

/// A name, family or pattern that no algorithm has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no algorithm is called '{name}'; did you mean {nearest}? There are {}", known.join(", "))]
pub struct UnknownAlgorithm {
    /// What was asked for.
    pub name: String,
    /// The known name that is most like it.
    pub nearest: &'static str,
    /// All that are known.
    pub known: Vec<&'static str>,
}

impl UnknownAlgorithm {
    fn new(name: &str, extra: &[&'static str]) -> Self {
        let known: Vec<_> =
            algorithms().iter().map(|algorithm| algorithm.name()).chain(extra.iter().copied()).collect();
        let candidates = known.iter().copied().chain(families());
        let nearest = candidates.min_by_key(|candidate| edit_distance(name, candidate)).unwrap_or_default();
        UnknownAlgorithm { name: name.into(), nearest, known }
    }
}

/// The algorithms that `pattern` names: one by its full name, all of a family (`winograd`), or a glob (`*/f?x3`).
///
/// # Errors
/// [`UnknownAlgorithm`] if there is none.
pub fn select(pattern: &str) -> Result<Vec<&'static dyn Algorithm>, UnknownAlgorithm> {
    let mut selected = algorithms();
    selected.retain(|algorithm| matches(pattern, algorithm.name()) || pattern == family(*algorithm));
    if selected.is_empty() { Err(UnknownAlgorithm::new(pattern, &[])) } else { Ok(selected) }
}

/// How a forward pass picks the algorithm of each convolution.
#[derive(Clone)]
pub enum Chooser {
    /// One algorithm, or the best supporting variant of one family.
    Named {
        /// As it was asked for.
        name: String,
        /// In the registry's order.
        variants: Vec<&'static dyn Algorithm>,
    },
    /// By the problem's shape.
    Auto,
}

/// What a [`Chooser`] chose for one problem.
#[derive(Clone)]
pub struct Choice {
    /// The algorithm, which supports the problem.
    pub algorithm: &'static dyn Algorithm,
    /// Why it is not what was asked for, if it is not.
    pub fallback: Option<Unsupported>,
}

impl Chooser {
    /// A chooser by an algorithm's name, a family's name, or `auto`.
    ///
    /// # Errors
    /// [`UnknownAlgorithm`] for anything else.
    pub fn by_name(name: &str) -> Result<Chooser, UnknownAlgorithm> {
        if name == "auto" {
            return Ok(Chooser::Auto);
        }
        let mut variants = algorithms();
        variants.retain(|algorithm| name == algorithm.name() || name == family(*algorithm));
        if variants.is_empty() {
            return Err(UnknownAlgorithm::new(name, &["auto"]));
        }
        Ok(Chooser::Named { name: name.into(), variants })
    }

    /// `direct/nhwc` for everything.
    pub fn direct() -> Chooser {
        Chooser::Named { name: family(direct()).into(), variants: vec![direct()] }
    }

    /// Every family's best variants, and `auto`.
    pub fn all() -> Vec<Chooser> {
        let of_family = |name: &'static str| {
            let mut variants = algorithms();
            variants.retain(|algorithm| family(*algorithm) == name);
            Chooser::Named { name: name.into(), variants }
        };
        families().into_iter().map(of_family).chain([Chooser::Auto]).collect()
    }

    /// As it was asked for: `winograd`, `auto`, …
    pub fn name(&self) -> &str {
        match self {
            Chooser::Named { name, .. } => name,
            Chooser::Auto => "auto",
        }
    }

    /// The algorithm for `problem`. What is asked for but does not support it is replaced by `direct/nhwc`, which
    /// supports everything, and the reason is in the answer.
    pub fn choose(&self, problem: &Problem) -> Choice {
        match self {
            Chooser::Auto => auto(problem),
            Chooser::Named { variants, .. } => choose_from(variants, problem),
        }
    }
}

/// `direct/nhwc`, which supports every problem.
fn direct() -> &'static dyn Algorithm {
    let named = |algorithm: &&'static dyn Algorithm| algorithm.name() == "direct/nhwc";
    conv_direct::ALGORITHMS.iter().copied().find(named).expect("conv-direct exports direct/nhwc")
}

/// The best of `variants` that supports `problem`, by [`best_of`]; the reason of a fallback is the best one's.
fn choose_from(variants: &[&'static dyn Algorithm], problem: &Problem) -> Choice {
    let best = best_of(problem);
    let mut variants = variants.to_vec();
    variants.sort_by_key(|algorithm| best.iter().position(|name| *name == algorithm.name()).unwrap_or(best.len()));
    let mut fallback = None;
    for algorithm in variants {
        match algorithm.supports(problem) {
            Ok(()) => return Choice { algorithm, fallback: None },
            Err(reason) => fallback = fallback.or(Some(reason)),
        }
    }
    Choice { algorithm: direct(), fallback }
}

/// The variants that are the fastest of their family on AlexNet's layers at errors below 1e-5 of the largest output
/// (`convlab bench`): on other shapes, and whatever is not listed, the next ones stand in.
fn best_of(problem: &Problem) -> [&'static str; 6] {
    // A large FFT tile multiplies less, but its spectra of the weights are a stream that few images do not pay for.
    let fft = if problem.batch() < LARGE_BATCH { "fft/t8" } else { "fft/t16" };
    ["winograd/mix4x3", "winograd/f4x3", "winograd/f4x5", "winograd/poly-7", "im2col/indirect", fft]
}

/// Images from which on [`best_of`] takes the larger FFT tile.
const LARGE_BATCH: usize = 8;

/// The choice without measurement: Winograd where its transforms are spread over enough channels, else direct.
///
/// Winograd's multiplications shrink by the same factor for every channel count, while its transforms cost per input
/// and per output channel: below [`AUTO_MIN_CHANNELS`] in a group they eat the gain. A strided filter is computed as
/// stride × stride phases that share a transform, so they count as channels. Below [`AUTO_MIN_PIXELS`] outputs the
/// transformed weights, several times the given ones, are read for too few tiles. FFT and im2col are never chosen: what
/// they cost in memory has to be asked for.
fn auto(problem: &Problem) -> Choice {
    let phases = problem.height().stride.saturating_mul(problem.width().stride);
    let channels = problem.group_in_channels().saturating_mul(phases).min(problem.group_out_channels());
    let [height, width] = problem.output_size();
    // A strided filter's tiles cover a small map badly, and more images have more such maps.
    let images = if phases == 1 { problem.batch() } else { 1 };
    // A filter as large as its map, a fully connected layer, has nothing to tile, however many images there are.
    let pays = height * width > 1 && channels >= AUTO_MIN_CHANNELS && images * height * width >= AUTO_MIN_PIXELS;
    let mut variants = algorithms();
    variants.retain(|algorithm| pays && family(*algorithm) == "winograd");
    Choice { fallback: None, ..choose_from(&variants, problem) }
}

/// Channels of a group, in and out, from which on `auto` takes Winograd.
const AUTO_MIN_CHANNELS: usize = 16;

/// Output pixels, of the batch or for a strided filter of one image, from which on `auto` takes Winograd. On ResNet-50's 7×7 maps at batch 1 the best variant is
/// between half as fast as direct and 1.1 times, on 14×14 maps 1.2 to 3.2 times (results/amd-epyc-zen5/networks).
const AUTO_MIN_PIXELS: usize = 128;

/// Whether `text` matches `pattern`, in which `*` stands for any characters and `?` for one.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    // Whether the pattern so far matches the first `i` characters. No backtracking: `****…*x` costs what it is long.
    let mut matched = vec![false; text.len() + 1];
    matched[0] = true;
    for symbol in pattern.chars() {
        if symbol == '*' {
            let first = matched.iter().position(|&m| m).unwrap_or(matched.len());
            matched[first..].fill(true);
        } else {
            for i in (0..text.len()).rev() {
                matched[i + 1] = matched[i] && (symbol == '?' || symbol == text[i]);
            }
            matched[0] = false;
        }
    }
    matched[text.len()]
}

/// Levenshtein's distance.
pub(crate) fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("direct/*", "direct/nhwc", true),
            ("*/f?x3", "winograd/f4x3", true),
            ("*/f?x3", "winograd/f4x5", false),
            ("*x*x*", "axbxc", true),
            ("*x*x*", "axbc", false),
            ("a*", "ba", false),
            ("?", "", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
        assert!(!matches(&"*a".repeat(5000), "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"));
    }

    #[test]
    fn names_are_unique_and_have_a_family() {
        let mut names: Vec<_> = algorithms().iter().map(|algorithm| algorithm.name()).collect();
        assert!(names.iter().all(|name| name.split('/').count() == 2), "{names:?}");
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "{names:?}");
        assert_eq!(families().iter().collect::<std::collections::HashSet<_>>().len(), families().len());
    }

    #[test]
    fn unknown_names_are_answered_with_the_nearest() {
        let error = select("direct/nwhc").err().unwrap();
        assert_eq!(error.nearest, "direct/nhwc");
        assert_eq!(select("dirct").err().unwrap().nearest, "direct");
        assert_eq!(Chooser::by_name("atuo").err().unwrap().nearest, "auto");
        assert_eq!(edit_distance("kitten", "sitting"), 3);
    }

    #[test]
    fn what_a_family_does_not_support_is_computed_directly_and_said() {
        let problem = |text: &str| text.parse::<Problem>().unwrap_or_else(|error| panic!("{error}"));
        let dense = problem("mb1ic32ih9oc32kh3");
        let pointwise = problem("mb1ic32ih9oc32kh1");
        let winograd = Chooser::by_name("winograd").unwrap();
        let choice = winograd.choose(&pointwise);
        assert_eq!(choice.algorithm.name(), "direct/nhwc");
        assert!(choice.fallback.is_some());
        let choice = winograd.choose(&dense);
        assert_eq!((family(choice.algorithm), choice.fallback), ("winograd", None));
        let exact = Chooser::by_name("winograd/f2x3").unwrap();
        assert_eq!(exact.choose(&dense).algorithm.name(), "winograd/f2x3");
    }

    #[test]
    fn auto_wants_channels_and_pixels_for_winograd() {
        let chosen = |text: &str| Chooser::Auto.choose(&text.parse().unwrap()).algorithm.name();
        assert!(chosen("mb1ic32ih16oc32kh3").starts_with("winograd/"));
        assert!(chosen("mb4ic32ih9oc32kh3").starts_with("winograd/"));
        for narrow in ["mb1ic3ih16oc32kh3", "g32mb1ic32ih16oc32kh3", "mb1ic32ih16oc8kh3", "mb1ic32ih16oc32kh1"] {
            assert_eq!(chosen(narrow), "direct/nhwc", "{narrow}");
        }
        for small in ["mb1ic32ih9oc32kh3", "mb16ic32ih14oc32kh3sh2ph1"] {
            assert_eq!(chosen(small), "direct/nhwc", "{small}");
        }
    }

    #[test]
    fn the_best_exist() {
        let problem = |batch| Problem::new(batch, 1, [8, 8], [conv_core::Axis::new(8, 3); 2]).unwrap();
        for name in [problem(1), problem(LARGE_BATCH)].iter().flat_map(best_of) {
            assert!(algorithms().iter().any(|algorithm| algorithm.name() == name), "{name}");
        }
    }
}
