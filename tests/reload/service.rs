//! A service whose process is replaced by another one again and again.

use std::fs;
use std::net::SocketAddrV4;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

use crate::support::place::{TempDir, sandbox_line, wait_listening};
use crate::support::process::Running;
pub use crate::support::service::{PATIENCE, Site, program, sections};

/// Which program serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Epoxy,
    Haproxy,
    /// Epoxy as nobody from a file that nobody may read: not even its own user may look into such a process, so
    /// that no sockets can be taken from it.
    Opaque,
}

impl Program {
    /// Where it is.
    pub fn path(self) -> PathBuf {
        match self {
            Program::Epoxy | Program::Opaque => program(),
            Program::Haproxy => "/usr/sbin/haproxy".into(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Program::Epoxy | Program::Opaque => "epoxy",
            Program::Haproxy => "haproxy",
        }
    }
}

/// How a new process comes to its sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `-sf PID` and nothing else.
    Plain,
    /// `-x SOCKET -sf PID`.
    Exposed,
    /// `-st PID`: the old process ends at once.
    Terminate,
}

/// The configuration, its nodes and the process that serves at the moment.
pub struct Service {
    dir: TempDir,
    /// Where clients go.
    pub address: SocketAddrV4,
    /// The process.
    pub current: Running,
    serving: Program,
    _site: Site,
}

impl Service {
    /// Starts `program` before two nodes, the one for `/slow` being slow. `global` is added to that section.
    pub fn start(program: Program, global: &str) -> Service {
        let site = Site::start();
        let address = site.address;
        let dir = TempDir::new("reload").expect("directory");
        // HAProxy has no workers, and so may not read this.
        let sandbox = if global.contains("nbproc ") { sandbox_line() } else { "" };
        let config = format!(
            "global
{sandbox}    stats socket {0}/cli.sock mode 600 level admin expose-fd listeners
{global}
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
{1}",
            dir.path().display(),
            sections(address, "")
        );
        fs::write(dir.path().join("a.cfg"), config).expect("configuration");
        if program == Program::Opaque {
            let copy = dir.path().join("epoxy");
            fs::copy(program.path(), &copy).expect("a copy");
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o711)).expect("mode");
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).expect("mode");
        }
        let current = run(program, dir.path(), &[]);
        assert!(wait_listening(address.into(), PATIENCE), "{}", current.stderr());
        Service { dir, address, current, serving: program, _site: site }
    }

    /// Where its files are.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Starts another process with these arguments behind `-f a.cfg`, beside the one that serves.
    pub fn beside(&self, program: Program, args: &[&str]) -> Running {
        run(program, self.dir.path(), args)
    }

    /// Replaces the process and waits for the end of the old one.
    pub fn reload(&mut self, program: Program, form: Form) {
        let pid = self.current.pid().to_string();
        let socket = self.dir.path().join("cli.sock").display().to_string();
        let args = match form {
            Form::Plain => vec!["-sf", &pid],
            Form::Terminate => vec!["-st", &pid],
            Form::Exposed => vec!["-x", &socket, "-sf", &pid],
        };
        let new = self.beside(program, &args);
        let mut old = std::mem::replace(&mut self.current, new);
        let status = old.wait(PATIENCE);
        match std::mem::replace(&mut self.serving, program) {
            _ if form == Form::Terminate => {
                let signal = status.and_then(|status| status.signal());
                assert_eq!(signal, Some(nix::libc::SIGTERM), "{}", old.stderr());
            }
            // It crashes at times, which is for the figures to show.
            Program::Haproxy => assert!(status.is_some(), "{}", old.stderr()),
            _ => assert!(
                status.is_some_and(|status| status.success()),
                "{status:?}\n{}\n{}",
                old.stderr(),
                self.current.stderr()
            ),
        }
        assert!(self.current.ended().is_none(), "{}", self.current.stderr());
    }
}

fn run(program: Program, dir: &Path, args: &[&str]) -> Running {
    let args: Vec<String> = ["-db", "-f", "a.cfg"].iter().chain(args).map(|word| (*word).to_owned()).collect();
    let started = match program {
        Program::Opaque => {
            let user = ["--reuid=65534", "--regid=65534", "--clear-groups", "./epoxy"].map(str::to_owned);
            Running::start("/usr/bin/setpriv".as_ref(), "setpriv", &[&user[..], &args].concat(), dir)
        }
        _ => Running::start(&program.path(), program.name(), &args, dir),
    };
    started.expect("a process")
}
