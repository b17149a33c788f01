//! Where values are in memory while they are needed.
//!
//! All activations lie in one arena. Which of them are alive at the same time is known, so places are found before the first
//! run: the largest value first, each at the lowest place that no value alive with it has (Pisarchyk and Lee, "Efficient
//! Memory Management for Deep Neural Net Inference", 2020, call it greedy by size).

use std::ops::Range;

/// Values begin at multiples of so many floats, a line of cache.
const ALIGNMENT: usize = 16;

/// A value's size and when it is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lifetime {
    pub floats: usize,
    /// The steps from that which writes it to the last that reads it.
    pub steps: Range<usize>,
}

/// Places of values.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arena {
    /// Where each value is, in floats.
    pub places: Vec<Range<usize>>,
    /// Floats of all of it.
    pub floats: usize,
    /// Floats of the values that are alive at the same time, at most: no arena can be smaller.
    pub lower_bound: usize,
}

impl Arena {
    pub fn of(values: &[Lifetime]) -> Self {
        let size = |value: &Lifetime| value.floats.next_multiple_of(ALIGNMENT);
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by_key(|&index| (std::cmp::Reverse(size(&values[index])), values[index].steps.start));
        let mut places = vec![0..0; values.len()];
        let mut placed: Vec<usize> = Vec::with_capacity(values.len());
        let mut floats = 0;
        for index in order {
            let value = &values[index];
            let alive = |other: &Lifetime| other.steps.start < value.steps.end && value.steps.start < other.steps.end;
            // Those in the way, by their places.
            let mut start = 0;
            for &other in &placed {
                let Range { start: begin, end } = places[other];
                if alive(&values[other]) && begin < start + size(value) {
                    start = start.max(end);
                }
            }
            places[index] = start..start + size(value);
            floats = floats.max(places[index].end);
            let at = placed.partition_point(|&other| places[other].start <= start);
            placed.insert(at, index);
        }
        for (place, value) in places.iter_mut().zip(values) {
            place.end = place.start + value.floats;
        }
        Arena { places, floats, lower_bound: lower_bound(values) }
    }
}

/// Floats of the values that are alive during each of so many `steps`.
pub(super) fn alive(values: &[Lifetime], steps: usize) -> Vec<usize> {
    let (mut begins, mut ends) = (vec![0; steps + 1], vec![0; steps + 1]);
    for Lifetime { floats, steps } in values {
        begins[steps.start] += floats;
        ends[steps.end] += floats;
    }
    let mut alive = 0;
    let during = |(begins, ends): (usize, usize)| {
        alive = alive + begins - ends;
        alive
    };
    begins.into_iter().zip(ends).map(during).take(steps).collect()
}

fn lower_bound(values: &[Lifetime]) -> usize {
    let mut changes: Vec<(usize, bool, usize)> = Vec::with_capacity(2 * values.len());
    for Lifetime { floats, steps } in values {
        changes.extend([(steps.start, true, *floats), (steps.end, false, *floats)]);
    }
    // Of one step, what ends before it goes first.
    changes.sort_unstable();
    let (mut alive, mut most) = (0, 0);
    for (_, begins, floats) in changes {
        alive = if begins { alive + floats } else { alive - floats };
        most = most.max(alive);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(floats: usize, steps: Range<usize>) -> Lifetime {
        Lifetime { floats, steps }
    }

    #[test]
    fn a_chain_needs_two_neighbours() {
        let values = [value(160, 0..2), value(320, 1..3), value(16, 2..4)];
        let arena = Arena::of(&values);
        assert_eq!((arena.floats, arena.lower_bound), (480, 480));
    }

    #[test]
    fn what_is_alive_together_is_apart() {
        // A generator of Lehmer's, for sizes and lifetimes that nobody chose.
        let mut state = 1_u64;
        let mut random = |below: u64| {
            state = state * 48_271 % 2_147_483_647;
            (state % below) as usize
        };
        for _ in 0..50 {
            let values: Vec<Lifetime> =
                (0..60).map(|step| value(1 + random(900), step..step + 1 + random(6))).collect();
            let arena = Arena::of(&values);
            assert!(arena.floats >= arena.lower_bound);
            for (i, a) in values.iter().enumerate() {
                assert_eq!(arena.places[i].len(), a.floats);
                assert!(arena.places[i].start.is_multiple_of(ALIGNMENT) && arena.places[i].end <= arena.floats);
                for (j, b) in values.iter().enumerate().skip(i + 1) {
                    let together = a.steps.start < b.steps.end && b.steps.start < a.steps.end;
                    let (p, q) = (&arena.places[i], &arena.places[j]);
                    assert!(!together || p.end <= q.start || q.end <= p.start, "{i} and {j}");
                }
            }
        }
    }
}
