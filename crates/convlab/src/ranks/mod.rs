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

impl Ranks {
    /// Whether all ranks prepared, and the same. To be called by all, with what each prepared.
    ///
    /// # Errors
    /// With every rank the same [`CliError`], which names the first rank that has another or none; rank 0's own as it is.
    pub fn agree(&self, prepared: Result<&Agreement, &CliError>) -> Result<(), CliError> {
        let told = match prepared {
            Ok(agreement) => agreement.iter().map(|(what, is)| format!("{what}\n{is}")).collect::<Vec<_>>().join("\0"),
            Err(error) => format!("!{error}"),
        };
        let all = self.all_texts(&told);
        if let Some(rank) = all.iter().position(|told| told.starts_with('!')) {
            return Err(CliError::input(format_args!("rank {rank}: {}", &all[rank][1..])));
        }
        let Some(rank) = all.iter().position(|told| *told != all[0]) else { return Ok(()) };
        let pairs = all[0].split('\0').zip(all[rank].split('\0'));
        let differs = pairs.filter_map(|(first, other)| {
            let ((what, first), (_, other)) = (first.split_once('\n')?, other.split_once('\n')?);
            // Of many lines the first that differs.
            let lines = first.lines().zip(other.lines()).find(|(first, other)| first != other);
            let (first, other) = lines.unwrap_or((first, other));
            (first != other).then(|| format!("{what} is {other} with rank {rank} and {first} with rank 0"))
        });
        let told = differs.collect::<Vec<_>>().join("; ");
        Err(CliError::input(format_args!("{told}; give all ranks the same")))
    }

    /// Ends all ranks if `result` is an error that the others do not know of, after telling it.
    pub fn or_abort<T>(&self, result: Result<T, CliError>) -> T {
        result.unwrap_or_else(|error| {
            tell(format_args!("rank {}: {error}", self.rank()));
            self.abort()
        })
    }
}
