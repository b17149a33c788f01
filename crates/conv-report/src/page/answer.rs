//! The answer in sentences: for each layer and each pass what to run, how much faster that is, what it costs, how sure it is.

use conv_core::{format_bytes, format_value};

use super::compare::{Comparison, Comparisons, Standing, Sureness, comparisons, is_peer, standings};
use super::escape::{escape, quote};
use super::grid::grid;
use crate::plot::shape;
use crate::ranking::time;
use crate::record::{Clock, Kind, Record};
use crate::tables::Table;

/// So many layers are answered by a sentence each; more of them by a table.
const MOST_SENTENCES: usize = 24;

/// The whole section; a part for each setting, of which the first is open.
pub(super) fn answer(records: &[Record]) -> String {
    let all = comparisons(records);
    let mut html = String::from("<section id=\"answer\">\n<h2>The answer</h2>\n");
    if all.is_empty() {
        html += "<p>Nothing was timed in these records.</p>\n";
    }
    for (i, part) in all.iter().enumerate() {
        let title = escape(&title(part));
        if i == 0 {
            html += &format!("<h3>{title}</h3>\n{}", body(part));
        } else {
            let (headline, body) = (escape(&headline(part)), body(part));
            html += &format!("<details>\n<summary><b>{title}</b>: {headline}</summary>\n{body}</details>\n");
        }
    }
    let judged_by = if all.iter().flat_map(|part| part.layers.iter().chain(&part.passes)).any(has_interval) {
        "the intervals in which their medians lie with 95% confidence overlap; records without intervals are held against each \
         other by their scatter, the MAD"
    } else {
        "their medians differ by less than their samples scatter, the sum of both MADs: these records hold no intervals"
    };
    html += &format!(
        "<p class=\"note\">Times are medians of one run of the whole batch. Memory is scratch and prepared weights together, what \
         a method needs beside input, output and the weights as given. An error is the largest distance from the exact result \
         over its largest magnitude. Two methods are undecided where {judged_by}.</p>\n</section>\n"
    );
    html
}

fn has_interval(comparison: &Comparison<'_>) -> bool {
    comparison.methods.iter().any(|record| record.interval_ns.is_some())
}

fn title(part: &Comparisons<'_>) -> String {
    let caches = if part.network { ", as in a network" } else { "" };
    let clock = part.clock.timed_by().map_or(String::new(), |by| format!(", {by}"));
    format!("{}{caches}{clock}", part.setting.words())
}

fn body(part: &Comparisons<'_>) -> String {
    let mut html = String::new();
    if !part.passes.is_empty() {
        let passes = part.passes.iter().map(|pass| format!("<li>{}</li>\n", pass_sentence(pass, part)));
        html += &format!("<ul class=\"answers\">\n{}</ul>\n", passes.collect::<String>());
    }
    if part.layers.len() > 1 {
        let summary = summary(part).into_iter();
        let items = summary.map(|(name, text)| format!("<li><b>{}</b> {}.</li>\n", escape(&name), escape(&text)));
        let items = items.chain(sums(&part.layers)).collect::<String>();
        html += &format!("<ul class=\"answers\">\n{items}</ul>\n");
    }
    if part.layers.len() > MOST_SENTENCES {
        html += &grid(&table(&part.layers));
    } else if !part.layers.is_empty() {
        let layers = part.layers.iter().map(|layer| format!("<li>{}</li>\n", layer_sentence(layer)));
        html += &format!("<ul class=\"answers\">\n{}</ul>\n", layers.collect::<String>());
    }
    html
}

/// For each family of how many layers it is the fastest, and its mean; then what is not sure. Each begins with a name.
fn summary(part: &Comparisons<'_>) -> Vec<(String, String)> {
    let count = part.layers.len();
    let of_family = |Standing { family, wins, against_direct }: Standing<'_>| {
        let wins = if wins == 0 { "of none".into() } else { format!("of {wins} of {}", layers(count)) };
        let mean = against_direct.map_or(String::new(), |(computed, mean)| {
            let over = if computed == count { String::new() } else { format!(" over {}", layers(computed)) };
            format!("; in the geometric mean{over} {} times as fast as direct", format_value(mean))
        });
        (family.to_owned(), format!("is the fastest {wins}{mean}"))
    };
    let mut standings = standings(&part.layers);
    standings.sort_by_key(|standing| std::cmp::Reverse(standing.wins));
    let mut texts: Vec<(String, String)> = standings.into_iter().map(of_family).collect();
    texts.extend(doubts(part).map(|doubts| ("Undecided or disturbed".into(), format!("are {doubts}"))));
    texts
}

/// `8 of 22 layers`, if any is undecided or disturbed.
fn doubts(part: &Comparisons<'_>) -> Option<String> {
    let in_doubt = |layer: &&Comparison<'_>| !matches!(layer.sureness(), Sureness::Sure | Sureness::Alone);
    let number = part.layers.iter().filter(in_doubt).count();
    (number > 0).then(|| format!("{number} of {}", layers(part.layers.len())))
}

/// What a closed part says: who wins, what passes take, what is in doubt.
fn headline(part: &Comparisons<'_>) -> String {
    let mut standings = standings(&part.layers);
    standings.sort_by_key(|standing| std::cmp::Reverse(standing.wins));
    let winners = standings.iter().filter(|standing| standing.wins > 0);
    let winners: Vec<String> =
        winners.map(|Standing { family, wins, .. }| format!("{family} is the fastest of {wins}")).collect();
    let of = if winners.is_empty() { String::new() } else { format!(" of {}", layers(part.layers.len())) };
    let doubts = doubts(part).map(|doubts| format!("{doubts} undecided or disturbed"));
    let winners = Some(winners.join(", ") + &of).filter(|text| !text.is_empty());
    winners.into_iter().chain(doubts).chain(passes_summary(part)).collect::<Vec<_>>().join("; ")
}

fn passes_summary(part: &Comparisons<'_>) -> Vec<String> {
    let own = part.passes.iter().filter_map(|pass| Some((pass.name, own_best(pass)?)));
    let sentence = |(name, best): (&str, &Record)| {
        let doubt = if best.disturbed.is_some() { ", disturbed" } else { "" };
        format!("{name} takes {} ms by {}{doubt}", ms(time(best)), method(best))
    };
    own.map(sentence).collect()
}

fn layers(count: usize) -> String {
    format!("{count} layer{}", if count == 1 { "" } else { "s" })
}

fn layer_sentence(layer: &Comparison<'_>) -> String {
    let best = layer.best();
    let shape = best.problem.as_deref().map_or(String::new(), |problem| format!(" ({})", escape(&shape(problem))));
    let costs = [gain(layer, best), cost(best)].into_iter().flatten().map(|part| format!(", {part}"));
    format!(
        "<b>{}</b>{shape}: <b>{}</b> takes {} ms{}. {}",
        escape(layer.name),
        escape(&method(best)),
        ms(time(best)),
        costs.collect::<String>(),
        certainty(layer)
    )
}

/// `<b>2.77 times as fast as direct</b>`.
fn gain(comparison: &Comparison<'_>, best: &Record) -> Option<String> {
    let times = comparison.times_direct(best)?;
    Some(format!("<b>{} times as fast as direct</b>", format_value(times)))
}

/// `with 1.93 MiB of memory, at an error of 2.5e-6`.
fn cost(record: &Record) -> Option<String> {
    let memory = memory(record).map(|bytes| format!("with {bytes} of memory"));
    let error = record.max_rel_error.map(|error| format!("at an error of {error:.1e}"));
    let parts: Vec<String> = memory.into_iter().chain(error).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn memory(record: &Record) -> Option<String> {
    let bytes = record.scratch_bytes?.saturating_add(record.prepared_bytes?);
    Some(if bytes == 0 { "0 bytes".into() } else { format_bytes(bytes as f64) })
}

/// Whether the first is the first, with the one that it is held against.
fn certainty(comparison: &Comparison<'_>) -> String {
    let against = |other: &Record| {
        let longer = time(other) / time(comparison.best());
        format!("{}, {} ms, {longer:.2} times as long", escape(&method(other)), ms(time(other)))
    };
    match (comparison.sureness(), comparison.next()) {
        (Sureness::Disturbed(what), _) => format!("<strong class=\"doubt\">Disturbed</strong>: {}.", escape(what)),
        (Sureness::Undecided(rivals), _) => {
            let more = if rivals.len() > 1 { format!(" (and {} more)", rivals.len() - 1) } else { String::new() };
            format!("<strong class=\"doubt\">Undecided</strong> against {}{more}.", against(rivals[0]))
        }
        (Sureness::Sure, Some(next)) => format!("Sure; the next: {}.", against(next)),
        (Sureness::Alone | Sureness::Sure, _) => "Nothing else was measured.".into(),
    }
}

/// Of each network with several layers their sum, each by its fastest method.
fn sums(all: &[Comparison<'_>]) -> Vec<String> {
    let mut networks: Vec<(&str, Vec<&Comparison<'_>>)> = Vec::new();
    for layer in all {
        let Some((network, _)) = layer.name.split_once('/') else { continue };
        match networks.iter_mut().find(|(known, _)| *known == network) {
            Some((_, members)) => members.push(layer),
            None => networks.push((network, vec![layer])),
        }
    }
    networks.retain(|(_, members)| members.len() > 1);
    let sentence = |(network, members): (&str, Vec<&Comparison<'_>>)| {
        let best: f64 = members.iter().map(|layer| time(layer.best())).sum();
        let direct = members.iter().map(|layer| layer.of_family("direct").map(time)).sum::<Option<f64>>();
        let direct = direct.map_or(String::new(), |direct| {
            format!("; by direct {} ms, {} times as long", ms(direct), format_value(direct / best))
        });
        let count = layers(members.len());
        let disturbed = members.iter().filter(|layer| matches!(layer.sureness(), Sureness::Disturbed(_))).count();
        let doubt = if disturbed > 0 { format!(" Disturbed: {disturbed} of them.") } else { String::new() };
        format!(
            "<li><b>{}</b>: its {count} take {} ms together, each by its fastest{direct}.{doubt}</li>\n",
            escape(network),
            ms(best)
        )
    };
    networks.into_iter().map(sentence).collect()
}

/// The fastest that is no other inference engine's.
fn own_best<'a>(pass: &Comparison<'a>) -> Option<&'a Record> {
    pass.methods.iter().find(|record| !is_peer(record)).copied()
}

fn pass_sentence(pass: &Comparison<'_>, part: &Comparisons<'_>) -> String {
    let name = escape(pass.name);
    let Some(best) = own_best(pass) else { return format!("<b>{name}</b>: no pass of convlab's own was measured.") };
    let details = [gain(pass, best), cost(best)].into_iter().flatten().map(|part| format!(", {part}"));
    let mut html = format!(
        "<b>{name}</b>, a whole pass: <b>{}</b> takes {} ms{}. ",
        escape(&method(best)),
        ms(time(best)),
        details.collect::<String>()
    );
    if part.clock == Clock::Peers {
        html += &beside_engines(pass, best);
    } else {
        html += &certainty(pass);
    }
    html + &format!(" <code>{}</code>", escape(&forward_command(best)))
}

/// Against the fastest engine in f32 and in bf16.
fn beside_engines(pass: &Comparison<'_>, own: &Record) -> String {
    let sentence = |family: &str| {
        let engine = pass.of_family(family)?;
        let times = format_value(time(engine) / time(own));
        Some(format!("The fastest by {}: {} ms, {times} times as long.", escape(&method(engine)), ms(time(engine))))
    };
    ["peer", "peer-bf16"].into_iter().filter_map(sentence).collect::<Vec<_>>().join(" ")
}

/// What runs this pass again.
fn forward_command(record: &Record) -> String {
    let network = if record.name.ends_with(".onnx") { "--model" } else { "--network" };
    let chosen = record.algorithm.as_deref().unwrap_or_default();
    let chooser = match chosen {
        "tuned" => "--plan plan.toml".into(),
        chosen => format!("--algorithm {}", quote(chosen)),
    };
    format!(
        "convlab forward {network} {} {chooser} --batch {} --threads {} --isa {}",
        quote(&record.name),
        record.batch.unwrap_or(1),
        record.threads,
        quote(&record.isa)
    )
}

/// What sentences say of each layer, where there are too many of them.
fn table(all: &[Comparison<'_>]) -> Table {
    let header = ["layer", "shape", "fastest", "ms", "x direct", "memory", "max error", "sure", "next", "x its time"];
    let row = |layer: &Comparison<'_>| {
        let best = layer.best();
        let next = layer.next();
        let sure = match layer.sureness() {
            Sureness::Alone => "alone".into(),
            Sureness::Sure => "sure".into(),
            Sureness::Undecided(_) => "undecided".into(),
            Sureness::Disturbed(what) => format!("disturbed: {what}"),
        };
        vec![
            layer.name.to_owned(),
            best.problem.as_deref().map_or(String::new(), shape),
            method(best),
            ms(time(best)),
            layer.times_direct(best).map_or(String::new(), |times| format!("{times:.2}")),
            memory(best).unwrap_or_default(),
            best.max_rel_error.map_or(String::new(), |error| format!("{error:.1e}")),
            sure,
            next.map_or(String::new(), method),
            next.map_or(String::new(), |next| format!("{:.2}", time(next) / time(best))),
        ]
    };
    Table {
        caption: "The fastest of each layer".into(),
        header: header.map(Into::into).into(),
        rows: all.iter().map(row).collect(),
        notes: Vec::new(),
    }
}

/// `winograd/f4x3 chunk_blocks=2`.
fn method(record: &Record) -> String {
    let algorithm = record.algorithm.clone().unwrap_or_default();
    let parameters = record.parameters.as_ref().filter(|_| record.kind == Kind::Conv);
    parameters.map_or(algorithm.clone(), |parameters| format!("{algorithm} {parameters}"))
}

fn ms(nanoseconds: f64) -> String {
    let ms = nanoseconds * 1e-6;
    if ms < 100.0 { format!("{ms:.3}") } else { format!("{ms:.1}") }
}
