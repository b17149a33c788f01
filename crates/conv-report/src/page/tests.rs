//! The whole page of invented records.

use super::*;
use crate::record::{Cache, Clock, Kind, LayerTime, Model};

const VOID: [&str; 4] = ["meta", "link", "input", "br"];

fn record(name: &str, algorithm: &str, ms: f64) -> Record {
    Record {
        name: name.into(),
        problem: Some("mb1ic16ih13oc32kh3ph1".into()),
        algorithm: Some(algorithm.into()),
        isa: "avx512".into(),
        batch: Some(1),
        threads: 1,
        model: Some(Model::Run),
        cache: Some(Cache::Warm),
        clock: Some(Clock::Convlab),
        samples: Some(41),
        median_ns: Some(ms * 1e6),
        interval_ns: Some([ms * 0.99e6, ms * 1.01e6]),
        gflops_effective: Some(100.0 / ms),
        executed_flops: Some(1e8),
        phases: [("multiply".into(), ms * 1e6)].into(),
        scratch_bytes: Some(1 << 20),
        prepared_bytes: Some(1 << 20),
        weight_bytes: Some(18_432),
        max_rel_error: Some(1.2e-7),
        peak_gflops: Some(116.2),
        bandwidth_gb_s: Some(31.0),
        cpu: "Model 7".into(),
        commit: "0123abc".into(),
        rustc: "1.95.0".into(),
        date: "2026-01-31T12:00:00Z".into(),
        ..Record::default()
    }
}

fn pass(name: &str, algorithm: &str, ms: f64) -> Record {
    let layers = vec![LayerTime { name: "conv1".into(), median_ns: ms * 1e6, ..Default::default() }];
    let record = record(name, algorithm, ms);
    Record { kind: Kind::Forward, problem: None, max_rel_error: None, executed_flops: None, layers, ..record }
}

/// A decided layer, an undecided one, a disturbed one, a pass; a weaker instruction set, another batch, other engines.
fn invented() -> Vec<Record> {
    let disturbed = Some("peak at 71% of 117 GFLOP/s".into());
    let peers = |algorithm, ms| Record { clock: Some(Clock::Peers), ..pass("paper", algorithm, ms) };
    let mut records = vec![
        record("paper/conv1", "direct/nhwc", 3.0),
        record("paper/conv1", "winograd/f4x3", 1.0),
        record("paper/conv1", "fft/t8", 1.5),
        record("paper/conv2", "direct/nhwc", 1.0),
        record("paper/conv2", "winograd/f4x3", 1.015),
        Record { disturbed, ..record("paper/conv3", "winograd/f4x3", 1.0) },
        record("paper/conv3", "direct/nhwc", 2.0),
        pass("paper", "direct", 9.0),
        pass("paper", "auto", 6.0),
        peers("auto", 6.0),
        peers("peer/mnn", 12.0),
    ];
    let others: Vec<Record> = records[..3]
        .iter()
        .flat_map(|record| {
            [Record { isa: "avx2".into(), ..record.clone() }, Record { batch: Some(16), ..record.clone() }] //
        })
        .collect();
    records.splice(..0, others);
    records
}

fn html(records: &[Record]) -> String {
    page(records, Path::new("records.jsonl")).unwrap()
}

/// The text of the first element that begins with `start`, without its tags.
fn text_after(html: &str, start: &str) -> String {
    let (_, rest) = html.split_once(start).unwrap_or_else(|| panic!("no {start}"));
    let item = rest.split("</li>").next().unwrap();
    item.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text)).collect()
}

/// Every id of the page; panics where tags do not close in the order in which they opened.
fn ids(html: &str) -> Vec<String> {
    let (mut open, mut ids, mut rest) = (Vec::new(), Vec::new(), html);
    while let Some((_, after)) = rest.split_once('<') {
        let (tag, next) = after.split_once('>').expect("a tag ends");
        rest = next;
        let name = tag.trim_start_matches('/').split([' ', '/', '\n']).next().unwrap();
        if let Some((_, id)) = tag.split_once(" id=\"") {
            ids.push(id.split('"').next().unwrap().to_owned());
        }
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "<{tag}> closes what is not open");
        } else if !tag.starts_with('!') && !tag.ends_with('/') && !VOID.contains(&name) {
            open.push(name);
            if ["script", "style"].contains(&name) {
                rest = &rest[rest.find(&format!("</{name}>")).expect("it ends")..];
            }
        }
    }
    assert_eq!(open, [""; 0], "something is never closed");
    ids
}

#[test]
fn the_answer_says_what_how_fast_at_which_cost_and_how_sure() {
    let html = html(&invented());
    assert_eq!(
        text_after(&html, "<li><b>paper/conv1</b>"),
        " (16×13×13 → 32×13×13, 3×3): winograd/f4x3 takes 1.000 ms, 3.00 times as fast as direct, with 2 MiB of memory, at an \
         error of 1.2e-7. Sure; the next: fft/t8, 1.500 ms, 1.50 times as long."
    );
    let undecided = text_after(&html, "<li><b>paper/conv2</b>");
    assert!(undecided.ends_with("Undecided against winograd/f4x3, 1.015 ms, 1.01 times as long."), "{undecided}");
    let disturbed = text_after(&html, "<li><b>paper/conv3</b>");
    assert!(disturbed.ends_with("Disturbed: peak at 71% of 117 GFLOP/s."), "{disturbed}");
    assert_eq!(
        text_after(&html, "<li><b>paper</b>,"),
        " a whole pass: auto takes 6.000 ms, 1.50 times as fast as direct, with 2 MiB of memory. Sure; the next: direct, 9.000 ms, \
         1.50 times as long. convlab forward --network paper --algorithm auto --batch 1 --threads 1 --isa avx512"
    );
    assert_eq!(
        text_after(&html, "<li><b>paper</b>:"),
        " its 3 layers take 3.000 ms together, each by its fastest; by direct 6.000 ms, 2.00 times as long. Disturbed: 1 of them."
    );
    assert!(html.contains("The fastest by peer/mnn: 12.000 ms, 2.00 times as long."));
    let winograd = text_after(&html, "<li><b>winograd</b>");
    assert_eq!(
        winograd,
        " is the fastest of 2 of 3 layers; in the geometric mean over 2 layers 1.72 times as fast as direct."
    );
}

#[test]
fn many_layers_are_a_table() {
    let many: Vec<Record> = (0..200)
        .flat_map(|i| {
            let name = format!("many/layer{i}");
            [record(&name, "direct/nhwc", 2.0), record(&name, "winograd/f4x3", 1.0)]
        })
        .collect();
    let html = html(&many);
    assert!(html.contains("<summary>Table of 200 rows, The fastest of each layer: layer, shape,"));
    assert_eq!(
        text_after(&html, "<li><b>winograd</b>"),
        " is the fastest of 200 of 200 layers; in the geometric mean 2.00 times as fast as direct."
    );
    assert!(html.len() < 4 << 20, "{} bytes", html.len());
}

#[test]
fn the_page_is_well_formed_and_its_ids_are_its_own() {
    let html = html(&invented());
    let mut ids = ids(&html);
    assert!(ids.len() > 30, "{ids:?}");
    for link in html.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(ids.iter().any(|id| id == link), "#{link}");
    }
    for charts in ["throughput", "memory", "passes", "price", "phases", "roofline", "peers"] {
        for part in ["", "-title", "-desc"] {
            assert!(ids.contains(&format!("{charts}-1{part}")), "{charts}: {ids:?}");
        }
    }
    assert_eq!(html.matches("<svg").count(), html.matches("role=\"img\" aria-labelledby=\"").count());
    ids.sort();
    let count = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), count, "an id stands twice");
    assert!(html.len() < 1 << 20, "{} bytes", html.len());
    assert!(!html.contains("http:") || html.matches("http:").count() == html.matches("xmlns=\"http:").count());
}

#[test]
fn caches_are_told_with_their_speeds_and_bound_what_they_hold() {
    let machine = Record {
        kind: Kind::Machine,
        algorithm: None,
        batch: None,
        caches: vec![32 << 10, 16 << 20],
        cache_gb_s: vec![412.0, 0.207],
        ..record("machine", "", 1.0)
    };
    let html = html(&[vec![machine], invented()].concat());
    assert!(html.contains("<td>32 KiB at 412.0 GB/s, 16 MiB at 0.2 GB/s</td>"));
    assert!(html.contains("<td>L2</td>") && html.contains("L2 (16 MiB, 0.2 GB/s), else main memory."));
}

#[test]
fn what_records_say_is_never_markup() {
    let evil = "<script>alert(1)</script>\"'&";
    let mut records = invented();
    for record in &mut records {
        record.name = format!("{evil}/{}", record.name);
        record.algorithm = record.algorithm.as_ref().map(|algorithm| format!("{algorithm}{evil}"));
        record.disturbed = Some(evil.into());
        record.parameters = Some(evil.into());
        for text in [&mut record.cpu, &mut record.commit, &mut record.rustc, &mut record.date, &mut record.isa] {
            text.push_str(evil);
        }
        record.problem = Some(evil.into());
        record.layers.iter_mut().for_each(|layer| layer.name = evil.into());
    }
    let html = html(&records);
    assert_eq!(html.matches("<script>").count(), 1, "the page's own");
    assert!(html.contains("&lt;script&gt;alert(1)") && !html.contains(evil));
    ids(&html);
}

#[test]
fn nothing_measured_makes_no_page() {
    let machine = Record { kind: Kind::Machine, algorithm: None, ..record("machine", "", 1.0) };
    assert!(matches!(page(&[machine], Path::new("x")), Err(PlotError::Empty { .. })));
    let negative = Record { median_ns: Some(-1.0), ..record("a", "direct/nhwc", 1.0) };
    assert!(matches!(page(&[negative], Path::new("x")), Err(PlotError::Value { .. })));
}

#[test]
fn commands_make_it_again() {
    let html = html(&invented());
    for line in [
        "git checkout 0123abc\n",
        "\nconvlab bench paper --isa avx512 --batch 1 --threads 1 --algorithm direct,fft,winograd --out results/again\n",
        "\nscripts/peers/setup &amp;&amp; scripts/peers/run --out results/again\n",
    ] {
        assert!(html.contains(line), "{line}");
    }
}

#[test]
fn what_ranks_share_has_its_chart_above_its_table() {
    let shared = |ranks| Record {
        kind: Kind::Scale,
        shard: Some("batch".into()),
        ranks: Some(ranks),
        threads: ranks,
        predicted_ns: Some(1e7 / ranks as f64),
        median_ns: None,
        ..record("paper", "auto", 1.0)
    };
    let html = html(&[shared(1), shared(2)]);
    assert!(ids(&html).contains(&"scale-1-title".into()));
    let (_, section) = html.split_once("<section id=\"scale\">").unwrap();
    assert!(section.find("<svg") < section.find("images apart</td>"), "{section}");
}
