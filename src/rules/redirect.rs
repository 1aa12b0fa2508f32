//! Redirections (manual 4.2, `redirect`).

use super::reply::{Body, Ending, Reply};
use crate::http::{Head, Known, Version, uri};
use crate::log::format::Format;
use crate::sample::Ctx;

/// A redirection.
#[derive(Clone, Debug)]
pub struct Redirect {
    /// What the target is put together from.
    pub kind: Kind,
    /// The configured part of the target.
    pub target: Target,
    /// `code`: 301, 302, 303, 307 or 308.
    pub code: u16,
    /// `drop-query`
    pub drop_query: bool,
    /// `append-slash`
    pub append_slash: bool,
    /// `ignore-empty`: no redirection to nowhere.
    pub ignore_empty: bool,
    /// `set-cookie` or `clear-cookie`: the value of the field.
    pub cookie: Option<Box<[u8]>>,
}

/// What the target is put together from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `location`: the configured part alone.
    Location,
    /// `prefix`: it and the request's path.
    Prefix,
    /// `scheme`: it, the request's host and path.
    Scheme,
}

/// The configured part of a target.
#[derive(Clone, Debug)]
pub enum Target {
    /// Fixed (`redirect`).
    Text(Box<[u8]>),
    /// A format (`http-request redirect`).
    Format(Format),
}

impl Target {
    fn write(&self, ctx: &Ctx<'_>, out: &mut Vec<u8>) {
        match self {
            Target::Text(text) => out.extend_from_slice(text),
            Target::Format(format) => format.write(ctx, out),
        }
    }
}

impl Redirect {
    /// The answer; `None` where an empty target is to be ignored.
    pub fn render(&self, ctx: &Ctx<'_>) -> Option<Reply> {
        let mut location = Vec::new();
        self.target.write(ctx, &mut location);
        match self.kind {
            Kind::Location if location.is_empty() && self.ignore_empty => return None,
            Kind::Location => {}
            Kind::Prefix => {
                if location == b"/" {
                    location.clear();
                }
                self.write_path(ctx, &mut location);
            }
            Kind::Scheme => {
                location.extend_from_slice(b"://");
                location
                    .extend_from_slice(ctx.request.and_then(|head| head.get_known(Known::Host)).unwrap_or_default());
                self.write_path(ctx, &mut location);
            }
        }
        Some(self.answer(&location))
    }

    /// The request's path, and its query unless dropped; `/` where the target has none.
    fn write_path(&self, ctx: &Ctx<'_>, out: &mut Vec<u8>) {
        let target = ctx.request.map(Head::uri).unwrap_or_default();
        let whole = uri::path_and_query(target);
        let path = if self.drop_query { uri::path(target) } else { whole };
        out.extend_from_slice(if path.is_empty() { b"/" } else { path });
        if self.append_slash && out.last() != Some(&b'/') {
            out.push(b'/');
        }
    }

    fn answer(&self, location: &[u8]) -> Reply {
        let reason: &[u8] = match self.code {
            301 => b"Moved Permanently",
            303 => b"See Other",
            307 => b"Temporary Redirect",
            308 => b"Permanent Redirect",
            _ => b"Found",
        };
        let mut head = Head::new();
        head.start_response(Version::Http11, self.code, reason);
        head.add(b"content-length", b"0");
        head.add(b"location", location);
        if matches!(self.code, 302 | 303 | 307) {
            head.add(b"cache-control", b"no-cache");
        }
        if let Some(cookie) = &self.cookie {
            head.add(b"set-cookie", cookie);
        }
        Reply { head, body: Body::Static(b""), ending: Ending::CloseAfterBody, status: self.code }
    }
}
