//! Why one method was chosen, against the others.

use conv_core::format_bytes;
use conv_report::narrow;
use conv_tune::{Limits, Trial, Tuned};

const HEADER: [&str; 9] =
    ["  method", "ms", "+-", "warm ms", "model ms", "scratch", "prepared", "max error", "verdict"];

/// A table of everything measured, and what was not.
pub fn explain(tuned: &Tuned, choice: &Trial, limits: &Limits) -> String {
    let ms = |ns: f64| if ns.is_nan() { String::new() } else { format!("{:.3}", ns / 1e6) };
    let row = |trial: &Trial| {
        vec![
            format!("  {}", trial.method),
            ms(trial.network.median()),
            ms(trial.network.mad()),
            ms(trial.warm.median()),
            ms(trial.estimate_ns.unwrap_or(f64::NAN)),
            format_bytes(trial.footprint.scratch_bytes as f64),
            format_bytes(trial.footprint.prepared_bytes as f64),
            format!("{:.1e}", trial.error),
            verdict(tuned, trial, choice, limits),
        ]
    };
    let rows: Vec<Vec<String>> = tuned.trials.iter().map(row).collect();
    let mut text = format!("{}  {}\n\n{}\n", tuned.problem.label(), tuned.problem, narrow(&HEADER, &rows));
    for (why, count) in &tuned.left_out {
        text += &format!("\n  {count} methods not measured: {why}");
    }
    text
}

fn verdict(tuned: &Tuned, trial: &Trial, choice: &Trial, limits: &Limits) -> String {
    let mut words = Vec::new();
    if trial.method == choice.method {
        words.push("chosen".into());
    } else if trial.error > limits.error {
        words.push(format!("error above {:e}", limits.error));
    } else if limits.workspace_bytes.is_some_and(|limit| trial.footprint.scratch_bytes > limit) {
        words.push("too much scratch".into());
    } else if !trial.finalist {
        words.push("dropped after a first look".into());
    } else {
        let ratio = trial.network.median() / choice.network.median();
        let noise = choice.network.mad() + trial.network.mad();
        let within = (trial.network.median() - choice.network.median()).abs() <= noise;
        words.push(if within { "as fast, needs no less memory".into() } else { format!("{ratio:.2} times the time") });
    }
    if trial.method == tuned.model {
        words.push("the cost model's choice".into());
    }
    words.join("; ")
}
