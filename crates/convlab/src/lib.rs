//! The harness: suite, measurements, records, charts and the command-line program.
