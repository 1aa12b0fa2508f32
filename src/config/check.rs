//! `option httpchk`, `option tcp-check` and `http-check …` (section 4.2).

use super::scope::{Scope, arg, no_more_than, not_yet};
use super::word::Word;
use crate::proxy::check::{ExpectWhat, HttpExpect};
use crate::proxy::{CheckKind, HttpCheck};
use crate::registry::{Keyword, Sections};

/// The rows of this module.
pub static ROWS: &[Keyword] = &[
    row("option httpchk", httpchk, "check servers by an HTTP request"),
    row("option tcp-check", tcp_check, "check servers by a TCP connection"),
    row("http-check", unknown, "details of HTTP checks"),
    row("http-check send", send, "the request of a check"),
    row("http-check expect", expect, "what the answer must be"),
    row("http-check comment", comment, "a note about the next step"),
    row("http-check disable-on-404", disable_on_404, "404 takes a server out softly"),
    row("http-check send-state", later, "tell the server its own state"),
    row("http-check connect", later, "open a connection"),
    row("http-check set-var", later, "set a variable"),
    row("http-check unset-var", later, "remove a variable"),
];

const fn row(
    name: &'static str,
    parse: fn(&mut Scope<'_>, &[Word]) -> Result<(), String>,
    help: &'static str,
) -> Keyword {
    Keyword { name, sections: Sections::SERVER_SIDE, args_max: None, parse, help }
}

/// The checks of a proxy, as written.
#[derive(Clone, Debug, Default)]
pub struct CheckDraft {
    /// `option httpchk` was the last choice.
    pub http: bool,
    /// What `option httpchk` says.
    pub request: Request,
    /// What `http-check send` says; it goes before [`CheckDraft::request`].
    pub send: Option<Request>,
    /// `http-check expect`.
    pub expect: Option<HttpExpect>,
    /// `http-check disable-on-404`.
    pub disable_on_404: bool,
    /// The `http-check` lines so far are those of a `defaults` section; the first own one replaces them.
    pub inherited: bool,
}

/// The request of a check.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Method; `OPTIONS` when not written.
    pub method: Option<Vec<u8>>,
    /// URI; `/` when not written.
    pub uri: Option<Vec<u8>>,
    /// Version; `HTTP/1.0` when not written.
    pub version: Option<Vec<u8>>,
    /// Header fields in order.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// Body.
    pub body: Vec<u8>,
}

impl CheckDraft {
    /// Whether there is an `http-check` line.
    #[must_use]
    pub fn rules(&self) -> bool {
        self.send.is_some() || self.expect.is_some()
    }

    /// What the checks of a proxy do.
    #[must_use]
    pub fn resolve(&self) -> CheckKind {
        if !self.http {
            return CheckKind::Tcp;
        }
        let request = match &self.send {
            Some(send) => send.or(&self.request),
            None => self.request.clone(),
        };
        CheckKind::Http(Box::new(HttpCheck {
            request: request.bytes(),
            expect: self.expect.clone(),
            disable_on_404: self.disable_on_404,
            answer_bytes: None,
        }))
    }
}

impl Request {
    /// `self` where it says something, else `other`.
    fn or(&self, other: &Request) -> Request {
        let pick = |own: &Option<Vec<u8>>, other: &Option<Vec<u8>>| own.clone().or_else(|| other.clone());
        let own = !self.headers.is_empty() || !self.body.is_empty();
        let (headers, body) = if own { (&self.headers, &self.body) } else { (&other.headers, &other.body) };
        Request {
            method: pick(&self.method, &other.method),
            uri: pick(&self.uri, &other.uri),
            version: pick(&self.version, &other.version),
            headers: headers.clone(),
            body: body.clone(),
        }
    }

    /// The request as it goes to the server.
    fn bytes(&self) -> Vec<u8> {
        let part = |part: &Option<Vec<u8>>, default: &[u8]| part.clone().unwrap_or_else(|| default.to_vec());
        let mut out = part(&self.method, b"OPTIONS");
        out.push(b' ');
        out.extend(part(&self.uri, b"/"));
        out.push(b' ');
        out.extend(part(&self.version, b"HTTP/1.0"));
        out.extend(b"\r\n");
        // The length of the body is the checker's to say.
        let framing = |name: &[u8]| {
            name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"transfer-encoding")
        };
        for (name, value) in self.headers.iter().filter(|(name, _)| !framing(name)) {
            out.extend(name.to_ascii_lowercase());
            out.extend(b": ");
            out.extend(value);
            out.extend(b"\r\n");
        }
        if !self.body.is_empty() {
            out.extend(format!("content-length: {}\r\n", self.body.len()).bytes());
        }
        let old = self.version.as_deref().is_none_or(|version| version == b"HTTP/1.0");
        if !old && !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"connection")) {
            out.extend(b"connection: close\r\n");
        }
        out.extend(b"\r\n");
        out.extend(&self.body);
        out
    }
}

fn later(_: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    Err(not_yet(&format!("http-check {}", arg(words, 1))))
}

fn disable_on_404(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    no_more_than(words, 2, 0, "http-check")?;
    scope.settings().check.disable_on_404 = true;
    Ok(())
}

fn unknown(_: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    Err(format!(
        "'http-check' only supports 'disable-on-404', 'send-state', 'comment', 'connect', 'send', 'expect', \
         'set-var-fmt(*)', 'set-var(*)', 'unset-var(*)'. but got '{}'",
        arg(words, 1)
    ))
}

fn comment(_: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    match arg(words, 2) {
        "" => Err("'http-check comment' : expects a string as argument.".into()),
        _ => Ok(()),
    }
}

fn tcp_check(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    no_more_than(words, 2, 0, "option tcp-check")?;
    scope.settings().check.http = false;
    Ok(())
}

/// `option httpchk [<uri>]` or `option httpchk <method> <uri> [<version>]`.
fn httpchk(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    no_more_than(words, 2, 3, "option httpchk")?;
    let word = |index: usize| words.get(index).map(|word| word.bytes().to_vec());
    let mut request = Request::default();
    match words.len() {
        ..=2 => {}
        3 => request.uri = word(2),
        _ => {
            request.method = word(2);
            request.uri = word(3);
        }
    }
    if let Some(version) = words.get(4) {
        old_version(scope, version.bytes(), &mut request);
    }
    let check = &mut scope.settings().check;
    check.http = true;
    check.request = request;
    Ok(())
}

/// A version, behind which old configurations hide headers and a body.
fn old_version(scope: &mut Scope<'_>, text: &[u8], request: &mut Request) {
    let end = memchr::memmem::find(text, b"\r\n").unwrap_or(text.len());
    request.version = Some(text[..end].to_vec());
    if end == text.len() {
        return;
    }
    let place = std::mem::replace(&mut scope.place, super::finding::Place::Reader);
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
            request.body = rest.to_vec();
            return;
        }
        if let Some(colon) = memchr::memchr(b':', line) {
            let value = line[colon + 1..].trim_ascii();
            request.headers.push((line[..colon].to_vec(), value.to_vec()));
        }
    }
}

/// Drops inherited rules before the first own one.
fn begin(scope: &mut Scope<'_>) {
    let check = &mut scope.settings().check;
    if std::mem::take(&mut check.inherited) {
        check.send = None;
        check.expect = None;
    }
}

fn send(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let mut request = Request::default();
    let mut rest = &words[2..];
    while let Some(word) = rest.first() {
        let value = |index: usize| rest.get(index).map(|word| word.bytes().to_vec());
        let one =
            |name: &str| value(1).ok_or_else(|| format!("'http-check send' : '{name}' expects a string as argument.."));
        let mut used = 2;
        match word.text.as_str() {
            "meth" => request.method = Some(one("meth")?),
            "uri" => request.uri = Some(one("uri")?),
            "ver" => request.version = Some(one("ver")?),
            "body" => request.body = one("body")?,
            "comment" => drop(one("comment")?),
            "hdr" => {
                let (Some(name), Some(value)) = (value(1), value(2)) else {
                    return Err("'http-check send' : 'hdr' expects <name> and <value> as arguments.".into());
                };
                if value.contains(&b'%') {
                    return Err(not_yet("http-check send hdr with a log format"));
                }
                request.headers.push((name, value));
                used = 3;
            }
            name @ ("uri-lf" | "body-lf") => return Err(not_yet(&format!("http-check send {name}"))),
            other => {
                return Err(format!(
                    "'http-check send' : expects 'comment', 'meth', 'uri', 'uri-lf', 'ver', 'hdr', 'body' or 'body-lf' \
                     but got '{other}' as argument.."
                ));
            }
        }
        rest = &rest[used..];
    }
    begin(scope);
    if scope.settings().check.send.is_some() {
        let text = "unable to add http-check send rule at step 2 (missing connect rule)..";
        return Err(format!("'http-check send' : {text}"));
    }
    scope.settings().check.send = Some(request);
    Ok(())
}

const EXPECTED: &str = "only supports min-recv, [!]string', '[!]rstring', '[!]string-lf', '[!]status', '[!]rstatus', \
                        [!]hdr, [!]fhdr or comment";

fn expect(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let place = "'http-check expect' : ";
    let mut rest = &words[2..];
    if rest.is_empty() {
        return Err(format!("{place}expects at least a matching pattern as arguments."));
    }
    let mut negate = false;
    let mut what = None;
    while let Some(word) = rest.first() {
        let mut name = word.text.as_str();
        if name == "!" {
            negate = true;
            rest = &rest[1..];
            continue;
        }
        if let Some(bare) = name.strip_prefix('!') {
            negate = true;
            name = bare;
        }
        let pattern = rest.get(1).filter(|word| !word.bytes().is_empty());
        let kind = matches!(name, "status" | "rstatus" | "string" | "rstring") && what.is_none();
        if kind {
            let pattern = pattern.ok_or_else(|| format!("{place}'{name}' expects a <pattern> as argument."))?;
            what = Some((name, pattern));
        } else if matches!(
            name,
            "comment"
                | "min-recv"
                | "ok-status"
                | "error-status"
                | "tout-status"
                | "on-success"
                | "on-error"
                | "status-code"
                | "string-lf"
                | "hdr"
                | "fhdr"
        ) {
            return Err(not_yet(&format!("http-check expect {name}")));
        } else {
            return Err(format!("{place}'{EXPECTED} but got '{name}' as argument.."));
        }
        rest = &rest[2..];
    }
    let (kind, pattern) = what.ok_or_else(|| format!("{place}expects at least a matching pattern as arguments."))?;
    let what = expected(kind, pattern).map_err(|text| format!("{place}{text}"))?;
    begin(scope);
    if scope.settings().check.expect.is_some() {
        return Err(not_yet("a second http-check expect"));
    }
    scope.settings().check.expect = Some(HttpExpect { negate, what });
    Ok(())
}

fn expected(kind: &str, pattern: &Word) -> Result<ExpectWhat, String> {
    let regex = || {
        regex::bytes::Regex::new(&pattern.text)
            .map_err(|error| format!("regex '{}' is invalid ({error}).", pattern.text))
    };
    Ok(match kind {
        "status" => ExpectWhat::Status(statuses(&pattern.text)?),
        "rstatus" => ExpectWhat::StatusRegex(regex()?),
        "string" => ExpectWhat::Body(pattern.bytes().to_vec()),
        _ => ExpectWhat::BodyRegex(regex()?),
    })
}

/// `200-299,404`.
fn statuses(text: &str) -> Result<Vec<(u16, u16)>, String> {
    let mut ranges = Vec::new();
    for part in text.split(',') {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let number = |digits: &str| {
            digits.parse::<u16>().map_err(|_| {
                let c = digits.chars().find(|c| !c.is_ascii_digit()).unwrap_or(',');
                format!("invalid character '{c}' in the list of status codes.")
            })
        };
        ranges.push((number(low)?, number(high)?));
    }
    Ok(ranges)
}
