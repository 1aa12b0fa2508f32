//! Listening addresses of a frontend (manual 4, `bind`, and 5.1).

use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::path::PathBuf;

use super::namespace::Namespace;
use super::workers::NumberSet;
use crate::time::Millis;

/// One address that a frontend listens on; a `bind` line with several addresses or ports makes several.
#[derive(Clone, Debug)]
pub struct Bind {
    /// HAProxy's socket id (`id`, or counted from 1 within the frontend).
    pub uuid: u32,
    /// `name`; `sock-N` is shown when absent.
    pub name: Option<String>,
    /// File and line of the statement, `file:line`.
    pub place: String,
    /// Where to listen.
    pub address: ListenAddress,
    /// The other parameters of the line.
    pub options: BindOptions,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// TCP on an IPv4 or IPv6 address.
    Ip(SocketAddr),
    /// A UNIX stream socket in the file system.
    Unix(PathBuf),
    /// A UNIX stream socket in the abstract namespace.
    Abstract(Vec<u8>),
    /// A listening descriptor inherited from the parent (`fd@N`).
    Fd(RawFd),
}

/// Parameters of a `bind` line.
#[derive(Clone, Debug, Default)]
pub struct BindOptions {
    /// `backlog` of listen(2); maxconn when absent.
    pub backlog: Option<u32>,
    /// `defer-accept`.
    pub defer_accept: bool,
    /// `interface`: bind to this device.
    pub interface: Option<String>,
    /// `namespace`: the network that it listens in, if not the process's own.
    pub namespace: Option<Namespace>,
    /// `maxconn` of this listener.
    pub maxconn: Option<u32>,
    /// `mss`.
    pub mss: Option<i32>,
    /// `tcp-ut`: TCP_USER_TIMEOUT.
    pub tcp_user_timeout: Option<Millis>,
    /// `tfo`: TCP Fast Open.
    pub fast_open: bool,
    /// `nice`: place of its sessions among those that are ready at the same time, -1024 (first) to 1024.
    pub nice: i16,
    /// `transparent`.
    pub transparent: bool,
    /// `v4v6`: an IPv6 wildcard also takes IPv4.
    pub v4v6: bool,
    /// `v6only`.
    pub v6only: bool,
    /// `mode` of a UNIX socket.
    pub mode: Option<u32>,
    /// `user`/`uid` of a UNIX socket.
    pub uid: Option<u32>,
    /// `group`/`gid` of a UNIX socket.
    pub gid: Option<u32>,
    /// `process`: processes that use the line, as written; empty for all.
    pub processes: NumberSet,
    /// `thread`, and what `process` has behind its slash: threads that use the line; empty for all.
    pub threads: NumberSet,
}
