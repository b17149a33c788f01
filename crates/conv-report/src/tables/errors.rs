//! Errors by kind of data, and how much larger than direct convolution's they are.

use std::collections::BTreeSet;

use super::{Table, algorithm, by_name, untitled};
use crate::record::{Data, Record};

/// The kinds of data, and what they are called in the header.
const KINDS: [(Data, &str); 3] = [(Data::Relu, "relu"), (Data::Signed, "signed"), (Data::Adversarial, "adversarial")];

pub(super) fn table(members: &[&Record]) -> Table {
    let mut rows = Vec::new();
    for (name, of_layer) in by_name(members) {
        let find = |algorithm: &str, data: Data| {
            let same = |record: &&&Record| record.algorithm.as_deref() == Some(algorithm) && record.data == Some(data);
            of_layer.iter().find(same)
        };
        let mut seen = BTreeSet::new();
        for algorithm in of_layer.iter().map(|record| algorithm(record)).filter(|name| seen.insert(name.clone())) {
            let mut row = vec![name.to_owned(), algorithm.clone()];
            for (data, _) in KINDS {
                let record = find(&algorithm, data);
                let [max, l2] = [record.and_then(|r| r.max_rel_error), record.and_then(|r| r.l2_rel_error)];
                let direct = find("direct/nhwc", data).and_then(|record| record.l2_rel_error);
                row.extend([max, l2].map(|error| error.map_or(String::new(), |error| format!("{error:.1e}"))));
                row.push(l2.zip(direct).map_or(String::new(), |(l2, direct)| format!("{:.2}", l2 / direct)));
            }
            rows.push(row);
        }
    }
    let columns = KINDS.map(|(_, name)| [format!("{name}: max"), "L2".into(), "L2 x direct".into()]);
    let mut header = vec!["layer".to_owned(), "algorithm".into()];
    header.extend(columns.into_iter().flatten());
    Table { header, ..untitled(&[], rows) }
}
