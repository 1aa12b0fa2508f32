//! The oracle: one configuration and one conversation through Debian's haproxy and through epoxy, with
//! recording clients, nodes and log servers around; every difference is a failure.
//!
//! Each file `scripts/SUBJECT/NAME.conv` is a test `SUBJECT/NAME`; `README.md` explains the format.
//! Variables: `EPOXY_BIN` (the program under test), `ORACLE_BIN` (default: haproxy from the path),
//! `ORACLE_SHOW` (print what haproxy did, in normal form), `ORACLE_ALL` (run the scripts that wait for
//! something, too), `ORACLE_ONCE` (no second, more patient attempt: quicker while much differs).

mod client;
mod compare;
mod literal;
mod normal;
mod render;
mod run;
mod script;
mod sockets;
#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use epoxy::process::sandbox;
use normal::Transcript;
use run::{Manner, Patience, Place};
use script::Script;

/// The patience of the first attempt.
const PATIENCE: Patience = Patience { settle: Duration::from_millis(80), limit: Duration::from_secs(6) };

/// The second attempt of a conversation that differed is this much more patient: on a busy machine a
/// late packet looks like a difference. A true difference stays.
const MORE_PATIENCE: Patience = Patience { settle: Duration::from_millis(400), limit: Duration::from_secs(20) };

/// Conversations mostly wait, so more of them run at once than there are processors.
const THREADS: usize = 4;

fn main() {
    let mut args = Arguments::from_args();
    args.test_threads = args.test_threads.or(Some(THREADS));
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/scripts");
    let mut scripts = Vec::new();
    collect(&directory, &mut scripts);
    scripts.sort();
    let trials = scripts.into_iter().map(|path| {
        let name = path.strip_prefix(&directory).unwrap_or(&path).with_extension("");
        Trial::ignorable_test(name.display().to_string(), move || converse(&path))
    });
    let mut trials: Vec<Trial> = trials.collect();
    trials.push(Trial::test("harness/a_difference_is_seen", a_difference_is_seen));
    libtest_mimic::run(&args, trials).exit();
}

fn collect(directory: &Path, scripts: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            collect(&path, scripts);
        } else if path.extension().is_some_and(|extension| extension == "conv") {
            scripts.push(path);
        }
    }
}

fn converse(path: &Path) -> Result<Completion, Failed> {
    let oracle = match oracle() {
        Ok(oracle) => oracle,
        Err(why) => return Ok(Completion::ignored_with(why)),
    };
    let epoxy = env::var_os("EPOXY_BIN").unwrap_or(env!("CARGO_BIN_EXE_epoxy").into());
    let text = fs::read_to_string(path)?;
    let name = path.display().to_string();
    let waits_for = Script::parse(&text, &Place::new()?.values)?.waits_for;
    if let Some(what) = waits_for.filter(|_| env::var_os("ORACLE_ALL").is_none()) {
        return Ok(Completion::ignored_with(format!("waits for {what}")));
    }
    let mut report = attempt(&name, &text, &oracle, Path::new(&epoxy), PATIENCE)?;
    if let Some(first) = report {
        if env::var_os("ORACLE_ONCE").is_some() {
            return Err(first.into());
        }
        report = attempt(&name, &text, &oracle, Path::new(&epoxy), MORE_PATIENCE)?;
        if report.is_none() {
            eprintln!("note: equal only with more patience: {name}\n{first}");
        }
    }
    match report {
        Some(report) => Err(format!("{}\n{report}", path.display()).into()),
        None => Ok(Completion::Completed),
    }
}

/// Runs both sides; the differences, if any.
fn attempt(name: &str, text: &str, oracle: &Path, epoxy: &Path, patience: Patience) -> Result<Option<String>, Failed> {
    let place = Place::new()?;
    let script = Script::parse(text, &place.values)?;
    let mut manner = Manner { program: oracle, patience, log_lines: 0, sandbox: false };
    let expected = match run::run(&script, &place, &manner) {
        Ok(expected) => expected,
        Err(why) => return Ok(Some(format!("haproxy: {why}"))),
    };
    if env::var_os("ORACLE_SHOW").is_some() {
        println!("#### {}\n{}", name, compare::show(&expected));
    }
    manner.program = epoxy;
    // What the sandbox refuses shows as a difference, in every conversation that there is.
    let is_ours = epoxy.file_name() != oracle.file_name() && env::var_os("ORACLE_PLAIN").is_none();
    manner.sandbox = is_ours && sandbox::has_landlock() && sandbox::has_seccomp();
    manner.log_lines = run::log_lines(&expected);
    Ok(match run::run(&script, &place, &manner) {
        Ok(seen) => compare::differences(&expected, &seen),
        Err(why) => Some(format!("epoxy: {why}\nhaproxy:\n{}", compare::show(&expected))),
    })
}

/// The path of a haproxy 2.6, or why there is none.
fn oracle() -> Result<PathBuf, String> {
    let program = match env::var_os("ORACLE_BIN") {
        Some(program) => PathBuf::from(program),
        None => PathBuf::from("haproxy"),
    };
    let output = Command::new(&program).arg("-v").output();
    let output = output.map_err(|error| format!("no haproxy to compare with: {error}"))?;
    let version = String::from_utf8_lossy(&output.stdout).into_owned();
    if !version.starts_with("HAProxy version 2.6.") {
        let line = version.lines().next().unwrap_or_default();
        return Err(format!("the oracle must be haproxy 2.6, found: {line}"));
    }
    Ok(program)
}

/// The harness itself: a line that differs is reported, in its section and on both sides.
fn a_difference_is_seen() -> Result<(), Failed> {
    let side = |status: &str| -> Transcript {
        let lines = [status, "content-length: 0"].map(str::to_owned).to_vec();
        vec![("client a".to_owned(), lines)]
    };
    if compare::differences(&side("200"), &side("200")).is_some() {
        return Err("equal transcripts were said to differ".into());
    }
    let report = compare::differences(&side("200"), &side("404")).unwrap_or_default();
    let marked = report.lines().any(|line| line.starts_with("200") && line.ends_with("| 404"));
    if marked { Ok(()) } else { Err(report.into()) }
}
