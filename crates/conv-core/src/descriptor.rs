//! Problem descriptors in the syntax of oneDNN's benchdnn, `g2mb1ic96ih27oc256oh27kh5ph2n"conv2"`.
//!
//! Canonical form: `gXmbX_icXihXiwX_ocXohXowX_khXkwX_shXswX_phXpwX_dhXdwX_n"name"`. As there, `_` is ignored, `mb` is 2
//! unless given, a missing output is computed, missing padding is what the output needs (half of it before, rounded
//! down), and the padding after the input follows from the output: `ih27oh27kh4ph1` has one zero above and two below.
//! Dilation counts the skipped elements: `dh0` is a dense filter.
//!
//! A width of which nothing is given equals the height. A height of which nothing is given is 1, and so is its filter:
//! `ic3iw5oc16kw3pw1` is one-dimensional. Of three dimensions only those are taken whose depth is 1 (`id1od1kd1pd0`).
//! A name has at most 256 characters.

use std::fmt;
use std::str::FromStr;

use crate::problem::{Axis, Problem, ProblemError};
use crate::text::{around, shown};

/// What is wrong with a problem descriptor, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DescriptorError {
    /// A character that starts no field.
    #[error("{message}\n{}", pointed(text, *column))]
    Syntax {
        /// The descriptor.
        text: String,
        /// Characters before the mistake.
        column: usize,
        /// What was expected.
        message: String,
    },
    /// A convolution that benchdnn can describe, but a [`Problem`] cannot.
    #[error("{reason}\n{}", pointed(text, *column))]
    Unrepresentable {
        /// The descriptor.
        text: String,
        /// Characters before the field that says so.
        column: usize,
        /// Why.
        reason: Unrepresentable,
    },
    /// Well-formed, but no convolution.
    #[error("'{}' is no convolution: {source}", shown(text))]
    Problem {
        /// The descriptor.
        text: String,
        /// Why.
        source: ProblemError,
    },
}

/// What benchdnn's convolutions may have and a [`Problem`] has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unrepresentable {
    /// A depth other than 1.
    #[error("this is three-dimensional; convlab has two dimensions, and takes a depth of one only (id1od1kd1pd0)")]
    ThreeDimensional,
    /// An output that leaves out the end of the input: padding after it that is negative, by a stride or more.
    #[error("the output is at least {least} here, not {given}: cropping is not supported")]
    Cropped {
        /// Output of the whole input without padding after it.
        least: usize,
        /// Output as given.
        given: usize,
    },
}

/// Characters of a name at most.
const MAX_NAME: usize = 256;

/// `text`, and a caret below the character after `column` others.
fn pointed(text: &str, column: usize) -> String {
    let (shown, column) = around(text, column);
    format!("  {shown}\n  {}^", " ".repeat(column))
}

/// Longest first where one field's name begins another's.
const FIELDS: [&str; 22] = [
    "mb", "ic", "ih", "iw", "oc", "oh", "ow", "kh", "kw", "sh", "sw", "ph", "pw", "dh", "dw", "id", "od", "kd", "sd",
    "pd", "dd", "g",
];

/// A field's number, and the characters before the field.
#[derive(Clone, Copy)]
struct Field {
    value: usize,
    column: usize,
}

/// A descriptor and its fields as written, in the order of [`FIELDS`].
struct Fields<'a> {
    text: &'a str,
    values: [Option<Field>; FIELDS.len()],
    name: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn scan(text: &'a str) -> Result<Self, DescriptorError> {
        let mut fields = Fields { text, values: [None; FIELDS.len()], name: None };
        let mut rest = text;
        let column = |rest: &str| text[..text.len() - rest.len()].chars().count();
        let error =
            |rest: &str, message: String| DescriptorError::Syntax { text: text.into(), column: column(rest), message };
        while let Some(first) = rest.chars().next() {
            if first == '_' {
                rest = &rest[1..];
            } else if first == 'n' {
                let name = &rest[1..];
                if name.starts_with('"') && (name.len() == 1 || !name.ends_with('"')) {
                    return Err(error(name, "this quote is not closed (names have no blanks)".into()));
                }
                let length = name.trim_matches('"').chars().count();
                if length > MAX_NAME {
                    return Err(error(
                        name,
                        format!("this name has {length} characters; give one of at most {MAX_NAME}"),
                    ));
                }
                fields.name = Some(name.trim_matches('"')).filter(|name| !name.is_empty());
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
                fields.values[i] = Some(Field { value: value.ok_or_else(too_large)?, column: column(rest) });
                rest = &number[digits..];
            } else {
                return Err(error(rest, format!("expected one of {} or n\"name\"", FIELDS.join(", "))));
            }
        }
        Ok(fields)
    }

    fn field(&self, name: &str) -> Option<Field> {
        FIELDS.iter().position(|field| *field == name).and_then(|i| self.values[i])
    }

    fn get(&self, name: &str) -> Option<usize> {
        self.field(name).map(|field| field.value)
    }

    fn mandatory(&self, name: &str) -> Result<usize, DescriptorError> {
        self.get(name).ok_or_else(|| DescriptorError::Syntax {
            text: self.text.into(),
            column: self.text.chars().count(),
            message: format!("'{name}' is missing"),
        })
    }

    fn invalid(&self, source: ProblemError) -> DescriptorError {
        DescriptorError::Problem { text: self.text.into(), source }
    }

    /// Whether anything is given of the axis of `direction`. Stride 1 and no padding or dilation say nothing.
    fn has(&self, direction: char) -> bool {
        let given = |field: char, nothing: Option<usize>| {
            self.get(&format!("{field}{direction}")).is_some_and(|value| Some(value) != nothing)
        };
        [('i', None), ('k', None), ('o', None), ('s', Some(1)), ('p', Some(0)), ('d', Some(0))]
            .into_iter()
            .any(|(field, nothing)| given(field, nothing))
    }

    /// The vertical and the horizontal axis.
    fn axes(&self) -> Result<[Axis; 2], DescriptorError> {
        let deep = self.has('d');
        if deep {
            self.check_depth()?;
        }
        match (deep, self.has('h'), self.has('w')) {
            // A cube of one element.
            (true, false, false) => Ok([self.axis('d')?; 2]),
            (false, true, false) => Ok([self.axis('h')?; 2]),
            (false, false, true) => Ok([Axis::new(1, 1), self.axis('w')?]),
            _ => Ok([self.axis('h')?, self.axis('w')?]),
        }
    }

    /// Whatever the depth's stride and dilation, it changes nothing if input, filter and output have one element of it.
    fn check_depth(&self) -> Result<(), DescriptorError> {
        let sizes = [self.mandatory("id")?, self.mandatory("kd")?, self.get("od").unwrap_or(1)];
        if let Some(zero) = sizes.iter().position(|&size| size == 0) {
            return Err(self.invalid(ProblemError::Zero { name: ["id", "kd", "od"][zero] }));
        }
        if sizes == [1; 3] && self.get("pd").unwrap_or(0) == 0 {
            return Ok(());
        }
        let column = self.field("id").map_or(0, |field| field.column);
        Err(DescriptorError::Unrepresentable {
            text: self.text.into(),
            column,
            reason: Unrepresentable::ThreeDimensional,
        })
    }

    fn axis(&self, direction: char) -> Result<Axis, DescriptorError> {
        let value = |field: char| self.get(&format!("{field}{direction}"));
        let axis = Axis {
            input: self.mandatory(&format!("i{direction}"))?,
            kernel: self.mandatory(&format!("k{direction}"))?,
            stride: value('s').unwrap_or(1),
            pad_before: value('p').unwrap_or(0),
            pad_after: value('p').unwrap_or(0),
            dilation: value('d').unwrap_or(0) + 1,
        };
        let Some(Field { value: output, column }) = self.field(&format!("o{direction}")) else { return Ok(axis) };
        // From here on in i128: none of these sizes was checked yet.
        let named = |name_h, name_w| if direction == 'w' { name_w } else { name_h };
        if output == 0 {
            return Err(self.invalid(ProblemError::Zero { name: named("oh", "ow") }));
        }
        if axis.kernel == 0 {
            return Err(self.invalid(ProblemError::Zero { name: named("kh", "kw") }));
        }
        let extent = (axis.kernel as i128 - 1).saturating_mul(axis.dilation as i128).saturating_add(1);
        let reach = (output as i128 - 1).saturating_mul(axis.stride as i128).saturating_add(extent);
        let padding = reach.saturating_sub(axis.input as i128);
        let before = value('p').map_or((padding / 2).max(0), |p| p as i128);
        let after = padding - before;
        let usable = |size: i128| usize::try_from(size).ok().filter(|&size| size <= isize::MAX as usize);
        let too_large = || {
            let bytes = reach.unsigned_abs().saturating_mul(4);
            self.invalid(ProblemError::TooLarge { tensor: "padded input", bytes })
        };
        usable(reach).ok_or_else(too_large)?;
        let axis = Axis {
            pad_before: usable(before).ok_or_else(too_large)?,
            pad_after: usable(after.max(0)).ok_or_else(too_large)?,
            ..axis
        };
        if axis.stride > 0 && axis.output() != output {
            return Err(DescriptorError::Unrepresentable {
                text: self.text.into(),
                column,
                reason: Unrepresentable::Cropped { least: axis.output(), given: output },
            });
        }
        Ok(axis)
    }
}

impl FromStr for Problem {
    type Err = DescriptorError;

    fn from_str(text: &str) -> Result<Self, DescriptorError> {
        let fields = Fields::scan(text)?;
        let axes = fields.axes()?;
        let channels = [fields.mandatory("ic")?, fields.mandatory("oc")?];
        let problem = Problem::new(fields.get("mb").unwrap_or(2), fields.get("g").unwrap_or(1), channels, axes)
            .map_err(|source| fields.invalid(source))?;
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
            Err(DescriptorError::Syntax { column, .. } | DescriptorError::Unrepresentable { column, .. }) => column,
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
    fn one_dimension_is_a_height_of_one() {
        assert_eq!(parse("ic3oc16_iw5ow5kw3pw1"), parse("ic3oc16ih1iw5oh1ow5kh1kw3ph0pw1"));
        assert_eq!(parse("ic3oc17_iw8ow4kw3pw1sw2dw0"), parse("ic3oc17ih1iw8oh1ow4kh1kw3sh1sw2ph0pw1"));
        assert_eq!(parse("ic3oc17_iw8kw3sh1ph0dh0"), parse("ic3oc17ih1iw8kh1kw3"), "a height of defaults is none");
        assert_eq!(parse("ic3oc4ih8kh3sh2ph1_sw1pw0dw0"), parse("ic3oc4ih8kh3sh2ph1"), "nor is a width of them");
    }

    #[test]
    fn a_depth_of_one_is_none() {
        let flat = parse("mb1ic3ih9iw8oc4oh9ow8kh3kw3ph1pw1n\"a\"");
        for depth in ["id1kd1", "id1od1kd1sd1dd0pd0", "id1od1kd1sd2dd3pd0", "kd1id1pd0sd5"] {
            assert_eq!(parse(&format!("mb1ic3oc4_{depth}_ih9iw8oh9ow8kh3kw3ph1pw1n\"a\"")), flat, "{depth}");
        }
        assert_eq!(parse("ic3oc4id1kd1"), parse("ic3oc4ih1kh1"));
        for deep in [
            "ic3oc4id5od5kd3pd1",
            "ic3oc4id1od1kd3pd1_ih5kh3_iw5kw3",
            "ic3oc4id2od2kd1_ih5kh3_iw5kw3",
            "ic3oc4id1od3kd1pd1_ih5kh3_iw5kw3",
            "ic3oc4id1kd1pd1_ih5kh3_iw5kw3",
        ] {
            let error = deep.parse::<Problem>().unwrap_err();
            let three = Unrepresentable::ThreeDimensional;
            assert_eq!(error, DescriptorError::Unrepresentable { text: deep.into(), column: 6, reason: three });
        }
        for incomplete in ["ic3oc4id1ih5kh3iw5kw3", "ic3oc4kd1ih5kh3iw5kw3", "ic3oc4id1kd1ih5kh3", "ic3oc4sd2ih5kh3"] {
            assert_eq!(column(incomplete), incomplete.len(), "{incomplete}");
        }
        assert!("ic3oc4id0kd1".parse::<Problem>().unwrap_err().to_string().contains("id is 0"));
    }

    #[test]
    fn outputs_smaller_than_the_input_allows() {
        // Up to a stride less: floor takes it.
        assert_eq!(parse("ic3ih227oc9oh55kh11sh4ph0").height(), &Axis::new(227, 11).stride(4));
        assert_eq!(parse("ic3ih226oc9oh54kh11sh4ph0").output_size(), [54, 54]);
        for (text, least, given, at) in [
            ("ic3ih9oc4oh3kh3ph0", 7, 3, 9),
            ("ic3ih9oc4oh3kh3ph1", 8, 3, 9),
            ("ic3ih9oc4kh3ph1iw9kw3pw1oh9ow7", 8, 7, 27),
            ("ic3ih226oc9oh53kh11sh4ph0", 54, 53, 11),
        ] {
            let reason = Unrepresentable::Cropped { least, given };
            let error = DescriptorError::Unrepresentable { text: text.into(), column: at, reason };
            assert_eq!(text.parse::<Problem>(), Err(error));
        }
    }

    #[test]
    fn names_with_and_without_quotes() {
        for text in ["ic3ih5oc4kh1n\"a:1*2\"", "ic3ih5oc4kh1na:1*2", "ic3ih5oc4kh1_n\"a:1*2\"", "nope"] {
            match text.parse::<Problem>() {
                Ok(problem) => assert_eq!(problem.name(), Some("a:1*2")),
                Err(error) => assert_eq!((text, error.to_string().contains("missing")), ("nope", true)),
            }
        }
        assert_eq!(parse("ic3ih5oc4kh1n\"\"").name(), None);
        assert_eq!(column("ic3ih5oc4kh1n\"a"), 13);
        assert_eq!(column("ic3ih5oc4kh1n\""), 13);
    }

    #[test]
    fn of_long_descriptors_errors_show_what_is_around_the_mistake() {
        let error = |text: String| text.parse::<Problem>().unwrap_err().to_string();
        let message = error("_".repeat(70_000) + "x\u{1b}[2J" + &"_".repeat(70_000));
        let lines: Vec<&str> = message.lines().skip(1).collect();
        assert_eq!(lines[0], format!("  …{}x [2J{}…", "_".repeat(100), "_".repeat(95)));
        assert_eq!(lines[1].find('^').unwrap(), lines[0].chars().position(|c| c == 'x').unwrap());
        assert!(error("ic3ih5oc4kh7".to_owned() + &"_".repeat(70_000)).contains("__…' is no convolution: "));
        let named = |length: usize| format!("ic3ih5oc4kh1n\"{}\"", "é".repeat(length));
        assert_eq!(parse(&named(256)).name().unwrap().chars().count(), 256);
        assert!(error(named(257)).contains("this name has 257 characters; give one of at most 256"));
    }

    #[test]
    fn errors_point_at_the_character() {
        assert_eq!(column("ic3ih5oc4kx3"), 9);
        assert_eq!(column("ic3ihoc4kh3"), 5);
        assert_eq!(column("ic3ic3ih5oc4kh3"), 3);
        assert_eq!(column("ic3kd3id5oc4"), 6);
        assert_eq!(column("ic99999999999999999999ih5oc4kh3"), 2);
        assert_eq!(column("ic3ih5oc4"), 9);
        assert_eq!(column("ic3ih9oc4oh3kh3ph0"), 9);
        assert!("ic3ih5oc4kh7".parse::<Problem>().unwrap_err().to_string().contains("spans 7"));
        for absurd in [
            "ic1ih1oc1oh9223372036854775807kh9223372036854775807sh9223372036854775807",
            "ic1ih9223372036854775807oc1oh9223372036854775807kh1sh3ph9223372036854775807",
            "ic1000000000000ih9oc1kh1",
        ] {
            assert!(absurd.parse::<Problem>().unwrap_err().to_string().contains("bytes"), "{absurd}");
        }
        assert!("ic1ih5oc1oh5kh3sh0".parse::<Problem>().is_err());
    }
}
