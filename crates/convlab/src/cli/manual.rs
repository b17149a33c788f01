//! `convlab manual`: pages for `man`.

use std::fs;
use std::path::PathBuf;

use clap::CommandFactory;
use clap_mangen::Man;
use conv_core::file;

use crate::cli::{Cli, CliError, Exit, print};

/// Write manual pages, one for the program and one for each command.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  convlab manual ~/.local/share/man/man1 && man convlab-bench")]
pub struct Args {
    /// The folder, which is made if it is not there.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Writes the pages.
///
/// # Errors
/// [`CliError::Input`] if the folder cannot be written.
pub fn run(args: &Args) -> Result<Exit, CliError> {
    let unable = |error| CliError::input(format_args!("cannot write {}: {error}", args.folder.display()));
    fs::create_dir_all(&args.folder).map_err(unable)?;
    let mut program = Cli::command();
    program.build();
    let visible = program.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help");
    let pages = visible.map(|command| {
        let name = format!("convlab-{}", command.get_name());
        (name.clone(), command.clone().name(name))
    });
    let pages: Vec<_> = std::iter::once(("convlab".to_owned(), program.clone())).chain(pages).collect();
    for (name, command) in &pages {
        let mut page = Vec::new();
        Man::new(command.clone()).render(&mut page).map_err(unable)?;
        let path = args.folder.join(format!("{name}.1"));
        let unable = |error| CliError::input(format_args!("cannot write {}: {error}", path.display()));
        file::write(&path, &page).map_err(unable)?;
    }
    print(format_args!("{} pages in {}", pages.len(), args.folder.display()))?;
    Ok(Exit::Done)
}
