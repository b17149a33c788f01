//! What a descriptor says of one axis alone, and what follows from the output.

use conv_core::{Axis, Problem};

fn parse(text: &str) -> Problem {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn an_odd_zero_stands_behind_the_image() {
    assert_eq!(parse("ic3ih6oc3oh6kh4").height(), &Axis::new(6, 4).pad(1, 2));
    assert_eq!(parse("ic3ih6iw9oc3oh6ow9kh4kw2").width(), &Axis::new(9, 2).pad(0, 1));
}

/// Each field with another value in one direction than in the other.
#[test]
fn what_differs_in_one_direction_is_printed_for_both() {
    for text in [
        "mb1ic4ih9iw11oc4kh3kw3",
        "mb1ic4ih9iw9oc4kh3kw1",
        "mb1ic4ih9iw9oc4kh3kw3sh1sw2",
        "mb1ic4ih9iw9oc4kh3kw3ph0pw1",
        "mb1ic4ih9iw9oc4kh3kw3dh0dw2",
        "mb1ic4ih9iw9oc4kh3kw3dh2dw0",
    ] {
        let problem = parse(text);
        assert_ne!(problem.height(), problem.width(), "{text}");
        assert_eq!(parse(&problem.to_string()), problem, "{text} printed as {problem}");
    }
}
