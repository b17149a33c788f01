//! Every algorithm of the workspace, by name, family or pattern.

use conv_core::Algorithm;
use wildmatch::WildMatch;

/// All algorithms of the families that this crate was built with, family by family.
///
/// This is the only place that names the kernel crates: tests, benches, records and charts follow from it.
pub fn algorithms() -> Vec<&'static dyn Algorithm> {
    [
        conv_direct::ALGORITHMS,
        #[cfg(feature = "im2col")]
        conv_im2col::ALGORITHMS,
        #[cfg(feature = "fft")]
        conv_fft::ALGORITHMS,
        #[cfg(feature = "winograd")]
        conv_winograd::ALGORITHMS,
    ]
    .concat()
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
    pub(crate) fn new(name: &str, extra: &[&'static str]) -> Self {
        let known: Vec<_> =
            algorithms().iter().map(|algorithm| algorithm.name()).chain(extra.iter().copied()).collect();
        let candidates = known.iter().copied().chain(families());
        let nearest = candidates.min_by_key(|candidate| strsim::levenshtein(name, candidate)).unwrap_or_default();
        UnknownAlgorithm { name: name.into(), nearest, known }
    }
}

/// The algorithms that `pattern` names: one by its full name, all of a family (`winograd`), or a glob (`*/f?x3`).
///
/// # Errors
/// [`UnknownAlgorithm`] if there is none.
pub fn select(pattern: &str) -> Result<Vec<&'static dyn Algorithm>, UnknownAlgorithm> {
    let mut selected = algorithms();
    let glob = WildMatch::new(pattern);
    selected.retain(|algorithm| glob.matches(algorithm.name()) || pattern == family(*algorithm));
    if selected.is_empty() { Err(UnknownAlgorithm::new(pattern, &[])) } else { Ok(selected) }
}

/// `direct/nhwc`, which supports every problem.
pub fn direct() -> &'static dyn Algorithm {
    let named = |algorithm: &&'static dyn Algorithm| algorithm.name() == "direct/nhwc";
    conv_direct::ALGORITHMS.iter().copied().find(named).expect("conv-direct exports direct/nhwc")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_select() {
        let names = |pattern| select(pattern).map(|found| found.iter().map(|it| it.name()).collect::<Vec<_>>());
        assert_eq!(names("direct/*"), Ok(vec!["direct/nhwc"]));
        assert!(names("*/f?x3").unwrap().iter().all(|name| name.starts_with("winograd/f") && name.ends_with("x3")));
        assert_eq!(names("*").unwrap().len(), algorithms().len());
        for none in ["", "?", "irect/nhwc", "direct/nhw"] {
            assert!(names(none).is_err(), "{none}");
        }
        assert!(select(&"*a".repeat(5000)).is_err(), "in no time");
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
    }
}
