//! The whole page of invented records.
