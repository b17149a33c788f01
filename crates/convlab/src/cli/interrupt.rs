//! Ctrl-C and SIGTERM: what is finished is kept.

use std::io::{self, Write};
use std::process;

use conv_core::file;
use conv_measure::Stop;

use crate::cli::CliError;

/// Exit code of a command that was interrupted: 128 and the number of SIGINT, as a shell tells it.
pub const EXIT_CODE: u8 = 130;

/// Asks for the end at the first signal; a second one ends the program at once.
///
/// # Errors
/// [`CliError::Input`] if the system lets nobody listen.
pub fn listen() -> Result<Stop, CliError> {
    let stop = Stop::default();
    let asked = stop.clone();
    ctrlc::set_handler(move || {
        if asked.ask() {
            file::remove_unfinished();
            process::exit(i32::from(EXIT_CODE));
        }
        // Nobody is left to tell if stderr is closed.
        let _ = writeln!(io::stderr(), "\nconvlab: stopping after what is in hand (once more to end at once)");
    })
    .map_err(|error| CliError::input(format_args!("cannot listen for Ctrl-C: {error}")))?;
    Ok(stop)
}

/// This command as it was typed, quoted for a shell, with `more` behind it.
pub fn command_again(more: &str) -> String {
    let quoted = |word: String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,=:+%@".contains(c);
        if !word.is_empty() && word.chars().all(plain) { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
    };
    let mut words: Vec<String> = std::env::args().skip(1).map(quoted).collect();
    if !words.iter().any(|word| word == more) && !more.is_empty() {
        words.push(more.into());
    }
    format!("convlab {}", words.join(" "))
}
