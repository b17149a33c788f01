//! Problem descriptors in the syntax of oneDNN's benchdnn, `g2mb1ic96ih27oc256oh27kh5ph2n"conv2"`.
//!
//! Canonical form: `gXmbX_icXihXiwX_ocXohXowX_khXkwX_shXswX_phXpwX_dhXdwX_n"name"`. As there, `_` is ignored, `mb` is 2
//! unless given, a width of which no field is given equals the height, a missing output is computed, missing padding is
//! what the output needs (half of it before, rounded down), and the padding after the input follows from the output:
//! `ih27oh27kh4ph1` has one zero above and two below. Dilation counts the skipped elements: `dh0` is a dense filter.

use std::fmt;
use std::str::FromStr;

use crate::problem::{Axis, Problem, ProblemError};

/// What is wrong with a problem descriptor, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DescriptorError {
    /// A character that starts no field.
    #[error("{message}\n  {text}\n  {:>1$}", '^', column + 1)]
    Syntax {
        /// The descriptor.
        text: String,
        /// Characters before the mistake.
        column: usize,
        /// What was expected.
        message: String,
    },
    /// Well-formed, but no convolution.
    #[error("'{text}' is no convolution: {source}")]
    Problem {
        /// The descriptor.
        text: String,
        /// Why.
        source: ProblemError,
    },
}

/// Longest first where one field's name begins another's.
const FIELDS: [&str; 16] =
    ["mb", "ic", "ih", "iw", "oc", "oh", "ow", "kh", "kw", "sh", "sw", "ph", "pw", "dh", "dw", "g"];

/// Fields of three-dimensional convolutions, which benchdnn has and this project has not.
const DEPTH_FIELDS: [&str; 6] = ["id", "od", "kd", "sd", "pd", "dd"];

/// The fields as written, in the order of [`FIELDS`].
#[derive(Default)]
struct Fields {
    values: [Option<usize>; FIELDS.len()],
    name: Option<String>,
}

impl Fields {
    fn get(&self, field: &str) -> Option<usize> {
        FIELDS.iter().position(|f| *f == field).and_then(|i| self.values[i])
    }

    fn scan(text: &str) -> Result<Fields, DescriptorError> {
        let mut fields = Fields::default();
        let mut rest = text;
        let error = |rest: &str, message: String| DescriptorError::Syntax {
            text: text.into(),
            column: text[..text.len() - rest.len()].chars().count(),
            message,
        };
        while let Some(first) = rest.chars().next() {
            if first == '_' {
                rest = &rest[1..];
            } else if first == 'n' {
                fields.name = Some(rest[1..].trim_matches('"').into());
                break;
            } else if let Some(i) = FIELDS.iter().position(|f| rest.starts_with(f)) {
                let number = &rest[FIELDS[i].len()..];
                let digits = number.len() - number.trim_start_matches(|c: char| c.is_ascii_digit()).len();
                if digits == 0 {
                    return Err(error(number, format!("expected a number after '{}'", FIELDS[i])));
                }
                if fields.values[i].is_some() {
                    return Err(error(rest, format!("'{}' is given twice", FIELDS[i])));
                }
                let value = number[..digits].parse().ok().filter(|&value: &usize| value <= isize::MAX as usize);
                let too_large = || error(number, format!("this number is larger than {}", isize::MAX));
                fields.values[i] = Some(value.ok_or_else(too_large)?);
                rest = &number[digits..];
            } else if let Some(depth) = DEPTH_FIELDS.iter().find(|f| rest.starts_with(**f)) {
                return Err(error(rest, format!("'{depth}' belongs to three dimensions; convlab has two")));
            } else {
                return Err(error(rest, format!("expected one of {} or n\"name\"", FIELDS.join(", "))));
            }
        }
        Ok(fields)
    }

    /// The axis of `direction`: the horizontal one equals the vertical one if no field of it is given.
    fn axis(&self, text: &str, direction: char) -> Result<Axis, DescriptorError> {
        let square = !["iw", "ow", "kw", "sw", "pw", "dw"].iter().any(|field| self.get(field).is_some());
        let direction = if square { 'h' } else { direction };
        let value = |field: char| self.get(&format!("{field}{direction}"));
        let mandatory = |field: char| {
            value(field).ok_or_else(|| DescriptorError::Syntax {
                text: text.into(),
                column: text.chars().count(),
                message: format!("'{field}{direction}' is missing"),
            })
        };
        let axis = Axis {
            input: mandatory('i')?,
            kernel: mandatory('k')?,
            stride: value('s').unwrap_or(1),
            pad_before: value('p').unwrap_or(0),
            pad_after: value('p').unwrap_or(0),
            dilation: value('d').unwrap_or(0) + 1,
        };
        let Some(output) = value('o') else { return Ok(axis) };
        // From here on in i128: none of these sizes was checked yet.
        let invalid = |source| DescriptorError::Problem { text: text.into(), source };
        let named = |name_h, name_w| if direction == 'h' { name_h } else { name_w };
        if output == 0 {
            return Err(invalid(ProblemError::Zero { name: named("oh", "ow") }));
        }
        if axis.kernel == 0 {
            return Err(invalid(ProblemError::Zero { name: named("kh", "kw") }));
        }
        let extent = (axis.kernel as i128 - 1).saturating_mul(axis.dilation as i128).saturating_add(1);
        let reach = (output as i128 - 1).saturating_mul(axis.stride as i128).saturating_add(extent);
        let padding = reach.saturating_sub(axis.input as i128);
        let before = value('p').map_or((padding / 2).max(0), |p| p as i128);
        let after = padding - before;
        let usable = |size: i128| usize::try_from(size).ok().filter(|&size| size <= isize::MAX as usize);
        let too_large = || {
            invalid(ProblemError::TooLarge { tensor: "padded input", bytes: reach.unsigned_abs().saturating_mul(4) })
        };
        let axis = Axis {
            pad_before: usable(before).ok_or_else(too_large)?,
            pad_after: usable(after.max(0)).ok_or_else(too_large)?,
            ..axis
        };
        if extent <= axis.input as i128 + before + after.max(0) && axis.stride > 0 && axis.output() != output {
            return Err(DescriptorError::Syntax {
                text: text.into(),
                column: field_column(text, &format!("o{direction}")),
                message: format!("the output is {} here, not {output}: cropping is not supported", axis.output()),
            });
        }
        Ok(axis)
    }
}

fn field_column(text: &str, field: &str) -> usize {
    text.find(field).map_or(0, |at| text[..at].chars().count())
}

impl FromStr for Problem {
    type Err = DescriptorError;

    fn from_str(text: &str) -> Result<Self, DescriptorError> {
        let fields = Fields::scan(text)?;
        let [height, width] = [fields.axis(text, 'h')?, fields.axis(text, 'w')?];
        let channels = |field: &str| {
            fields.get(field).ok_or_else(|| DescriptorError::Syntax {
                text: text.into(),
                column: text.chars().count(),
                message: format!("'{field}' is missing"),
            })
        };
        let channels = [channels("ic")?, channels("oc")?];
        let problem =
            Problem::new(fields.get("mb").unwrap_or(2), fields.get("g").unwrap_or(1), channels, [height, width])
                .map_err(|source| DescriptorError::Problem { text: text.into(), source })?;
        Ok(match fields.name {
            Some(name) => problem.with_name(name),
            None => problem,
        })
    }
}

/// Prints the shortest descriptor that reads back as the same problem; the batch is always there.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (h, w) = (self.height(), self.width());
        let square = h == w;
        let pair = |f: &mut fmt::Formatter<'_>, name: char, [vertical, horizontal]: [usize; 2]| {
            write!(f, "{name}h{vertical}")?;
            if square { Ok(()) } else { write!(f, "{name}w{horizontal}") }
        };
        if self.groups() > 1 {
            write!(f, "g{}", self.groups())?;
        }
        write!(f, "mb{}ic{}", self.batch(), self.in_channels())?;
        pair(f, 'i', [h.input, w.input])?;
        write!(f, "oc{}", self.out_channels())?;
        pair(f, 'o', self.output_size())?;
        pair(f, 'k', [h.kernel, w.kernel])?;
        if [h.stride, w.stride] != [1, 1] {
            pair(f, 's', [h.stride, w.stride])?;
        }
        pair(f, 'p', [h.pad_before, w.pad_before])?;
        if [h.dilation, w.dilation] != [1, 1] {
            pair(f, 'd', [h.dilation - 1, w.dilation - 1])?;
        }
        match self.name() {
            Some(name) => write!(f, "n\"{name}\""),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Problem {
        text.parse().unwrap_or_else(|e| panic!("{e}"))
    }

    fn column(text: &str) -> usize {
        match text.parse::<Problem>() {
            Err(DescriptorError::Syntax { column, .. }) => column,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn benchdnn_defaults() {
        let conv2 = parse("g2mb1ic96ih27oc256oh27kh5ph2n\"conv2\"");
        assert_eq!(conv2.name(), Some("conv2"));
        assert_eq!((conv2.batch(), conv2.groups()), (1, 2));
        assert_eq!(conv2.width(), &Axis::new(27, 5).pad(2, 2));
        assert_eq!(parse("ic3ih227oc96kh11sh4").batch(), 2);
        assert_eq!(parse("ic3ih227oc96kh11sh4").output_size(), [55, 55]);
        assert_eq!(
            parse("ic3ih27oc96oh27kh5").height(),
            &Axis::new(27, 5).pad(2, 2),
            "padding follows from the output"
        );
        assert_eq!(parse("ic3ih27oc9oh27kh4ph1").height(), &Axis::new(27, 4).pad(1, 2), "asymmetric by the output");
        assert_eq!(parse("ic3ih9iw7oc9kh3kw2dw1").width(), &Axis::new(7, 2).dilation(2));
        assert_eq!(
            parse("ic3ih227iw227_oc96oh55ow55_kh11kw11_sh4sw4ph0pw0_n\"alexnet:conv1\""),
            parse("mb2ic3ih227oc96kh11sh4n\"alexnet:conv1\"")
        );
    }

    #[test]
    fn prints_what_it_reads() {
        for text in [
            "g2mb1ic96ih27oc256oh27kh5ph2n\"conv2\"",
            "mb16ic3ih224iw30oc5oh55ow7kh11kw4sh4sw4ph2pw0",
            "mb1ic8ih9oc8oh5kh3ph0dh1",
            "mb3ic4ih7iw8oc4oh4ow3kh3kw3sh2sw2ph1pw0",
        ] {
            let problem = parse(text);
            assert_eq!(parse(&problem.to_string()), problem, "{text} printed as {problem}");
        }
        assert_eq!(parse("g2mb1ic96ih27oc256kh5ph2").to_string(), "g2mb1ic96ih27oc256oh27kh5ph2");
    }

    #[test]
    fn errors_point_at_the_character() {
        assert_eq!(column("ic3ih5oc4kx3"), 9);
        assert_eq!(column("ic3ihoc4kh3"), 5);
        assert_eq!(column("ic3ic3ih5oc4kh3"), 3);
        assert_eq!(column("ic3id5ih5oc4kh3"), 3);
        assert_eq!(column("ic99999999999999999999ih5oc4kh3"), 2);
        assert_eq!(column("ic3ih5oc4"), 9);
        assert_eq!(column("ic3ih9oc4oh3kh3ph0"), 9);
        assert!("ic3ih5oc4kh7".parse::<Problem>().unwrap_err().to_string().contains("spans 7"));
        for absurd in
            ["ic1ih1oc1oh9223372036854775807kh9223372036854775807sh9223372036854775807", "ic1000000000000ih9oc1kh1"]
        {
            assert!(absurd.parse::<Problem>().unwrap_err().to_string().contains("bytes"), "{absurd}");
        }
        assert!("ic1ih5oc1oh5kh3sh0".parse::<Problem>().is_err());
    }
}
