//! Ranks by MPI.

use conv_measure::memory;
use conv_net::{PeerError, Peers};
use mpi::Threading;
use mpi::datatype::PartitionMut;
use mpi::environment::Universe;
use mpi::request::scope;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives, Destination, Equivalence, Root, Source};

use super::RanksError;
use crate::cli::tell;

/// The exit code of all ranks that [`Ranks::abort`] ends.
const ABORTED: i32 = 2;

/// The processes that `mpirun` started, of which this is one.
pub struct Ranks {
    world: SimpleCommunicator,
    neighbours: usize,
    /// MPI ends with it.
    _universe: Universe,
}

impl Ranks {
    /// Starts MPI.
    ///
    /// # Errors
    /// [`RanksError`] if it was started before, or there is one process only.
    pub fn join() -> Result<Self, RanksError> {
        // Communicators stay with the thread that made them.
        let (universe, _) = mpi::initialize_with_threading(Threading::Funneled).ok_or(RanksError::Started)?;
        let world = universe.world();
        if world.size() < 2 {
            return Err(RanksError::Alone);
        }
        let neighbours = world.split_shared(world.rank()).size() as usize;
        memory::share_between(neighbours);
        Ok(Ranks { world, neighbours, _universe: universe })
    }

    /// Which this is, from 0.
    pub fn rank(&self) -> usize {
        self.world.rank() as usize
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.world.size() as usize
    }

    /// How many of them are on this machine.
    pub fn neighbours(&self) -> usize {
        self.neighbours
    }

    /// The `text` of every rank, in their order.
    pub fn all_texts(&self, text: &str) -> Vec<String> {
        let counts = self.counts(text.len());
        let (starts, all) = starts(&counts);
        let mut bytes = vec![0_u8; all];
        let mut parts = PartitionMut::new(&mut bytes[..], &counts[..], &starts[..]);
        self.world.all_gather_varcount_into(text.as_bytes(), &mut parts);
        split(&bytes, &counts).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    /// The `floats` of every rank, in their order, with rank 0; `None` with the others.
    pub fn first_gathers(&self, floats: &[f32]) -> Option<Vec<Vec<f32>>> {
        let first = self.world.process_at_rank(0);
        let counts = self.counts(floats.len());
        if self.rank() > 0 {
            first.gather_varcount_into(floats);
            return None;
        }
        let (starts, all) = starts(&counts);
        let mut gathered = vec![0_f32; all];
        let mut parts = PartitionMut::new(&mut gathered[..], &counts[..], &starts[..]);
        first.gather_varcount_into_root(floats, &mut parts);
        Some(split(&gathered, &counts).map(<[f32]>::to_vec).collect())
    }

    /// What each rank says of its own `count`.
    fn counts(&self, count: usize) -> Vec<i32> {
        let mut counts = vec![0_i32; self.count()];
        // MPI counts in 32 bits, what is gathered together as well.
        let own = i32::try_from(count.saturating_mul(self.count())).map_or(i32::MAX, |_| count as i32);
        self.world.all_gather_into(&own, &mut counts[..]);
        if counts.contains(&i32::MAX) {
            tell(format_args!("rank {}: {count} are too many to gather at once; take a smaller batch", self.rank()));
            self.abort();
        }
        counts
    }

    /// Ends all ranks.
    pub fn abort(&self) -> ! {
        self.world.abort(ABORTED)
    }
}

impl Drop for Ranks {
    /// MPI would wait here for the others, which wait for this one.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.abort();
        }
    }
}

/// Where parts of these lengths begin, and where the last ends.
fn starts(counts: &[i32]) -> (Vec<i32>, usize) {
    let mut end = 0;
    let starts = counts.iter().map(|count| {
        end += count;
        end - count
    });
    (starts.collect(), end as usize)
}

/// Parts of these lengths.
fn split<'a, T>(mut all: &'a [T], counts: &'a [i32]) -> impl Iterator<Item = &'a [T]> {
    counts.iter().map(move |&count| {
        let (part, rest) = all.split_at(count as usize);
        all = rest;
        part
    })
}

impl Peers for Ranks {
    fn worker(&self) -> usize {
        self.rank()
    }

    fn workers(&self) -> usize {
        self.count()
    }

    /// Does not return if a rank is gone: `mpirun` ends the others.
    fn exchange(
        &mut self,
        sends: &[Vec<f32>],
        receives: &mut [Vec<f32>],
        meanwhile: &mut dyn FnMut(),
    ) -> Result<(), PeerError> {
        let process = |rank: usize| self.world.process_at_rank(rank as i32);
        let with_floats = |floats: &[f32]| !floats.is_empty();
        let lengths: Vec<usize> = receives.iter().map(Vec::len).collect();
        scope(|scope| {
            let mut receiving = Vec::new();
            for (rank, floats) in receives.iter_mut().enumerate().filter(|(_, floats)| with_floats(floats)) {
                receiving.push((rank, process(rank).immediate_receive_into(scope, &mut floats[..])));
            }
            let mut sending = Vec::new();
            for (rank, floats) in sends.iter().enumerate().filter(|(_, floats)| with_floats(floats)) {
                sending.push(process(rank).immediate_send(scope, &floats[..]));
            }
            meanwhile();
            let mut result = Ok(());
            for (worker, request) in receiving {
                let (got, expected) = (request.wait().count(f32::equivalent_datatype()) as usize, lengths[worker]);
                if got != expected {
                    result = Err(PeerError::Length { worker, got, expected });
                }
            }
            for request in sending {
                request.wait();
            }
            result
        })
    }
}
