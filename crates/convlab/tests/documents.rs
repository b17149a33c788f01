//! Tables in documents are what the command that stands above them makes from the committed records.
//!
//! `UPDATE_TABLES=1 cargo test -p convlab --test documents` writes them anew.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{WORKSPACE, convlab, text};

const BEGIN: &str = "<!-- table: convlab ";
const END: &str = "<!-- end -->";

/// Every document of the workspace, without what git ignores.
fn documents() -> Vec<PathBuf> {
    let mut documents = Vec::new();
    let mut folders = vec![PathBuf::from(WORKSPACE)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy();
            if path.is_dir() {
                let ignored = name.starts_with('.') || ["target", "local"].contains(&&*name);
                folders.extend((!ignored).then_some(path));
            } else if name.ends_with(".md") {
                documents.push(path);
            }
        }
    }
    documents
}

/// `document` with the output of its commands (quoted for a shell where a pattern stands) between the markers, and how many there are.
fn filled(document: &str) -> (String, usize) {
    let mut pieces = document.split(BEGIN);
    let mut made = pieces.next().unwrap_or_default().to_owned();
    let mut tables = 0;
    for piece in pieces {
        let (command, rest) = piece.split_once(" -->\n").expect("a marker ends with ' -->'");
        let (_, after) = rest.split_once(END).unwrap_or_else(|| panic!("no {END} after {command}"));
        let output = convlab(Path::new(WORKSPACE), &command.replace('\'', ""));
        assert!(output.status.success(), "convlab {command}: {}", text(&output.stderr));
        made += &format!("{BEGIN}{command} -->\n\n{}\n{END}{after}", text(&output.stdout));
        tables += 1;
    }
    (made, tables)
}

#[test]
fn tables_are_what_their_commands_make() {
    let mut with_tables = Vec::new();
    for path in documents() {
        let document = fs::read_to_string(&path).unwrap();
        let (made, tables) = filled(&document);
        if std::env::var_os("UPDATE_TABLES").is_some() {
            fs::write(&path, &made).unwrap();
        } else {
            let name = path.display();
            assert!(made == document, "{name} is old: UPDATE_TABLES=1 cargo test -p convlab --test documents");
        }
        if tables > 0 {
            with_tables.push(path);
        }
    }
    let readme = Path::new(WORKSPACE).join("README.md");
    assert!(with_tables.contains(&readme), "README.md has no table");
}

/// Paths in documents are there, and so are the commands.
#[test]
fn links_lead_somewhere() {
    for path in documents() {
        let document = fs::read_to_string(&path).unwrap();
        for link in document.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let name = path.display();
            assert!(path.parent().unwrap().join(target).exists(), "{name} links to {link}, which is not there");
        }
    }
}

/// Every field of a record has its line in METHODOLOGY.md.
#[test]
fn every_field_of_a_record_is_explained() {
    let methodology = fs::read_to_string(Path::new(WORKSPACE).join("METHODOLOGY.md")).unwrap();
    let source = include_str!("../../conv-report/src/record.rs");
    let structs = source.split("pub struct ").skip(1).map(|rest| rest.split("\n}").next().unwrap());
    let lines = structs.flat_map(str::lines).filter_map(|line| line.trim().strip_prefix("pub "));
    let fields: Vec<&str> = lines.filter_map(|line| line.split_once(": ").map(|(field, _)| field)).collect();
    assert!(fields.len() > 30, "{fields:?}");
    for field in fields {
        assert!(methodology.contains(&format!("| `{field}` |")), "METHODOLOGY.md does not explain {field}");
    }
}
