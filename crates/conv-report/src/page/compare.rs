//! Which way is the fastest, and whether that is sure: found in the records, without a word.

use std::collections::BTreeMap;
use std::ptr;

use super::setting::{Setting, newest_cpu};
use crate::family::{FAMILIES, family_of, family_rank};
use crate::ranking::{candidates, fastest, time};
use crate::record::{Cache, Clock, Kind, Model, Record};

/// All that was measured of layers and of whole passes in one setting, by one clock and with the caches in one state.
pub(super) struct Comparisons<'a> {
    pub setting: Setting<'a>,
    pub clock: Clock,
    /// Whether layers were timed as in a network: weights from memory, everything else in the caches.
    pub network: bool,
    pub layers: Vec<Comparison<'a>>,
    pub passes: Vec<Comparison<'a>>,
}

/// The ways of computing one layer, or one pass.
pub(super) struct Comparison<'a> {
    pub name: &'a str,
    /// The fastest first, then the others by their times; at least one.
    pub methods: Vec<&'a Record>,
}

/// How sure it is that the fastest is the fastest.
#[derive(Debug, PartialEq)]
pub(super) enum Sureness<'a> {
    /// Nothing else was measured.
    Alone,
    /// The intervals of all others lie apart from the fastest's.
    Sure,
    /// The intervals of these overlap the fastest's; the fastest of them first, at least one.
    Undecided(Vec<&'a Record>),
    /// What the machine did meanwhile.
    Disturbed(&'a str),
}

/// A family over several layers.
#[derive(Debug, PartialEq)]
pub(super) struct Standing<'a> {
    pub family: &'a str,
    /// Layers of which it is the fastest.
    pub wins: usize,
    /// Layers that both it and direct compute undisturbed, and the geometric mean of how many times as fast it is there.
    pub against_direct: Option<(usize, f64)>,
}

/// Comparisons by setting, what is read first in front.
pub(super) fn comparisons(records: &[Record]) -> Vec<Comparisons<'_>> {
    let newest = newest_cpu(records);
    let mut groups: BTreeMap<(Setting<'_>, Clock, bool), Vec<&Record>> = BTreeMap::new();
    for record in records.iter().filter(|record| is_timed(record)) {
        let key = (Setting::of(record, newest), record.clock.unwrap_or_default(), record.cache == Some(Cache::Network));
        groups.entry(key).or_default().push(record);
    }
    let made = groups.into_iter().map(|((setting, clock, network), members)| {
        let of = |kind| by_name(members.iter().filter(|record| record.kind == kind).copied());
        Comparisons { setting, clock, network, layers: of(Kind::Conv), passes: of(Kind::Forward) }
    });
    made.collect()
}

fn is_timed(record: &Record) -> bool {
    matches!(record.kind, Kind::Conv | Kind::Forward)
        && record.model != Some(Model::Prepare)
        && record.cache != Some(Cache::Cold)
        && record.algorithm.is_some()
        && record.median_ns.is_some_and(|time| time > 0.0)
}

fn by_name<'a>(records: impl Iterator<Item = &'a Record>) -> Vec<Comparison<'a>> {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut found: Vec<Comparison<'a>> = Vec::new();
    for record in records {
        let place = *places.entry(&record.name).or_insert(found.len());
        if place == found.len() {
            found.push(Comparison { name: &record.name, methods: Vec::new() });
        }
        found[place].methods.push(record);
    }
    for comparison in &mut found {
        let methods = &mut comparison.methods;
        methods.sort_by(|a, b| time(a).total_cmp(&time(b)));
        // One that was disturbed leads only where all of its family was.
        let leader = fastest(methods).and_then(|best| methods.iter().position(|record| ptr::eq(*record, best)));
        methods[..=leader.unwrap_or(0)].rotate_right(1);
    }
    found
}

impl<'a> Comparison<'a> {
    /// The fastest of all families.
    pub fn best(&self) -> &'a Record {
        self.methods[0]
    }

    /// The next one.
    pub fn next(&self) -> Option<&'a Record> {
        self.methods.get(1).copied()
    }

    /// The fastest of a family.
    pub fn of_family(&self, wanted: &str) -> Option<&'a Record> {
        candidates(&self.methods).into_iter().find(|record| family_of(record) == wanted)
    }

    /// How many times as fast as direct `record` is; nothing for direct itself.
    pub fn times_direct(&self, record: &Record) -> Option<f64> {
        let direct = self.of_family("direct").filter(|_| family_of(record) != "direct")?;
        // What was measured in a later wave is held against the same rounds' direct convolution.
        Some(record.reference_ns.unwrap_or_else(|| time(direct)) / time(record))
    }

    /// Whether the fastest is the fastest. What disturbed it, the next one or direct makes all figures doubtful.
    pub fn sureness(&self) -> Sureness<'a> {
        let leant_on = [Some(self.best()), self.next(), self.of_family("direct")];
        if let Some(what) = leant_on.into_iter().flatten().find_map(|record| record.disturbed.as_deref()) {
            return Sureness::Disturbed(what);
        }
        if self.methods.len() == 1 {
            return Sureness::Alone;
        }
        let upper = interval(self.best())[1];
        let overlap = |record: &&&Record| interval(record)[0] <= upper;
        let rivals: Vec<&Record> = self.methods[1..].iter().filter(overlap).copied().collect();
        if rivals.is_empty() { Sureness::Sure } else { Sureness::Undecided(rivals) }
    }
}

/// Families in their order, over `layers`.
pub(super) fn standings<'a>(layers: &[Comparison<'a>]) -> Vec<Standing<'a>> {
    let mut families: Vec<&str> = layers.iter().flat_map(|layer| &layer.methods).map(|r| family_of(r)).collect();
    families.sort_by_key(|name| (family_rank(name), *name));
    families.dedup();
    let standing = |family: &'a str| {
        let quiet = layers.iter().filter(|layer| layer.of_family("direct").is_none_or(|it| it.disturbed.is_none()));
        let times = quiet.filter_map(|layer| {
            let record = layer.of_family(family).filter(|record| record.disturbed.is_none())?;
            layer.times_direct(record)
        });
        let logarithms: Vec<f64> = times.map(f64::ln).collect();
        let mean = (logarithms.iter().sum::<f64>() / logarithms.len() as f64).exp();
        Standing {
            family,
            wins: layers.iter().filter(|layer| family_of(layer.best()) == family).count(),
            against_direct: (!logarithms.is_empty()).then_some((logarithms.len(), mean)),
        }
    };
    families.into_iter().map(standing).collect()
}

/// Where the median lies. Records that tell no interval have their scatter, the MAD, in its place.
fn interval(record: &Record) -> [f64; 2] {
    let mad = record.mad_ns.unwrap_or(0.0);
    record.interval_ns.unwrap_or([time(record) - mad, time(record) + mad])
}

/// Whether `record` is another inference engine's.
pub(super) fn is_peer(record: &Record) -> bool {
    !FAMILIES.contains(&family_of(record)) && family_of(record).starts_with("peer")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, algorithm: &str, ms: f64) -> Record {
        Record {
            name: name.into(),
            algorithm: Some(algorithm.into()),
            median_ns: Some(ms * 1e6),
            interval_ns: Some([ms * 0.99e6, ms * 1.01e6]),
            ..Record::default()
        }
    }

    fn of_layer(records: &[Record]) -> Comparison<'_> {
        comparisons(records).remove(0).layers.remove(0)
    }

    #[test]
    fn the_fastest_of_all_families_is_the_best() {
        let records = [
            record("a", "direct/nhwc", 3.0),
            record("a", "winograd/f2x3", 1.5),
            record("a", "winograd/f4x3", 1.0),
            Record { cache: Some(Cache::Cold), ..record("a", "fft/t8", 0.1) },
            Record { model: Some(Model::Prepare), ..record("a", "fft/t8", 0.1) },
            Record { median_ns: None, failure: Some("8 GiB".into()), ..record("a", "im2col/faer", 0.1) },
        ];
        let layer = of_layer(&records);
        assert_eq!(layer.best().algorithm.as_deref(), Some("winograd/f4x3"));
        assert_eq!((layer.times_direct(layer.best()), layer.sureness()), (Some(3.0), Sureness::Sure));
        let of_a_later_wave = Record { reference_ns: Some(4e6), ..records[2].clone() };
        assert_eq!(layer.times_direct(&of_a_later_wave), Some(4.0));
    }

    #[test]
    fn overlapping_intervals_are_undecided_and_disturbances_are_told() {
        let close = [record("a", "direct/nhwc", 1.0), record("a", "fft/t8", 1.015), record("a", "fft/t16", 1.5)];
        assert_eq!(of_layer(&close).sureness(), Sureness::Undecided(vec![&close[1]]));
        let wide = Record { interval_ns: Some([0.9e6, 2e6]), ..close[2].clone() };
        let skipped = [close[0].clone(), record("a", "fft/t8", 1.2), wide];
        assert_eq!(of_layer(&skipped).sureness(), Sureness::Undecided(vec![&skipped[2]]));
        let old = close.map(|record| Record { interval_ns: None, mad_ns: Some(0.004e6), ..record });
        assert_eq!(of_layer(&old).sureness(), Sureness::Sure, "the scatter stands in");
        let loud = old.map(|record| Record { disturbed: Some("peak at 71%".into()), ..record });
        assert_eq!(of_layer(&loud).sureness(), Sureness::Disturbed("peak at 71%"));
        assert_eq!(of_layer(&[record("a", "direct/nhwc", 1.0)]).sureness(), Sureness::Alone);
    }

    #[test]
    fn what_was_disturbed_leads_only_where_all_of_its_family_was_and_is_never_sure() {
        let loud = |algorithm, ms| Record { disturbed: Some("a neighbour".into()), ..record("a", algorithm, ms) };
        let leads = |records: &[Record], algorithm: &str| {
            let layer = of_layer(records);
            assert_eq!((layer.best().algorithm.as_deref(), layer.methods.len()), (Some(algorithm), records.len()));
            assert_eq!(layer.sureness(), Sureness::Disturbed("a neighbour"), "{algorithm}");
        };
        let mut records = vec![record("a", "direct/nhwc", 3.0), loud("winograd/f4x3", 1.0)];
        leads(&records, "winograd/f4x3");
        assert_eq!(standings(&comparisons(&records)[0].layers)[1].against_direct, None);
        records.push(record("a", "winograd/f2x3", 2.0));
        leads(&records, "winograd/f2x3");
        assert_eq!(standings(&comparisons(&records)[0].layers)[1].against_direct, Some((1, 1.5)));
        records.push(loud("direct/nhwc", 1.5));
        assert_eq!(of_layer(&records).of_family("direct"), Some(&records[0]));
    }

    #[test]
    fn families_are_counted_and_their_mean_is_geometric() {
        let records = [
            record("a", "direct/nhwc", 2.0),
            record("a", "fft/t8", 1.0),
            record("b", "direct/nhwc", 1.0),
            record("b", "fft/t8", 2.0),
            record("c", "direct/nhwc", 1.0),
        ];
        let all = comparisons(&records);
        let direct = Standing { family: "direct", wins: 2, against_direct: None };
        assert_eq!(
            standings(&all[0].layers),
            [direct, Standing { family: "fft", wins: 1, against_direct: Some((2, 1.0)) }]
        );
    }
}
