//! Answers that rules give: what they are made of, and how they are rendered (manual 4.2, `http-request
//! return` and `http-request deny`).

use std::ops::Deref;
use std::sync::Arc;

use super::pages;
use crate::http::status::{self as builtin, reason};
use crate::http::{Head, Version};
use crate::log::format::Format;
use crate::sample::Ctx;

/// A complete answer for the client. `Connection` is left to the session layer, which knows whether the
/// connection goes on; a HEAD request gets the head only.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status line and fields, the length of the body among them.
    pub head: Head,
    /// The body.
    pub body: Body,
    /// What becomes of the client's connection.
    pub ending: Ending,
    /// The status that is logged; an error file may bear another one.
    pub status: u16,
}

/// What becomes of the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It goes on if the client's request lets it.
    Keep,
    /// As `Keep`, but a request with a body closes it (redirects).
    CloseAfterBody,
    /// It is closed.
    Close,
    /// It is closed, and nothing is sent (an empty error file).
    Silence,
}

/// The body of an answer.
#[derive(Clone, Debug)]
pub enum Body {
    /// Built in.
    Static(&'static [u8]),
    /// Of the configuration.
    Shared(Arc<[u8]>),
    /// Made for this answer.
    Owned(Vec<u8>),
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Body::Static(bytes) => bytes,
            Body::Shared(bytes) => bytes,
            Body::Owned(bytes) => bytes,
        }
    }
}

/// What a rule answers with.
#[derive(Clone, Debug)]
pub struct ReplySpec {
    /// The status.
    pub status: u16,
    /// `content-type`
    pub content_type: Option<Box<str>>,
    /// `hdr`, in the order written.
    pub headers: Vec<(Box<[u8]>, Format)>,
    /// The rest.
    pub payload: Payload,
}

/// Where the body of an answer comes from.
#[derive(Clone, Debug)]
pub enum Payload {
    /// There is none.
    None,
    /// `default-errorfiles`: the page that the proxy has for the status, or else the built-in one.
    BuiltIn,
    /// `errorfile`: a whole message, and whether the connection is closed after it.
    Message(Arc<Head>, Arc<[u8]>, bool),
    /// `errorfile` of an empty file.
    Silence,
    /// `string` and `file`
    Raw(Arc<[u8]>),
    /// `lf-string` and `lf-file`
    Format(Format),
}

impl ReplySpec {
    /// The answer to the exchange that `ctx` shows.
    pub fn render(&self, ctx: &Ctx<'_>) -> Reply {
        if matches!(self.payload, Payload::BuiltIn)
            && let Some(reply) = pages::replacement(ctx, self.status)
        {
            return reply;
        }
        let status = self.status;
        let mut head = Head::new();
        let mut ending = if matches!(self.payload, Payload::BuiltIn) && builtin::closes(status) {
            Ending::Close
        } else {
            Ending::Keep
        };
        let body = match &self.payload {
            Payload::BuiltIn => match builtin::answer(status, &mut head) {
                Some(body) => return Reply { head, body: Body::Static(body), ending, status },
                None => Body::Static(b""),
            },
            Payload::Message(message, body, closes) => {
                let ending = if *closes { Ending::Close } else { Ending::Keep };
                return Reply { head: Head::clone(message), body: Body::Shared(body.clone()), ending, status };
            }
            Payload::Silence => {
                head.start_response(Version::Http11, status, b"");
                return Reply { head, body: Body::Static(b""), ending: Ending::Silence, status };
            }
            Payload::None => Body::Static(b""),
            Payload::Raw(bytes) => Body::Shared(bytes.clone()),
            Payload::Format(format) => {
                let mut text = Vec::new();
                format.write(ctx, &mut text);
                Body::Owned(text)
            }
        };
        head.start_response(Version::Http11, status, reason(status).as_bytes());
        let mut text = Vec::new();
        for (name, format) in &self.headers {
            text.clear();
            format.write(ctx, &mut text);
            if name.eq_ignore_ascii_case(b"connection") {
                // The session layer writes this field; what the rule says of it is obeyed.
                if text.eq_ignore_ascii_case(b"close") {
                    ending = Ending::Close;
                }
            } else if !text.is_empty() {
                head.add(name, &text);
            }
        }
        head.add(b"content-length", itoa::Buffer::new().format(body.len()).as_bytes());
        if let Some(kind) = self.content_type.as_ref().filter(|_| !body.is_empty()) {
            head.add(b"content-type", kind.as_bytes());
        }
        Reply { head, body, ending, status }
    }
}
