//! Processes of the master beside its current workers: workers of earlier configurations, and programs.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::proxy::Program;
use crate::shm::Slot;
use crate::sys::process::spawn;

/// What a child is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// A worker.
    Worker {
        /// From 1, among those of its configuration.
        number: u32,
        /// Its place in shared memory.
        slot: Slot,
    },
    /// A program, with its section's name.
    Program(String),
}

/// One child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// What it is.
    pub role: Role,
    /// Its process.
    pub pid: i32,
    /// Reloads that it has survived.
    pub reloads: u32,
    /// When it was started, seconds of the wall clock.
    pub since: u64,
    /// It was told to leave.
    pub leaving: bool,
    /// The version that it runs.
    pub version: String,
}

impl Child {
    /// Sends it a signal. It is our child and not reaped yet: nobody else has its pid.
    pub fn tell(&self, signal: Signal) {
        if self.pid > 0 {
            let _gone = kill(Pid::from_raw(self.pid), signal);
        }
    }

    /// How it ended, once it has.
    pub fn ended(&self) -> Option<WaitStatus> {
        if self.pid <= 0 {
            return Some(WaitStatus::StillAlive);
        }
        match waitpid(Pid::from_raw(self.pid), Some(WaitPidFlag::WNOHANG)) {
            Ok(status @ (WaitStatus::Exited(..) | WaitStatus::Signaled(..))) => Some(status),
            Ok(_) => None,
            // It is no child of ours (any more).
            Err(_) => Some(WaitStatus::StillAlive),
        }
    }

    /// What messages call it: `worker`, `program 'name'`.
    pub fn name(&self) -> String {
        match &self.role {
            Role::Worker { .. } => "worker".to_owned(),
            Role::Program(name) => format!("program '{name}'"),
        }
    }

    /// Whether it is a worker.
    pub fn is_worker(&self) -> bool {
        matches!(self.role, Role::Worker { .. })
    }
}

/// Starts a program in the environment that the configuration made.
///
/// # Errors
/// What the system says: there is no such command, or its user cannot be had.
pub fn start(program: &Program, environment: &[(Vec<u8>, Vec<u8>)], now: u64) -> std::io::Result<Child> {
    use std::os::unix::ffi::OsStrExt;
    let text = std::ffi::OsStr::from_bytes;
    let mut words = program.command.iter().map(|word| text(word));
    let Some(name) = words.next() else { return Err(std::io::ErrorKind::NotFound.into()) };
    let mut command = Command::new(name);
    command.args(words).stdin(Stdio::null()).env_clear();
    command.envs(environment.iter().map(|(name, value)| (text(name), text(value))));
    if let Some(gid) = program.gid {
        command.gid(gid);
    }
    if let Some(uid) = program.uid {
        command.uid(uid);
    }
    let child = spawn(&mut command)?;
    Ok(Child {
        role: Role::Program(program.name.clone()),
        pid: child.id() as i32,
        reloads: 0,
        since: now,
        leaving: false,
        version: "-".to_owned(),
    })
}
