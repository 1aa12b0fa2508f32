//! A service of any number of workers, and what it says of itself.

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddrV4;
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::support::place::{TempDir, wait_listening, wait_until};
use crate::support::process::Running;
pub use crate::support::service::PATIENCE;
use crate::support::service::{Site, children, epoxy, sections};

/// How a configuration comes to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A new process with `-sf PID`.
    Finish,
    /// A new process with `-x SOCKET -sf PID`.
    Exposed,
    /// SIGUSR2 to the master.
    Usr2,
    /// SIGHUP to the master.
    Hup,
    /// `reload` on the master's socket.
    Socket,
}

impl Form {
    fn has_master(self) -> bool {
        matches!(self, Form::Usr2 | Form::Hup | Form::Socket)
    }
}

/// The configuration, its nodes and the processes that serve at the moment.
pub struct Fleet {
    dir: TempDir,
    form: Form,
    more: String,
    /// Where clients go.
    pub address: SocketAddrV4,
    /// The process that was started last; the master, if there is one.
    pub current: Running,
    _site: Site,
}

impl Fleet {
    /// Starts a service of `workers` that is going to be reloaded by `form`. `more` is added to the configuration.
    pub fn start(form: Form, workers: u32, more: &str) -> Fleet {
        let site = Site::start();
        let address = site.address;
        let dir = TempDir::new("fleet").expect("directory");
        write_config(dir.path(), address, workers, more);
        let current = run(form, dir.path(), &[]);
        assert!(wait_listening(address.into(), PATIENCE), "{}", current.stderr());
        let fleet = Fleet { dir, form, more: more.to_owned(), address, current, _site: site };
        fleet.wait_for_workers(workers);
        fleet
    }

    /// Where its files are.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Changes the configuration to `workers` and reloads; comes back when the new workers serve.
    pub fn reload(&mut self, workers: u32) {
        write_config(self.dir.path(), self.address, workers, &self.more);
        let before = self.workers();
        self.order_reload();
        let replaced = || {
            let now = self.workers();
            now.len() >= workers as usize && now.iter().filter(|pid| !before.contains(pid)).count() == workers as usize
        };
        assert!(wait_until(PATIENCE, replaced), "{before:?} {:?}\n{}", self.workers(), self.current.stderr());
    }

    /// Asks for a reload, whatever comes of it; with `-sf`, the old process becomes nobody's concern.
    fn order_reload(&mut self) {
        let pid = self.current.pid().to_string();
        let socket = self.dir.path().join("cli.sock").display().to_string();
        match self.form {
            Form::Finish => self.replace(&["-sf", &pid]),
            Form::Exposed => self.replace(&["-x", &socket, "-sf", &pid]),
            Form::Usr2 => self.current.signal(Signal::SIGUSR2),
            Form::Hup => self.current.signal(Signal::SIGHUP),
            Form::Socket => {
                let _closed_by_the_reload = self.ask("master.sock", "reload");
            }
        }
    }

    fn replace(&mut self, args: &[&str]) {
        let new = run(self.form, self.dir.path(), args);
        let mut old = std::mem::replace(&mut self.current, new);
        let status = old.wait(PATIENCE);
        assert!(
            status.is_some_and(|status| status.success()),
            "{status:?}\n{}\n{}",
            old.stderr(),
            self.current.stderr()
        );
    }

    /// Tries to reload with a configuration that cannot be; gives what the service said.
    pub fn fail_to_reload(&mut self, config: &str) -> String {
        fs::write(self.dir.path().join("a.cfg"), config).expect("configuration");
        if !self.form.has_master() {
            let pid = self.current.pid().to_string();
            let mut new = run(self.form, self.dir.path(), &["-sf", &pid]);
            let status = new.wait(PATIENCE);
            new.kill();
            assert_eq!(status.and_then(|status| status.code()), Some(1), "{}", new.stderr());
            return new.stderr();
        }
        let before = self.current.stderr().len();
        self.order_reload();
        wait_until(PATIENCE, || self.current.stderr()[before..].contains("[ALERT]"));
        self.current.stderr()[before..].to_owned()
    }

    /// The pids of the workers: the children of a supervisor, or the one process.
    pub fn workers(&self) -> Vec<u32> {
        let children = children(self.current.pid());
        if children.is_empty() { vec![self.current.pid()] } else { children }
    }

    /// Waits until exactly so many workers are there.
    pub fn wait_for_workers(&self, workers: u32) {
        let there = || self.workers().len() == workers as usize;
        assert!(wait_until(PATIENCE, there), "{workers}: {:?}\n{}", self.workers(), self.current.stderr());
    }

    /// The answer to a runtime command.
    pub fn ask(&self, socket: &str, command: &str) -> String {
        let mut answer = String::new();
        let Ok(mut stream) = UnixStream::connect(self.dir.path().join(socket)) else { return answer };
        let _ = stream.set_read_timeout(Some(PATIENCE));
        if stream.write_all(format!("{command}\n").as_bytes()).is_ok() {
            let _as_far_as_it_came = stream.read_to_string(&mut answer);
        }
        answer
    }

    /// A column of `show stat`.
    pub fn stat(&self, proxy: &str, server: &str, column: &str) -> u64 {
        let page = self.ask("cli.sock", "show stat");
        let mut lines = page.lines();
        let names: Vec<&str> = lines.next().unwrap_or_default().trim_start_matches("# ").split(',').collect();
        let at = names.iter().position(|name| *name == column).unwrap_or_else(|| panic!("no {column} in {page}"));
        let line = lines.map(|line| line.split(',').collect::<Vec<_>>()).find(|line| line[..2] == [proxy, server]);
        let line = line.unwrap_or_else(|| panic!("no {proxy}/{server} in {page}"));
        line[at].parse().unwrap_or(0)
    }
}

fn write_config(dir: &Path, address: SocketAddrV4, workers: u32, more: &str) {
    let config = format!(
        "global
    nbproc {workers}
    # More than the descriptors of one process would do for, with a connection to a server for each.
    no strict-limits
    maxconn 10100
    stats socket {}/cli.sock mode 600 level admin expose-fd listeners
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 5s
{}
{more}
",
        dir.display(),
        sections(address, "    http-response set-header X-Worker %pid")
    );
    fs::write(dir.join("a.cfg"), config).expect("configuration");
}

fn run(form: Form, dir: &Path, args: &[&str]) -> Running {
    let socket = dir.join("master.sock").display().to_string();
    let master = if form.has_master() { &["-W", "-S", &socket][..] } else { &["-db"] };
    epoxy(dir, &[master, &["-f", "a.cfg"], args].concat())
}
