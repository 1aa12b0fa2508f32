//! `use_backend`: which backend a request goes to; and whether it keeps its server there (manual 4.2).

use std::sync::Arc;

use super::Rules;
use crate::log::format::Format;
use crate::proxy::{BackendId, ServerId};
use crate::sample::Ctx;
use crate::sample::arg::Names;

/// Where `use_backend` sends requests.
#[derive(Clone, Debug)]
pub enum Target {
    /// A backend.
    Backend(BackendId),
    /// The backend whose name a format gives when the request comes.
    Named(Format, Arc<Names>),
}

/// Where a `use-server` rule sends requests.
#[derive(Clone, Debug)]
pub enum ServerTarget {
    /// A server.
    Server(ServerId),
    /// The server whose name a format gives when the request comes.
    Named(Format, Arc<Names>),
}

/// What becomes of a request's claim to a server (manual 4.2, `force-persist` and `ignore-persist`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// It holds although the server is down.
    Force,
    /// It does not count.
    Ignore,
}

impl Rules {
    /// What the first applying `force-persist` or `ignore-persist` rule says.
    pub fn persistence(&self, ctx: &Ctx<'_>) -> Option<Persistence> {
        self.persistence.iter().find(|rule| rule.applies(&self.acls, ctx)).map(|rule| rule.action)
    }

    /// The servers of `backend` that applying `use-server` rules name, in their order.
    pub fn servers<'a>(&'a self, backend: BackendId, ctx: &'a Ctx<'a>) -> impl Iterator<Item = ServerId> + 'a {
        self.use_server.iter().filter(|rule| rule.applies(&self.acls, ctx)).filter_map(move |rule| match &rule.action {
            ServerTarget::Server(id) => Some(*id),
            ServerTarget::Named(format, names) => {
                let mut text = Vec::new();
                format.write(ctx, &mut text);
                let name = String::from_utf8(text).ok()?;
                let servers = &ctx.config[backend].servers;
                let written = names.servers.get(&(backend, name.clone())).copied().filter(|id| !servers.is_gone(*id));
                written.or_else(|| servers.added().find(|id| ctx.config[*id].name == name))
            }
        })
    }

    /// The backend that the first applying `use_backend` rule chooses. `None` when no rule applies, and when
    /// the chosen name is nobody's: then the default backend serves.
    pub fn backend(&self, ctx: &Ctx<'_>) -> Option<BackendId> {
        let rule = self.switching.iter().find(|rule| rule.applies(&self.acls, ctx))?;
        match &rule.action {
            Target::Backend(id) => Some(*id),
            Target::Named(format, names) => {
                let mut text = Vec::new();
                format.write(ctx, &mut text);
                names.backends.get(std::str::from_utf8(&text).ok()?).copied()
            }
        }
    }
}
