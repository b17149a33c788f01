//! What this was built from.

/// The commit that this was built from, abbreviated; `-dirty` after it if sources had been changed. A plan holds for one.
pub const COMMIT: &str = env!("CONVLAB_COMMIT");
/// The compiler's version, for example `1.95.0`.
pub const RUSTC: &str = env!("CONVLAB_RUSTC");
