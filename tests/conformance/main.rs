//! What the documents name, and where it is shown: `table.txt` has a row for each directive, parameter, algorithm,
//! command, signal, tool and behaviour that the five documents write of. A row without a test fails, and so does a
//! test that does not exist, or a directive in one of the seven configurations without a row.
//!
//! A row is `documents | directive | what it must do | tests`, tests being parted by `; `:
//! - `PATH::NAME`: a test of that name in a file, or in a folder's files; a function marked as a test, or a name in
//!   quotes that a list of tests has, or the title of a case;
//! - `oracle SUBJECT/NAME`: a conversation that HAProxy and epoxy hold alike;
//! - `refused LINE`: left to a later version on purpose; the configuration says so by name.

mod install;
mod terms;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders in which names of tests stand.
const CONFIGURATIONS: &str = "tests/fixtures/mission";

struct Row {
    line: usize,
    documents: Vec<String>,
    directive: String,
    tests: Vec<String>,
}

#[test]
fn every_row_has_tests_that_exist() {
    let rows = rows();
    assert!(rows.len() > 150, "only {} rows", rows.len());
    let mut wrong = Vec::new();
    for row in &rows {
        if row.tests.is_empty() {
            wrong.push(format!("line {}: {} has no test", row.line, row.directive));
        }
        for test in &row.tests {
            if let Err(reason) = exists(test) {
                wrong.push(format!("line {}: {}: {test}: {reason}", row.line, row.directive));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_directive_of_the_configurations_has_a_row() {
    let rows = rows();
    let mut missing = BTreeSet::new();
    for path in files(&root().join(CONFIGURATIONS)) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let document = &name[..3];
        for line in read(&path).lines() {
            for term in terms::of(line) {
                let has = |row: &Row| row.directive == term && row.documents.iter().any(|number| number == document);
                if !rows.iter().any(has) {
                    missing.insert(format!("{document} | {term}"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "without a row:\n{}", missing.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn no_directive_has_two_rows() {
    let mut seen = BTreeSet::new();
    let twice: Vec<String> = rows()
        .into_iter()
        .flat_map(|row| row.documents.into_iter().map(move |document| format!("{document} | {}", row.directive)))
        .filter(|row| !seen.insert(row.clone()))
        .collect();
    assert!(twice.is_empty(), "{twice:#?}");
}

fn rows() -> Vec<Row> {
    let text = read(&root().join("tests/conformance/table.txt"));
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    lines.map(|(at, line)| row(at + 1, line)).collect()
}

fn row(line: usize, text: &str) -> Row {
    let cells: Vec<&str> = text.split(" | ").map(str::trim).collect();
    let [documents, directive, duty, tests] = cells[..] else { panic!("line {line}: not four cells: {text}") };
    let documents: Vec<String> = documents.split(',').map(str::to_owned).collect();
    let known = |number: &String| ["000", "001", "002", "003", "004"].contains(&number.as_str());
    assert!(documents.iter().all(known), "line {line}: no such document: {text}");
    assert!(!directive.is_empty() && !duty.is_empty(), "line {line}: an empty cell: {text}");
    let tests = tests.split("; ").map(str::to_owned).filter(|test| !test.is_empty()).collect();
    Row { line, documents, directive: directive.to_owned(), tests }
}

/// Whether a test is there.
fn exists(test: &str) -> Result<(), String> {
    if let Some(script) = test.strip_prefix("oracle ") {
        let path = root().join("tests/oracle/scripts").join(format!("{script}.conv"));
        let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
        let waits = text.lines().any(|line| line.starts_with("waits for "));
        return if waits { Err("it waits for a later version".into()) } else { Ok(()) };
    }
    if let Some(line) = test.strip_prefix("refused ") {
        return refused(line);
    }
    let (path, name) = test.split_once("::").ok_or("not a test: see the head of tests/conformance/main.rs")?;
    let path = root().join(path);
    let files = if path.is_dir() { files(&path) } else { vec![path.clone()] };
    let mut texts = files.iter().map(|file| fs::read_to_string(file).unwrap_or_default());
    if texts.any(|text| has(&text, name)) { Ok(()) } else { Err(format!("not in {}", path.display())) }
}

/// Whether a file has a test of this name.
fn has(text: &str, name: &str) -> bool {
    let function = format!("fn {name}(");
    let marked = text.find(&function).is_some_and(|at| {
        let above: Vec<&str> = text[..at].lines().rev().take(4).collect();
        above.iter().any(|line| line.trim() == "#[test]")
    });
    marked || text.contains(&format!("\"{name}\"")) || text.lines().any(|line| line == format!("=== {name}"))
}

/// Whether a line is refused as known but not there yet.
fn refused(line: &str) -> Result<(), String> {
    let (section, line) = line.split_once(": ").ok_or("`refused SECTION: LINE`")?;
    let lines = |name: &str| if name == section { format!("\n {line}") } else { String::new() };
    let text = format!(
        "global{}\ndefaults\n mode http\n timeout connect 1s\n timeout client 1s\n timeout server 1s\n\
         listen l\n bind 127.0.0.1:1{}\n",
        lines("global"),
        lines("listen")
    );
    let loaded = epoxy::config::load_text("t.cfg", &text);
    let messages: Vec<String> = loaded.findings.iter().map(|finding| finding.message()).collect();
    let told = messages.iter().any(|message| message.contains("not supported by this build of epoxy yet"));
    if told { Ok(()) } else { Err(format!("it is there, so name its test; or it says: {messages:?}")) }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|p| p.is_file()).collect();
    files.sort();
    files
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
