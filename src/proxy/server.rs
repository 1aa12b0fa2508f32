//! Servers (manual 5.2).

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;

use super::check::{AgentSettings, CheckSettings};
use super::namespace::Namespace;
use super::naming::Naming;
use super::preface::PrefaceSettings;
use super::reaction::Observe;
use super::source::Source;
use super::{BackendId, ServerId};
use crate::time::Millis;

/// One `server` line with its `default-server` applied.
#[derive(Clone, Debug)]
pub struct Server {
    /// Name as written.
    pub name: String,
    /// HAProxy's server id within the backend, from 1.
    pub uuid: u32,
    /// `id`: it is as the line says.
    pub chose_id: bool,
    /// Its backend.
    pub backend: BackendId,
    /// File and line that it was written in; none if it was added at run time.
    pub written: Option<(Rc<str>, u32)>,
    /// Its place among the servers of its backend, see [`super::Members`].
    pub seat: u32,
    /// Where it listens.
    pub address: ServerAddress,
    /// No address was found for its name.
    pub lacks_address: bool,
    /// Host name, where the line gave one.
    pub fqdn: Option<String>,
    /// A service's name (manual 5.3.1), where the line gave one: its parts have names and addresses.
    pub service: Option<String>,
    /// `resolvers`: how its name is asked for while the program runs.
    pub naming: Option<Naming>,
    /// `weight`, 0 to 256; 1 when not written.
    pub weight: u32,
    /// `backup`.
    pub backup: bool,
    /// `maxconn`; no limit when absent.
    pub maxconn: Option<u32>,
    /// `minconn`, where it is less than `maxconn`: the limit while the backend has little to do.
    pub minconn: Option<u32>,
    /// `slowstart` in seconds, 0 without.
    pub slowstart_s: u64,
    /// `maxqueue`; no limit when absent.
    pub maxqueue: Option<u32>,
    /// `disabled` puts it into maintenance at start.
    pub admin: AdminAtStart,
    /// Health checks; `None` without `check`.
    pub check: Option<CheckSettings>,
    /// `redir`: what GET and HEAD are redirected to, in front of their path.
    pub redirect: Option<String>,
    /// `tcp-ut`: the connection breaks when what was sent stays unacknowledged for so long.
    pub user_timeout: Option<Millis>,
    /// `track`: the server whose state this one has.
    pub track: Option<ServerId>,
    /// The servers that track this one or did: as written, then as added.
    pub tracked_by: RefCell<Vec<ServerId>>,
    /// `observe`: what traffic tells of it; none without `check`.
    pub observe: Option<Observe>,
    /// `on-marked-down shutdown-sessions`
    pub ends_sessions_when_down: bool,
    /// `on-marked-up shutdown-backup-sessions`
    pub ends_backup_sessions_when_up: bool,
    /// `agent-check`; `None` without it.
    pub agent: Option<AgentSettings>,
    /// `pool-max-conn`: idle connections kept; no limit when absent, none when 0.
    pub pool_max_conn: Option<u32>,
    /// `pool-purge-delay`: half of the unneeded idle connections are closed each time this passes.
    pub pool_purge_delay: Millis,
    /// `pool-low-conn`.
    pub pool_low_conn: u32,
    /// `cookie` value.
    pub cookie: Option<String>,
    /// What a state file says of it (`load-server-state-from-file`).
    pub saved: Option<SavedState>,
    /// `source`, its own or its backend's: where connections to it come from.
    pub source: Option<Source>,
    /// What connections to it begin with.
    pub preface: PrefaceSettings,
    /// How they are made.
    pub connection: ConnectionSettings,
}

/// How connections to a server are made, and how long they serve.
#[derive(Clone, Debug, Default)]
pub struct ConnectionSettings {
    /// `tfo`: what is sent first goes with the packet that asks for the connection.
    pub fast_open: bool,
    /// `max-reuse`: exchanges that a connection serves after its first one; no limit when absent.
    pub max_reuse: Option<u32>,
    /// `namespace`: the network that it is reached in, if not the process's own.
    pub namespace: Option<Namespace>,
}

/// A server's line of a state file: what `show servers state` told of it (management manual 9.3), checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedState {
    /// Number of its operational state, 0 to 3.
    pub operation: u8,
    /// Bits of what was ordered.
    pub admin: u8,
    /// Weight, 0 to 256.
    pub weight: u32,
    /// Its weight in the configuration of that time.
    pub initial_weight: u32,
    /// Seconds since its last change.
    pub changed_ago_s: u64,
    /// Number of the last check's status.
    pub status: u8,
    /// Bits of its checks' state.
    pub check_state: u8,
    /// Its address, if one was told.
    pub address: Option<std::net::IpAddr>,
    /// The name of its host, if one was told.
    pub name: Option<String>,
    /// The service that it had a part of, if it had one.
    pub service: Option<String>,
    /// Its port, or the offset to the client's.
    pub port: u16,
    /// Port of its checks, if one was told.
    pub check_port: Option<u16>,
    /// Address of its checks, if one was told.
    pub check_addr: Option<std::net::IpAddr>,
    /// Port of its agent, if one was told.
    pub agent_port: Option<u16>,
    /// Address of its agent, if one was told.
    pub agent_addr: Option<std::net::IpAddr>,
}

impl Server {
    /// The servers that track this one or did.
    pub fn trackers(&self) -> impl Iterator<Item = ServerId> + '_ {
        (0..).map_while(|at| self.tracked_by.borrow().get(at).copied())
    }
}

/// Where a server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerAddress {
    /// TCP.
    Ip(SocketAddr),
    /// TCP; the port is the client's destination port plus this offset (port omitted, `+N`, `-N`).
    IpRelative(IpAddr, i32),
    /// UNIX stream socket.
    Unix(PathBuf),
    /// UNIX stream socket in the abstract namespace.
    Abstract(Vec<u8>),
}

impl Server {
    /// Whether it takes part from the start on.
    #[must_use]
    pub fn starts_up(&self) -> bool {
        self.admin == AdminAtStart::Ready && !self.lacks_address
    }
}

impl ServerAddress {
    /// Where it is for a client that has connected to `destination`, if that depends on the client: where it names no
    /// address (`0.0.0.0`, `*`) or no port of its own (manual 4, `server`).
    pub fn followed(&self, destination: Option<SocketAddr>) -> Option<SocketAddr> {
        let destination = destination?;
        let own_or = |ip: IpAddr| if ip.is_unspecified() { destination.ip() } else { ip };
        match self {
            ServerAddress::Ip(address) if address.ip().is_unspecified() => {
                Some(SocketAddr::new(destination.ip(), address.port()))
            }
            // Ports wrap, as in HAProxy.
            ServerAddress::IpRelative(ip, offset) => {
                Some(SocketAddr::new(own_or(*ip), destination.port().wrapping_add(*offset as u16)))
            }
            ServerAddress::Ip(_) | ServerAddress::Unix(_) | ServerAddress::Abstract(_) => None,
        }
    }
}

/// Administrative state at start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AdminAtStart {
    /// Takes part.
    #[default]
    Ready,
    /// `disabled`.
    Maintenance,
    /// It was added at run time and waits for the operator.
    Added,
}
