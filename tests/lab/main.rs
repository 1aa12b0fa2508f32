//! The lab of the two-node document: its addresses and host names in network namespaces, two real
//! Apache nodes, rsyslog, socat, and the document's configuration, unmodified.
//!
//! Each test builds a lab of its own, so they run side by side and leave nothing behind. They need
//! root, namespaces and a few Debian packages; where these are missing they are reported as ignored,
//! with the reason. `EPOXY_BIN` names another program to test, such as Debian's haproxy.

mod cluster;
mod document;
mod failure;
mod host;
mod load;
#[path = "../support/mod.rs"]
mod support;

use std::{env, fs};

use libtest_mimic::{Arguments, Failed, Trial};

use cluster::Lab;
use host::{Host, Switch};

/// Name and body of each test.
type Scenario = (&'static str, fn(&Lab) -> Result<(), String>);

const SCENARIOS: &[Scenario] = &[
    ("the_documents_transcript_step_by_step", document::transcript),
    ("the_daemon_is_chrooted_and_unprivileged", document::daemon),
    ("nodes_and_log_see_what_the_document_configures", document::headers_and_log),
    ("disabling_every_server_logs_and_gives_503", document::last_server),
    ("requests_in_flight_get_502_when_their_node_dies", failure::in_flight),
    ("a_dead_node_fails_no_request_once_it_is_down_and_returns", failure::death_and_return),
];

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(3));
    let obstacle = obstacle();
    let trials = SCENARIOS
        .iter()
        .map(|&(name, scenario)| {
            let trial = Trial::test(name, move || Lab::start().and_then(|lab| scenario(&lab)).map_err(Failed::from));
            match &obstacle {
                // The kind is printed before the name: it says why the test does not run.
                Some(obstacle) => trial.with_ignored_flag(true).with_kind(format!("needs {obstacle}")),
                None => trial,
            }
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit();
}

/// What keeps the lab from running on this machine, if anything does.
fn obstacle() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("root".into());
    }
    let path = env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let programs = ["unshare", "nsenter", "ip", "curl", "socat", "wrk", "apache2", "rsyslogd", "haproxy"];
    for program in programs {
        if !path.split(':').any(|folder| fs::exists(format!("{folder}/{program}")).unwrap_or(false)) {
            return Some(format!("the program {program}"));
        }
    }
    // From Debian's package: the user of the configuration, and folders to mount over.
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    if !users.lines().any(|line| line.starts_with("haproxy:")) {
        return Some("the user haproxy".into());
    }
    let trial = Switch::start().and_then(|switch| {
        let host = Host::start("trial")?;
        switch.plug(&host, cluster::CLIENT)?;
        host.shell("mount --bind /var/lib/haproxy /etc/haproxy").map(drop)
    });
    trial.err().map(|error| format!("namespaces ({error})"))
}

/// An error that shows what was expected and what was there.
pub fn expect<T: PartialEq + std::fmt::Debug>(what: &str, got: T, want: T) -> Result<(), String> {
    if got == want { Ok(()) } else { Err(format!("{what}: got {got:?}, expected {want:?}")) }
}

/// An error that shows the text in which something was expected.
pub fn expect_in(what: &str, text: &str, part: &str) -> Result<(), String> {
    if text.contains(part) { Ok(()) } else { Err(format!("{what}: no '{part}' in:\n{text}")) }
}
