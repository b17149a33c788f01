//! Tables of invented records.

use super::*;
use crate::record::Data;

fn record(name: &str, algorithm: &str, milliseconds: f64) -> Record {
    Record {
        name: name.into(),
        algorithm: Some(algorithm.into()),
        isa: "avx512".into(),
        batch: Some(1),
        threads: 1,
        model: Some(Model::Run),
        cache: Some(Cache::Warm),
        median_ns: Some(milliseconds * 1e6),
        gflops_effective: Some(150.0),
        peak_gflops: Some(100.0),
        peak_fraction: Some(0.5),
        scratch_bytes: Some(0),
        prepared_bytes: Some(2048),
        max_rel_error: Some(1.2e-7),
        cpu: "Model 7".into(),
        date: "2026-01-31T12:00:00Z".into(),
        ..Record::default()
    }
}

fn first_cells(table: &Table) -> Vec<String> {
    table.rows.iter().map(|row| row[..4].join(" ").trim_end().to_owned()).collect()
}

#[test]
fn the_best_of_each_family_in_the_registrys_order() {
    let records = [
        record("paper/conv3", "winograd/f2x3", 2.0),
        record("paper/conv3", "auto", 1.0),
        record("paper/conv3", "winograd/f4x3", 1.0),
        record("paper/conv3", "direct/nhwc", 3.0),
        Record { cache: Some(Cache::Cold), ..record("paper/conv3", "winograd/f4x3", 1.5) },
        Record { model: Some(Model::Prepare), cache: None, ..record("paper/conv3", "winograd/f4x3", 0.1) },
        record("paper/conv1", "direct/nhwc", 4.0),
        record("owt/conv1", "direct/nhwc", 5.0),
        Record { kind: Kind::Machine, ..record("paper/machine", "direct/nhwc", 1.0) },
    ];
    let query = Query { name: Some("paper/*".into()), ..Query::default() };
    let made = tables(&records, Topic::Summary, &query);
    assert_eq!(made.len(), 1);
    let expected = [
        "paper/conv3 direct/nhwc 3.000",
        "paper/conv3 winograd/f4x3 1.000 1.500",
        "paper/conv3 auto 1.000",
        "paper/conv1 direct/nhwc 4.000",
    ];
    assert_eq!(first_cells(&made[0]), expected);
    assert_eq!(made[0].rows[0][4..], ["150.0", "1.50", "50", "0", "2 KiB", "1.2e-7"]);
    let every = tables(&records, Topic::Summary, &Query { every_variant: true, ..query });
    assert_eq!(
        first_cells(&every[0])[1..3],
        expected[1..2]
            .iter()
            .map(ToString::to_string)
            .chain(["paper/conv3 winograd/f2x3 2.000".into()])
            .collect::<Vec<_>>()
    );
}

#[test]
fn settings_are_kept_apart() {
    let base = record("paper/conv1", "direct/nhwc", 4.0);
    let records = [
        base.clone(),
        Record { threads: 2, peak_gflops: Some(95.0), ..base.clone() },
        Record { threads: 2, peak_gflops: Some(210.0), name: "paper/conv2".into(), ..base.clone() },
        Record { batch: Some(16), ..base.clone() },
        Record { clock: Some(Clock::Criterion), ..base.clone() },
    ];
    let made = tables(&records, Topic::Summary, &Query::default());
    let captions: Vec<&str> = made.iter().map(|table| table.caption.as_str()).collect();
    assert_eq!(captions.len(), 4);
    assert_eq!(captions[0], "Model 7, avx512, 1 thread, batch 1; peak 100.0 GFLOP/s; commit , rustc , 2026-01-31");
    assert!(captions[1].contains("timed by criterion"));
    assert!(captions[3].starts_with("Model 7, avx512, 2 threads, batch 1; peak 95.0 to 210.0 GFLOP/s"));
    let query = Query { threads: Some(2), batch: Some(1), ..Query::default() };
    assert_eq!(tables(&records, Topic::Summary, &query), made[3..]);
    assert!(tables(&records, Topic::Summary, &Query { isa: Some("avx2".into()), ..Query::default() }).is_empty());
    assert!(tables(&[], Topic::Summary, &Query::default()).is_empty());
}

/// The table of `topic` as lines of cells.
fn only(records: &[Record], topic: Topic, query: &Query) -> Table {
    let mut made = tables(records, topic, query);
    assert_eq!(made.len(), 1, "{made:?}");
    made.remove(0)
}

#[test]
fn speed_over_direct_and_where_there_is_none() {
    let records = [
        record("set/a", "direct/nhwc", 3.0),
        record("set/a", "winograd/f2x3", 4.0),
        record("set/a", "winograd/f4x3", 2.0),
        record("set/a", "fft/t8", 4.0),
        record("set/b", "direct/nhwc", 1.0),
        record("set/c", "direct/nhwc", 1.0),
        record("set/c", "winograd/f4x3", 2.0),
    ];
    let table = only(&records, Topic::Speedup, &Query::default());
    assert_eq!(table.header, ["layer", "direct ms", "fft", "x direct", "winograd", "x direct"]);
    let expected = [
        ["set/a", "3.000", "fft/t8", "0.75", "winograd/f4x3", "1.50"],
        ["set/c", "1.000", "", "", "winograd/f4x3", "0.50"],
    ];
    assert_eq!(table.rows, expected, "only direct computes b");
    let notes = ["Slower by fft than by direct: set/a (0.75).", "Slower by winograd than by direct: set/c (0.50)."];
    assert_eq!(table.notes, notes);
    let query =
        Query { algorithms: vec!["direct".into(), "*/f4x3".into()], name: Some("*/a".into()), ..Query::default() };
    let table = only(&records, Topic::Speedup, &query);
    assert_eq!(table.rows, [["set/a", "3.000", "winograd/f4x3", "1.50"]]);
    assert_eq!(table.notes, ["No layer here is slower by winograd than by direct."]);
}

#[test]
fn a_weaker_instruction_set_keeps_a_share_of_the_speed() {
    let weak = |algorithm, ms| Record { isa: "avx2".into(), ..record("set/a", algorithm, ms) };
    let records = [
        weak("direct/nhwc", 6.0),
        weak("winograd/f2x3", 4.0),
        record("set/a", "direct/nhwc", 3.0),
        record("set/a", "winograd/f4x3", 1.0),
        record("set/a", "fft/t8", 1.0),
    ];
    let table = only(&records, Topic::Isa, &Query::default());
    assert_eq!(table.header[5], "avx2 in % of avx512");
    assert_eq!(table.rows, [["set/a", "winograd/f4x3", "3.00", "winograd/f2x3", "1.50", "50"]]);
    assert!(table.caption.starts_with("Model 7, avx2, avx512, 1 thread"), "{}", table.caption);
    assert!(tables(&records[..2], Topic::Isa, &Query::default()).is_empty(), "one instruction set is no comparison");
}

#[test]
fn memory_beside_its_formula() {
    let columns = Record {
        problem: Some("mb2ic4ih6oc8kh3ph1".into()),
        scratch_bytes: Some(10_368),
        scratch_counted_bytes: Some(10_368),
        prepared_bytes: Some(1184),
        prepared_counted_bytes: Some(1300),
        weight_bytes: Some(1152),
        ..record("set/a", "im2col/faer", 1.0)
    };
    let records = [columns, Record { cache: Some(Cache::Cold), ..record("set/a", "im2col/faer", 2.0) }];
    let table = only(&records, Topic::Memory, &Query::default());
    let scratch = ["set/a", "im2col/faer", "1.000", "4·i·oh·ow·kh·kw·c", "10,368", "10,368", "9.00"];
    let prepared = ["4·kh·kw·c/g·k + 4·k", "1,184", "1,300", "1.03"];
    assert_eq!(table.rows, [[&scratch[..], &prepared[..]].concat()]);
}

#[test]
fn errors_by_data_against_direct() {
    let checked = |algorithm, data, error| Record {
        kind: Kind::Check,
        data: Some(data),
        median_ns: None,
        max_rel_error: Some(2.0 * error),
        l2_rel_error: Some(error),
        ..record("set/a", algorithm, 0.0)
    };
    let records = [
        checked("direct/nhwc", Data::Relu, 1e-7),
        checked("winograd/f4x3", Data::Relu, 4e-7),
        checked("direct/nhwc", Data::Signed, 2e-7),
        checked("winograd/f4x3", Data::Signed, 3e-7),
        record("set/a", "direct/nhwc", 1.0),
    ];
    let table = only(&records, Topic::Errors, &Query::default());
    assert_eq!(table.header[5], "signed: max");
    let rows = [
        ["set/a", "direct/nhwc", "2.0e-7", "1.0e-7", "1.00", "4.0e-7", "2.0e-7", "1.00", "", "", ""],
        ["set/a", "winograd/f4x3", "8.0e-7", "4.0e-7", "4.00", "6.0e-7", "3.0e-7", "1.50", "", "", ""],
    ];
    assert_eq!(table.rows, rows);
    assert_eq!(only(&records, Topic::Summary, &Query::default()).rows.len(), 1, "a check was not timed");
}

#[test]
fn passes_with_their_peak_memory() {
    let pass = |algorithm, ms, peak| Record {
        kind: Kind::Forward,
        peak_resident_bytes: peak,
        ..record("paper", algorithm, ms)
    };
    let records = [
        pass("winograd", 2.0, Some(90 << 20)),
        pass("direct", 3.0, Some(100 << 20)),
        pass("auto", 1.0, None),
        record("paper/conv1", "direct/nhwc", 1.0),
    ];
    let table = only(&records, Topic::Passes, &Query::default());
    let expected = [
        ["paper", "direct", "3.000", "1.00", "0", "2 KiB", "100 MiB", "0"],
        ["paper", "winograd", "2.000", "1.50", "0", "2 KiB", "90 MiB", "-10 MiB"],
        ["paper", "auto", "1.000", "3.00", "0", "2 KiB", "", ""],
    ];
    assert_eq!(table.rows, expected);
}

#[test]
fn phases_are_shares_and_roofs_are_of_the_machine() {
    let phases = [("multiply".into(), 3e6), ("lower".into(), 1e6)].into();
    let told = Record {
        problem: Some("mb1ic1ih4oc1kh1".into()),
        executed_flops: Some(1.28e6),
        prepared_bytes: Some(0),
        bandwidth_gb_s: Some(0.001),
        phases,
        ..record("a", "im2col/faer", 4.0)
    };
    let records = [told, record("a", "direct/nhwc", 4.0)];
    let made = tables(&records, Topic::Phases, &Query::default());
    assert_eq!(made[0].rows, [["a", "im2col/faer", "4.000", "25.0", "", "75.0", "", ""]]);
    let made = tables(&records, Topic::Roofline, &Query::default());
    assert_eq!(
        made[0].rows,
        [["a", "im2col/faer", "10000.0", "0.3", "memory", "3"]],
        "128 bytes, a roof of 10 GFLOP/s"
    );
    assert!(made[0].notes[0].contains("from main memory, as these records do not say"), "{:?}", made[0].notes);
    let machine = Record {
        kind: Kind::Machine,
        caches: vec![127, 128],
        cache_gb_s: vec![0.000_1, 0.000_08],
        algorithm: None,
        ..records[0].clone()
    };
    let made = tables(&[records[0].clone(), machine], Topic::Roofline, &Query::default());
    assert_eq!(made[0].rows, [["a", "im2col/faer", "10000.0", "0.3", "L2", "40"]], "L1 is too small");
    assert!(made[0].notes[0].contains("L2 (128 B, 0.0 GB/s), else main memory"), "{:?}", made[0].notes);
}

#[test]
fn what_was_disturbed_is_marked_and_not_leant_on() {
    let loud = |algorithm, ms| Record { disturbed: Some("a neighbour".into()), ..record("set/a", algorithm, ms) };
    let records = [
        record("set/a", "direct/nhwc", 3.0),
        loud("direct/nhwc", 2.0),
        record("set/a", "winograd/f2x3", 2.0),
        loud("winograd/f4x3", 1.0),
        loud("fft/t8", 4.0),
        loud("fft/t16", 1.5),
    ];
    let query = Query::default();
    let cells =
        |topic| only(&records, topic, &query).rows.into_iter().map(|row| row[..4].join(", ")).collect::<Vec<_>>();
    assert_eq!(cells(Topic::Best), ["set/a, fft/t16, 1.500 ~, 2.00 ~"]);
    let families = ["direct/nhwc, 3.000, 1.00", "fft/t16, 1.500 ~, 2.00 ~", "winograd/f2x3, 2.000, 1.50"];
    assert_eq!(cells(Topic::Families), families.map(|row| format!("set/a, {row}")));
    let every = Query { every_variant: true, ..Query::default() };
    let every: Vec<String> =
        only(&records, Topic::Summary, &every).rows.iter().map(|row| row[1..3].join(" ")).collect();
    let of_families = [["direct/nhwc 3.000", "direct/nhwc 2.000 ~"], ["fft/t16 1.500 ~", "fft/t8 4.000 ~"]];
    let expected = [of_families.concat(), vec!["winograd/f2x3 2.000", "winograd/f4x3 1.000 ~"]].concat();
    assert_eq!(every, expected);

    let table = only(&records, Topic::Speedup, &query);
    assert_eq!(table.rows, [["set/a", "3.000", "fft/t16", "2.00 ~", "winograd/f2x3", "1.50"]]);
    let said = "No layer here is slower by fft than by direct; undecided because disturbed: 1.";
    assert_eq!(table.notes[..2], [said, "No layer here is slower by winograd than by direct."]);
    assert!(table.notes[2].starts_with("~: measured while others computed"), "{:?}", table.notes);
    let quiet = [records[0].clone(), records[2].clone()];
    assert_eq!(only(&quiet, Topic::Speedup, &query).notes.len(), 1, "nothing is marked");

    let weak = |record: &Record| Record { isa: "avx2".into(), ..record.clone() };
    let both: Vec<Record> = records.iter().cloned().chain(records.iter().map(weak)).collect();
    let isa = only(&both, Topic::Isa, &query);
    assert_eq!(isa.rows[0], ["set/a", "fft/t16", "2.00 ~", "fft/t16", "2.00 ~", "100 ~"]);
    assert_eq!(isa.rows[1], ["set/a", "winograd/f2x3", "1.50", "winograd/f2x3", "1.50", "100"]);
}

#[test]
fn whole_passes_are_marked_as_their_direct_one_is() {
    let pass = |algorithm, disturbed: bool| Record {
        kind: Kind::Forward,
        disturbed: disturbed.then(|| "a neighbour".into()),
        ..record("paper", algorithm, 2.0)
    };
    let table = only(&[pass("direct", true), pass("auto", false)], Topic::Passes, &Query::default());
    assert_eq!(
        table.rows.iter().map(|row| row[2..4].join(", ")).collect::<Vec<_>>(),
        ["2.000 ~, 1.00 ~", "2.000, 1.00 ~"]
    );
    assert_eq!(table.notes.len(), 1);
}

#[test]
fn shared_passes_beside_their_predictions() {
    let pass = |batch, shard: &str, link, ranks, predicted, measured: Option<f64>| Record {
        kind: Kind::Scale,
        batch: Some(batch),
        threads: ranks,
        shard: Some(shard.into()),
        link_gbit_s: link,
        ranks: Some(ranks),
        predicted_ns: Some(predicted),
        median_ns: measured,
        ..record("paper", "auto", 0.0)
    };
    let records = [
        pass(16, "batch", Some(10.0), 4, 5e6, None),
        pass(16, "batch", Some(25.0), 4, 4e6, None),
        Record { disturbed: Some("a neighbour".into()), ..pass(16, "batch", None, 2, 8e6, Some(1e7)) },
        pass(16, "groups", None, 2, 9e6, Some(8e6)),
        pass(1, "groups", None, 2, 1e6, None),
        Record { kind: Kind::Forward, ..record("paper", "auto", 1.0) },
    ];
    let table = only(&records, Topic::Scale, &Query::default());
    let rows: Vec<String> = table.rows.iter().map(|row| row.join(",")).collect();
    let expected = [
        "paper,1,towers (groups),one machine,2,2,1.000,,,1000.0",
        "paper,16,towers (groups),one machine,2,2,9.000,8.000,1.12,2000.0",
        "paper,16,images apart,one machine,2,2,8.000,10.000 ~,0.80 ~,1600.0 ~",
        "paper,16,images apart,25 Gbit/s,4,4,4.000,,,4000.0",
        "paper,16,images apart,10 Gbit/s,4,4,5.000,,,3200.0",
    ];
    assert_eq!(rows, expected);
    assert!(table.caption.starts_with("Model 7, avx512, auto; commit"), "{}", table.caption);
    assert_eq!(only(&records, Topic::Scale, &Query { batch: Some(1), ..Query::default() }).rows.len(), 1);
    assert_eq!(only(&records, Topic::Passes, &Query::default()).rows.len(), 1, "what ranks share is no pass of one");
}

#[test]
fn odd_records_make_every_table() {
    let odd = Record {
        name: "n".repeat(70_000) + "\u{1b}[2J",
        algorithm: Some("winograd/f0x0".into()),
        scratch_bytes: Some(usize::MAX),
        prepared_bytes: Some(usize::MAX),
        weight_bytes: Some(usize::MAX),
        batch: Some(usize::MAX),
        threads: usize::MAX,
        cpu: "\u{1b}]0;title\u{7}".into(),
        bandwidth_gb_s: Some(1e-307),
        median_ns: Some(5e-324),
        problem: Some("mb1ic16ih13oc32kh3ph1".into()),
        executed_flops: Some(1e300),
        ..record("", "", 1.0)
    };
    let named = |algorithm: &str| Record { algorithm: Some(algorithm.into()), ..odd.clone() };
    let records = [
        odd.clone(),
        named("winograd/f18446744073709551615x1"),
        named("direct/nhwc"),
        Record { kind: Kind::Forward, ..named("auto") },
        Record { kind: Kind::Check, data: Some(Data::Relu), ..named("direct/nhwc") },
        Record { kind: Kind::Scale, predicted_ns: Some(0.0), ranks: Some(usize::MAX), ..named("auto") },
        Record { kind: Kind::Tune, ..named("tuned") },
    ];
    let topics = [
        Topic::Summary,
        Topic::Best,
        Topic::Families,
        Topic::Memory,
        Topic::Speedup,
        Topic::Isa,
        Topic::Errors,
        Topic::Passes,
        Topic::Peers,
        Topic::Scale,
        Topic::Phases,
        Topic::Roofline,
        Topic::PeerLayers,
        Topic::Choices,
        Topic::Regret,
    ];
    let made: Vec<Table> = topics.into_iter().flat_map(|topic| tables(&records, topic, &Query::default())).collect();
    assert!(made.len() > 6, "{} tables", made.len());
    for table in made.into_iter().chain(stability(&[records.to_vec(), records.to_vec()])) {
        let text =
            format!("{}\n{}\n{}", table.caption, crate::narrow(&table.header, &table.rows), table.notes.concat());
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text}");
    }
    let of_page = records.map(|record| Record {
        scratch_bytes: Some(1 << 49),
        prepared_bytes: Some(1 << 49),
        weight_bytes: Some(1 << 49),
        ..record
    });
    crate::page(&of_page, std::path::Path::new("records.jsonl")).unwrap();
}
