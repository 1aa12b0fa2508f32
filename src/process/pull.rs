//! Listening sockets taken out of old processes without their help: `-sf` and `-st` without `-x` lose no
//! connection either, because the queues of the old sockets go on in the new process.
//!
//! Only the processes given by pid are looked at, and only those that are a proxy: a stale pid that belongs to
//! another program by now keeps its sockets. What may not be touched, or what the kernel does not offer, is
//! left alone; then the addresses are bound afresh, beside the old process.

use super::notice;
use super::plan::ListenSpec;
use super::takeover::Taken;
use crate::proxy::bind::ListenAddress;
use crate::sys::pidfd::Process;
use socket2::SockRef;
use std::collections::HashSet;
use std::fs;
use std::os::fd::{OwnedFd, RawFd};

/// How the programs are called whose sockets are taken.
const PROGRAMS: [&str; 2] = ["epoxy", "haproxy"];

/// What was found.
#[derive(Debug, Default)]
pub struct Pulled {
    /// Copies of listening sockets: at least those that listen where it is wanted.
    pub sockets: Vec<Taken>,
    /// No old process can have a wanted address that is not among them.
    pub complete: bool,
}

/// So many sockets in a row that do not listen end the search when nothing is missing: what follows are
/// connections, for listening sockets were opened before them.
const OTHERS_MAX: usize = 256;

/// Looks for sockets of `pids` that listen where `specs` want it, all of them where an address has several. The operator is told of a pid of another
/// program.
pub fn pull(pids: &[i32], specs: &[ListenSpec]) -> Pulled {
    let mut search = Search {
        // Inherited descriptors have no place of their own to look for.
        missing: specs.iter().filter(|spec| !matches!(spec.address, ListenAddress::Fd(_))).collect(),
        pulled: Pulled { sockets: Vec::new(), complete: true },
        seen: HashSet::new(),
    };
    for pid in pids.iter().copied().filter(|pid| *pid != std::process::id() as i32) {
        search.look_at(pid);
    }
    search.pulled
}

/// Sockets that an earlier master has left: all that there are.
pub fn sort(sockets: Vec<OwnedFd>) -> Pulled {
    let taken = sockets.into_iter().map(|socket| {
        let interface = SockRef::from(&socket).device().ok().flatten().unwrap_or_default();
        Taken::new(socket, interface)
    });
    Pulled { sockets: taken.collect(), complete: true }
}

struct Search<'a> {
    missing: Vec<&'a ListenSpec>,
    pulled: Pulled,
    /// Sockets by their number in the system: old processes may share some.
    seen: HashSet<u64>,
}

impl Search<'_> {
    fn look_at(&mut self, pid: i32) {
        let process = match Process::open(pid) {
            Ok(process) => process,
            Err(error) => {
                // Nobody is there: nothing is missed.
                self.pulled.complete &= error.raw_os_error() == Some(libc::ESRCH);
                return;
            }
        };
        match program(&pid.to_string()) {
            None => self.pulled.complete = false,
            Some(name) if is_proxy(&name) => self.look_into(pid, &process),
            Some(name) => notice::warning(format!(
                "Old process {pid} runs another program ('{name}'): no listening sockets are taken from it."
            )),
        }
    }

    fn look_into(&mut self, pid: i32, process: &Process) {
        let Some(numbers) = sockets(pid) else {
            self.pulled.complete = false;
            return;
        };
        let mut others = 0;
        for number in numbers {
            if self.missing.is_empty() && others >= OTHERS_MAX {
                return;
            }
            match process.copy_descriptor(number) {
                Ok(socket) => others = if self.consider(socket) { 0 } else { others + 1 },
                // It was closed meanwhile, or the process has ended.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EBADF | libc::ESRCH)) => {}
                Err(_) => self.pulled.complete = false,
            }
        }
    }

    /// Keeps a socket if it listens; says whether it does.
    fn consider(&mut self, socket: OwnedFd) -> bool {
        let reference = SockRef::from(&socket);
        if !reference.is_listener().is_ok_and(|listens| listens) {
            return false;
        }
        if nix::sys::stat::fstat(&socket).is_ok_and(|status| !self.seen.insert(status.st_ino)) {
            return true;
        }
        let interface = reference.device().ok().flatten().unwrap_or_default();
        let taken = Taken::new(socket, interface);
        if let Some(index) = self.missing.iter().position(|spec| taken.fits(&spec.address, &spec.options)) {
            self.missing.swap_remove(index);
        }
        self.pulled.sockets.push(taken);
        true
    }
}

/// The name of the program that a process runs, `None` if it may not be looked at.
fn program(pid: &str) -> Option<String> {
    let path = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let name = path.file_name()?.to_string_lossy().into_owned();
    // An upgrade has replaced the file.
    Some(name.strip_suffix(" (deleted)").map_or(name.clone(), str::to_owned))
}

/// Whether a program is this one, under whatever name, or one that it stands in for.
fn is_proxy(name: &str) -> bool {
    PROGRAMS.iter().any(|known| name.starts_with(known)) || program("self").is_some_and(|ours| ours == name)
}

/// The memory that the workers of `pids` share, as far as the kernel gives it: the candidates, one a process.
pub fn segments(pids: &[i32]) -> impl Iterator<Item = OwnedFd> {
    let others = pids.iter().copied().filter(|pid| *pid != std::process::id() as i32);
    others.filter_map(|pid| {
        let process =
            Process::open(pid).ok().filter(|_| program(&pid.to_string()).is_some_and(|name| is_proxy(&name)))?;
        let number = *descriptors(pid, SEGMENT_LINK)?.first()?;
        process.copy_descriptor(number).ok()
    })
}

/// What the link of a segment's descriptor begins with; see `shm::Segment::create`.
const SEGMENT_LINK: &[u8] = b"/memfd:epoxy ";

/// The numbers of a process's descriptors that are sockets, lowest first: listening sockets were opened before
/// connections. `None` if it may not be looked at.
fn sockets(pid: i32) -> Option<Vec<RawFd>> {
    descriptors(pid, b"socket:")
}

/// The numbers of a process's descriptors whose links begin like this, lowest first.
fn descriptors(pid: i32, beginning: &[u8]) -> Option<Vec<RawFd>> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let is_one = |entry: &fs::DirEntry| {
        fs::read_link(entry.path()).is_ok_and(|target| target.as_os_str().as_encoded_bytes().starts_with(beginning))
    };
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok();
    let mut numbers: Vec<RawFd> = entries.flatten().filter(is_one).filter_map(number).collect();
    numbers.sort_unstable();
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::plan::ListenOwner;
    use crate::proxy::bind::BindOptions;
    use crate::sys::process::in_child;
    use std::net::{SocketAddr, TcpListener};
    use std::process::{Command, Stdio};

    fn spec(address: SocketAddr) -> ListenSpec {
        ListenSpec {
            owner: ListenOwner::Frontend { frontend: 0, bind: 0 },
            label: "frontend f".to_owned(),
            place: String::new(),
            address: ListenAddress::Ip(address),
            options: BindOptions::default(),
            backlog: None,
            workers: crate::proxy::NumberSet::ALL,
            smart_accept: false,
            no_linger: false,
        }
    }

    #[test]
    fn only_what_listens_where_it_is_wanted_is_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let wanted = listener.local_addr().expect("address");
        let _other = TcpListener::bind("127.0.0.1:0").expect("bind");
        // Connected to the same address, but no listener.
        let client = std::net::TcpStream::connect(wanted).expect("connect");
        let (accepted, _) = listener.accept().expect("accept");
        let me = std::process::id() as i32;
        let code = in_child(|| {
            let nobodys = spec(SocketAddr::from(([127, 0, 0, 1], 1)));
            let pulled = pull(&[me], &[spec(wanted), nobodys.clone()]);
            let fits =
                |spec: &ListenSpec| pulled.sockets.iter().filter(|t| t.fits(&spec.address, &spec.options)).count();
            u8::from((fits(&spec(wanted)), fits(&nobodys), pulled.complete) != (1, 0, true))
        });
        assert_eq!(code, 0);
        drop((client, accepted));
        assert!(pull(&[me], &[spec(wanted)]).sockets.is_empty(), "its own sockets it has already");
    }

    #[test]
    fn another_programs_sockets_stay_where_they_are() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let wanted = listener.local_addr().expect("address");
        let stdin = Stdio::from(OwnedFd::from(listener));
        let mut other = Command::new("sleep").arg("60").stdin(stdin).spawn().expect("sleep");
        notice::set_modes(true, false);
        let pulled = pull(&[other.id() as i32, i32::MAX], &[spec(wanted)]);
        notice::set_modes(false, false);
        other.kill().expect("kill");
        other.wait().expect("wait");
        assert!(pulled.sockets.is_empty() && pulled.complete);
    }
}
