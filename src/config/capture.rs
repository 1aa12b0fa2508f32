//! `capture` (section 4.2).

use super::scope::{Scope, arg, no_more_than};
use super::unit::atoi;
use super::word::Word;
use crate::proxy::{CookieCapture, HeaderCapture};
use crate::registry::{Keyword, Sections};

/// The rows of this module.
pub static ROWS: &[Keyword] = &[Keyword {
    name: "capture",
    sections: Sections::CLIENT_SIDE,
    args_max: None,
    parse: capture,
    help: "keep a header or a cookie for the log",
}];

/// Most bytes kept of a cookie; HAProxy's default of `tune.http.cookielen`.
pub const COOKIE_BYTES_MAX: usize = 63;

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
            let header = HeaderCapture { name: name.to_owned(), bytes_max: bytes(length) };
            let captures = &mut scope.proxy().captures;
            if what == "request" { captures.request.push(header) } else { captures.response.push(header) }
        }
        _ => return Err("'capture' expects 'cookie' or 'request header' or 'response header'.".into()),
    }
    Ok(())
}

/// A length as HAProxy reads it: what is no number is none.
fn bytes(text: &str) -> usize {
    usize::try_from(atoi(text)).unwrap_or(0)
}
