//! What checks send: `option httpchk`, `http-check send`, `tcp-check send` and its kin.

use super::StepDraft;
use super::line::{Line, dotted, ready};
use crate::config::finding::Place;
use crate::config::scope::{Scope, arg, no_more_than};
use crate::config::word::Word;
use crate::proxy::check::{Action, Data, Request, Speech};
use crate::text::regex::hex_bytes;

/// The request of a check, as written.
#[derive(Clone, Debug, Default)]
pub(super) struct RequestDraft {
    /// Method; `OPTIONS` when not written.
    method: Option<Vec<u8>>,
    /// URI; `/` when not written.
    uri: Option<Data>,
    /// Version; `HTTP/1.0` when not written.
    version: Option<Vec<u8>>,
    fields: Vec<(Box<[u8]>, Data)>,
    body: Option<Data>,
}

impl RequestDraft {
    /// The request, with `first` where it says nothing: what `option httpchk` says of the first one.
    pub(super) fn resolve(&self, first: Option<&RequestDraft>) -> Action {
        let none = RequestDraft::default();
        let first = first.unwrap_or(&none);
        let bytes = |own: &Option<Vec<u8>>, first: &Option<Vec<u8>>, usual: &[u8]| -> Box<[u8]> {
            own.as_deref().or(first.as_deref()).unwrap_or(usual).into()
        };
        // Header fields and the body of the first one are those of one line.
        let content = if self.fields.is_empty() && self.body.is_none() { first } else { self };
        Action::Request(Box::new(Request {
            method: bytes(&self.method, &first.method, b"OPTIONS"),
            uri: self.uri.clone().or_else(|| first.uri.clone()).unwrap_or_else(|| Data::Bytes(b"/".as_slice().into())),
            version: bytes(&self.version, &first.version, b"HTTP/1.0"),
            fields: content.fields.clone(),
            body: content.body.clone().unwrap_or_else(Data::empty),
        }))
    }
}

/// `option httpchk [<uri>]` or `option httpchk <method> <uri> [<version>]`.
pub(super) fn httpchk(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    no_more_than(words, 2, 3, "option httpchk")?;
    let word = |index: usize| words.get(index).map(|word| word.bytes().to_vec());
    let uri = |index: usize| words.get(index).map(|word| Data::Bytes(word.bytes().into()));
    let mut request = RequestDraft::default();
    match words.len() {
        ..=2 => {}
        3 => request.uri = uri(2),
        _ => (request.method, request.uri) = (word(2), uri(3)),
    }
    if let Some(version) = words.get(4) {
        old_version(scope, version.bytes(), &mut request);
    }
    let check = &mut scope.settings().check;
    check.speech = Speech::Http;
    check.request = request;
    Ok(())
}

/// A version, behind which old configurations hide headers and a body.
fn old_version(scope: &mut Scope<'_>, text: &[u8], request: &mut RequestDraft) {
    let end = memchr::memmem::find(text, b"\r\n").unwrap_or(text.len());
    request.version = Some(text[..end].to_vec());
    if end == text.len() {
        return;
    }
    let place = std::mem::replace(&mut scope.place, Place::Reader);
    scope.warn(
        "'option httpchk' : hiding headers or body at the end of the version string is deprecated. Please, consider \
         to use 'http-check send' directive instead.",
    );
    scope.place = place;
    let mut rest = &text[end + 2..];
    while !rest.is_empty() {
        let end = memchr::memmem::find(rest, b"\r\n").unwrap_or(rest.len());
        let line = &rest[..end];
        rest = rest.get(end + 2..).unwrap_or_default();
        if line.is_empty() {
            request.body = Some(Data::Bytes(rest.into()));
            return;
        }
        if let Some(colon) = memchr::memchr(b':', line) {
            let value = line[colon + 1..].trim_ascii();
            request.fields.push((line[..colon].into(), Data::Bytes(value.into())));
        }
    }
}

/// `http-check send`
pub(super) fn parse(line: &mut Line<'_>) -> Result<StepDraft, String> {
    let mut request = RequestDraft::default();
    let mut comment = None;
    while let Some(word) = line.next() {
        let one = |line: &mut Line<'_>, name: &str| dotted(line.argument(name, "a string")).cloned();
        match word.text.as_str() {
            "meth" => request.method = Some(one(line, "meth")?.bytes().to_vec()),
            "uri" => request.uri = Some(Data::Bytes(one(line, "uri")?.bytes().into())),
            "uri-lf" => {
                let word = one(line, "uri-lf")?;
                request.uri = Some(Data::Format(line.format(&word.text)?));
            }
            "ver" => request.version = Some(one(line, "ver")?.bytes().to_vec()),
            "body" => request.body = Some(Data::Bytes(one(line, "body")?.bytes().into())),
            "body-lf" => {
                let word = one(line, "body-lf")?;
                request.body = Some(Data::Format(line.format(&word.text)?));
            }
            "comment" => comment = Some(one(line, "comment")?.bytes().into()),
            "hdr" => {
                let (Some(name), Some(value)) = (line.next(), line.next()) else {
                    return Err(line.error("'hdr' expects <name> and <value> as arguments."));
                };
                let value = line.data(value).map_err(|e| line.error(&format!("{e}.")))?;
                request.fields.push((name.bytes().into(), value));
            }
            other => {
                return Err(line.error(&format!(
                    "expects 'comment', 'meth', 'uri', 'uri-lf', 'ver', 'hdr', 'body' or 'body-lf' but got '{other}' \
                     as argument.."
                )));
            }
        }
    }
    Ok(StepDraft::Request { number: 0, comment, request })
}

/// `tcp-check send`, `send-lf`, `send-binary`, `send-binary-lf`
pub(super) fn parse_data(line: &mut Line<'_>) -> Result<StepDraft, String> {
    let name = arg(line.words, 1);
    let what = if name == "send-binary" { "binary string" } else { "string" };
    let Some(word) = line.next() else {
        return Err(line.error(&format!("'{what}' expects a {name} as argument.")));
    };
    let data = match name {
        "send" => Data::Bytes(word.bytes().into()),
        "send-lf" => Data::Format(line.format(&word.text)?),
        "send-binary-lf" => Data::Hex(line.format(&word.text)?),
        _ => match hex_bytes(word.text.as_bytes()) {
            Ok(octets) => Data::Bytes(octets.into()),
            Err(e) => return Err(line.error(&format!("'{}' invalid binary string ({e}).\n.", word.text))),
        },
    };
    let comment = match line.next() {
        None => None,
        Some(word) if word.text == "comment" => Some(dotted(line.argument("comment", "a string"))?.bytes().into()),
        Some(other) => {
            return Err(line.error(&format!("expects 'comment' but got '{}' as argument..", other.text)));
        }
    };
    Ok(ready(Action::Send(data), comment))
}
