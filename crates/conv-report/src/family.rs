//! Families of algorithms, as records name them.

use crate::record::Record;

/// The order in which families are listed. What is not among them comes after, by name.
pub const FAMILIES: [&str; 4] = ["direct", "im2col", "fft", "winograd"];

/// What a record calls the choices of a plan file.
pub(crate) const TUNED: &str = "tuned";

/// `im2col` of `im2col/blocked`.
pub(crate) fn family(algorithm: &str) -> &str {
    algorithm.split_once('/').map_or(algorithm, |(family, _)| family)
}

/// That of the algorithm of `record`.
pub(crate) fn family_of(record: &Record) -> &str {
    family(record.algorithm.as_deref().unwrap_or_default())
}

/// Sorts algorithms by family.
pub(crate) fn family_rank(algorithm: &str) -> usize {
    FAMILIES.iter().position(|known| *known == family(algorithm)).unwrap_or(FAMILIES.len())
}
