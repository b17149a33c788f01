//! One page of the records of several folders: `cargo run -p conv-report --example page -- PAGE.html FOLDER…`

use std::error::Error;
use std::path::{Path, PathBuf};

use conv_core::file;
use conv_report::{page, record};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let out = arguments.next().ok_or("usage: page PAGE.html FOLDER…")?;
    let mut records = Vec::new();
    for folder in arguments {
        records = record::merged(records, &record::read(&record::file(&folder))?);
    }
    file::write(&out, page(&records, Path::new("these folders"))?.as_bytes())?;
    Ok(())
}
