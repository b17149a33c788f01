//! The commands that make such records again, as far as records tell them.

use std::collections::{BTreeMap, BTreeSet};

use super::escape::{escape, quote};
use crate::family::family;
use crate::record::{Cache, Clock, Kind, Model, Record};

/// So many problems are named on a command line; more of them go into a file.
const MOST_NAMED: usize = 6;

/// What one command measures: its name, instruction set, threads and batch.
type Run<'a> = (&'static str, &'a str, usize, usize);

/// The commands, and the problems of their files.
pub(super) fn again(records: &[Record]) -> String {
    let mut runs: BTreeMap<Run<'_>, Vec<&Record>> = BTreeMap::new();
    for record in records {
        if let Some(command) = command(record) {
            let run = (command, record.isa.as_str(), record.threads, record.batch.unwrap_or(1));
            runs.entry(run).or_default().push(record);
        }
    }
    let commits: BTreeSet<&str> = records.iter().map(|record| record.commit.trim_end_matches("-dirty")).collect();
    let mut lines: Vec<String> = vec![
        format!("git checkout {}", commits.into_iter().map(quote).collect::<Vec<_>>().join("  # or ")),
        "cargo build --release".into(),
    ];
    let mut files: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for (run, members) in &runs {
        lines.push(line(run, members, &mut files));
    }
    if records.iter().any(|record| record.clock == Some(Clock::Peers)) {
        lines.push("scripts/peers/setup && scripts/peers/run --out results/again".into());
    }
    lines.push("convlab report results/again -o report.html".into());
    let commands = lines.iter().map(|line| escape(line)).collect::<Vec<_>>().join("\n");
    let mut html = format!("<pre tabindex=\"0\"><code>{commands}</code></pre>\n");
    for (name, problems) in files {
        let (count, problems) = (problems.len(), problems.into_iter().map(escape).collect::<Vec<_>>().join("\n"));
        html += &format!(
            "<details>\n<summary><code>{name}</code>, {count} problems</summary>\n<pre tabindex=\"0\"><code>{problems}</code></pre>\n\
             </details>\n"
        );
    }
    html
}

fn command(record: &Record) -> Option<&'static str> {
    match record.kind {
        Kind::Check => Some("check"),
        Kind::Tune => Some("tune"),
        Kind::Conv if record.cache == Some(Cache::Network) => Some("tune"),
        Kind::Conv | Kind::Forward if record.clock == Some(Clock::Convlab) => Some("bench"),
        _ => None,
    }
}

fn line<'a>(
    (command, isa, threads, batch): &Run<'_>,
    members: &[&'a Record],
    files: &mut BTreeMap<String, BTreeSet<&'a str>>,
) -> String {
    let mut line = format!("convlab {command} {}", problems(members, files));
    line += &format!(" --isa {} --batch {batch}", quote(isa));
    if *command != "check" {
        line += &format!(" --threads {threads}");
    }
    let mut families: Vec<&str> = algorithms(members).map(family).collect();
    families.sort_unstable();
    families.dedup();
    if *command == "bench" && !crate::FAMILIES.iter().all(|name| families.contains(name)) {
        families.retain(|name| crate::FAMILIES.contains(name));
        line += &format!(" --algorithm {}", families.join(","));
    }
    let data: BTreeSet<String> = members.iter().filter_map(|record| Some(format!("{:?}", record.data?))).collect();
    if !data.is_empty() {
        line += &format!(" --data {}", data.into_iter().collect::<Vec<_>>().join(",").to_lowercase());
    }
    let timed = members.iter().filter(|record| record.model == Some(Model::Run));
    let quick =
        timed.clone().count() > 0 && timed.clone().all(|r| r.cache == Some(Cache::Warm) && r.samples <= Some(11));
    if *command == "bench" && quick {
        line += " --quick";
    }
    line + if *command == "tune" { " --records results/again" } else { " --out results/again" }
}

fn algorithms<'a>(members: &[&'a Record]) -> impl Iterator<Item = &'a str> {
    members.iter().filter_map(|record| record.algorithm.as_deref())
}

/// Networks of which passes were measured by their names, other problems by their descriptors, in a file if they are many.
fn problems<'a>(members: &[&'a Record], files: &mut BTreeMap<String, BTreeSet<&'a str>>) -> String {
    let mut words: BTreeSet<&str> =
        members.iter().filter(|r| r.kind != Kind::Conv && r.problem.is_none()).map(|r| r.name.as_str()).collect();
    let of_network = |name: &str| name.split_once('/').is_some_and(|(network, _)| words.contains(network));
    let alone: BTreeSet<&str> =
        members.iter().filter(|r| !of_network(&r.name)).filter_map(|r| r.problem.as_deref()).collect();
    if alone.len() <= MOST_NAMED {
        words.extend(alone);
        return words.into_iter().map(quote).collect::<Vec<_>>().join(" ");
    }
    let known = files.iter().find(|(_, problems)| **problems == alone).map(|(name, _)| name.clone());
    let file = known.unwrap_or_else(|| format!("problems-{}.txt", files.len() + 1));
    files.insert(file.clone(), alone);
    words.into_iter().map(quote).chain([file]).collect::<Vec<_>>().join(" ")
}
