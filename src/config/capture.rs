//! `capture` and `declare capture` (section 4.2).

use super::scope::{Scope, arg, no_more_than};
use super::unit::{atoi, integer};
use super::word::Word;
use crate::proxy::{CookieCapture, HeaderCapture};
use crate::registry::{Keyword, Sections, row};

/// The rows of this module.
pub static ROWS: &[Keyword] = &[
    Keyword {
        name: "capture",
        sections: Sections::CLIENT_SIDE,
        args_max: None,
        parse: capture,
        help: "keep a header or a cookie for the log",
    },
    row("declare", Sections::ANY_PROXY, declare, "make a slot for what a rule captures"),
];

/// Sections that may declare slots.
const FRONTENDS: Sections = Sections::FRONTEND.union(Sections::LISTEN);

fn capture(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let what = arg(words, 1);
    if scope.sections() == Sections::DEFAULTS {
        return Err(format!("'capture {what}' not allowed in 'defaults' section."));
    }
    match (what, arg(words, 2)) {
        ("cookie", name) => {
            let length = arg(words, 4);
            if length.is_empty() {
                return Err("'capture' expects 'cookie' <cookie_name> 'len' <len>.".into());
            }
            let cookie = CookieCapture { prefix: name.to_owned(), bytes_max: bytes(length) };
            scope.proxy().captures.cookie = Some(cookie);
        }
        ("request" | "response", "header") => {
            let (name, length) = (arg(words, 3), arg(words, 5));
            if name.is_empty() || arg(words, 4) != "len" || length.is_empty() {
                return Err(format!("'capture {what}' expects 'header' <header_name> 'len' <len>."));
            }
            no_more_than(words, 2, 4, &format!("capture {what}"))?;
            let header = HeaderCapture { name: Some(name.to_owned()), bytes_max: bytes(length) };
            let captures = &mut scope.proxy().captures;
            if what == "request" { captures.request.push(header) } else { captures.response.push(header) }
        }
        ("request" | "response", other) if !other.is_empty() => {
            scope.point_at(&words[2]);
            return Err("'capture' expects 'cookie' or 'request header' or 'response header'.".into());
        }
        _ => return Err("'capture' expects 'cookie' or 'request header' or 'response header'.".into()),
    }
    Ok(())
}

fn declare(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    if scope.sections() == Sections::DEFAULTS {
        return Err("'declare' not available in default section".into());
    }
    if !FRONTENDS.intersects(scope.sections()) {
        return Err("'declare' only available in frontend or listen section".into());
    }
    let (what, side, length) = (arg(words, 1), arg(words, 2), arg(words, 4));
    match what {
        "capture" => {}
        "" => return Err("'declare' needs a second keyword that specify the type of declaration ('capture')".into()),
        other => return Err(format!("unknown declaration type '{other}' (supports 'capture')")),
    }
    if !matches!(side, "request" | "response") {
        return Err("'declare capture' requires a direction ('request' or 'response')".into());
    }
    if arg(words, 3) != "len" {
        return Err("'declare capture' requires a capture length ('len')".into());
    }
    if length.is_empty() {
        let text = "'declare capture': 'len' requires a numeric value that represents the capture length";
        return Err(text.into());
    }
    let length = integer(length).ok_or("'declare capture': cannot parse the length 'len'.")?;
    let bytes_max = usize::try_from(length).ok().filter(|bytes| *bytes > 0).ok_or("length must be > 0")?;
    let slot = HeaderCapture { name: None, bytes_max };
    let captures = &mut scope.proxy().captures;
    if side == "request" {
        captures.request.push(slot)
    } else {
        captures.response.push(slot)
    }
    Ok(())
}

/// A length as HAProxy reads it: what is no number is none.
fn bytes(text: &str) -> usize {
    usize::try_from(atoi(text)).unwrap_or(0)
}
