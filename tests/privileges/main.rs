//! What the processes of a running service may do: users, capabilities, descriptors, the sandbox; and starts that
//! the system refuses.
//!
//!     cargo test --test privileges          # most of it needs root
//!
//! The tests take turns, for some of them limit what a whole user may have.

#[path = "../prefork/crew.rs"]
#[allow(dead_code)]
mod crew;
mod kept;
mod locked;
mod programs;
mod refused;
#[path = "../reload/service.rs"]
#[allow(dead_code)]
mod service;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::sync::{Mutex, MutexGuard};

static TURN: Mutex<()> = Mutex::new(());

/// The test's turn; `None` if this machine cannot run it.
fn turn_as_root() -> Option<MutexGuard<'static, ()>> {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: not root, nothing to give up");
        return None;
    }
    Some(TURN.lock().unwrap_or_else(|failed| failed.into_inner()))
}

/// A line of /proc/PID/status.
fn status(pid: i32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).trim().to_owned()
}

/// The capability sets of a process: inheritable, permitted, effective, bounding, ambient.
fn capabilities(pid: i32) -> [u64; 5] {
    let names = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
    names.map(|name| u64::from_str_radix(&status(pid, name), 16).expect("a set"))
}

/// The set of these.
fn set(capabilities: &[caps::Capability]) -> u64 {
    capabilities.iter().map(caps::Capability::bitmask).sum()
}

/// What a process has open above the standard streams.
fn descriptors(pid: i32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("descriptors").flatten();
    let own =
        entries.filter(|entry| entry.file_name().to_str().and_then(|n| n.parse().ok()).is_some_and(|n: u32| n > 2));
    own.filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.display().to_string())).collect()
}
