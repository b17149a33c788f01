//! What reports say of memory, and the families that they list, against the algorithms themselves.

use conv_check::{Data, Kind};
use conv_core::{Epilogue, PlanOptions, Problem};
use conv_report::tables::formula::Formula;
use conv_tune::{algorithms, families};

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
        for (algorithm, threads) in algorithms().into_iter().flat_map(|algorithm| [(algorithm, 1), (algorithm, 3)]) {
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

#[test]
fn reports_list_every_family() {
    assert_eq!(conv_report::FAMILIES[..], families());
}
