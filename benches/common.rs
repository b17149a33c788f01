//! What the benches share.

use std::time::Duration;

use criterion::Criterion;

/// Short enough that all of it ends in a few minutes; every setting can be given on the command line instead.
pub fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .sample_size(20)
        .nresamples(10_000)
        .configure_from_args()
}
