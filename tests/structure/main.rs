//! The house rules that a machine can keep: the order of the layers that ARCHITECTURE.md states, lengths of
//! files and functions, where `unsafe` stands, that nothing is left half done and no fixture is left over.

mod layers;
mod lengths;
mod source;

use source::{Source, files_below, root};

#[test]
fn every_file_says_what_it_is_for() {
    let bare: Vec<_> = Source::all().into_iter().filter(|s| !s.text.starts_with("//! ")).map(|s| s.path).collect();
    assert!(bare.is_empty(), "without a header comment: {bare:#?}");
}

#[test]
fn unsafe_stands_in_sys_and_shm_only_and_each_has_its_reason() {
    /// Lines above an `unsafe` in which its SAFETY line may begin.
    const REASON_LINES: usize = 8;
    let mut wrong = Vec::new();
    for source in Source::all() {
        let lines: Vec<&str> = source.text.lines().collect();
        for (at, line) in source.code_lines() {
            if !source::words(line).any(|word| word == "unsafe") {
                continue;
            }
            let allowed = source.path.starts_with("src/sys/") || source.path.starts_with("src/shm/");
            let above = &lines[at.saturating_sub(REASON_LINES)..=at];
            if !allowed || !above.iter().any(|line| line.contains("SAFETY") || line.contains("# Safety")) {
                wrong.push(format!("{}:{}: {}", source.path, at + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "unsafe at a wrong place or without a SAFETY line: {wrong:#?}");
}

#[test]
fn nothing_is_left_half_done() {
    let marks = ["todo", "unimplemented", "dbg"].map(|name| format!("{name}!("));
    let mut found = Vec::new();
    for source in Source::all() {
        for (at, line) in source.code_lines() {
            if marks.iter().any(|mark| line.contains(mark.as_str())) {
                found.push(format!("{}:{}: {}", source.path, at + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_fixture_is_used() {
    let fixtures = files_below(&root().join("tests/fixtures"));
    assert!(!fixtures.is_empty());
    let readers: Vec<String> = ["src", "tests", "benches", "contrib"]
        .iter()
        .flat_map(|folder| files_below(&root().join(folder)))
        .filter(|path| !path.starts_with(root().join("tests/fixtures")))
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .collect();
    let unused: Vec<_> = fixtures
        .iter()
        .filter(|path| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            !readers.iter().any(|text| text.contains(&name))
        })
        .collect();
    assert!(unused.is_empty(), "fixtures that no test names: {unused:#?}");
}
