//! What `convlab forward` tells.

use std::path::PathBuf;

use conv_core::{format_bytes, format_value};
use conv_measure::memory::Counts;
use conv_measure::{Limits, Machine};
use conv_net::{Network, Shape};
use conv_report::narrow;
use conv_report::record::Record;
use conv_simd::AlignedBuffer;
use serde_json::{Value, json};

use super::args::Args;
use super::classes::Classes;
use crate::cli::CliError;
use crate::forward::TimedPass;
use crate::records;

/// What a run computed: an output in the order in which frameworks write.
pub(super) struct Output {
    pub name: String,
    pub shape: Shape,
    pub data: AlignedBuffer,
    /// Where it is to go.
    pub file: Option<PathBuf>,
}

/// What came of the images, whoever computed.
pub(super) struct Computed<'a> {
    pub names: &'a [String],
    /// Of the first output, if it is classes.
    pub classes: Option<&'a Classes>,
    pub outputs: &'a [Output],
}

impl Computed<'_> {
    /// The images with their scores, if the first output is classes.
    fn images(&self) -> Option<(&Classes, impl Iterator<Item = (&String, &[f32])>)> {
        let classes = self.classes?;
        Some((classes, self.names.iter().zip(classes.by_image(&self.outputs.first()?.data))))
    }

    /// As fields of `value`.
    pub(super) fn tell(&self, value: &mut Value) {
        value["images"] = match self.images() {
            Some((classes, images)) => images.map(|(name, scores)| classes.json(name, scores)).collect(),
            None => self.names.iter().map(|name| json!({ "name": name })).collect(),
        };
        let output = |output: &Output| {
            let file = output.file.as_ref().map(|path| path.display().to_string());
            json!({ "name": output.name, "shape": output.shape.sizes(), "file": file })
        };
        value["outputs"] = self.outputs.iter().map(output).collect();
    }

    /// As text, line by line.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some((classes, images)) = self.images() {
            for (name, scores) in images {
                lines.push(name.clone());
                lines.extend(classes.texts(scores).map(|text| format!("  {text}")));
            }
        }
        if self.outputs.len() > 1 || self.classes.is_none() {
            lines.extend(self.outputs.iter().map(|output| {
                let file = output.file.as_ref().map_or_else(String::new, |path| format!(" in {}", path.display()));
                format!("output {}: {}{file}", output.name, output.shape)
            }));
        }
        lines
    }
}

/// What is told at the end.
pub(super) struct Report<'a> {
    pub args: &'a Args,
    pub pass: TimedPass,
    /// `None` where there was no memory to measure them.
    pub limits: Option<Limits>,
    pub threads: usize,
    pub computed: Computed<'a>,
    pub peak_resident_bytes: Option<usize>,
    /// What making the pass allocated, and what one run of it.
    pub counts: Option<(Counts, Counts)>,
}

impl Report<'_> {
    /// A record of the pass, and beside it the images, memory and whatever else there is to tell.
    pub(super) fn json(&self) -> Result<Value, CliError> {
        let record = Record { threads: self.threads, ..records::origin(&Machine::detect()) };
        let record = self.pass.record(record, self.limits.as_ref());
        let mut value = serde_json::to_value(record).map_err(CliError::input)?;
        let memory = self.pass.pass().memory();
        for (layer, planned) in value["layers"].as_array_mut().into_iter().flatten().zip(&memory.layers) {
            let fallback = self.pass.fallbacks().iter().find(|(name, _)| planned.layers.contains(name));
            layer["prepared_bytes"] = json!(planned.prepared_bytes);
            layer["activation_bytes"] = json!(planned.activation_bytes);
            layer["fallback"] = json!(fallback.map(|(_, reason)| reason.to_string()));
        }
        self.computed.tell(&mut value);
        let file = self.args.model.as_ref().or(self.args.weights.as_ref()).map(|path| path.display().to_string());
        value["weights"] = json!(file.unwrap_or_else(|| format!("synthetic, seed {}", self.args.seed)));
        value["prepare_ns"] = json!(self.pass.prepared_in().as_nanos() as f64);
        value["total_bytes"] = json!(total_bytes(&self.pass));
        value["least_activation_bytes"] = json!(memory.least_activation_bytes);
        value["counted_bytes"] = json!(self.counts.map(|(kept, _)| kept.retained_bytes));
        value["allocations"] = json!(self.counts.map(|(_, run)| run.allocations));
        value["peak_resident_bytes"] = json!(self.peak_resident_bytes);
        Ok(value)
    }

    pub(super) fn text(&self) -> String {
        let mut lines = self.computed.lines();
        lines.push(format!("\n{}\n", self.layers()));
        for (layer, reason) in self.pass.fallbacks() {
            lines.push(format!("* {layer} by direct/nhwc: {reason}"));
        }
        let samples = self.pass.samples();
        lines.push(format!(
            "Time: median of {} pass{} on {} thread{} after one to warm up; weights prepared in {} ms.",
            samples.count(),
            if samples.count() == 1 { "" } else { "es" },
            self.threads,
            plural(self.threads),
            format_value(self.pass.prepared_in().as_secs_f64() * 1e3),
        ));
        lines.push(match self.limits {
            Some(limits) => format!(
                "Bound: the larger of the direct method's operations at {} GFLOP/s and the bytes from memory at {} GB/s.",
                format_value(limits.peak_gflops),
                format_value(limits.bandwidth_gb_s),
            ),
            None => "Bound: unknown, for want of memory to measure the bandwidth on.".into(),
        });
        lines.extend(self.peak_resident_bytes.map(|peak| {
            let planned = total_bytes(&self.pass);
            let more = 100.0 * (peak as f64 / planned as f64 - 1.0);
            let [peak, planned] = [peak, planned].map(|bytes| format_bytes(bytes as f64));
            format!("Memory: at most {peak} were resident, {more:+.1}% of the {planned} planned.")
        }));
        lines.extend(self.counts.map(|(kept, run)| {
            let memory = self.pass.pass().memory();
            let bytes = [memory.activation_bytes, memory.least_activation_bytes].map(|bytes| format_bytes(bytes as f64));
            format!(
                "Counted: {} were allocated for the pass, and {} times something in a run. Of the {} of activations {} are alive at once.",
                format_bytes(kept.retained_bytes as f64),
                run.allocations,
                bytes[0],
                bytes[1],
            )
        }));
        lines.join("\n")
    }

    /// The table of layers.
    fn layers(&self) -> String {
        let record = self.pass.record(Record::default(), self.limits.as_ref());
        let total = record.median_ns.unwrap_or(f64::NAN);
        let row = |time: f64, bound: Option<f64>| {
            let [ms, share] = [format!("{:.3}", time / 1e6), format!("{:.1}", 100.0 * time / total)];
            let bound_ms = bound.map_or(String::new(), |bound| format!("{:.3}", bound / 1e6));
            [ms, share, bound_ms, bound.map_or(String::new(), |bound| format!("{:.0}", 100.0 * bound / time))]
        };
        let layers = record.layers.iter().zip(&self.pass.pass().memory().layers);
        let mut rows: Vec<Vec<String>> = layers
            .map(|(timed, planned)| {
                let [ms, share, bound, reached] = row(timed.median_ns, timed.bound_ns);
                let replaced = self.pass.fallbacks().iter().any(|(name, _)| planned.layers.contains(name));
                let algorithm = planned.algorithm.map_or(String::new(), |name| {
                    format!("{name}{}", if replaced { " *" } else { "" }) //
                });
                let bytes = [planned.prepared_bytes, planned.scratch_bytes, planned.activation_bytes];
                let [prepared, scratch, activations] = bytes.map(|bytes| format_bytes(bytes as f64));
                vec![timed.name.clone(), algorithm, ms, share, bound, reached, prepared, scratch, activations]
            })
            .collect();
        let all = row(total, record.layers.iter().map(|layer| layer.bound_ns).sum());
        rows.push(["all".into(), String::new()].into_iter().chain(all).collect());
        narrow(&["layer", "algorithm", "ms", "%", "bound ms", "% of bound", "prepared", "scratch", "output"], &rows)
    }
}

/// What will run, and what it takes in memory.
pub(super) fn announcement(args: &Args, network: &Network, pass: &TimedPass) -> String {
    let (memory, images) = (pass.pass().memory(), pass.pass().batch());
    let file = args.model.as_ref().or(args.weights.as_ref());
    let synthetic = || format!("synthetic weights of seed {} (so classes have no names)", args.seed);
    let origin = file.map_or_else(synthetic, |path| format!("weights of {}", path.display()));
    let parts = [
        memory.prepared_bytes,
        memory.scratch_bytes,
        memory.activation_bytes,
        pass.pass().input_bytes(),
        total_bytes(pass),
    ];
    let [prepared, scratch, activations, input, total] = parts.map(|bytes| format_bytes(bytes as f64));
    format!(
        "{}, {images} image{}, {}, {origin}\nMemory: {prepared} of prepared weights, {scratch} of scratch that all layers \
         share, {activations} of activations, {input} of input; {total} in all.\n",
        network.name(),
        plural(images),
        pass.asked_for(),
    )
}

/// Bytes of the pass and its input.
fn total_bytes(pass: &TimedPass) -> usize {
    pass.pass().memory().total_bytes() + pass.pass().input_bytes()
}

pub(super) fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
