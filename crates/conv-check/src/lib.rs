//! The f64 oracle, seeded data, error metrics and one conformance suite for every algorithm.
