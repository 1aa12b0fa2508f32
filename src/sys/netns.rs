//! Sockets in other network namespaces (network_namespaces(7), setns(2)).

use std::fs::File;
use std::io;
use std::path::Path;

use nix::sched::{CloneFlags, setns};

use super::socket::netns_cookie;

/// Where namespaces with a name are (ip-netns(8)).
const NAMED: &str = "/var/run/netns";
/// The one of this thread.
const OWN: &str = "/proc/thread-self/ns/net";

/// A network namespace, and the way back from it.
#[derive(Debug)]
pub struct Namespace {
    there: File,
    home: File,
    cookie: Option<u64>,
}

impl Namespace {
    /// The namespace with this name.
    ///
    /// # Errors
    /// There is none, or it may not be opened.
    pub fn open(name: &str) -> io::Result<Namespace> {
        let mut namespace =
            Namespace { there: File::open(Path::new(NAMED).join(name))?, home: File::open(OWN)?, cookie: None };
        // Who may not go there yet may look at the configuration.
        namespace.cookie = namespace.within(cookie_here).ok().flatten();
        Ok(namespace)
    }

    /// What its sockets have ([`netns_cookie`]), as far as that is known.
    pub fn cookie(&self) -> Option<u64> {
        self.cookie
    }

    /// Makes something, a socket that is, in the namespace; all else goes on in the process's own.
    ///
    /// # Errors
    /// The namespace may not be entered (it takes CAP_SYS_ADMIN), or what `make` says.
    pub fn within<T>(&self, make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        setns(&self.there, CloneFlags::CLONE_NEWNET)?;
        let made = make();
        if setns(&self.home, CloneFlags::CLONE_NEWNET).is_err() {
            // Everything that follows would happen in the wrong network.
            std::process::abort();
        }
        made
    }
}

/// What the sockets of this thread's namespace have.
///
/// # Errors
/// No socket can be made.
pub fn cookie_here() -> io::Result<Option<u64>> {
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    Ok(netns_cookie(&socket).ok())
}
