//! A reload: the trial, whose messages are read because a daemon's standard error leads nowhere, and the execution of the program anew.

use std::ffi::{CString, OsString};
use std::io::{PipeReader, Read};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag};
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;

use super::super::supervisor::reason;
use super::child::{Child, Role};
use super::state::{Descriptors, Past, VARIABLE, Written};
use super::{Master, Phase, now};
use crate::log::Level;
use crate::notice;
use crate::proxy::CliLevel;
use crate::sys::process::spawn;

/// How long a trial may take. Names that the configuration has are resolved in it.
const TRIAL_WAIT: Duration = Duration::from_secs(120);
/// Octets of a trial's messages that are kept.
const MESSAGES_BYTES_MAX: usize = 64 * 1024;

/// A trial under way.
#[derive(Debug)]
pub struct Trial {
    child: Child,
    due: Instant,
    /// It took too long and was killed.
    late: bool,
    /// Its standard error.
    pipe: PipeReader,
    messages: Vec<u8>,
}

impl Trial {
    /// When it has taken too long.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Takes what it has said. It never waits for us to read, whatever it says.
    fn listen(&mut self) {
        let mut room = [0; 4096];
        // Interrupted by nothing: signals are blocked. Nothing to read is an error, too.
        while let Ok(got @ 1..) = self.pipe.read(&mut room) {
            let left = MESSAGES_BYTES_MAX.saturating_sub(self.messages.len());
            self.messages.extend_from_slice(&room[..got.min(left)]);
        }
    }
}

/// How this process was started.
#[derive(Debug)]
struct Start {
    argv: Vec<OsString>,
    directory: Option<PathBuf>,
}

static START: OnceLock<Start> = OnceLock::new();

/// Notes how this process was started, for reloads: to be called before the working directory changes.
pub fn remember_start(argv: &[OsString]) {
    let _ = START.set(Start { argv: argv.to_vec(), directory: std::env::current_dir().ok() });
}

impl Start {
    /// The file to execute: what the name leads to now, or else what this process runs.
    fn program(&self) -> PathBuf {
        let name = self.argv.first().map(PathBuf::from).unwrap_or_default();
        let is_there = |path: &Path| path.is_file();
        let found = if name.as_os_str().as_bytes().contains(&b'/') {
            let from = self.directory.clone().unwrap_or_default();
            Some(from.join(&name)).filter(|path| is_there(path))
        } else {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).map(|folder| folder.join(&name)).find(|path| is_there(path))
        };
        let own = || std::env::current_exe().ok().filter(|path| is_there(path));
        found.or_else(own).unwrap_or_else(|| PathBuf::from("/proc/self/exe"))
    }

    fn command(&self, state: &str) -> Command {
        let mut command = Command::new(self.program());
        if let Some((name, arguments)) = self.argv.split_first() {
            command.arg0(name).args(arguments);
        }
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command.env(VARIABLE, state);
        command
    }
}

impl Master<'_> {
    /// Begins a reload, or notes that another one is wanted. Who leaves does not begin anew.
    pub fn reload(&mut self) {
        if self.phase == Phase::Finishing {
            return self.cli.reload_failed("The service is ending.\n");
        }
        if self.trial.is_some() {
            self.again = true;
            return;
        }
        notice::notice("Reloading HAProxy");
        self.notify.reloading();
        self.past.reloads += 1;
        match self.try_out() {
            Ok(trial) => self.trial = Some(trial),
            Err(error) => self.failed(&notice::reason(&error), String::new()),
        }
    }

    fn try_out(&self) -> std::io::Result<Trial> {
        let start = START.get().ok_or(std::io::ErrorKind::NotFound)?;
        let written = self.write(&self.past)?;
        let (pipe, stderr) = std::io::pipe()?;
        nix::fcntl::fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        self.cli.wake_for(&pipe)?;
        let child = spawn(start.command(&written.variable(true)).stdin(Stdio::null()).stderr(stderr))?;
        let role = Role::Program(String::new());
        let (pid, version) = (child.id() as i32, String::new());
        let child = Child { role, pid, reloads: 0, since: now(), leaving: false, version };
        Ok(Trial { child, due: Instant::now() + TRIAL_WAIT, late: false, pipe, messages: Vec::new() })
    }

    fn write(&self, past: &Past) -> std::io::Result<Written<'_>> {
        let (segment, sockets) = self.crew.descriptors();
        let cli: Vec<(BorrowedFd<'_>, CliLevel)> = self.cli.sockets().collect();
        Written::new(past, Descriptors { segment, sockets, cli })
    }

    /// Gives a trial up: the service is to end.
    pub fn abandon_trial(&mut self) {
        self.again = false;
        if let Some(trial) = &self.trial {
            trial.child.tell(Signal::SIGKILL);
        }
    }

    /// Looks whether a trial has ended, and goes on if it has.
    pub fn attend_trial(&mut self) {
        let Some(trial) = &mut self.trial else { return };
        trial.listen();
        if Instant::now() >= trial.due && !trial.late {
            trial.late = true;
            trial.child.tell(Signal::SIGKILL);
        }
        let Some(status) = trial.child.ended() else { return };
        trial.listen();
        let (messages, late) = (String::from_utf8_lossy(&trial.messages).into_owned(), trial.late);
        self.trial = None;
        match status {
            _ if self.phase == Phase::Finishing => self.cli.reload_failed("The service is ending.\n"),
            WaitStatus::Exited(_, 0) => {
                let error = self.execute();
                self.failed(&notice::reason(&error), messages);
            }
            _ if late => self.failed(&format!("the trial took more than {} s", TRIAL_WAIT.as_secs()), messages),
            other => self.failed(&format!("the trial exited with code {}", reason(other)), messages),
        }
        if std::mem::take(&mut self.again) {
            self.reload();
        }
    }

    /// Everything goes on as it was; `messages` of the trial tell more about it.
    fn failed(&mut self, why: &str, messages: String) {
        self.past.failed += 1;
        self.crew.pass_on(&messages);
        notice::running(false, "Loading failure!");
        let text = format!("The reload failed ({why}): everything stays as it was.");
        self.say(Level::Warning, &text);
        self.notify.ready(&format!("The last reload failed: {why}"));
        self.past.messages = messages + &notice::line("WARNING", std::process::id(), &text);
        self.cli.reload_failed(&self.past.messages);
    }

    /// Executes the program anew; comes back only if that fails.
    fn execute(&mut self) -> std::io::Error {
        let Some(start) = START.get() else { return std::io::ErrorKind::NotFound.into() };
        let mut past = self.past.clone();
        past.children = self.children();
        past.children.iter_mut().for_each(|child| child.reloads += 1);
        let variable;
        let error = match self.write(&past) {
            Ok(written) => {
                variable = written.variable(false);
                execute(start, &variable)
            }
            Err(error) => error,
        };
        let reason = notice::reason(&error);
        self.say(Level::Alert, &format!("Cannot execute {} ({reason}).", start.program().display()));
        error
    }
}

/// Replaces this process's program. Signals stay blocked and wait, unlike with [`Command::exec`].
fn execute(start: &Start, variable: &str) -> std::io::Error {
    let text = |bytes: &[u8]| CString::new(bytes).unwrap_or_default();
    let arguments: Vec<CString> = start.argv.iter().map(|word| text(word.as_bytes())).collect();
    let mut environment: Vec<CString> = std::env::vars_os()
        .filter(|(name, _)| name != VARIABLE)
        .map(|(name, value)| text(&[name.as_bytes(), b"=", value.as_bytes()].concat()))
        .collect();
    environment.push(text(format!("{VARIABLE}={variable}").as_bytes()));
    let here = std::env::current_dir();
    if let Some(directory) = &start.directory {
        let _ = std::env::set_current_dir(directory);
    }
    let program = text(start.program().as_os_str().as_bytes());
    let error = match nix::unistd::execve(&program, &arguments, &environment) {
        Ok(never) => match never {},
        Err(errno) => std::io::Error::from(errno),
    };
    if let Ok(here) = here {
        let _ = std::env::set_current_dir(here);
    }
    error
}
