//! Charts of invented records, as crowded as they get: fifteen algorithms, ten layers, two networks.

use std::path::Path;

use super::picture::{Anchor, Item, Picture};
use super::*;
use crate::record::{self, Cache, Clock, Kind, LayerTime, Model, Record};

const ALGORITHMS: [&str; 15] = [
    "direct/nhwc",
    "im2col/blocked",
    "im2col/faer",
    "im2col/implicit",
    "im2col/indirect",
    "im2col/kn2row",
    "im2col/mec",
    "im2col/nchw-faer",
    "fft/rustfft",
    "fft/t16",
    "fft/t30-gauss",
    "winograd/f2x3",
    "winograd/f4x3",
    "winograd/poly-f4x3",
    "winograd/f5x3-fused",
];

/// Scratch and prepared bytes from nothing to 300 MB, throughputs on both sides of the peak, gaps where nothing is supported.
fn invented() -> Vec<Record> {
    let mut records = Vec::new();
    for (network, batch) in [("paper", 1), ("owt", 1), ("paper", 16)] {
        for layer in 1..=5 {
            for (i, algorithm) in ALGORITHMS.iter().enumerate() {
                if (i * 7 + layer) % 6 == 0 {
                    continue;
                }
                let speed = 20.0 + ((i * 37 + layer * 53) % 100) as f64 * if i > 8 { 4.4 } else { 1.2 };
                records.push(Record {
                    name: format!("{network}/conv{layer}"),
                    problem: Some(format!("g2mb{batch}ic96ih27oc256oh27kh{0}ph{layer}", 2 * layer + 1)),
                    algorithm: Some((*algorithm).into()),
                    scratch_bytes: Some([0, 40 << 10, 4_400_000, 0, 700][(i + layer) % 5]),
                    prepared_bytes: Some([0, 1_228_800, 1_300_000, 50_000_000, 310_000_000][i % 5]),
                    weight_bytes: Some(1_228_800),
                    gflops_effective: Some(speed),
                    median_ns: Some(4.479e8 / speed),
                    phases: [("lower", 1e6), ("multiply", 2e6), ("reshape", 5e4)].map(|(k, v)| (k.into(), v)).into(),
                    ..blank(Kind::Conv, batch)
                });
            }
        }
        for (i, algorithm) in ["direct", "im2col", "fft", "winograd", "auto"].into_iter().enumerate() {
            records.push(pass(network, algorithm, batch, i));
        }
    }
    records
}

fn pass(network: &str, algorithm: &str, batch: usize, i: usize) -> Record {
    let names = ["conv1", "lrn1", "pool1", "conv2", "lrn2", "pool2", "conv3", "conv4", "conv5", "pool5"];
    let conv = names.iter().enumerate().map(|(j, name)| LayerTime {
        name: (*name).into(),
        algorithm: name.starts_with("conv").then(|| algorithm.into()),
        median_ns: if name.starts_with("conv") { 3e6 / (1.0 + ((i + j) % 4) as f64) } else { 1e5 } * batch as f64,
        ..Default::default()
    });
    let connected = [("fc6", 5e6), ("fc7", 2.2e6), ("fc8", 5e5), ("softmax", 1e4)];
    let connected = connected.map(|(name, median_ns)| LayerTime { name: name.into(), median_ns, ..Default::default() });
    let layers: Vec<_> = conv.chain(connected).collect();
    Record {
        name: network.into(),
        algorithm: Some(algorithm.into()),
        median_ns: Some(layers.iter().map(|layer| layer.median_ns).sum::<f64>() * 1.01),
        layers,
        ..blank(Kind::Forward, batch)
    }
}

fn blank(kind: Kind, batch: usize) -> Record {
    Record {
        kind,
        isa: "avx512".into(),
        batch: Some(batch),
        threads: 1,
        model: Some(Model::Run),
        cache: Some(Cache::Warm),
        clock: Some(Clock::Convlab),
        peak_gflops: Some(116.2),
        cpu: "AMD EPYC 9R14 96-Core Processor".into(),
        commit: "0123abc-dirty".into(),
        ..Record::default()
    }
}

fn pictures(records: &[Record]) -> Vec<(String, Picture)> {
    draw(records, Path::new("records.jsonl")).unwrap()
}

/// Left, top, right, bottom of each text, with the text.
fn boxes(picture: &Picture) -> Vec<([f64; 4], String)> {
    let text_box = |item: &'_ Item| -> Option<([f64; 4], String)> {
        let Item::Text { at: (x, y), text, font, anchor, .. } = item else { return None };
        let width = font.width(text);
        let left = match anchor {
            Anchor::Start => *x,
            Anchor::Middle => x - width / 2.0,
            Anchor::End => x - width,
        };
        // From the height of capitals down to a little below the baseline.
        Some(([left, y - 0.73 * font.size, left + width, y + 0.1 * font.size], text.clone()))
    };
    picture.items.iter().filter_map(text_box).collect()
}

fn assert_tidy(name: &str, picture: &Picture) {
    let boxes = boxes(picture);
    for (i, (a, text)) in boxes.iter().enumerate() {
        let inside = a[0] >= 0.0 && a[1] >= 0.0 && a[2] <= picture.width && a[3] <= picture.height;
        assert!(inside, "{name}: '{text}' is clipped: {a:?} of {} x {}", picture.width, picture.height);
        for (b, other) in &boxes[..i] {
            let apart = a[2] <= b[0] || b[2] <= a[0] || a[3] <= b[1] || b[3] <= a[1];
            assert!(apart, "{name}: '{text}' covers '{other}'");
        }
    }
    for item in &picture.items {
        let points = match item {
            Item::Shape { points, .. } => points.clone(),
            Item::Line { from, to, .. } => vec![*from, *to],
            Item::Text { .. } => continue,
        };
        let inside = |(x, y): (f64, f64)| (0.0..=picture.width).contains(&x) && (0.0..=picture.height).contains(&y);
        assert!(points.iter().all(|&point| inside(point)), "{name}: {item:?} is clipped");
    }
}

#[test]
fn crowded_charts_are_tidy() {
    let pictures = pictures(&invented());
    let names: Vec<_> = pictures.iter().map(|(name, _)| name.as_str()).collect();
    let of_layers = ["throughput", "memory", "price", "phases", "crossover"];
    let expected = ["b1-t1", "b16-t1"].iter().flat_map(|setting| of_layers.map(|kind| format!("{kind}-{setting}")));
    let expected: Vec<String> = expected.chain(["forward-b1-t1".into(), "forward-b16-t1".into()]).collect();
    assert_eq!(names, expected);
    for (name, picture) in &pictures {
        assert_tidy(name, picture);
    }
}

#[test]
fn small_and_strange_charts_are_tidy() {
    let one = Record {
        name: "mb1ic3ih8oc4oh8kh1".into(),
        algorithm: Some("direct/nhwc".into()),
        median_ns: Some(1.0),
        gflops_effective: Some(0.0),
        ..blank(Kind::Conv, 1)
    };
    let long = Record {
        name: "n".repeat(10_000),
        problem: Some("no descriptor ".repeat(1000)),
        algorithm: Some("unheard/of ".repeat(1000)),
        scratch_bytes: Some(1 << 40),
        cpu: one.cpu.clone(),
        ..one.clone()
    };
    let pass = Record { kind: Kind::Forward, layers: Vec::new(), ..one.clone() };
    for records in [vec![one.clone()], vec![one, long], vec![pass]] {
        for (name, picture) in pictures(&records) {
            assert_tidy(&name, &picture);
        }
    }
}

#[test]
fn every_setting_has_its_charts() {
    let record = |isa: &str, threads, cache, clock| Record {
        name: "paper/conv2".into(),
        algorithm: Some("direct/nhwc".into()),
        median_ns: Some(4e6),
        gflops_effective: Some(if clock == Clock::Criterion { 77.0 } else { 111.0 }),
        isa: isa.into(),
        threads,
        cache: Some(cache),
        clock: Some(clock),
        ..blank(Kind::Conv, 1)
    };
    let records = [
        record("avx2", 1, Cache::Warm, Clock::Convlab),
        record("avx512", 1, Cache::Warm, Clock::Convlab),
        record("avx512", 1, Cache::Warm, Clock::Criterion),
        record("avx512", 2, Cache::Cold, Clock::Criterion),
        Record { model: Some(Model::Prepare), ..record("avx512", 4, Cache::Warm, Clock::Convlab) },
    ];
    let other = Record { cpu: "A(R) Processor".into(), ..record("avx2", 1, Cache::Warm, Clock::Convlab) };
    let pictures = pictures(&[&[other], &records[..]].concat());
    let names: Vec<_> = pictures.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "throughput-b1-t1-a-r-processor",
        "memory-b1-t1-a-r-processor",
        "throughput-b1-t1",
        "memory-b1-t1",
        "throughput-b1-t1-avx2",
        "memory-b1-t1-avx2",
        "throughput-b1-t2-cold",
    ];
    assert_eq!(names, expected);
    let shows = |chart: usize, value: &str| boxes(&pictures[chart].1).iter().any(|(_, text)| *text == value);
    assert!(shows(2, "111") && !shows(2, "77.0"), "convlab's clock goes first");
    assert!(shows(6, "77.0"), "criterion's stands in");
}

#[test]
fn roofs_are_over_what_was_executed() {
    let record = |algorithm: &str, name: &str, flops, ns| Record {
        name: name.into(),
        problem: Some("mb1ic16ih13oc32kh3ph1".into()),
        algorithm: Some(algorithm.into()),
        median_ns: Some(ns),
        executed_flops: Some(flops),
        bandwidth_gb_s: Some(31.0),
        ..blank(Kind::Conv, 1)
    };
    let records = [
        record("direct/nhwc", "a", 1e6, 1e4),
        record("direct/nhwc", "b", 2e6, 2e4),
        record("winograd/f4x3", "a", 4e4, 1e4),
        Record { executed_flops: None, ..record("fft/t8", "a", 1.0, 1e4) },
    ];
    let pictures = pictures(&records);
    let (name, picture) = pictures.iter().find(|(name, _)| name.starts_with("roofline")).unwrap();
    assert_tidy(name, picture);
    let texts: Vec<String> = boxes(picture).into_iter().map(|(_, text)| text).collect();
    for text in
        ["direct", "winograd", "2 runs of 2 layers by its variants", "roof: memory 31.0 GB/s, peak 116.2 GFLOP/s"]
    {
        assert!(texts.iter().any(|found| found == text), "{text}: {texts:?}");
    }
    let group = &select::groups(&records, Kind::Conv)[0];
    let chart = roofline::roofline(group).unwrap();
    assert_eq!(chart.groups.concat().len(), 2, "what was not told is not drawn");
    let nothing = Record { bandwidth_gb_s: None, ..records[0].clone() };
    assert!(roofline::roofline(&select::groups(&[nothing], Kind::Conv)[0]).is_none());
}

#[test]
fn every_cache_and_instruction_set_has_its_roof() {
    let run = |i: usize| Record {
        name: format!("paper/conv{i}"),
        problem: Some(format!("mb1ic16ih{0}oc32oh{0}kh3ph1", 7 * i)),
        algorithm: Some("direct/nhwc".into()),
        executed_flops: Some(1e6 * i as f64),
        median_ns: Some(1.1e4 * i as f64),
        bandwidth_gb_s: Some(31.0),
        ..blank(Kind::Conv, 1)
    };
    let machine = |isa: &str, peak: f64| Record {
        isa: isa.into(),
        batch: None,
        peak_gflops: Some(peak),
        caches: vec![32 << 10, 1 << 20, 32 << 20],
        cache_gb_s: vec![412.0, 207.0, 98.0],
        ..blank(Kind::Machine, 1)
    };
    let elsewhere = Record { threads: 2, ..machine("portable", 30.0) };
    let machines = [machine("avx512", 116.0), machine("avx2", 115.0), machine("portable", 15.0), elsewhere];
    let records: Vec<Record> = machines.iter().cloned().chain((1..9).map(run)).collect();
    let pictures = pictures(&records);
    let (name, picture) = pictures.iter().find(|(name, _)| name.starts_with("roofline")).unwrap();
    assert_tidy(name, picture);
    let texts: Vec<String> = boxes(picture).into_iter().map(|(_, text)| text).collect();
    let legend = ["L1 (32 KiB, 412.0 GB/s)", "L2 (1 MiB, 207.0 GB/s)", "L3 (32 MiB, 98.0 GB/s)", "avx2: 115.0 GFLOP/s"];
    let on_lines = ["L1", "L2", "L3", "memory", "avx512, avx2", "portable"];
    for text in legend.iter().chain(&on_lines).chain(&["portable: 15.0 GFLOP/s"]) {
        assert_eq!(texts.iter().filter(|found| found == text).count(), 1, "{text}: {texts:?}");
    }
    let chart = roofline::roofline(&select::groups(&records, Kind::Conv)[0]).unwrap();
    let lines = chart.groups[0][0].series.iter().filter(|series| !series.marked);
    let ends: Vec<f64> = lines.map(|line| line.points.last().unwrap().1).collect();
    assert_eq!(ends, [116.2, 116.2, 116.2, 115.0, 15.0, 116.2], "slopes end at the peak");

    let weakest = |record: Record| Record { isa: "portable".into(), peak_gflops: Some(1.0), ..record };
    let records: Vec<Record> = machines.iter().cloned().chain((1..9).map(run).map(weakest)).collect();
    for (name, picture) in self::pictures(&records) {
        assert_tidy(&name, &picture);
    }
}

#[test]
fn no_two_lines_of_a_crossover_look_alike() {
    let record = |variant: usize, kernel: usize| Record {
        name: format!("map/{kernel}"),
        problem: Some(format!("mb1ic8ih{0}oc8oh8kh{kernel}", 7 + kernel)),
        algorithm: Some(if variant == 0 { "direct/nhwc".into() } else { format!("fft/t{variant}") }),
        median_ns: Some(1e6 * (variant + 1) as f64),
        ..blank(Kind::Conv, 1)
    };
    let records: Vec<Record> = (0..=15).flat_map(|variant| [3, 5, 7].map(|kernel| record(variant, kernel))).collect();
    let chart = crossover::crossover(&select::groups(&records, Kind::Conv)[0]).unwrap();
    let looks = chart.groups[0][0].series.iter().map(|series| format!("{:?} {:?}", series.colour, series.look));
    assert_eq!(looks.collect::<std::collections::BTreeSet<_>>().len(), 15);
    let samples = chart.frame.legend.iter().map(|(sample, _)| format!("{sample:?}"));
    assert_eq!(samples.collect::<std::collections::BTreeSet<_>>().len(), 16);
}

/// Passes that 1, 2, 4 to 64 ranks share, in towers and apart, on one machine and over three networks.
fn shared() -> Vec<Record> {
    let links = [None, Some(100.0), Some(25.0), Some(10.0)];
    let ways = ["groups", "batch"].into_iter().flat_map(|shard| links.map(|link| (shard, link)));
    let passes = ways.flat_map(|(shard, link)| {
        (0..=6).map(move |power| {
            let ranks = 1 << power;
            let exchange = link.map_or(0.02, |rate| 10.0 / rate) * if shard == "batch" { 0.02 } else { 0.2 };
            let predicted = 1e8 * (1.0 / f64::from(ranks) + exchange * f64::from(power) / 6.0);
            Record {
                name: "paper".into(),
                algorithm: Some("auto".into()),
                shard: Some(shard.into()),
                link_gbit_s: link,
                ranks: Some(ranks as usize),
                threads: ranks as usize,
                predicted_ns: Some(predicted),
                median_ns: (link.is_none() && ranks <= 2).then_some(1.25 * predicted),
                ..blank(Kind::Scale, 16)
            }
        })
    });
    passes.collect()
}

#[test]
fn a_line_for_each_way_of_sharing_and_points_for_what_was_measured() {
    let mut records = shared();
    // One of two ranks in towers, and the one that images apart are compared with.
    for i in [1, 28] {
        records[i].disturbed = Some("a neighbour".into());
    }
    let pictures = pictures(&records);
    assert_eq!(pictures.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["scale-paper-b16"]);
    assert_tidy("scale", &pictures[0].1);

    let chart = ranks::ranks(&select::shared(&records)[0]).unwrap();
    let [panel] = &chart.groups.concat()[..] else { panic!("{:?}", chart.groups) };
    let ticks: Vec<&str> = panel.scales[0].ticks.iter().map(|(_, label)| label.as_str()).collect();
    assert_eq!(ticks, ["1", "2", "4", "8", "16", "32", "64"]);
    let (lines, points): (Vec<_>, Vec<_>) = panel.series.iter().partition(|series| !series.marked);
    assert_eq!(lines[0].points, [(1.0, 1.0), (64.0, 64.0)], "the ideal");
    assert_eq!(lines.len(), 1 + 8);
    assert!(lines[1..].iter().all(|line| line.points.len() == 7 && line.points[0] == (1.0, 1.0)));
    let looks: std::collections::BTreeSet<_> =
        lines[1..].iter().map(|line| format!("{:?} {:?}", line.colour, line.look)).collect();
    assert_eq!(looks.len(), 8, "no two look alike");
    assert!(lines[1..5].iter().all(|line| line.colour == lines[1].colour), "a way of sharing has one colour");
    let two = 1.0 / (0.5 + 0.02 * 0.2 / 6.0);
    let measured: Vec<_> = points.iter().flat_map(|series| &series.points).collect();
    assert_eq!(measured.len(), 2);
    assert!(measured[0].0 == 2.0 && (measured[0].1 - two).abs() < 1e-12, "over the measured time of one rank");
    assert_eq!(points.iter().map(|series| series.hollow.len()).sum::<usize>(), 2);
    let legend: Vec<&str> = chart.frame.legend.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!((legend[0], legend[3]), ("towers (groups), one machine", "towers (groups), 10 Gbit/s"));
    assert_eq!((legend[4], legend[8]), ("images apart, one machine", "as many times as ranks"));
}

#[test]
fn one_rank_is_compared_with_where_there_is_one() {
    let records = shared();
    let chart = |keep: fn(&Record) -> bool| {
        let kept: Vec<Record> = records.iter().filter(|record| keep(record)).cloned().collect();
        select::shared(&kept).first().and_then(ranks::ranks)
    };
    assert!(chart(|record| record.ranks != Some(1)).is_none());
    assert!(chart(|record| record.ranks == Some(1)).is_none(), "one number of ranks is no comparison");
    let chart = chart(|record| record.ranks != Some(1) || record.link_gbit_s.is_none()).unwrap();
    let lines = chart.groups[0][0].series.iter().filter(|series| !series.marked);
    assert_eq!(lines.count(), 1 + 8, "one rank has nobody to reach, so it stands for every link");
    let unmeasured: Vec<Record> =
        records.into_iter().map(|r| Record { median_ns: r.median_ns.filter(|_| r.ranks > Some(1)), ..r }).collect();
    let chart = ranks::ranks(&select::shared(&unmeasured)[0]).unwrap();
    let points: Vec<_> = chart.groups[0][0].series.iter().filter(|s| s.marked).flat_map(|s| &s.points).collect();
    let two = 1.0 / (0.5 + 0.02 * 0.2 / 6.0) / 1.25;
    assert!(points.len() == 2 && (points[0].1 - two).abs() < 1e-12, "over the predicted time of one rank: {points:?}");
}

#[test]
fn layers_and_algorithms_stand_as_in_the_records() {
    let record = |name: &str, algorithm: &str| Record {
        name: name.into(),
        algorithm: Some(algorithm.into()),
        median_ns: Some(1e6),
        ..blank(Kind::Conv, 1)
    };
    let records = [
        record("net/stem", "fft/t8"),
        record("net/stem", "direct/nhwc"),
        record("net/a2", "fft/t16"),
        record("net/a10", "fft/t14"),
        record("net/a1", "auto"),
    ];
    let chart = content::throughput(&select::groups(&records, Kind::Conv)[0]);
    let names: Vec<&str> = chart.groups[0].iter().map(|panel| panel.name.as_str()).collect();
    assert_eq!(names, ["net/stem", "net/a2", "net/a10", "net/a1"]);
    assert_eq!(chart.rows, ["direct/nhwc", "fft/t8", "fft/t16", "fft/t14", "auto"]);
}

#[test]
fn the_fastest_is_always_named() {
    // Between rows of others: slower ones beside and below it, disturbed ones above.
    let row = |rate: f64, disturbed: bool| {
        (0..30).map(move |i| Record {
            name: "net/crowd".into(),
            algorithm: Some(format!("winograd/a-long-name-{rate}-{i}")),
            gflops_effective: Some(rate),
            median_ns: Some(1e8 / rate),
            scratch_bytes: Some(1500 << (i / 2)),
            disturbed: disturbed.then(|| "a neighbour".into()),
            ..blank(Kind::Conv, 1)
        })
    };
    let fastest = Record { scratch_bytes: Some(1 << 17), ..row(100.0, false).next().unwrap() };
    let rows = [(93.0, false), (99.0, false), (107.0, true), (113.0, true)];
    let crowd: Vec<Record> =
        rows.into_iter().flat_map(|(rate, disturbed)| row(rate, disturbed)).chain([fastest]).collect();
    let (name, picture) = pictures(&crowd).into_iter().find(|(name, _)| name.starts_with("price")).unwrap();
    assert_tidy(&name, &picture);
    assert!(boxes(&picture).iter().any(|(_, text)| text == "winograd/a-long-name-100-0"));
}

#[test]
fn zero_is_drawn_as_zero() {
    let record = |algorithm: &str, scratch| Record {
        name: "paper/conv2".into(),
        algorithm: Some(algorithm.into()),
        median_ns: Some(4e6),
        scratch_bytes: Some(scratch),
        prepared_bytes: Some(0),
        ..blank(Kind::Conv, 1)
    };
    let records = [record("direct/nhwc", 0), record("im2col/faer", 7_000_000)];
    let groups = select::groups(&records, Kind::Conv);
    let chart = content::memory(&groups[0]);
    let panel = &chart.groups[0][0];
    let bar = |row: usize| panel.bars[row].clone().unwrap();
    assert_eq!((chart.scale.at(bar(0).value()), bar(0).label.as_str()), (0.0, "0"));
    assert_eq!((chart.scale.at(bar(1).value()), bar(1).label.as_str()), (1.0, "6.68 MiB"));
}

#[test]
fn what_was_disturbed_is_marked_and_emphasised_nowhere() {
    let mut records = invented();
    let marked = |records: &[Record]| {
        let told = |(name, picture): &(String, Picture)| {
            let marked = boxes(picture).iter().filter(|(_, text)| text.ends_with(" ~")).count();
            (name.clone(), marked, picture.description.contains("Marked by ~, and points hollow"))
        };
        pictures(records).iter().map(told).collect::<Vec<_>>()
    };
    assert!(marked(&records).iter().all(|(_, marked, explained)| *marked == 0 && !explained));
    let of_family = |record: &Record, family: &str| record.algorithm.as_deref().unwrap().starts_with(family);
    for record in records.iter_mut().filter(|record| of_family(record, "winograd") || of_family(record, "fft/t")) {
        record.disturbed = Some("a neighbour".into());
    }
    for (name, marked, explained) in marked(&records) {
        // A crossover has no values beside its points; memory is none of the machine's.
        assert_eq!(marked > 0, !name.starts_with("crossover") && !name.starts_with("memory"), "{name}");
        assert_eq!(explained, !name.starts_with("memory"), "{name}");
    }
    for (name, picture) in pictures(&records) {
        assert_tidy(&name, &picture);
    }

    let group = &select::groups(&records, Kind::Conv)[0];
    let price = price::price(group).unwrap();
    let hollow = |chart: &points::PointChart| {
        let series = chart.groups.iter().flatten().flat_map(|panel| &panel.series);
        series.map(|series| series.hollow.len()).sum::<usize>()
    };
    let disturbed = group.records.iter().filter(|record| record.disturbed.is_some()).count();
    assert_eq!(hollow(&price), disturbed);
    assert!(hollow(&crossover::crossover(group).unwrap()) > 0);
}

#[test]
fn bold_is_what_was_not_disturbed() {
    let record = |algorithm: &str, rate: f64, disturbed: bool| Record {
        name: "paper/conv2".into(),
        algorithm: Some(algorithm.into()),
        gflops_effective: Some(rate),
        median_ns: Some(1e8 / rate),
        disturbed: disturbed.then(|| "a neighbour".into()),
        ..blank(Kind::Conv, 1)
    };
    let bold = |f2x3_too: bool| {
        let records = [
            record("direct/nhwc", 100.0, false),
            record("winograd/f2x3", 150.0, f2x3_too),
            record("winograd/f4x3", 200.0, true),
        ];
        let group = &select::groups(&records, Kind::Conv)[0];
        [content::throughput(group), content::phases(group)]
            .map(|chart| chart.groups[0][0].bars.iter().flatten().map(|bar| bar.emphasised).collect::<Vec<_>>())
    };
    assert_eq!(bold(false), [[false, true, false]; 2]);
    assert_eq!(bold(true), [[false, false, true]; 2]);
}

#[test]
fn svg_and_png_are_written_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let records = folder.path().join("records.jsonl");
    let lines = invented().iter().map(|record| serde_json::to_string(record).unwrap() + "\n").collect::<String>();
    fs::write(&records, lines).unwrap();
    let out = folder.path().join("new/folder");
    let files = charts(&record::read(&records).unwrap(), &records, &out).unwrap();
    assert_eq!((files.len(), fs::read_dir(&out).unwrap().count()), (24, 24), "nothing else is left in the folder");
    for file in files {
        let bytes = fs::read(&file).unwrap();
        if file.extension().unwrap() == "svg" {
            let svg = String::from_utf8(bytes).unwrap();
            assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>") && svg.contains("sans-serif"));
        } else {
            let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
            let mut pixels = vec![255; reader.output_buffer_size().unwrap()];
            reader.next_frame(&mut pixels).unwrap();
            assert!(pixels.iter().any(|value| *value != 255));
        }
    }
}

#[test]
fn bad_records_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records.jsonl");
    let good = pass("paper", "direct", 1, 0);
    let message = |records: &[Record]| charts(records, &path, folder.path()).unwrap_err().to_string();
    assert!(message(&[]).contains("records.jsonl: no measurements"));
    let negative = Record { median_ns: Some(-1.0), ..good.clone() };
    assert!(message(&[negative]).contains("records.jsonl: 'paper' by direct has a median_ns of -1"));
    let named = Record { name: "\u{1b}[2J".repeat(10_000), median_ns: Some(-1.0), ..good.clone() };
    let shown = message(&[named]);
    assert!(shown.len() < 300 && !shown.contains('\u{1b}'), "{shown}");
    let too_large = |records: &[Record]| matches!(draw(records, &path), Err(PlotError::TooLarge { .. }));
    let many = (0..40_000).map(|i| Record { name: format!("network {i}"), ..good.clone() });
    assert!(too_large(&many.collect::<Vec<_>>()));
    // A legend of as many lines.
    let layer = |i: usize| LayerTime { name: format!("conv {i}"), algorithm: Some("a".into()), ..LayerTime::default() };
    assert!(too_large(&[Record { layers: (0..30_000).map(layer).collect(), ..good.clone() }]));
    fs::write(&path, "").unwrap();
    assert!(matches!(charts(&[good], &path, &path), Err(PlotError::Write { .. })));
}

#[test]
fn charts_of_odd_figures_end() {
    let conv = |rate, bandwidth| Record {
        name: "paper/conv1".into(),
        problem: Some("mb1ic16ih13oc32kh3ph1".into()),
        algorithm: Some("direct/nhwc".into()),
        median_ns: Some(1e6),
        gflops_effective: Some(rate),
        executed_flops: Some(1e8),
        bandwidth_gb_s: Some(bandwidth),
        scratch_bytes: Some(usize::MAX >> 15),
        prepared_bytes: Some(usize::MAX >> 15),
        ..blank(Kind::Conv, 1)
    };
    let quick = Record { median_ns: Some(5e-318), layers: Vec::new(), ..pass("paper", "direct", 1, 0) };
    let odd = [
        Record { peak_gflops: None, ..conv(5e-324, 30.0) },
        Record { peak_gflops: Some(5e-324), ..conv(1.0, 30.0) },
        conv(1.0, 1e-307),
        conv(1.0, f64::INFINITY),
        conv(0.0, 0.0),
        quick,
    ];
    for record in odd {
        for (name, picture) in pictures(&[record]) {
            assert_tidy(&name, &picture);
            picture.svg().unwrap();
        }
    }
}

#[test]
fn no_text_of_an_svg_obeys_or_is_obeyed() {
    let records = [Record { name: "a\u{1b}[2J\u{0}<b>&\u{ffff}\n".into(), ..pass("paper", "di\u{7}rect", 1, 0) }];
    for (name, picture) in pictures(&records) {
        let svg = picture.svg().unwrap();
        let odd = |c: char| c != '\n' && c.is_control() || c == '\u{ffff}';
        assert!(!svg.contains(odd) && svg.contains("&lt;b&gt;&amp;"), "{name}: {svg}");
    }
}

#[test]
fn charts_of_processors_that_are_called_alike_are_files_of_their_own() {
    let of = |cpu: &str| Record { cpu: cpu.into(), ..pass("paper", "direct", 1, 0) };
    let records = [of("A(R) B"), of("A-R B"), of("A R B"), of("newest")];
    let names: Vec<_> = pictures(&records).into_iter().map(|(name, _)| name).collect();
    let expected = ["", "-a-r-b", "-a-r-b-2", "-a-r-b-3"].map(|end| format!("forward-b1-t1{end}"));
    assert_eq!(names.into_iter().collect::<std::collections::BTreeSet<_>>(), expected.into());
}
