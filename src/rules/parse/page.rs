//! The arguments of `http-error` (manual 4.2), which are those of an answer.

use std::rc::Rc;

use super::reply::{Draft, Source};
use super::{Cursor, Input};
use crate::proxy::Mode;
use crate::rules::pages;
use crate::rules::reply::ReplySpec;
use crate::sample::arg::Reference;
use crate::sample::{Place, Places, Scope};
use crate::text::Word;

/// What an `http-error` line says.
#[derive(Debug)]
pub enum ErrorPage {
    /// The status has the page that the section of this name has for it.
    Of(u16, String),
    /// The status has its built-in page again.
    BuiltIn(u16),
    /// The status is answered so.
    Reply(Box<ReplySpec>),
}

/// An `http-error` line.
#[derive(Debug)]
pub struct ParsedPage {
    /// What it says, or what is wrong with it.
    pub page: Result<ErrorPage, String>,
    /// What is odd.
    pub warnings: Vec<String>,
    /// Names to resolve once all sections are read.
    pub references: Vec<Reference>,
}

/// Parses a line that stands at `at`, of a proxy that has these sides: clients, servers.
pub fn error_page(
    words: &[Word],
    sides: (bool, bool),
    mode: Mode,
    page_bytes_max: usize,
    at: (Rc<str>, u32),
) -> ParsedPage {
    let front = if sides.0 { Place::FrontRequest.only() } else { Places::NONE };
    let back = if sides.1 { Place::BackRequest.only() } else { Places::NONE };
    let mut scope = Scope { purpose: "http-error expression", ..Scope::new(front.union(back), at.0, at.1) };
    let mut input = Input {
        cursor: Cursor { words, at: 1 },
        scope: &mut scope,
        mode,
        sections: &[],
        resolvers: &[],
        page_bytes_max,
        proxy_name: "",
        is_frontend: sides.0,
        captures: [0; 2],
        capture_slot: None,
    };
    let page = parse(&mut input);
    let mut warnings = std::mem::take(&mut scope.general_warnings);
    warnings.append(&mut scope.warnings);
    ParsedPage { page, warnings, references: scope.references }
}

fn parse(input: &mut Input<'_, '_>) -> Result<ErrorPage, String> {
    if input.cursor.peek() != "status" {
        return Err("http-error : expects at least a <status> as arguments.\n".to_owned());
    }
    let said = |text: String| format!("http-error : {text}");
    let mut draft = Draft::new(false);
    draft.read(input).map_err(said)?;
    if !input.cursor.peek().is_empty() {
        return Err(format!("http-error : unknown keyword '{}'.", input.cursor.peek()));
    }
    let status = draft.status;
    let section = match &draft.source {
        Some(Source::Section(name)) => Some(ErrorPage::Of(status, name.clone())),
        Some(Source::BuiltIn) => Some(ErrorPage::BuiltIn(status)),
        _ => None,
    };
    let page = match section {
        Some(page) => page,
        None => ErrorPage::Reply(Box::new(draft.finish(input).map_err(said)?)),
    };
    if pages::is_known(i32::from(status)).is_none() {
        return Err(format!("http-error: status code '{status}' not handled."));
    }
    Ok(page)
}
