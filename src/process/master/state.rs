//! What a master leaves to itself when it executes its program anew: a text in a memory file, whose number the
//! environment tells, and descriptors that stay open. A trial (see [`super`]) gets the same, and only looks.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::child::{Child, Role};
use crate::proxy::CliLevel;
use crate::shm::Slot;
use crate::sys::fds;

/// The variable that tells where the state is: `trial:FD` or `start:FD`.
pub const VARIABLE: &str = "EPOXY_MASTER_STATE";
/// First line of the text. Another version of the program may read it: unknown lines are skipped.
const TITLE: &str = "epoxy master 1";
/// Name of the memory file.
const FILE: &str = "epoxy-master";
/// A longer text is not ours.
const TEXT_BYTES_MAX: u64 = 16 << 20;

/// What goes over, less the descriptors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// Reloads so far, this one included.
    pub reloads: u32,
    /// Those that failed since the last that did not.
    pub failed: u32,
    /// When the master was started, seconds of the wall clock.
    pub since: u64,
    /// The service manager is told.
    pub systemd: bool,
    /// Listening is paused (SIGTTOU).
    pub paused: bool,
    /// What the last reload had to say, if it failed. It does not go over.
    pub messages: String,
    /// Workers and programs.
    pub children: Vec<Child>,
}

/// What came over.
#[derive(Debug)]
pub struct Inherited {
    /// This process only tries whether it could start.
    pub trial: bool,
    /// What was.
    pub past: Past,
    holdings: RefCell<Holdings>,
    /// The new workers are up.
    settled: Cell<bool>,
    pid: u32,
}

/// Descriptors that came over.
#[derive(Debug, Default)]
pub struct Holdings {
    /// The memory that workers share, with its id.
    pub segment: Option<(OwnedFd, u64)>,
    /// Listening sockets.
    pub sockets: Vec<OwnedFd>,
    /// The master's own, with the rights of its clients.
    pub cli: Vec<(OwnedFd, CliLevel)>,
}

impl Holdings {
    fn try_clone(&self) -> std::io::Result<Holdings> {
        let cli = self.cli.iter().map(|(socket, level)| Ok((socket.try_clone()?, *level)));
        Ok(Holdings {
            segment: self
                .segment
                .as_ref()
                .map(|(file, id)| Ok::<_, std::io::Error>((file.try_clone()?, *id)))
                .transpose()?,
            sockets: self.sockets.iter().map(OwnedFd::try_clone).collect::<std::io::Result<_>>()?,
            cli: cli.collect::<std::io::Result<_>>()?,
        })
    }
}

/// The descriptors that go over.
#[derive(Debug, Default)]
pub struct Descriptors<'a> {
    /// The memory that workers share, with its id.
    pub segment: Option<(BorrowedFd<'a>, u64)>,
    /// Listening sockets.
    pub sockets: Vec<BorrowedFd<'a>>,
    /// The master's own, with the rights of its clients.
    pub cli: Vec<(BorrowedFd<'a>, CliLevel)>,
}

impl<'a> Descriptors<'a> {
    fn all(&self) -> impl Iterator<Item = BorrowedFd<'a>> + '_ {
        let cli = self.cli.iter().map(|(socket, _)| *socket);
        self.segment.iter().map(|(file, _)| *file).chain(self.sockets.iter().copied()).chain(cli)
    }
}

/// A state that is written down and whose descriptors outlive an exec while this value lives.
#[derive(Debug)]
pub struct Written<'a> {
    file: std::fs::File,
    descriptors: Descriptors<'a>,
}

impl<'a> Written<'a> {
    /// Writes the state down.
    ///
    /// # Errors
    /// No memory or no descriptor is left.
    pub fn new(past: &Past, descriptors: Descriptors<'a>) -> std::io::Result<Written<'a>> {
        let mut file = std::fs::File::from(memfd_create(FILE, MFdFlags::MFD_CLOEXEC)?);
        file.write_all(text(past, &descriptors).as_bytes())?;
        let written = Written { file, descriptors };
        written.keep(true)?;
        Ok(written)
    }

    /// The value of [`VARIABLE`].
    pub fn variable(&self, trial: bool) -> String {
        format!("{}:{}", if trial { "trial" } else { "start" }, self.file.as_raw_fd())
    }

    fn keep(&self, keep: bool) -> std::io::Result<()> {
        let flags = if keep { FdFlag::empty() } else { FdFlag::FD_CLOEXEC };
        for fd in self.descriptors.all().chain([self.file.as_fd()]) {
            fcntl(fd, FcntlArg::F_SETFD(flags))?;
        }
        Ok(())
    }
}

impl Drop for Written<'_> {
    fn drop(&mut self) {
        // They are open: there is nothing that this could fail with.
        let _ = self.keep(false);
    }
}

fn text(past: &Past, descriptors: &Descriptors<'_>) -> String {
    let mut text = format!("{TITLE}\n");
    let Past { reloads, failed, since, systemd, paused, children, messages: _ } = past;
    // Writes into strings do not fail.
    let _ = writeln!(text, "master {reloads} {failed} {since} {} {}", u8::from(*systemd), u8::from(*paused));
    for child in children {
        let Child { role, pid, reloads, since, leaving, version } = child;
        let (kind, number, slot, name) = match role {
            Role::Worker { number, slot } => ("worker", *number, slot.0, version.as_str()),
            Role::Program(name) => ("program", 0, 0, name.as_str()),
        };
        let leaving = u8::from(*leaving);
        let _ = writeln!(text, "{kind} {pid} {reloads} {since} {leaving} {number} {slot} {name}");
    }
    if let Some((segment, id)) = &descriptors.segment {
        let _ = writeln!(text, "segment {} {id}", segment.as_raw_fd());
    }
    for socket in &descriptors.sockets {
        let _ = writeln!(text, "socket {}", socket.as_raw_fd());
    }
    for (socket, level) in &descriptors.cli {
        let _ = writeln!(text, "cli {} {}", socket.as_raw_fd(), *level as u8);
    }
    text
}

impl Inherited {
    /// What an earlier master left in this process; `None` in one that was started otherwise. Lives as long as
    /// the process: a start that fails goes on with it.
    pub fn find() -> Option<&'static Inherited> {
        let variable = std::env::var(VARIABLE).ok()?;
        let (how, number) = variable.split_once(':')?;
        let trial = match how {
            "trial" => true,
            "start" => false,
            _ => return None,
        };
        let number: RawFd = number.parse().ok()?;
        // Anybody could have set the variable: what it names must be such a file.
        let target = std::fs::read_link(format!("/proc/self/fd/{number}")).ok()?;
        if !target.to_string_lossy().starts_with(&format!("/memfd:{FILE}")) {
            return None;
        }
        let mut file = std::fs::File::from(fds::adopt_inherited(number).ok()?);
        let mut text = String::new();
        file.rewind().ok()?;
        file.take(TEXT_BYTES_MAX).read_to_string(&mut text).ok()?;
        let inherited = Inherited::parse(&text, trial)?;
        Some(Box::leak(Box::new(inherited)))
    }

    fn parse(text: &str, trial: bool) -> Option<Inherited> {
        let mut lines = text.lines();
        lines.next().filter(|title| *title == TITLE)?;
        let mut inherited = Inherited {
            trial,
            past: Past::default(),
            holdings: RefCell::default(),
            settled: Cell::new(false),
            pid: std::process::id(),
        };
        for line in lines {
            let (kind, rest) = line.split_once(' ')?;
            inherited.line(kind, rest)?;
        }
        Some(inherited)
    }

    fn line(&mut self, kind: &str, rest: &str) -> Option<()> {
        let mut words = rest.splitn(7, ' ');
        let mut number = || words.next()?.parse::<u64>().ok();
        let (past, holdings) = (&mut self.past, self.holdings.get_mut());
        match kind {
            "master" => {
                (past.reloads, past.failed, past.since) = (number()? as u32, number()? as u32, number()?);
                (past.systemd, past.paused) = (number()? != 0, number()? != 0);
            }
            "worker" | "program" => {
                let (pid, reloads, since) = (number()? as i32, number()? as u32, number()?);
                let (leaving, worker, slot) = (number()? != 0, number()? as u32, Slot(number()? as u16));
                let name = words.next().unwrap_or_default().to_owned();
                let (role, version) = match kind {
                    "worker" => (Role::Worker { number: worker, slot }, name),
                    _ => (Role::Program(name), "-".to_owned()),
                };
                past.children.push(Child { role, pid, reloads, since, leaving, version });
            }
            "segment" => {
                let file = fds::adopt_inherited(number()? as RawFd).ok();
                // An earlier version does not tell the id.
                holdings.segment = file.map(|file| (file, number().unwrap_or_default()));
            }
            "socket" => holdings.sockets.push(fds::adopt_inherited(number()? as RawFd).ok()?),
            "cli" => {
                let socket = fds::adopt_inherited(number()? as RawFd).ok()?;
                let levels = [CliLevel::User, CliLevel::Operator, CliLevel::Admin];
                holdings.cli.push((socket, *levels.get(number()? as usize)?));
            }
            _ => {}
        }
        Some(())
    }

    /// Copies of the descriptors.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn copies(&self) -> std::io::Result<Holdings> {
        self.holdings.borrow().try_clone()
    }

    /// Closes the descriptors, for this process needs them no longer: it is a worker, or its workers have them.
    pub fn let_go(&self) {
        self.settled.set(true);
        self.holdings.take();
    }

    /// The descriptors, for a master that goes on without a start.
    pub fn take(&self) -> Holdings {
        self.holdings.take()
    }

    /// Whether this is a master whose start came to nothing, so that it has to go on without.
    pub fn is_stranded(&self) -> bool {
        !self.trial && !self.settled.get() && self.pid == std::process::id()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let worker = |pid, leaving| Child {
            role: Role::Worker { number: 2, slot: Slot(7) },
            pid,
            reloads: 3,
            since: 99,
            leaving,
            version: "2.6.12 x".to_owned(),
        };
        let program = Child {
            role: Role::Program("a name".to_owned()),
            pid: 12,
            reloads: 0,
            since: 5,
            leaving: false,
            version: "-".to_owned(),
        };
        let children = vec![worker(10, false), worker(11, true), program];
        let past =
            Past { reloads: 4, failed: 1, since: 1234, systemd: true, paused: false, children, ..Past::default() };
        let written = text(&past, &Descriptors::default());
        assert_eq!(Inherited::parse(&written, true).expect("it is ours").past, past);
    }

    #[test]
    fn nonsense_is_nothing() {
        for text in ["", "x\n", "epoxy master 1\nworker x\n", "epoxy master 1\ncli 9999999 1\n", "epoxy master 1\nx\n"]
        {
            assert!(Inherited::parse(text, false).is_none(), "{text}");
        }
        assert!(Inherited::parse("epoxy master 1\nlater word\n", false).is_some());
    }
}
