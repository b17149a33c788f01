//! The sections of charts, under each the tables that hold its figures.

use std::collections::BTreeMap;

use super::escape::escape;
use super::figure::figure;
use super::grid::grid;
use super::setting::{Setting, newest_cpu};
use crate::plot::{Chart, Subject, all};
use crate::record::{Clock, Kind, Record};
use crate::tables::{Query, Topic, tables};

/// A section as HTML.
pub(super) struct Section {
    pub id: &'static str,
    pub title: &'static str,
    pub html: String,
}

/// A section's anchor and title, what its charts are about, and which records its tables are of.
struct Plan {
    id: &'static str,
    title: &'static str,
    subject: Subject,
    kind: Kind,
    topics: &'static [Topic],
}

const fn plan(id: &'static str, title: &'static str, subject: Subject, kind: Kind, topics: &'static [Topic]) -> Plan {
    Plan { id, title, subject, kind, topics }
}

/// In the order in which they are read.
const CHARTED: [Plan; 8] = [
    plan("throughput", "Throughput", Subject::Throughput, Kind::Conv, &[Topic::Summary, Topic::Speedup]),
    plan("memory", "Memory", Subject::Memory, Kind::Conv, &[Topic::Memory]),
    plan("passes", "Whole passes", Subject::Forward, Kind::Forward, &[Topic::Passes]),
    plan("price", "What speed costs in memory", Subject::Price, Kind::Conv, &[Topic::Families]),
    plan("crossover", "Speed by size of the filter", Subject::Crossover, Kind::Conv, &[Topic::Speedup]),
    plan("phases", "Where the time goes", Subject::Phases, Kind::Conv, &[Topic::Phases]),
    plan("roofline", "Beneath the roofs", Subject::Roofline, Kind::Conv, &[Topic::Roofline]),
    plan("workspace", "Limits of the workspace", Subject::Workspace, Kind::Tune, &[]),
];

/// Its tables have a row for each setting, so they stand together below the charts.
const PEERS: Plan = plan("peers", "Beside other engines", Subject::Forward, Kind::Forward, &[]);

/// Sections without a chart, of all settings together.
const TABLES: [(&str, &str, &[Topic]); 3] = [
    ("isa", "Instruction sets", &[Topic::Isa]),
    ("errors", "Errors", &[Topic::Errors]),
    ("tuning", "Tuned choices", &[Topic::Choices, Topic::Regret]),
];

/// Every section that `records` have something for. Their values have been checked.
pub(super) fn sections(records: &[Record]) -> Vec<Section> {
    let newest = newest_cpu(records);
    let (peers, own): (Vec<Record>, Vec<Record>) =
        records.iter().cloned().partition(|record| record.clock == Some(Clock::Peers));
    let mut charts = all(&own);
    let charted: Vec<Section> =
        CHARTED.iter().filter_map(|plan| charted(plan, &own, drain(&mut charts, plan.subject), newest)).collect();
    let shared = shared(&own, &drain(&mut charts, Subject::Scale));
    let beside = charted_of_peers(&peers, newest);
    let alone = TABLES.into_iter().filter_map(|(id, title, topics)| {
        let html: String = topics.iter().flat_map(|&topic| made(&own, topic)).collect();
        (!html.is_empty()).then_some(Section { id, title, html })
    });
    charted.into_iter().chain(shared).chain(beside).chain(alone).collect()
}

fn charted_of_peers(peers: &[Record], newest: &str) -> Option<Section> {
    let mut section = charted(&PEERS, peers, all(peers), newest)?;
    section.html.extend(made(peers, Topic::Peers));
    Some(section)
}

/// Passes that ranks share: each chart is of every number of threads, and so are the tables below them.
fn shared(records: &[Record], charts: &[Chart<'_>]) -> Option<Section> {
    let figures = (1..).zip(charts).map(|(i, chart)| figure(&chart.picture, &format!("scale-{i}")));
    let html: String = figures.chain(made(records, Topic::Scale)).collect();
    (!html.is_empty()).then_some(Section { id: "scale", title: "Shared by ranks", html })
}

fn drain<'a>(charts: &mut Vec<Chart<'a>>, subject: Subject) -> Vec<Chart<'a>> {
    charts.extract_if(.., |chart| chart.subject == subject).collect()
}

/// A part for each setting, of which the first is open.
fn charted(plan: &Plan, records: &[Record], charts: Vec<Chart<'_>>, newest: &str) -> Option<Section> {
    let mut parts: BTreeMap<Setting<'_>, Vec<Chart<'_>>> = BTreeMap::new();
    for chart in charts {
        parts.entry(Setting::of_chart(&chart, newest)).or_default().push(chart);
    }
    let mut html = String::new();
    let mut count = 0;
    for (setting, charts) in &parts {
        let mut body = String::new();
        for chart in charts {
            count += 1;
            body += &figure(&chart.picture, &format!("{}-{count}", plan.id));
        }
        // What machines are is of no batch.
        let belongs = |record: &&Record| {
            record.kind == Kind::Machine || record.kind == plan.kind && setting.holds(record) //
        };
        let of_setting: Vec<Record> = records.iter().filter(belongs).cloned().collect();
        body.extend(plan.topics.iter().flat_map(|&topic| made(&of_setting, topic)));
        let title = escape(&setting.words());
        html += &if html.is_empty() {
            format!("<h3>{title}</h3>\n{body}")
        } else {
            format!("<details>\n<summary><b>{title}</b></summary>\n{body}</details>\n")
        };
    }
    (!html.is_empty()).then_some(Section { id: plan.id, title: plan.title, html })
}

/// The tables of a topic, as HTML; in a summary every variant, as in the chart above it.
fn made(records: &[Record], topic: Topic) -> Vec<String> {
    let query = Query { every_variant: true, ..Query::default() };
    tables(records, topic, &query).iter().map(grid).collect()
}
