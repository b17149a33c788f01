//! Processes that `mpirun` started together: what they say to each other, and how they agree.
//!
//! MPI is behind the feature `mpi`. Without it [`Ranks`] cannot be made, and whoever asks for it is told.

#[cfg(not(feature = "mpi"))]
mod absent;
#[cfg(feature = "mpi")]
mod mpi;

#[cfg(not(feature = "mpi"))]
pub use absent::Ranks;
#[cfg(feature = "mpi")]
pub use mpi::Ranks;

use conv_measure::{hardware_threads, online_threads};

use crate::cli::{CliError, tell};

/// No ranks to join.
#[derive(Debug, thiserror::Error)]
pub enum RanksError {
    /// A build without MPI.
    #[error(
        "this program was built without MPI; build it with --features mpi, which needs an MPI library and libclang"
    )]
    Absent,
    /// MPI that does not start.
    #[error("MPI does not start a second time in one process")]
    Started,
    /// Nobody to share with.
    #[error("there is one process; start as many as there are to be by mpirun -n N")]
    Alone,
}

/// What every rank must have in common, by what it is: the program, the network, the weights, the methods.
pub type Agreement = Vec<(&'static str, String)>;

/// The program, which must be the same.
pub fn program() -> (&'static str, String) {
    ("the program", format!("convlab {} of {}", env!("CARGO_PKG_VERSION"), conv_tune::COMMIT))
}

/// A list that must be the same, a line each.
pub fn lines<T: ToString>(all: impl IntoIterator<Item = T>) -> String {
    all.into_iter().map(|one| one.to_string()).collect::<Vec<_>>().join("\n")
}

impl Ranks {
    /// What this rank `prepared`, if all did, and agree. To be called by all.
    ///
    /// # Errors
    /// [`CliError::Told`] with every rank, after the first told which has no agreement, or another.
    pub fn agree<T>(&self, prepared: Result<(Agreement, T), CliError>) -> Result<T, CliError> {
        let told = match &prepared {
            Ok((agreement, _)) => lines_of(agreement),
            Err(error) => format!("{FAILED}{error}"),
        };
        match (disagreement(&self.all_texts(&told)), prepared) {
            (None, Ok((_, prepared))) => Ok(prepared),
            (why, _) => {
                if let (0, Some(why)) = (self.rank(), why) {
                    tell(why);
                }
                Err(CliError::Told)
            }
        }
    }

    /// What stands before a command that is to be started like this one.
    pub fn started_by(&self) -> String {
        format!("mpirun -n {} ", self.count())
    }

    /// Of `all`, which every rank has, those that are this one's.
    pub fn deal<T>(&self, all: Vec<T>) -> Vec<T> {
        all.into_iter().skip(self.rank()).step_by(self.count()).collect()
    }

    /// The folder of this rank in one that all have.
    pub fn folder(&self) -> String {
        format!("rank-{}", self.rank())
    }

    /// The threads that `mpirun` bound this rank to, or its part of the whole machine's.
    pub fn threads(&self) -> usize {
        let own = hardware_threads();
        if own < online_threads() { own } else { (own / self.neighbours()).max(1) }
    }

    /// Ends all ranks if `result` is an error that the others do not know of, after telling it.
    pub fn or_abort<T>(&self, result: Result<T, CliError>) -> T {
        result.unwrap_or_else(|error| {
            tell(format_args!("rank {}: {error}", self.rank()));
            self.abort()
        })
    }
}

/// What a rank tells instead of an agreement begins with it.
const FAILED: char = '!';

fn lines_of(agreement: &Agreement) -> String {
    agreement.iter().map(|(what, is)| format!("{what}\n{is}")).collect::<Vec<_>>().join("\0")
}

/// Why ranks that told `all` do not agree; `None` if they do.
fn disagreement(all: &[String]) -> Option<String> {
    let failed = all.iter().enumerate().find_map(|(rank, told)| Some((rank, told.strip_prefix(FAILED)?)));
    if let Some((rank, why)) = failed {
        return Some(format!("rank {rank}: {why}"));
    }
    let rank = all.iter().position(|told| *told != all[0])?;
    let pairs = all[0].split('\0').zip(all[rank].split('\0'));
    let differs = pairs.filter_map(|(first, other)| {
        let ((what, first), (_, other)) = (first.split_once('\n')?, other.split_once('\n')?);
        // Of many lines the first that differs, or how many there are.
        let line = first.lines().zip(other.lines()).find(|(first, other)| first != other);
        let count = |lines: &str| format!("of {} lines", lines.lines().count());
        let (first, other) = match line {
            Some((first, other)) => (first.to_owned(), other.to_owned()),
            None => (count(first), count(other)),
        };
        (first != other).then(|| format!("{what} is {other} with rank {rank} and {first} with rank 0"))
    });
    let differs: Vec<String> = differs.collect();
    Some(match differs.is_empty() {
        true => format!("rank {rank} computes something else than rank 0; give all ranks the same command"),
        false => format!("{}; give all ranks the same", differs.join("; ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named() {
        let told =
            |weights: &str, plan: &str| lines_of(&vec![("the weights", weights.into()), ("the plan", plan.into())]);
        let first = told("a", "x by f\ny by g");
        assert_eq!(disagreement(&[first.clone(), first.clone()]), None);
        let other = disagreement(&[first.clone(), first.clone(), told("a", "x by f\ny by h")]).unwrap();
        assert_eq!(other, "the plan is y by h with rank 2 and y by g with rank 0; give all ranks the same");
        let failed = disagreement(&[first.clone(), format!("{FAILED}no such file")]).unwrap();
        assert_eq!(failed, "rank 1: no such file");
        let longer = disagreement(&[first.clone(), told("a", "x by f\ny by g\nz by g")]).unwrap();
        assert_eq!(longer, "the plan is of 3 lines with rank 1 and of 2 lines with rank 0; give all ranks the same");
        let other = disagreement(&[first, lines_of(&vec![("the weights", "a".into())])]).unwrap();
        assert!(other.starts_with("rank 1 computes something else"), "{other}");
    }
}
