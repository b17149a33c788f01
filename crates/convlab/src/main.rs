//! The command-line program `convlab`; see `convlab help`.

fn main() -> std::process::ExitCode {
    convlab::cli::main()
}
