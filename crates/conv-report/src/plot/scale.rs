//! Axes: where a value lies between 0 and 1, and which values are marked.

use conv_core::format_bytes;

/// The first marked size above zero; everything smaller lies between zero and here.
const SMALLEST_BYTES: f64 = 1024.0;
/// The least value at which a linear axis ends: labels have no more digits than fit beside it.
const SMALLEST_END: f64 = 1e-9;
/// Share of a byte axis between zero, which no logarithm has, and the first marked size.
const ZERO_SHARE: f64 = 0.18;

/// An axis.
#[derive(Debug, Clone)]
pub(super) struct Scale {
    /// Marked values with their labels.
    pub ticks: Vec<(f64, String)>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// From one value to another.
    Linear(f64, f64),
    /// From zero to a number of bytes, logarithmic from [`SMALLEST_BYTES`] on.
    Bytes(f64),
    /// From one power of two to another.
    Octaves(f64, f64),
}

impl Scale {
    /// A linear axis from zero that ends at `max`, with about four round values marked.
    pub fn linear(max: f64) -> Scale {
        let max = if max > 0.0 { max.max(SMALLEST_END) } else { 1.0 };
        let rough = max / 4.0;
        let magnitude = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * magnitude).into_iter().find(|&step| step >= rough);
        let step = step.unwrap_or(rough);
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let tick = |i: u32| (f64::from(i) * step, format!("{:.decimals$}", f64::from(i) * step));
        let ticks = (0..).map(tick).take_while(|(value, _)| *value <= max * 1.000_001).collect();
        Scale { ticks, kind: Kind::Linear(0.0, max) }
    }

    /// A logarithmic axis of bytes up to `max`, with zero at its start.
    pub fn bytes(max: f64) -> Scale {
        let max = max.max(SMALLEST_BYTES * 32.0);
        let octaves = (max / SMALLEST_BYTES).log2();
        // Whole powers of 1024 among the marks, and at most five marks.
        let step = [5.0, 10.0, 20.0].into_iter().find(|step| octaves / step <= 4.0).unwrap_or(20.0);
        let marks = (0..=(octaves / step) as i32).map(|i| SMALLEST_BYTES * (f64::from(i) * step).exp2());
        // `32K`: the axis says what the letters mean, and there is room for every mark.
        let label = |bytes| format_bytes(bytes).replace("iB", "").replace(' ', "");
        let ticks = std::iter::once(0.0).chain(marks).map(|bytes| (bytes, label(bytes))).collect();
        Scale { ticks, kind: Kind::Bytes(max) }
    }

    /// A linear axis around `values`, all of which are marked; they ascend, and there is at least one.
    pub fn marks(values: &[usize]) -> Scale {
        let ticks: Vec<_> = values.iter().map(|&value| (value as f64, value.to_string())).collect();
        let [first, last] = [ticks.first(), ticks.last()].map(|tick| tick.map_or(0.0, |(value, _)| *value));
        let margin = ((last - first) * 0.06).max(1.0);
        Scale { ticks, kind: Kind::Linear(first - margin, last + margin) }
    }

    /// A logarithmic axis with the powers of two marked from below `min` to above `max`, both positive.
    pub fn octaves(min: f64, max: f64) -> Scale {
        let (first, last) = (min.log2().floor() as i32, max.log2().ceil() as i32);
        let last = last.max(first + 1);
        // At most nine marks.
        let step = ((last - first) / 8 + 1) as usize;
        let label = |power: i32| match power {
            0.. => format!("{}", f64::from(power).exp2()),
            _ => format!("1/{}", f64::from(-power).exp2()),
        };
        let ticks = (first..=last).step_by(step).map(|power| (f64::from(power).exp2(), label(power))).collect();
        Scale { ticks, kind: Kind::Octaves(f64::from(first), f64::from(last)) }
    }

    /// The values at both ends.
    pub fn ends(&self) -> (f64, f64) {
        match self.kind {
            Kind::Octaves(first, last) => (first.exp2(), last.exp2()),
            Kind::Linear(first, last) => (first, last),
            Kind::Bytes(last) => (0.0, last),
        }
    }

    /// Where `value` lies: 0 at the start of the axis, 1 at its end.
    pub fn at(&self, value: f64) -> f64 {
        match self.kind {
            Kind::Linear(first, last) => (value - first) / (last - first),
            Kind::Octaves(first, last) => (value.log2() - first) / (last - first),
            Kind::Bytes(_) if value < SMALLEST_BYTES => value / SMALLEST_BYTES * ZERO_SHARE,
            Kind::Bytes(max) => {
                let octaves = |bytes: f64| (bytes / SMALLEST_BYTES).log2();
                ZERO_SHARE + (1.0 - ZERO_SHARE) * octaves(value) / octaves(max)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        for (max, expected) in [
            (116.0, vec!["0", "50", "100"]),
            (460.0, vec!["0", "200", "400"]),
            (0.31, vec!["0.0", "0.1", "0.2", "0.3"]),
        ] {
            let scale = Scale::linear(max);
            assert_eq!(scale.ticks.iter().map(|(_, label)| label.as_str()).collect::<Vec<_>>(), expected);
            assert!(scale.ticks.iter().all(|&(value, _)| scale.at(value) <= 1.000_01));
        }
    }

    #[test]
    fn octaves_hold_their_values() {
        let scale = Scale::octaves(0.3, 5.0);
        assert_eq!(
            scale.ticks.iter().map(|(_, label)| label.as_str()).collect::<Vec<_>>(),
            ["1/4", "1/2", "1", "2", "4", "8"]
        );
        assert_eq!([0.25, 1.0, 8.0].map(|value| scale.at(value)), [0.0, 0.4, 1.0]);
        assert!(Scale::octaves(1.0, 1.0).at(1.0).is_finite());
        assert!(Scale::octaves(1e-15, 1e15).ticks.len() <= 9);
        let marks = Scale::marks(&[3, 13]);
        assert!(marks.at(3.0) > 0.0 && marks.at(13.0) < 1.0 && Scale::marks(&[3]).at(3.0) == 0.5);
    }

    #[test]
    fn byte_axis_has_zero_and_grows() {
        let scale = Scale::bytes(100.0 * 1024.0 * 1024.0);
        let labels: Vec<_> = scale.ticks.iter().map(|(_, label)| label.as_str()).collect();
        assert_eq!(labels, ["0", "1K", "32K", "1M", "32M"]);
        let positions: Vec<_> = [0.0, 4.0, 1023.0, 1024.0, 4096.0, 1e6, 104_857_600.0].map(|v| scale.at(v)).into();
        assert!(positions.windows(2).all(|pair| pair[0] < pair[1]), "{positions:?}");
        assert_eq!((positions[0], positions[6]), (0.0, 1.0));
    }
}
