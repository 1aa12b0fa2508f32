//! The statistics page in a real browser: headless Chromium, steered through chromedriver, at the
//! width of a desktop and of a phone. Screenshots are kept in tests/artifacts.
//!
//! Ignored, with the reason, where Chromium or its driver is missing. `EPOXY_BIN` names another
//! program to test; what Debian's haproxy is known not to do (fit a phone) is then not asked.

mod driver;
mod orders;
mod page;
mod proxy;
#[path = "../support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use libtest_mimic::{Arguments, Failed, Trial};

/// Name and body of each test.
type Scenario = (&'static str, fn() -> Result<(), String>);

const SCENARIOS: &[Scenario] = &[
    ("the_page_lists_every_proxy_and_server", page::lists_everything),
    ("states_have_haproxys_classes_and_distinct_colours", page::colours),
    ("down_servers_can_be_hidden", page::hides_down_servers),
    ("servers_obey_the_form", page::obeys_the_form),
];

/// What Debian's haproxy does not do: fit a phone, have several workers.
const OWN: &[Scenario] = &[
    ("the_page_fits_a_phone", page::fits_a_phone),
    ("settings_of_the_page_show", orders::settings_show),
    ("orders_are_for_some_only", orders::are_for_some_only),
    ("orders_hold_on_all_workers", orders::hold_on_all_workers),
    ("sessions_of_all_workers_are_killed", orders::kill_sessions_of_all_workers),
];

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(2));
    let missing = ["chromium", "chromedriver"].into_iter().find(|program| !installed(program));
    let obstacle = missing.map(|program| format!("needs the program {program}"));
    let mut trials: Vec<Trial> =
        SCENARIOS.iter().map(|&(name, scenario)| trial(name, scenario, obstacle.clone())).collect();
    let stranger = (!is_epoxy()).then(|| "only asked of epoxy".to_string());
    let obstacle = obstacle.or(stranger);
    for &(name, scenario) in OWN {
        trials.push(trial(name, scenario, obstacle.clone()));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(name: &str, scenario: fn() -> Result<(), String>, obstacle: Option<String>) -> Trial {
    let trial = Trial::test(name, move || scenario().map_err(Failed::from));
    match obstacle {
        // The kind is printed before the name: it says why the test does not run.
        Some(obstacle) => trial.with_ignored_flag(true).with_kind(obstacle),
        None => trial,
    }
}

fn installed(program: &str) -> bool {
    let path = env::var("PATH").unwrap_or_default();
    path.split(':').any(|folder| fs::exists(format!("{folder}/{program}")).unwrap_or(false))
}

/// The program under test.
pub fn binary() -> PathBuf {
    env::var_os("EPOXY_BIN").unwrap_or(env!("CARGO_BIN_EXE_epoxy").into()).into()
}

/// Whether the program under test says that it is epoxy.
fn is_epoxy() -> bool {
    if env::var_os("EPOXY_BIN").is_none() {
        return true;
    }
    let output = Command::new(binary()).arg("-v").output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("epoxy"))
}
