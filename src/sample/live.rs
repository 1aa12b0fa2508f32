//! What fetches may know of a server's present state.

use crate::proxy::{Config, Server};

/// One server, by its id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveServer {
    /// It may be given clients, if only those who were there before.
    pub up: bool,
    /// It may be given new clients.
    pub usable: bool,
    /// Its weight, 0 to 256.
    pub weight: u32,
    /// What it has of it while it starts slowly.
    pub effective: u32,
    /// Its limit depends on time or on the backend's load (`slowstart`, `minconn`).
    pub bends: bool,
    /// Most connections; `None` for no limit.
    pub maxconn: Option<u32>,
}

impl LiveServer {
    /// All servers as configured.
    pub fn all(config: &Config) -> Vec<LiveServer> {
        config.servers.written().iter().map(LiveServer::configured).collect()
    }

    /// One server as configured.
    pub fn configured(server: &Server) -> LiveServer {
        let up = server.starts_up();
        let bends = server.slowstart_s > 0 || server.minconn.is_some();
        let (weight, maxconn) = (server.weight, server.maxconn);
        LiveServer { up, usable: up, weight, effective: weight, bends, maxconn }
    }

    /// Whether algorithms choose it.
    pub fn takes_part(&self) -> bool {
        self.usable && self.weight > 0
    }
}
