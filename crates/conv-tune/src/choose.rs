//! The choice of an algorithm for a problem: by name, by the cost model, or by what was measured.

use std::sync::Arc;

use conv_core::{Algorithm, Method, PlanOptions, Problem, Unsupported};
use conv_simd::Core;

use crate::cost::CostModel;
use crate::plan_file::TunedPlan;
use crate::registry::{UnknownAlgorithm, algorithms, direct, families, family};

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

    /// The algorithm for `problem`, planned with `options`, as if its weights came from memory. What is asked for but does not
    /// support it is replaced by `direct/nhwc`, which supports everything, and the reason is in the answer.
    pub fn choose(&self, problem: &Problem, options: &PlanOptions) -> Choice {
        self.choose_by(CostModel::nominal(Core::detect(), options), problem, options)
    }

    /// [`Chooser::choose`] for a layer of a network whose weights have so many bytes.
    pub fn choose_in_network(&self, weight_bytes: usize, problem: &Problem, options: &PlanOptions) -> Choice {
        let model = CostModel::nominal(Core::detect(), options).in_network(weight_bytes);
        self.choose_by(model, problem, options)
    }

    fn choose_by(&self, model: CostModel, problem: &Problem, options: &PlanOptions) -> Choice {
        match self {
            // A filter as large as its map, a fully connected layer, has nothing to lower or to tile, and only direct
            // packs its weights as they come instead of keeping them twice meanwhile.
            Chooser::Auto if problem.output_size() == [1, 1] => choose_from(&[direct()], model, problem, options),
            Chooser::Auto => choose_from(&algorithms(), model, problem, options),
            Chooser::Named { variants, .. } => choose_from(variants, model, problem, options),
            Chooser::Planned { plan, .. } => match plan.method(problem) {
                Some(method) => Choice { method, fallback: None },
                None => Chooser::Auto.choose_by(model, problem, options),
            },
        }
    }
}

/// The cost model's choice; if `variants` are too few to choose from by it, the first that supports the problem. The
/// reason of a fallback is the first one's.
fn choose_from(
    variants: &[&'static dyn Algorithm],
    model: CostModel,
    problem: &Problem,
    options: &PlanOptions,
) -> Choice {
    let mut supporting = variants.to_vec();
    supporting.retain(|algorithm| algorithm.supports(problem).is_ok());
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
    fn unknown_names_are_answered_with_the_nearest() {
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
