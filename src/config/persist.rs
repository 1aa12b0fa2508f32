//! What keeps clients on their servers: `cookie`, `dynamic-cookie-key`, `persist`, and 1.5's `appsession`
//! (section 4.2).

use super::finding::Place;
use super::scope::{Scope, arg};
use super::unit::{TimeUnit, UnitError, atoi, invalid_char, time_s};
use super::word::Word;
use crate::proxy::{AppSession, Cookie, CookieMode, ParameterMode};
use crate::registry::{Keyword, Sections, row};
use crate::time::Millis;

/// The rows of this module.
pub static ROWS: &[Keyword] = &[
    row("cookie", Sections::SERVER_SIDE, cookie, "keep clients on their server by a cookie"),
    row("dynamic-cookie-key", Sections::SERVER_SIDE, dynamic_key, "secret that servers' cookie values are made with"),
    row("persist", Sections::ANY_PROXY, persist, "keep clients on their server by what they send"),
    row("appsession", Sections::ANY_PROXY, app_session, "keep clients on their server by the application's session"),
];

/// The cookie of `persist rdp-cookie` without a name.
const RDP_COOKIE: &str = "msts";

fn cookie(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let name = arg(words, 1);
    if name.is_empty() {
        return Err("'cookie' expects <cookie_name> as argument.".into());
    }
    let mut cookie = Cookie { name: name.to_owned(), ..Cookie::default() };
    let (mut modes, mut at) = (Vec::new(), 2);
    while !arg(words, at).is_empty() {
        scope.point_at(&words[at]);
        let used = match arg(words, at) {
            "rewrite" => mode(&mut modes, CookieMode::Rewrite),
            "insert" => mode(&mut modes, CookieMode::Insert),
            "prefix" => mode(&mut modes, CookieMode::Prefix),
            "indirect" => flag(&mut cookie.indirect),
            "nocache" => flag(&mut cookie.no_cache),
            "postonly" => flag(&mut cookie.post_only),
            "preserve" => flag(&mut cookie.preserve),
            "httponly" => flag(&mut cookie.http_only),
            "secure" => flag(&mut cookie.secure),
            "dynamic" => flag(&mut cookie.dynamic),
            _ => valued(scope, &mut cookie, arg(words, at), arg(words, at + 1))?,
        };
        at += used;
    }
    cookie.mode = one_mode(&modes, &cookie)?;
    scope.settings().cookie = Some(cookie);
    Ok(())
}

fn mode(modes: &mut Vec<CookieMode>, mode: CookieMode) -> usize {
    if !modes.contains(&mode) {
        modes.push(mode);
    }
    1
}

fn flag(field: &mut bool) -> usize {
    *field = true;
    1
}

/// An option of `cookie` that has an argument.
fn valued(scope: &mut Scope<'_>, cookie: &mut Cookie, option: &str, value: &str) -> Result<usize, String> {
    let expected = match option {
        "domain" => "<domain>",
        "maxidle" => "<idletime> in seconds",
        "maxlife" => "<lifetime> in seconds",
        "attr" => "<value>",
        _ => {
            return Err("'cookie' supports 'rewrite', 'insert', 'prefix', 'indirect', 'nocache', 'postonly', \
                        'domain', 'maxidle', 'dynamic', 'maxlife' and 'attr' options."
                .into());
        }
    };
    scope.place = Place::Reader;
    if value.is_empty() {
        return Err(format!("'{option}' expects {expected} as argument."));
    }
    match option {
        "domain" => cookie.domains.push(domain(scope, value)?),
        "attr" => cookie.attributes.push(attribute(value)?),
        "maxidle" => cookie.max_idle_s = seconds(option, value)?,
        _ => cookie.max_life_s = seconds(option, value)?,
    }
    scope.place = Place::Keyword;
    Ok(2)
}

fn domain(scope: &mut Scope<'_>, name: &str) -> Result<String, String> {
    let embedded = name.get(1..).is_some_and(|rest| rest.contains('.'));
    if !name.starts_with('.') && !embedded {
        scope.warn(format!(
            "domain '{name}' contains no embedded dot, this configuration may not work properly (see RFC6265#5.2.3)."
        ));
    }
    match invalid_char(name) {
        Some(c) => Err(format!("character '{c}' is not permitted in domain name '{name}'.")),
        None => Ok(name.to_owned()),
    }
}

fn attribute(text: &str) -> Result<String, String> {
    match text.bytes().find(|c| c.is_ascii_control() || *c == b';') {
        Some(c) => Err(format!("character '%x{c:02X}' is not permitted in attribute value.")),
        None => Ok(text.to_owned()),
    }
}

fn seconds(option: &str, text: &str) -> Result<Option<u32>, String> {
    match time_s(text, TimeUnit::S) {
        Ok(seconds) => Ok(Some(seconds).filter(|seconds| *seconds > 0)),
        Err(UnitError::Unexpected(c)) => Err(format!("unexpected character '{c}' in argument to <{option}>.")),
        Err(_) => Err(format!(
            "timer overflow in argument <{text}> to <{option}>, maximum value is 2147483647 s (~68 years)."
        )),
    }
}

fn one_mode(modes: &[CookieMode], cookie: &Cookie) -> Result<CookieMode, String> {
    let mode = match modes {
        [] => CookieMode::Passive,
        [mode] => *mode,
        _ => return Err("cookie 'rewrite', 'insert' and 'prefix' modes are incompatible.".into()),
    };
    if mode == CookieMode::Rewrite && cookie.indirect {
        return Err("cookie 'rewrite' and 'indirect' modes are incompatible.".into());
    }
    if cookie.preserve && mode != CookieMode::Insert && !cookie.indirect {
        return Err("cookie 'preserve' requires at least 'insert' or 'indirect'.".into());
    }
    Ok(mode)
}

fn dynamic_key(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let key = arg(words, 1);
    if key.is_empty() {
        return Err("'dynamic-cookie-key' expects <secret_key> as argument.".into());
    }
    scope.settings().dynamic_cookie_key = Some(key.to_owned());
    Ok(())
}

fn persist(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let method = arg(words, 1);
    if method.is_empty() {
        return Err("missing persist method.".into());
    }
    let Some(rest) = method.strip_prefix("rdp-cookie") else {
        return Err("unknown persist method.".into());
    };
    let name = match rest {
        "" => RDP_COOKIE,
        rest => {
            let name = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).map(|(name, _)| name);
            let name = name.filter(|name| !name.is_empty());
            name.ok_or("persist rdp-cookie(name)' requires an rdp cookie name.")?
        }
    };
    // Without a name, HAProxy does not look.
    if rest.starts_with('(') {
        super::scope::no_more_than(words, 2, 0, "persist")?;
    }
    scope.settings().rdp_cookie = Some(name.to_owned());
    Ok(())
}

/// As the manual of 1.5 has it; later versions have dropped it.
fn app_session(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    if scope.sections() == Sections::DEFAULTS {
        return Err("'appsession' not allowed in 'defaults' section.".into());
    }
    if scope.sections() == Sections::FRONTEND {
        let text = super::reader::ignored(scope, "appsession") + ".";
        scope.warn(text);
        return Ok(());
    }
    if arg(words, 5).is_empty() || arg(words, 2) != "len" || arg(words, 4) != "timeout" {
        return Err("'appsession' expects <cookie_name> 'len' <len> 'timeout' <timeout> [options*].".into());
    }
    let bytes_max = usize::try_from(atoi(arg(words, 3))).unwrap_or(0);
    if bytes_max == 0 || bytes_max > crate::persist::APP_SESSION_BYTES_MAX {
        let max = crate::persist::APP_SESSION_BYTES_MAX;
        return Err(format!("'appsession' : length '{}' is not within 1 and {max}.", arg(words, 3)));
    }
    let text = arg(words, 5);
    let timeout = scope.time_ms(text, TimeUnit::Ms).map_err(|error| error.timer(text, "'appsession' timeout"))?;
    super::legacy::note(scope, words, "appsession");
    let mut session = AppSession {
        name: arg(words, 1).to_owned(),
        bytes_max,
        timeout: Millis(u64::from(timeout)),
        learns_requests: false,
        is_prefix: false,
        mode: ParameterMode::default(),
    };
    let mut rest = words[6..].iter().map(|word| word.text.as_str()).take_while(|word| !word.is_empty());
    while let Some(option) = rest.next() {
        match option {
            "request-learn" => session.learns_requests = true,
            "prefix" => session.is_prefix = true,
            "mode" => {
                session.mode = match rest.next() {
                    Some("path-parameters") => ParameterMode::PathParameters,
                    Some("query-string") => ParameterMode::QueryString,
                    _ => return Err("'appsession' : 'mode' expects 'path-parameters' or 'query-string'.".into()),
                }
            }
            other => {
                return Err(format!(
                    "'appsession' : unknown option '{other}', expects 'request-learn', 'prefix' or 'mode'."
                ));
            }
        }
    }
    scope.settings().app_session = Some(session);
    Ok(())
}
