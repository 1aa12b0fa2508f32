//! Verdicts on configurations: every case of the `*.cases` files beside this one goes through `haproxy -c`
//! and through epoxy's loader, and both must say the same.
//!
//! A case is a line `=== what it shows` and the configuration below it. Where epoxy differs on purpose, lines
//! beginning with `> ` follow the title: the messages expected instead of the oracle's (`> (nothing)` for none).

mod lines;
mod shown;

use std::path::{Path, PathBuf};
use std::process::Command;

use epoxy::config::{Findings, Severity};
use libtest_mimic::{Arguments, Failed, Trial};

/// Stands for the configuration's path in messages.
const FILE: &str = "F";

struct Case {
    title: String,
    config: String,
    expected: Option<Vec<String>>,
}

fn main() {
    let arguments = Arguments::from_args();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let mut trials = Vec::new();
    let mut files: Vec<PathBuf> = std::fs::read_dir(&directory)
        .expect("the directory of this test")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "cases"))
        .collect();
    files.sort();
    let oracle = Command::new("haproxy").arg("-v").output().is_ok();
    for file in files {
        let subject = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for case in cases(&std::fs::read_to_string(&file).expect("a readable case file")) {
            let ignored = !oracle && case.expected.is_none();
            let name = format!("{subject}: {}", case.title);
            trials.push(skipped_if(ignored, Trial::test(name, move || run(&case))));
        }
    }
    trials.push(skipped_if(!oracle, Trial::test("the dump of keywords", the_dump_has_haproxys_lines)));
    trials.extend(shown::trials());
    trials.extend(lines::trials(oracle));
    libtest_mimic::run(&arguments, trials).exit();
}

/// A test that has nothing to compare with is counted as ignored and says what it misses.
fn skipped_if(skipped: bool, trial: Trial) -> Trial {
    if skipped { trial.with_ignored_flag(true).with_kind("needs haproxy") } else { trial }
}

/// Listed in epoxy by what they do, where HAProxy's table is less exact.
const APART: &[&str] =
    &["be2dec(", "be2hex(", "concat(", "ipmask(", "regsub(", "url_enc(", " bc_dst:", " bc_src:", " capture.res.ver:"];

/// Every fetch and converter that epoxy has is listed with HAProxy's arguments, types and places.
fn the_dump_has_haproxys_lines() -> Result<(), Failed> {
    let output = Command::new("haproxy").args(["-dKcnv,smp", "-c", "-f", "/dev/null"]).output();
    let theirs = String::from_utf8_lossy(&output.map_err(|error| error.to_string())?.stdout).into_owned();
    let ours = epoxy::registry::dump::dump("cnv,smp");
    let theirs: std::collections::HashSet<&str> = theirs.lines().collect();
    let told_apart = |line: &str| APART.iter().any(|name| line.contains(name));
    let strange: Vec<&str> = ours.lines().filter(|line| !theirs.contains(line) && !told_apart(line)).collect();
    if strange.is_empty() { Ok(()) } else { Err(strange.join("\n").into()) }
}

fn cases(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("=== ") {
            cases.push(Case { title: title.to_owned(), config: String::new(), expected: None });
            continue;
        }
        let Some(case) = cases.last_mut() else { continue };
        if let Some(message) = line.strip_prefix("> ") {
            let expected = case.expected.get_or_insert_default();
            if message != "(nothing)" {
                expected.push(message.to_owned());
            }
        } else {
            case.config.push_str(line);
            case.config.push('\n');
        }
    }
    cases
}

fn run(case: &Case) -> Result<(), Failed> {
    let expected = match &case.expected {
        Some(lines) => lines.clone(),
        None => ask_oracle(&case.config)?.0,
    };
    let actual = ask_epoxy(&case.config);
    if expected == actual {
        return Ok(());
    }
    let list = |lines: &[String]| lines.join("\n  ");
    Err(format!("expected:\n  {}\nepoxy:\n  {}", list(&expected), list(&actual)).into())
}

fn ask_epoxy(config: &str) -> Vec<String> {
    messages(&epoxy::config::load_text(FILE, config).findings)
}

/// Findings in the form of the oracle's lines.
fn messages(findings: &Findings) -> Vec<String> {
    let mut lines = Vec::new();
    for finding in findings.iter() {
        let label = match finding.severity {
            Severity::Alert | Severity::Complaint => "ALERT",
            Severity::Warning => "WARNING",
            Severity::Notice => "NOTICE",
            Severity::Diag => continue,
        };
        let text = format!("[{label}] {}", finding.message());
        lines.extend(text.split('\n').map(str::to_owned));
    }
    lines
}

/// What HAProxy says, and whether it refuses the configuration.
fn ask_oracle(config: &str) -> Result<(Vec<String>, bool), Failed> {
    let path = std::env::temp_dir().join(format!("epoxy-verdict-{}-{}.cfg", std::process::id(), unique()));
    std::fs::write(&path, config).map_err(|error| error.to_string())?;
    let output = Command::new("haproxy").arg("-c").arg("-f").arg(&path).output();
    let _ = std::fs::remove_file(&path);
    let output = output.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stderr).replace(&*path.to_string_lossy(), FILE);
    Ok((text.lines().filter_map(plain).collect(), output.status.code() == Some(1)))
}

/// A line without process id; `None` for lines that do not concern the configuration.
fn plain(line: &str) -> Option<String> {
    let noise = line.contains(" : haproxy version is ") || line.contains(" : path to executable is ");
    if noise || line.starts_with("Warnings were found.") || line.starts_with("Configuration file") {
        return None;
    }
    let Some(rest) = line.strip_prefix('[') else { return Some(line.to_owned()) };
    let (label, rest) = rest.split_once(']')?;
    let (_, text) = rest.split_once(") : ")?;
    Some(format!("[{label}] {text}"))
}

fn unique() -> usize {
    static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}
