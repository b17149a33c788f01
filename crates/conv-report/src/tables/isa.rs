//! What is left of a family's advantage over direct convolution on a weaker instruction set.

use conv_simd::Isa;

use super::{Table, algorithm, best_of_families, by_name, family, time, times_as_fast, untitled, warm_runs};
use crate::ranking::marked;
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
        let weak_pairs = beside_direct(&weak_layer);
        for [record, direct] in beside_direct(&of_layer) {
            if let Some([other, its_direct]) = weak_pairs.iter().find(|[other, _]| family(other) == family(record)) {
                let [times, weak_times] =
                    [(direct, record), (its_direct, other)].map(|(direct, record)| time(direct) / time(record));
                let share = format!("{:.0}", 100.0 * weak_times / times);
                rows.push(vec![
                    name.to_owned(),
                    algorithm(record),
                    times_as_fast(record, direct),
                    algorithm(other),
                    times_as_fast(other, its_direct),
                    marked(share, &[record, direct, other, its_direct]),
                ]);
            }
        }
    }
    let share = format!("{weak} in % of {strong}");
    untitled(&["layer", strong, "x direct", weak, "x direct", &share], rows)
}

/// The best of each family but direct, and direct beside it.
fn beside_direct<'a>(of_layer: &[&'a Record]) -> Vec<[&'a Record; 2]> {
    let best = best_of_families(of_layer);
    let Some(direct) = best.iter().find(|record| family(record) == "direct").copied() else { return Vec::new() };
    best.into_iter().filter(|record| family(record) != "direct").map(|record| [record, direct]).collect()
}
