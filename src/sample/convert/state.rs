//! Converters that look names of backends and servers up (manual 7.3.1).

use super::Converter;
use crate::proxy::{BackendId, ServerId};
use crate::sample::fetch::usable_servers;
use crate::sample::{Ctx, Type, Value};
use crate::stats::Count;

pub(super) const CONVERTERS: &[Converter] = &[
    Converter::new("nbsrv", Type::Str, Type::Int, |value, _, ctx| {
        let backend = backend(&value.into_text(), ctx)?;
        Some(Value::Int(usable_servers(ctx, backend) as i64))
    }),
    Converter::new("srv_queue", Type::Str, Type::Int, |value, _, ctx| {
        let server = server(&value.into_text(), ctx)?;
        Some(Value::Int(ctx.counters.server(server).get(Count::QueueCurrent) as i64))
    }),
];

fn backend(name: &[u8], ctx: &Ctx<'_>) -> Option<BackendId> {
    ctx.config.backend_named(std::str::from_utf8(name).ok()?)
}

/// `backend/server`, or a server of the backend at hand.
fn server(text: &[u8], ctx: &Ctx<'_>) -> Option<ServerId> {
    let (backend, name) = match memchr::memchr(b'/', text) {
        Some(at) => (backend(&text[..at], ctx)?, &text[at + 1..]),
        None => (ctx.backend?, text),
    };
    ctx.config.servers_of(backend).find(|(_, server)| server.name.as_bytes() == name).map(|(id, _)| id)
}
