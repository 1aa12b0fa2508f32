//! `log`, log formats and their companions (sections 3.1 and 4.2): kept as words until resolved.

use super::draft::{Format, LogLine};
use super::scope::{Prefix, Scope, arg, no_more_than};
use super::word::Word;
use crate::registry::{Keyword, Sections};

/// The rows of this module.
pub static ROWS: &[Keyword] = &[
    row("log", ANY, log, "where messages go"),
    row("log-tag", ANY, log_tag, "name in the syslog header"),
    row("log-send-hostname", Sections::GLOBAL, log_send_hostname, "name the host in the syslog header"),
    row("log-format", Sections::ANY_PROXY, log_format, "format of traffic lines"),
    row("log-format-sd", Sections::ANY_PROXY, log_format_sd, "structured data of RFC 5424 lines"),
    row("error-log-format", CLIENTS, error_log_format, "format of connection errors"),
    row("option httplog", Sections::ANY_PROXY, httplog, "log requests"),
    row("option tcplog", Sections::ANY_PROXY, tcplog, "log connections"),
];

const ANY: Sections = Sections::all();
const CLIENTS: Sections = Sections::CLIENT_SIDE;

const fn row(
    name: &'static str,
    sections: Sections,
    parse: fn(&mut Scope<'_>, &[Word]) -> Result<(), String>,
    help: &'static str,
) -> Keyword {
    Keyword { name, sections, args_max: None, parse, help }
}

fn log(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let global = scope.sections() == Sections::GLOBAL;
    if scope.prefix == Prefix::No && words.len() == 1 {
        if global {
            scope.draft.global_extra.logs.clear();
        } else {
            scope.settings().logs.clear();
        }
        return Ok(());
    }
    let at = scope.at.clone();
    let line = LogLine { words: words[1..].to_vec(), at };
    check(&line.words, global)?;
    if global {
        scope.draft.global_extra.logs.push(line);
    } else {
        scope.settings().logs.push(line);
    }
    Ok(())
}

/// What can be said of a `log` line before its target is made.
fn check(words: &[Word], global: bool) -> Result<(), String> {
    if words.len() == 1 && arg(words, 0) == "global" {
        if global {
            return Err("log : 'global' is not supported for a global syslog server".into());
        }
        return Ok(());
    }
    if words.len() < 2 {
        return Err("log : expects <address> and <facility>  as arguments".into());
    }
    Ok(())
}

fn log_tag(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let tag = arg(words, 1);
    if tag.is_empty() {
        return Err("'log-tag' expects a tag for use in syslog.".into());
    }
    no_more_than(words, 1, 1, "log-tag")?;
    if scope.sections() == Sections::GLOBAL {
        scope.global().log_tag = Some(tag.to_owned());
    } else {
        scope.settings().log_tag = Some(tag.to_owned());
    }
    Ok(())
}

fn log_send_hostname(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let name = arg(words, 1);
    scope.global().log_send_hostname = Some((!name.is_empty()).then(|| name.to_owned()));
    Ok(())
}

fn one_format<'a>(words: &'a [Word], keyword: &str) -> Result<&'a Word, String> {
    let Some(format) = words.get(1) else {
        return Err(format!("'{keyword}' expects an argument."));
    };
    if words.len() > 2 {
        return Err(format!(
            "'{keyword}' expects only one argument, don't forget to escape spaces! Did you forget to escape spaces?"
        ));
    }
    Ok(format)
}

fn log_format(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let format = one_format(words, "log-format")?.clone();
    let at = scope.at.clone();
    if useless(scope, "log-format") {
        return Ok(());
    }
    overridden(scope, "log-format");
    scope.settings().format = Format::Custom(format, at);
    Ok(())
}

fn log_format_sd(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let format = one_format(words, "log-format-sd")?.clone();
    let at = scope.at.clone();
    if useless(scope, "log-format-sd") {
        return Ok(());
    }
    scope.settings().format_sd = Some((format, at));
    Ok(())
}

fn error_log_format(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let format = one_format(words, "error-log-format")?.clone();
    let at = scope.at.clone();
    scope.settings().error_format = Some((format, at));
    Ok(())
}

fn httplog(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let clf = match arg(words, 2) {
        "" => false,
        "clf" => true,
        _ => return Err("keyword 'httplog' only supports option 'clf'.".into()),
    };
    no_more_than(words, 2, usize::from(clf), "option httplog")?;
    let at = scope.at.clone();
    let (name, format) =
        if clf { ("option httplog clf", Format::Clf(at)) } else { ("option httplog", Format::Http(at)) };
    choose(scope, name, format)
}

fn tcplog(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    no_more_than(words, 2, 0, "option tcplog")?;
    let at = scope.at.clone();
    choose(scope, "option tcplog", Format::Tcp(at))
}

fn choose(scope: &mut Scope<'_>, name: &str, format: Format) -> Result<(), String> {
    if !useless(scope, name) {
        overridden(scope, name);
    }
    scope.settings().format = format;
    Ok(())
}

/// Backends log in the format of the frontend.
fn useless(scope: &mut Scope<'_>, name: &str) -> bool {
    let backend = scope.sections() == Sections::BACKEND;
    if backend {
        let proxy = scope.proxy().name.clone();
        scope.warn(format!("backend '{proxy}' : '{name}' directive is ignored in backends."));
    }
    backend
}

/// Warns when a `defaults` section chooses a second format.
fn overridden(scope: &mut Scope<'_>, name: &str) {
    let old = match &scope.settings().format {
        Format::Default => return,
        Format::Tcp(_) => "option tcplog",
        Format::Http(_) => "option httplog",
        Format::Clf(_) => "option httplog clf",
        Format::Custom(..) => "log-format",
    };
    if scope.sections() == Sections::DEFAULTS {
        scope.warn(format!("'{name}' overrides previous '{old}' in 'defaults' section."));
    }
}
