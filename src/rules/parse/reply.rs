//! The arguments of `return`, `deny` and `tarpit` (manual 4.2, `http-request return`).

use super::{Input, ends_arguments};
use crate::http::{Head, status};
use crate::log::format::Format;
use crate::rules::pages;
use crate::rules::reply::{Payload, ReplySpec};
use crate::text::finding::Severity;
use crate::text::unit::atoi;

/// `deny` and `tarpit`: without arguments, or with `deny_status` only, they answer with a built-in page.
pub(super) fn deny(input: &mut Input<'_, '_>, status: u16) -> Result<ReplySpec, String> {
    let alone = input.cursor.done();
    let status_alone = input.cursor.peek() == "deny_status" && ends_arguments(input.cursor.peek_at(2));
    let mut draft = Draft { status, ..Draft::new(true) };
    draft.read(input)?;
    if alone || status_alone {
        draft.source = Some(Source::BuiltIn);
    }
    draft.finish(input)
}

/// The built-in page of a status.
pub(super) fn page(status: u16) -> ReplySpec {
    ReplySpec { status, content_type: None, headers: Vec::new(), payload: Payload::BuiltIn }
}

/// `return`
pub(super) fn returned(input: &mut Input<'_, '_>) -> Result<ReplySpec, String> {
    let mut draft = Draft::new(false);
    draft.read(input)?;
    draft.finish(input)
}

/// Where the answer's body comes from, as written.
pub(super) enum Source {
    BuiltIn,
    ErrorFile(String),
    Section(String),
    File(String),
    LfFile(String),
    Text(Vec<u8>),
    LfText(String),
}

impl Source {
    fn keyword(&self) -> &'static str {
        match self {
            Source::BuiltIn => "default-errorfiles",
            Source::ErrorFile(_) => "errorfile",
            Source::Section(_) => "errorfiles",
            Source::File(_) => "file",
            Source::LfFile(_) => "lf-file",
            Source::Text(_) => "string",
            Source::LfText(_) => "lf-string",
        }
    }
}

/// The answer of a rule, as far as it was read.
pub(super) struct Draft {
    deny: bool,
    pub status: u16,
    content_type: Option<String>,
    pub source: Option<Source>,
    headers: Vec<(Box<[u8]>, Format)>,
}

impl Draft {
    pub fn new(deny: bool) -> Draft {
        Draft { deny, status: 200, content_type: None, source: None, headers: Vec::new() }
    }

    pub fn read(&mut self, input: &mut Input<'_, '_>) -> Result<(), String> {
        while !input.cursor.done() {
            match input.cursor.peek() {
                "status" => self.read_status(input)?,
                "deny_status" if self.deny => self.read_status(input)?,
                "content-type" => {
                    self.content_type = Some(argument(input, "<ctype>")?);
                }
                "hdr" => self.read_header(input)?,
                "default-errorfiles" => {
                    input.cursor.next();
                    self.set(Source::BuiltIn)?;
                }
                "errorfile" => self.set_from(input, "<fmt>", Source::ErrorFile)?,
                "errorfiles" => self.set_from(input, "<name>", Source::Section)?,
                "file" => self.set_from(input, "<file>", Source::File)?,
                "lf-file" => self.set_from(input, "<file>", Source::LfFile)?,
                "string" => {
                    let bytes = input.cursor.words.get(input.cursor.at + 1).map(|w| w.bytes().to_vec());
                    self.set_from(input, "<str>", |_| Source::Text(bytes.unwrap_or_default()))?;
                }
                "lf-string" => self.set_from(input, "<fmt>", Source::LfText)?,
                _ => break,
            }
        }
        Ok(())
    }

    fn read_status(&mut self, input: &mut Input<'_, '_>) -> Result<(), String> {
        input.cursor.next();
        let text = input.cursor.next();
        if text.is_empty() {
            return Err("'status' expects <status_code> as argument".to_owned());
        }
        let code = atoi(text);
        self.status = match u16::try_from(code) {
            Ok(code @ 200..=599) => code,
            _ => return Err(format!("Unexpected status code '{code}'")),
        };
        Ok(())
    }

    fn read_header(&mut self, input: &mut Input<'_, '_>) -> Result<(), String> {
        input.cursor.next();
        let (name, value) = (input.cursor.next(), input.cursor.next());
        if name.is_empty() || value.is_empty() {
            return Err("'hdr' expects <name> and <value> as arguments".to_owned());
        }
        if ["content-length", "transfer-encoding", "content-type"].iter().any(|own| own.eq_ignore_ascii_case(name)) {
            input.scope.warnings.push(format!("header '{name}' always ignored by the http reply."));
            return Ok(());
        }
        let format = input.format(value)?;
        self.headers.push((name.to_ascii_lowercase().into_bytes().into(), format));
        Ok(())
    }

    fn set_from(
        &mut self,
        input: &mut Input<'_, '_>,
        what: &str,
        source: impl FnOnce(String) -> Source,
    ) -> Result<(), String> {
        let text = argument(input, what)?;
        self.set(source(text))
    }

    fn set(&mut self, source: Source) -> Result<(), String> {
        if let Some(before) = &self.source {
            let (new, old) = (source.keyword(), before.keyword());
            return Err(format!("unexpected '{new}' argument, '{old}' already defined"));
        }
        self.source = Some(source);
        Ok(())
    }

    pub fn finish(mut self, input: &mut Input<'_, '_>) -> Result<ReplySpec, String> {
        let payload = self.payload(input)?;
        let empty = match &payload {
            Payload::Raw(bytes) => bytes.is_empty(),
            Payload::Format(_) => false,
            Payload::None | Payload::BuiltIn | Payload::Message(..) | Payload::Silence => {
                self.warn_whole(&payload, input);
                return Ok(self.spec(payload));
            }
        };
        if empty {
            if let Some(kind) = self.content_type.take() {
                input
                    .scope
                    .warnings
                    .push(format!("content-type '{kind}' ignored by the http reply when used with an empty payload."));
            }
        } else if self.content_type.is_none() {
            let what = match payload {
                Payload::Format(_) => "with a log-format payload",
                _ => "when non-empty payload is configured",
            };
            return Err(format!("a content type must be defined {what}"));
        } else if matches!(self.status, 204 | 304) {
            return Err(format!("No body expected for {} responses", self.status));
        }
        Ok(self.spec(payload))
    }

    /// Warns of arguments that do not count without a payload of one's own.
    fn warn_whole(&mut self, payload: &Payload, input: &mut Input<'_, '_>) {
        let whole = !matches!(payload, Payload::None);
        if let Some(kind) = self.content_type.take() {
            let why =
                if whole { "when used with an erorrfile" } else { "because neither errorfile nor payload defined" };
            input.scope.warnings.push(format!("content-type '{kind}' ignored by the http reply {why}."));
        }
        if whole && !self.headers.is_empty() {
            let text = "hdr parameters ignored by the http reply when used with an erorrfile.";
            input.scope.warnings.push(text.to_owned());
            self.headers.clear();
        }
    }

    /// The page of an `http-errors` section; none where there is no such page, which is only warned of.
    fn of_section(&self, name: &str, input: &mut Input<'_, '_>) -> Payload {
        let status = self.status;
        let Some(section) = input.sections.iter().find(|section| section.name == name) else {
            let text = format!("unknown http-errors section '{name}' referenced by an http reply .");
            input.scope.late.push((Severity::Alert, text));
            return Payload::None;
        };
        match section.pages.get(status) {
            Some(page) => page.payload.clone(),
            None => {
                let text = format!(
                    "status '{status}' referenced by an http reply not declared in http-errors section '{name}'."
                );
                input.scope.late.push((Severity::Warning, text));
                Payload::None
            }
        }
    }

    fn spec(self, payload: Payload) -> ReplySpec {
        let content_type = self.content_type.map(String::into_boxed_str);
        ReplySpec { status: self.status, content_type, headers: self.headers, payload }
    }

    fn payload(&mut self, input: &mut Input<'_, '_>) -> Result<Payload, String> {
        let source = match self.source.take() {
            None => return Ok(Payload::None),
            Some(source) => source,
        };
        let keyword = source.keyword();
        if matches!(source, Source::BuiltIn) && status::answer(self.status, &mut Head::new()).is_none() {
            let status = self.status;
            return Err(format!("status code '{status}' not handled by default with '{keyword}' argument."));
        }
        Ok(match source {
            Source::BuiltIn => Payload::BuiltIn,
            Source::ErrorFile(path) => {
                pages::from_file(&path, input.page_bytes_max, &mut input.scope.general_warnings)?
            }
            Source::Section(name) => self.of_section(&name, input),
            Source::File(path) => Payload::Raw(read(&path, input.page_bytes_max)?.into()),
            Source::LfFile(path) => {
                let text = read(&path, input.page_bytes_max)?;
                Payload::Format(input.format(&String::from_utf8_lossy(&text))?)
            }
            Source::Text(bytes) => Payload::Raw(bytes.into()),
            Source::LfText(text) => Payload::Format(input.format(&text)?),
        })
    }
}

/// The argument of the option at the cursor.
fn argument(input: &mut Input<'_, '_>, what: &str) -> Result<String, String> {
    let option = input.cursor.next();
    match input.cursor.next() {
        "" => Err(format!("'{option}' expects {what} as argument")),
        text => Ok(text.to_owned()),
    }
}

/// A file that is an answer's body: as one it has to fit into a buffer.
fn read(path: &str, bytes_max: usize) -> Result<Vec<u8>, String> {
    let text = pages::read(path)?;
    match text.len() {
        bytes if bytes > bytes_max => Err(format!("file '{path}' exceeds the buffer size ({bytes} > {bytes_max})")),
        _ => Ok(text),
    }
}
