//! What is left of a family's advantage over direct convolution on a weaker instruction set.

use conv_simd::Isa;

use super::{Table, algorithm, best_of_families, by_name, family, time, untitled, warm_runs};
use crate::record::Record;

pub(super) fn table(members: &[&Record]) -> Table {
    let runs = warm_runs(members);
    let of_isa = |isa: &str| runs.iter().filter(|record| record.isa == isa).copied().collect::<Vec<_>>();
    // Strongest first.
    let mut isas = Isa::NAMES.iter().filter(|isa| runs.iter().any(|record| record.isa == **isa));
    let (Some(strong), Some(weak)) = (isas.next(), isas.next()) else { return untitled(&[], Vec::new()) };
    let weak_runs = of_isa(weak);
    let mut rows = Vec::new();
    for (name, of_layer) in by_name(&of_isa(strong)) {
        let weak_layer: Vec<&Record> = weak_runs.iter().filter(|record| record.name == name).copied().collect();
        let weak_times = times_as_fast(&weak_layer);
        for (record, times) in times_as_fast(&of_layer) {
            if let Some((other, weak_times)) = weak_times.iter().find(|(other, _)| family(other) == family(record)) {
                rows.push(vec![
                    name.to_owned(),
                    algorithm(record),
                    format!("{times:.2}"),
                    algorithm(other),
                    format!("{weak_times:.2}"),
                    format!("{:.0}", 100.0 * weak_times / times),
                ]);
            }
        }
    }
    let share = format!("{weak} in % of {strong}");
    untitled(&["layer", strong, "x direct", weak, "x direct", &share], rows)
}

/// The best of each family but direct, and how many times as fast as direct it is.
fn times_as_fast<'a>(of_layer: &[&'a Record]) -> Vec<(&'a Record, f64)> {
    let best = best_of_families(of_layer);
    let Some(direct) = best.iter().find(|record| family(record) == "direct").copied() else { return Vec::new() };
    let others = best.into_iter().filter(|record| family(record) != "direct");
    others.map(|record| (record, time(direct) / time(record))).collect()
}
