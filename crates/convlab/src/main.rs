//! The command-line program `convlab`; see `convlab help`.

/// Counts what every command allocates: records tell declared and counted scratch apart.
#[global_allocator]
static ALLOCATOR: conv_measure::memory::CountingAllocator = conv_measure::memory::CountingAllocator;

fn main() -> std::process::ExitCode {
    convlab::cli::main()
}
