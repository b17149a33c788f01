//! Every algorithm of the workspace, by name, family or pattern, and the choice of one for a problem.

use std::sync::Arc;

use conv_core::{Algorithm, Method, PlanOptions, Problem, Unsupported};
use conv_simd::Core;
use strsim::levenshtein;
use wildmatch::WildMatch;

use crate::tune::{CostModel, TunedPlan};

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
    pub(crate) fn new(name: &str, extra: &[&'static str]) -> Self {
        let known: Vec<_> =
            algorithms().iter().map(|algorithm| algorithm.name()).chain(extra.iter().copied()).collect();
        let candidates = known.iter().copied().chain(families());
        let nearest = candidates.min_by_key(|candidate| levenshtein(name, candidate)).unwrap_or_default();
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

/// How the algorithm of a convolution is chosen.
#[derive(Clone)]
pub enum Chooser {
    /// Among these variants by the cost model.
    Named {
        /// As it was asked for.
        name: String,
        /// In the registry's order.
        variants: Vec<&'static dyn Algorithm>,
    },
    /// Among all by the cost model.
    Auto,
    /// By what was measured, and for other problems as [`Chooser::Auto`].
    Planned {
        /// As it was asked for.
        name: &'static str,
        /// What was measured.
        plan: Arc<TunedPlan>,
    },
}

/// What choices by a plan file are called in records.
pub const TUNED: &str = "tuned";

/// What a [`Chooser`] chose for one problem.
#[derive(Clone)]
pub struct Choice {
    /// The algorithm, which supports the problem, and its parameters.
    pub method: Method,
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

    /// As it was asked for: `winograd`, `auto`, `tuned`, …
    pub fn name(&self) -> &str {
        match self {
            Chooser::Named { name, .. } => name,
            Chooser::Auto => "auto",
            Chooser::Planned { name, .. } => name,
        }
    }

    /// The algorithm for `problem`, planned with `options`. What is asked for but does not support it is replaced by
    /// `direct/nhwc`, which supports everything, and the reason is in the answer.
    pub fn choose(&self, problem: &Problem, options: &PlanOptions) -> Choice {
        match self {
            // A filter as large as its map, a fully connected layer, has nothing to lower or to tile, and only direct
            // packs its weights as they come instead of keeping them twice meanwhile.
            Chooser::Auto if problem.output_size() == [1, 1] => choose_from(&[direct()], problem, options),
            Chooser::Auto => choose_from(&algorithms(), problem, options),
            Chooser::Named { variants, .. } => choose_from(variants, problem, options),
            Chooser::Planned { plan, .. } => match plan.method(problem) {
                Some(method) => Choice { method, fallback: None },
                None => Chooser::Auto.choose(problem, options),
            },
        }
    }
}

/// `direct/nhwc`, which supports every problem.
pub fn direct() -> &'static dyn Algorithm {
    let named = |algorithm: &&'static dyn Algorithm| algorithm.name() == "direct/nhwc";
    conv_direct::ALGORITHMS.iter().copied().find(named).expect("conv-direct exports direct/nhwc")
}

/// The cost model's choice; if `variants` are too few to choose from by it, the first that supports the problem. The
/// reason of a fallback is the first one's.
fn choose_from(variants: &[&'static dyn Algorithm], problem: &Problem, options: &PlanOptions) -> Choice {
    let mut supporting = variants.to_vec();
    supporting.retain(|algorithm| algorithm.supports(problem).is_ok());
    let model = CostModel::nominal(Core::detect(), options);
    match model.choose(&supporting, problem, options).or(supporting.first().copied()) {
        Some(algorithm) => Choice { method: algorithm.into(), fallback: None },
        None => {
            let reason = variants.first().and_then(|algorithm| algorithm.supports(problem).err());
            Choice { method: direct().into(), fallback: reason }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_globs_of_whole_names_or_families() {
        let names = |pattern: &str| -> Vec<_> {
            select(pattern).unwrap_or_default().into_iter().map(Algorithm::name).collect()
        };
        assert_eq!(names("*").len(), algorithms().len());
        assert_eq!(names("direct/nhwc"), ["direct/nhwc"]);
        assert_eq!(names("d?rect/n*c"), ["direct/nhwc"]);
        assert_eq!(names("winograd"), names("winograd/*"));
        let threes = names("*/f?x3");
        assert!(threes.contains(&"winograd/f4x3") && !threes.contains(&"winograd/f4x5"), "{threes:?}");
        for nothing in ["", "?", "rect/*", "*/nhw", "direct/nhwc?", &"*a".repeat(5000)] {
            assert!(names(nothing).is_empty(), "{nothing}");
        }
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
    }

    #[test]
    fn what_a_family_does_not_support_is_computed_directly_and_said() {
        let problem = |text: &str| text.parse::<Problem>().unwrap_or_else(|error| panic!("{error}"));
        let (dense, pointwise) = (problem("mb1ic32ih9oc32kh3"), problem("mb1ic32ih9oc32kh1"));
        let options = PlanOptions::new(1);
        let winograd = Chooser::by_name("winograd").unwrap();
        let choice = winograd.choose(&pointwise, &options);
        assert_eq!(choice.method.algorithm.name(), "direct/nhwc");
        assert!(choice.fallback.is_some());
        let choice = winograd.choose(&dense, &options);
        assert_eq!((family(choice.method.algorithm), choice.fallback), ("winograd", None));
        let exact = Chooser::by_name("winograd/f2x3").unwrap();
        assert_eq!(exact.choose(&dense, &options).method.algorithm.name(), "winograd/f2x3");
    }

    #[test]
    fn auto_leaves_fully_connected_layers_to_direct() {
        for layer in ["mb3ic256ih6oc4096kh6", "mb64ic4096ih1oc1000kh1"] {
            let choice = Chooser::Auto.choose(&layer.parse().unwrap(), &PlanOptions::new(2));
            assert_eq!(choice.method.algorithm.name(), "direct/nhwc", "{layer}");
        }
    }
}
