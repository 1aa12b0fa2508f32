//! Pages of the configuration that stand for built-in ones (manual 4.2, `errorfile` and its kin; 3.8,
//! `http-errors`).

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use super::reply::{Payload, Reply, ReplySpec};
use crate::h1::{self, Body, Parsed, framing, persistence};
use crate::http::{Head, Method, Version, status};
use crate::sample::Ctx;

/// Pages by the status that they are for.
#[derive(Clone, Debug, Default)]
pub struct Pages(Vec<(u16, Arc<ReplySpec>)>);

impl Pages {
    /// Gives a status its page, or with `None` takes it back.
    pub fn set(&mut self, status: u16, page: Option<Arc<ReplySpec>>) {
        self.0.retain(|(known, _)| *known != status);
        self.0.extend(page.map(|page| (status, page)));
    }

    /// The page of a status.
    pub fn get(&self, status: u16) -> Option<&Arc<ReplySpec>> {
        self.0.iter().find(|(known, _)| *known == status).map(|(_, page)| page)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &(u16, Arc<ReplySpec>)> {
        self.0.iter()
    }
}

/// An `http-errors` section.
#[derive(Clone, Debug)]
pub struct NamedPages {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub place: String,
    /// What it holds.
    pub pages: Pages,
}

/// What the exchange's backend, or else its frontend, has in place of the built-in page for `status`.
pub fn replacement(ctx: &Ctx<'_>, status: u16) -> Option<Reply> {
    let backend = ctx.backend.and_then(|id| ctx.config[id].pages.get(status));
    let page = backend.or_else(|| ctx.config[ctx.client.frontend].pages.get(status))?;
    // A page never stands for another one.
    debug_assert!(!matches!(page.payload, Payload::BuiltIn));
    Some(Reply { status, ..page.render(ctx) })
}

/// Whether HAProxy has a page for this status, which others may replace.
pub fn is_known(status: i32) -> Option<u16> {
    let code = u16::try_from(status).ok()?;
    status::answer(code, &mut Head::new()).map(|_| code)
}

/// The page that sends the client to `url` (`errorloc`).
pub fn location(code: u16, url: &[u8]) -> ReplySpec {
    let mut head = Head::new();
    let reason: &[u8] = if code == 303 { b"See Other" } else { b"Found" };
    head.start_response(Version::Http11, code, reason);
    head.add(b"cache-control", b"no-cache");
    head.add(b"content-length", b"0");
    head.add(b"location", url);
    whole(code, head, false, &[])
}

/// The page that the file at `path` holds: a whole response, or nothing at all. Of more than `bytes_max` octets
/// only so many are read, with a warning.
///
/// # Errors
/// HAProxy's words for what is wrong with the file.
pub fn from_file(path: &str, bytes_max: usize, warnings: &mut Vec<String>) -> Result<Payload, String> {
    let mut text = read(path).map_err(|text| text + ".")?;
    let cut = text.len() > bytes_max;
    if cut {
        warnings.push(format!("custom error message file '{path}' larger than {bytes_max} bytes. Truncating."));
        text.truncate(bytes_max);
    }
    if text.is_empty() {
        return Ok(Payload::Silence);
    }
    let unreadable = |at: &str| format!("'{path}': unable to parse headers (error offset: {at})");
    let limits = h1::Limits { head_bytes_max: bytes_max, ..h1::Limits::default() };
    let mut head = Head::new();
    let head_bytes = match h1::parse_response(&text, &mut head, &limits) {
        Ok(Parsed::Complete { head_bytes }) => head_bytes,
        // Too short for a status line is as wrong as a wrong one.
        Ok(Parsed::Partial) if !text.contains(&b'\n') && !text.starts_with(b"HTTP/") => return Err(unreadable("0")),
        Ok(Parsed::Partial) => return Err(unreadable("-2")),
        Err(error) => return Err(unreadable(&error.at.to_string())),
    };
    let body = &text[head_bytes..];
    let asked = framing::Asked { method: Method::Get, upgrade: false };
    let framing = framing::response(&mut head, &asked).map_err(|error| unreadable(&error.at.to_string()))?;
    match framing.body {
        Body::Chunked => return Err(format!("'{path}': chunk-encoded payload not supported")),
        Body::Length(announced) if announced != body.len() as u64 => {
            let found = body.len();
            return Err(format!(
                "'{path}': payload size does not match the announced content-length ({found} != {announced})"
            ));
        }
        _ if cut => return Err(format!("'{path}': unable to add payload into the HTX message")),
        _ => {}
    }
    // The version says nothing here: of HTTP/1.0, too, the connection is kept where the page's length is known.
    let closes = matches!(framing.body, Body::UntilClose) || persistence::take(&mut head.clone()).close;
    Ok(Payload::Message(Arc::new(head), body.into(), closes))
}

/// The octets of a file that a page is made of.
///
/// # Errors
/// HAProxy's words: there is no such file, or (a folder) it cannot be read.
pub fn read(path: &str) -> Result<Vec<u8>, String> {
    let mut file = File::open(path).map_err(|_| format!("error opening file '{path}'"))?;
    let mut text = Vec::new();
    match file.read_to_end(&mut text) {
        Ok(_) => Ok(text),
        Err(_) => Err(format!("error reading file '{path}'")),
    }
}

/// A page that is a whole message.
pub fn whole(status: u16, head: Head, closes: bool, body: &[u8]) -> ReplySpec {
    let payload = Payload::Message(Arc::new(head), body.into(), closes);
    ReplySpec { status, content_type: None, headers: Vec::new(), payload }
}
