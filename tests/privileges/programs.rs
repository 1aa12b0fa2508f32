//! What runs programs beside a worker, and the programs: HAProxy's rights, and nothing else of the worker's.

use crate::crew::Crew;
use crate::service::PATIENCE;
use crate::support::place::{sandbox_line, wait_until};
use crate::support::service::{children, title};
use crate::{capabilities, descriptors, status, turn_as_root};

/// A service whose server is checked by a program that stays, with these lines in `global`; the spawner of its
/// worker and the program.
fn start(global: &str) -> (Crew, i32, i32) {
    let crew = Crew::start(&format!("{}{global}\n    external-check", sandbox_line()), &checked("slow1"));
    let spawner = child(crew.supervisor.pid() as i32, "[spawner]");
    let program = child(spawner, "/bin/sleep");
    (crew, spawner, program)
}

fn checked(server: &str) -> String {
    let command = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/programs/check.sh");
    format!(
        "    default_backend b\nbackend b\n    option external-check\n    external-check command {command}\n    \
         server {server} 127.0.0.1:1 check inter 1h\n"
    )
}

/// A child with this in its title, once there is one.
fn child(of: i32, words: &str) -> i32 {
    let mut found = None;
    let is_there = || {
        found = children(of as u32).into_iter().find(|pid| title(*pid as i32).contains(words));
        found.is_some()
    };
    assert!(wait_until(PATIENCE, is_there), "no child {words}");
    found.unwrap_or_default() as i32
}

#[test]
fn programs_of_a_user_have_its_rights() {
    let Some(_turn) = turn_as_root() else { return };
    let (_crew, spawner, program) = start("    user nobody\n    group nogroup\n    insecure-fork-wanted");
    for pid in [spawner, program] {
        assert_eq!(status(pid, "Uid"), "65534\t65534\t65534\t65534");
        assert_eq!(status(pid, "Gid"), "65534\t65534\t65534\t65534");
        assert_eq!((status(pid, "Groups").as_str(), status(pid, "NoNewPrivs").as_str()), ("", "1"));
        // As HAProxy's, they could only have more by executing, which gives nothing.
        assert_eq!(capabilities(pid)[..3], [0; 3]);
        assert_eq!(status(pid, "Seccomp"), "0");
    }
    let mut open: Vec<String> =
        descriptors(spawner).into_iter().map(|name| name.split(":[").next().unwrap_or_default().to_owned()).collect();
    open.sort();
    assert_eq!(open, ["anon_inode", "socket"], "its signals and its worker");
    assert_eq!(descriptors(program), [""; 0]);
    assert_eq!(status(program, "SigBlk"), "0000000000000000");
}

#[test]
fn programs_of_root_have_what_root_has() {
    let Some(_turn) = turn_as_root() else { return };
    let own = capabilities(std::process::id() as i32);
    let (crew, spawner, program) = start("    insecure-fork-wanted");
    for pid in [spawner, program] {
        assert_eq!(capabilities(pid)[1..4], own[1..4]);
        assert_eq!(status(pid, "NoNewPrivs"), "1");
    }
    assert_eq!(capabilities(crew.supervisor.pid() as i32)[2], 0, "the worker does not");
}

#[test]
fn programs_of_a_user_need_the_right_to_fork() {
    let Some(_turn) = turn_as_root() else { return };
    let crew = Crew::start(&format!("{}    user nobody\n    external-check", sandbox_line()), &checked("exit0"));
    let text = "Failed to fork process for external health check (likely caused by missing 'insecure-fork-wanted'): \
                Resource temporarily unavailable. Aborting.";
    let verdict = "reason: Socket error, info: \"Resource temporarily unavailable\"";
    let is_told = |words: &str| wait_until(PATIENCE, || crew.supervisor.stderr().contains(words));
    assert!(is_told(text) && is_told(verdict), "{}", crew.supervisor.stderr());
}
