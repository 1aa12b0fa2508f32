//! `errorfile`, `errorfiles`, `errorloc`, `http-error` and `http-errors` sections (sections 3.8 and 4.2).

use std::rc::Rc;
use std::sync::Arc;

use super::draft::{At, Draft, Kind, ProxyDraft};
use super::finding::Severity;
use super::resolve::Resolver;
use super::scope::{Scope, Section, arg};
use super::unit::{atoi, invalid_char};
use super::word::Word;
use crate::registry::{Keyword, Sections, row};
use crate::rules::parse::{ErrorPage, error_page};
use crate::rules::reply::ReplySpec;
use crate::rules::{NamedPages, Pages, pages};
use crate::sample::arg::Reference;

/// The rows of this module.
pub static ROWS: &[Keyword] = &[
    row("errorfile", HERE, errorfile, "page for a status, from a file"),
    row("errorfiles", PROXY, errorfiles, "pages of an http-errors section"),
    row("errorloc", PROXY, |s, w| errorloc(s, w, 302), "send clients elsewhere instead of an error"),
    row("errorloc302", PROXY, |s, w| errorloc(s, w, 302), "send clients elsewhere instead of an error"),
    row("errorloc303", PROXY, |s, w| errorloc(s, w, 303), "send clients elsewhere by GET instead of an error"),
    row("http-error", PROXY, http_error, "page for a status, made as an answer of a rule"),
];

const PROXY: Sections = Sections::ANY_PROXY;
const HERE: Sections = PROXY.union(Sections::HTTP_ERRORS);

/// One line about pages; of several for a status the last one counts.
#[derive(Clone, Debug)]
pub struct PageLine {
    /// Where it stands.
    at: At,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// The page of a status, or back to the built-in one; and the names that it mentions.
    Page(u16, Option<Arc<ReplySpec>>, Vec<Reference>),
    /// Pages of a section: for these statuses, or for all that it has.
    Of(String, Vec<u16>),
}

/// Opens an `http-errors` section.
///
/// # Errors
/// It has no name, a bad one or one that another section has.
pub fn open(scope: &mut Scope<'_>, words: &[Word]) -> Result<Section, String> {
    let name = arg(words, 1);
    if name.is_empty() {
        scope.findings.give_up();
        return Err("missing name for http-errors section.".into());
    }
    if let Some(c) = invalid_char(name) {
        return Err(format!("character '{c}' is not permitted in 'http-errors' name '{name}'."));
    }
    let known = scope.draft.http_errors.iter().position(|section| section.name == name);
    if let Some(index) = known {
        let place = scope.draft.http_errors[index].place.clone();
        let before = scope.place;
        scope.place = super::finding::Place::Reader;
        scope.alert(format!("http-errors section '{name}' already exists (declared at {place})."));
        scope.place = before;
        return Ok(Section::HttpErrors(index));
    }
    let place = scope.at.to_string();
    scope.draft.http_errors.push(NamedPages { name: name.to_owned(), place, pages: Pages::default() });
    Ok(Section::HttpErrors(scope.draft.http_errors.len() - 1))
}

fn errorfile(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let (code, path) = (arg(words, 1), arg(words, 2));
    let section = match scope.section {
        Section::HttpErrors(index) => Some(index),
        _ => None,
    };
    if code.is_empty() || path.is_empty() {
        return Err(match section {
            Some(_) => "errorfile: expects <status_code> and <file> as arguments.".into(),
            None => "errorfile : expects <status_code> and <file> as arguments.\n".into(),
        });
    }
    let status = status("errorfile", code)?;
    let mut warnings = Vec::new();
    let bytes_max = scope.draft.global.tune.bufsize;
    let payload = pages::from_file(path, bytes_max, &mut warnings);
    for text in warnings {
        let mut finding = super::finding::Finding::general(Severity::Warning, text);
        finding.file = Rc::clone(&scope.at.file);
        finding.line = scope.at.line;
        scope.findings.push(finding);
    }
    let payload = payload.map_err(|text| format!("errorfile : {text}"))?;
    let page = Arc::new(ReplySpec { status, content_type: None, headers: Vec::new(), payload });
    match section {
        Some(index) => scope.draft.http_errors[index].pages.set(status, Some(page)),
        None => keep(scope, What::Page(status, Some(page), Vec::new())),
    }
    Ok(())
}

fn errorfiles(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let name = arg(words, 1);
    if name.is_empty() {
        return Err("errorfiles : expects <name> as argument.".into());
    }
    let codes = words[2..].iter().take_while(|word| !word.text.is_empty());
    let codes: Result<Vec<u16>, String> = codes.map(|word| status("errorfiles", &word.text)).collect();
    keep(scope, What::Of(name.to_owned(), codes?));
    Ok(())
}

fn errorloc(scope: &mut Scope<'_>, words: &[Word], code: u16) -> Result<(), String> {
    let name = arg(words, 0);
    let Some(url) = words.get(2).filter(|word| !word.bytes().is_empty()) else {
        return Err(format!("{name} : expects <status_code> and <url> as arguments.\n"));
    };
    let status = status(name, arg(words, 1))?;
    let page = Arc::new(pages::location(code, url.bytes()));
    keep(scope, What::Page(status, Some(page), Vec::new()));
    Ok(())
}

fn http_error(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let (file, line) = (Rc::clone(&scope.at.file), scope.at.line);
    let bytes_max = scope.draft.global.tune.bufsize;
    let proxy = scope.proxy();
    let sides = (proxy.kind != Kind::Backend, proxy.kind != Kind::Frontend);
    let parsed = error_page(words, sides, proxy.settings.mode, bytes_max, (file, line));
    for text in parsed.warnings {
        scope.warn(text);
    }
    match parsed.page? {
        ErrorPage::Of(status, name) => keep(scope, What::Of(name, vec![status])),
        ErrorPage::BuiltIn(status) => keep(scope, What::Page(status, None, Vec::new())),
        ErrorPage::Reply(spec) => keep(scope, What::Page(spec.status, Some(Arc::new(*spec)), parsed.references)),
    }
    Ok(())
}

fn keep(scope: &mut Scope<'_>, what: What) {
    let at = scope.at.clone();
    scope.settings().pages.push(PageLine { at, what });
}

fn status(keyword: &str, text: &str) -> Result<u16, String> {
    let code = atoi(text);
    pages::is_known(code).ok_or_else(|| format!("{keyword} : status code '{code}' not handled."))
}

/// The names that a proxy's pages mention.
pub(super) fn references(proxy: &ProxyDraft) -> Vec<Reference> {
    let of_line = |line: &PageLine| match &line.what {
        What::Page(_, _, references) => references.clone(),
        What::Of(..) => Vec::new(),
    };
    proxy.settings.pages.iter().flat_map(of_line).collect()
}

/// The pages of a proxy.
pub(super) fn resolve(resolver: &mut Resolver<'_>, proxy: &ProxyDraft) -> Pages {
    let draft: &Draft = resolver.draft;
    let mut own = Pages::default();
    for line in &proxy.settings.pages {
        match &line.what {
            What::Page(status, page, _) => own.set(*status, page.clone()),
            What::Of(name, codes) => {
                let Some(section) = draft.http_errors.iter().find(|section| section.name == *name) else {
                    let (proxy, at) = (&proxy.name, &line.at);
                    resolver
                        .findings
                        .alert(format!("proxy '{proxy}': unknown http-errors section '{name}' (at {at})."));
                    continue;
                };
                for (status, page) in section.pages.iter() {
                    if codes.is_empty() || codes.contains(status) {
                        own.set(*status, Some(page.clone()));
                    }
                }
                for status in codes.iter().filter(|status| section.pages.get(**status).is_none()) {
                    let (proxy, at) = (&proxy.name, &line.at);
                    resolver.findings.warning(format!(
                        "config: proxy '{proxy}' : status '{status}' not declared in http-errors section '{name}' \
                         (at {at})."
                    ));
                }
            }
        }
    }
    own
}
