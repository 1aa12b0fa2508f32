//! The arguments of redirections (manual 4.2, `redirect`).

use super::Input;
use crate::rules::redirect::{Kind, Redirect, Target};

/// Options that take a word of their own after them.
const WITH_ARGUMENT: [&str; 6] = ["location", "prefix", "scheme", "set-cookie", "clear-cookie", "code"];

/// The `redirect` keyword: its target is no format.
pub(super) fn fixed(input: &mut Input<'_, '_>) -> Result<Redirect, String> {
    let (mut redirect, text) = options(input, false)?;
    redirect.target = Target::Text(text.as_bytes().into());
    Ok(redirect)
}

/// The `redirect` action of `http-request`, or of `http-response`, which only knows locations.
pub(super) fn formatted(input: &mut Input<'_, '_>, in_response: bool) -> Result<Redirect, String> {
    let (mut redirect, text) = options(input, in_response)?;
    // The target `/` of a prefix means "nothing", which is decided by its text.
    redirect.target = if text == "/" { Target::Text(b"/"[..].into()) } else { Target::Format(input.format(&text)?) };
    Ok(redirect)
}

/// Everything but the target, whose text is given with it.
fn options(input: &mut Input<'_, '_>, in_response: bool) -> Result<(Redirect, String), String> {
    let mut target: Option<(Kind, String)> = None;
    let mut redirect = Redirect {
        kind: Kind::Location,
        target: Target::Text(Box::default()),
        code: 302,
        drop_query: false,
        append_slash: false,
        ignore_empty: false,
        cookie: None,
    };
    while !input.cursor.done() {
        let option = input.cursor.next();
        let takes_argument = WITH_ARGUMENT.contains(&option);
        let argument = if takes_argument { input.cursor.next() } else { "" };
        if takes_argument && argument.is_empty() {
            return Err(format!("missing argument for '{option}'"));
        }
        match option {
            "location" => target = Some((Kind::Location, argument.to_owned())),
            "prefix" => target = Some((Kind::Prefix, argument.to_owned())),
            "scheme" => target = Some((Kind::Scheme, argument.to_owned())),
            "set-cookie" => redirect.cookie = Some(format!("{argument}; path=/;").into_bytes().into()),
            "clear-cookie" => redirect.cookie = Some(format!("{argument}; path=/; Max-Age=0;").into_bytes().into()),
            "code" => redirect.code = code(argument)?,
            "drop-query" => redirect.drop_query = true,
            "append-slash" => redirect.append_slash = true,
            "ignore-empty" => redirect.ignore_empty = true,
            other => {
                return Err(format!(
                    "expects 'code', 'prefix', 'location', 'scheme', 'set-cookie', 'clear-cookie', 'drop-query', \
                     'ignore-empty' or 'append-slash' (was '{other}')"
                ));
            }
        }
        if in_response && target.as_ref().is_some_and(|(kind, _)| *kind != Kind::Location) {
            return Err("response only supports redirect type 'location'".to_owned());
        }
    }
    let (kind, text) = target.ok_or("redirection type expected ('prefix', 'location', or 'scheme')")?;
    redirect.kind = kind;
    Ok((redirect, text))
}

fn code(text: &str) -> Result<u16, String> {
    let code = text.parse().ok().filter(|code| matches!(code, 301 | 302 | 303 | 307 | 308));
    code.ok_or_else(|| format!("'code': unsupported HTTP code '{text}' (must be one of 301, 302, 303, 307 or 308)"))
}
