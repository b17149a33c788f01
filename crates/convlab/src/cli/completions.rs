//! `convlab completions`: what a shell needs to complete commands and options.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::{Cli, CliError, Exit, print};

/// Print a script by which a shell completes commands, options and their values.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  convlab completions bash > ~/.local/share/bash-completion/completions/convlab
  convlab completions zsh > ~/.zfunc/_convlab
  convlab completions fish > ~/.config/fish/completions/convlab.fish")]
pub struct Args {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// [`CliError`] if standard output cannot be written.
pub fn run(args: &Args) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "convlab", &mut script);
    print(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::Done)
}
