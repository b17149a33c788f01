//! A folder of results: records as they are made, and charts and tables of all of them at the end.

use std::io;
use std::path::{Path, PathBuf};

use conv_core::{Method, Problem, file};
use conv_measure::Candidate;
use conv_report::record::{self, Cache, Clock, CutLine, Data, Kind, Model, Record, RecordError};
use conv_report::tables::{Query, Table, Topic, tables};
use conv_report::{PlotError, charts, markdown, page};

use crate::suite::Case;

/// Where records and charts go unless told otherwise, in the current folder.
pub const LOCAL_RESULTS: &str = "results/local";

/// The file of tables in an output folder.
const TABLES: &str = "tables.md";

/// The page of everything in an output folder.
const PAGE: &str = "report.html";

/// The topics of [`TABLES`].
const TOPICS: [(Topic, &str); 4] = [
    (Topic::Best, "The fastest of each layer"),
    (Topic::Families, "The fastest of each family"),
    (Topic::Passes, "Whole passes"),
    (Topic::Errors, "Errors"),
];

/// Results that could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// Records that could not be read or written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Charts that could not be drawn.
    #[error(transparent)]
    Plot(#[from] PlotError),
    /// Tables or a page that could not be written.
    #[error("cannot write {}: {source}; choose another folder with --out", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A folder that exists and can be written.
#[derive(Debug)]
pub struct Results {
    folder: PathBuf,
    cut: Option<CutLine>,
}

impl Results {
    /// Makes `folder` if it is not there.
    ///
    /// # Errors
    /// [`ResultsError::Record`] if it cannot be written, or holds records that cannot be read.
    pub fn open(folder: &Path) -> Result<Self, ResultsError> {
        let cut = record::prepare_folder(folder)?;
        Ok(Results { folder: folder.into(), cut })
    }

    /// Which line of the records that were there is cut: what is kept takes its place.
    pub fn cut(&self) -> Option<&CutLine> {
        self.cut.as_ref()
    }

    /// Puts `records`, which are complete, in the place of older ones of the same comparison: written beside the file, which
    /// is then renamed, so that at each moment all lines of the file are whole.
    ///
    /// # Errors
    /// [`ResultsError::Record`].
    pub fn keep(&self, records: &[Record]) -> Result<(), ResultsError> {
        if !records.is_empty() {
            record::merge_into(&self.folder, records)?;
        }
        Ok(())
    }

    /// All records that are there.
    ///
    /// # Errors
    /// [`ResultsError::Record`].
    pub fn records(&self) -> Result<Vec<Record>, ResultsError> {
        Ok(record::read_if_there(&record::file_in(&self.folder))?)
    }

    /// Draws the charts, writes the tables and the page of all records anew. Returns lines that say where they are.
    ///
    /// # Errors
    /// [`ResultsError`].
    pub fn finish(&self) -> Result<String, ResultsError> {
        let kept = record::file_in(&self.folder);
        let records = self.records()?;
        let drawn = match charts(&records, &kept, &self.folder) {
            Ok(files) => Some(files.len() / 2),
            Err(PlotError::Empty { .. } | PlotError::TooLarge { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let mut text = String::new();
        for (topic, title) in TOPICS {
            for table in tables(&records, topic, &Query::default()) {
                text += &format!("## {title}\n\n{}\n\n", as_markdown(&table));
            }
        }
        let mut places = format!("records: {}", kept.display());
        if !text.is_empty() {
            places += &format!("\ntables:  {}", self.write(TABLES, &(text.trim_end().to_owned() + "\n"))?);
        }
        match page(&records, &kept) {
            Ok(html) => places += &format!("\npage:    {}", self.write(PAGE, &html)?),
            Err(PlotError::Empty { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(drawn) = drawn {
            places += &format!("\ncharts:  {} ({drawn}, and each as PNG)", self.folder.join("*.svg").display());
        }
        Ok(places)
    }

    /// Writes a file into the folder; returns its path for people.
    fn write(&self, name: &str, text: &str) -> Result<String, ResultsError> {
        let path = self.folder.join(name);
        match file::write(&path, text.as_bytes()) {
            Ok(()) => Ok(path.display().to_string()),
            Err(source) => Err(ResultsError::Write { path, source }),
        }
    }
}

fn as_markdown(table: &Table) -> String {
    let parts = [table.caption.clone(), markdown(&table.header, &table.rows)];
    parts.into_iter().chain(table.notes.clone()).collect::<Vec<_>>().join("\n\n")
}

/// Whether `records` have all of `case` on so many threads by this very program, measured in `cache` too, or left out.
pub fn holds(records: &[Record], case: &Case, threads: usize, cache: Cache) -> bool {
    let of_problem: Vec<&Record> = records
        .iter()
        .filter(|record| record.kind == Kind::Conv && is_of(record, &case.problem, threads))
        .filter(|record| record.failure.is_some() || record.cache == Some(cache))
        .collect();
    case.candidates.iter().all(|candidate| of_problem.iter().any(|record| is_by(record, *candidate)))
}

fn is_by(record: &Record, Candidate { method: Method { algorithm, parameters }, isa }: Candidate) -> bool {
    record.algorithm.as_deref() == Some(algorithm.name())
        && record.parameters.as_deref().unwrap_or_default() == parameters.to_string()
        && record.isa == isa.name()
}

/// Whether `record` is a run of `problem` on so many threads by this very program.
pub fn is_of(record: &Record, problem: &Problem, threads: usize) -> bool {
    record.name == problem.label()
        && record.problem.as_deref() == Some(&problem.to_string())
        && record.threads == threads
        && record.model == Some(Model::Run)
        && record.clock == Some(Clock::Convlab)
        && record.commit == conv_tune::COMMIT
}

/// Whether `records` have the errors of all of `case` on such data by this very program.
pub fn holds_checks(records: &[Record], case: &Case, data: Data) -> bool {
    let of_problem = |record: &&Record| {
        record.kind == Kind::Check
            && record.data == Some(data)
            && record.name == case.problem.label()
            && record.problem.as_deref() == Some(&case.problem.to_string())
            && record.commit == conv_tune::COMMIT
    };
    let of_problem: Vec<&Record> = records.iter().filter(of_problem).collect();
    case.candidates.iter().all(|candidate| of_problem.iter().any(|record| is_by(record, *candidate)))
}

/// Whether `records` have the pass of `network` by each of `choosers` by this very program.
pub fn holds_passes(
    records: &[Record],
    (network, batch): (&str, usize),
    (isa, threads): (&str, usize),
    choosers: &[&str],
) -> bool {
    choosers.iter().all(|chooser| {
        records.iter().any(|record| {
            record.kind == Kind::Forward
                && record.name == network
                && record.batch == Some(batch)
                && record.isa == isa
                && record.threads == threads
                && record.clock == Some(Clock::Convlab)
                && record.algorithm.as_deref() == Some(*chooser)
                && record.commit == conv_tune::COMMIT
        })
    })
}

#[cfg(test)]
mod tests {
    use conv_simd::Isa;

    use super::*;
    use crate::suite::cases;

    #[test]
    fn a_problem_is_held_when_every_candidate_is() {
        let problem: Problem = "mb1ic3ih9oc4kh3".parse().unwrap();
        let case = &cases(vec![problem.clone()], &conv_tune::algorithms()[..2], &[Isa::best()])[0];
        let records: Vec<Record> = case
            .candidates
            .iter()
            .map(|candidate| Record {
                kind: Kind::Conv,
                name: problem.label(),
                problem: Some(problem.to_string()),
                algorithm: Some(candidate.method.algorithm.name().into()),
                isa: candidate.isa.name().into(),
                threads: 2,
                model: Some(Model::Run),
                clock: Some(Clock::Convlab),
                cache: Some(Cache::Warm),
                commit: conv_tune::COMMIT.into(),
                ..Record::default()
            })
            .collect();
        assert_eq!(records.len(), 2);
        assert!(holds(&records, case, 2, Cache::Warm));
        assert!(!holds(&records[..1], case, 2, Cache::Warm) && !holds(&records, case, 1, Cache::Warm));
        assert!(!holds(&records, case, 2, Cache::Cold));
        let other = Record { commit: "another".into(), ..records[0].clone() };
        assert!(!holds(&[other, records[1].clone()], case, 2, Cache::Warm));
    }
}
