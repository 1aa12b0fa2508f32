//! `log`, log formats and their companions (sections 3.1 and 4.2). Targets are made at
//! once; formats are kept as words until the mode of their proxy and all names are known.

use super::draft::{At, Format};
use super::scope::{Prefix, Scope, arg, no_more_than};
use super::word::Word;
use crate::log::LogLine;
use crate::registry::{Keyword, Sections, row};

/// The rows of this module.
pub static ROWS: &[Keyword] = &[
    row("log", ANY, log, "where messages go"),
    row("log-tag", ANY, log_tag, "name in the syslog header"),
    row("log-send-hostname", Sections::GLOBAL, log_send_hostname, "name the host in the syslog header"),
    row("log-format", Sections::ANY_PROXY, log_format, "format of traffic lines"),
    row("log-format-sd", Sections::ANY_PROXY, log_format_sd, "structured data of RFC 5424 lines"),
    row("error-log-format", Sections::ANY_PROXY, error_log_format, "format of connection errors"),
    row("unique-id-format", Sections::ANY_PROXY, unique_id_format, "identifiers of requests"),
    row("unique-id-header", Sections::ANY_PROXY, unique_id_header, "the field that tells servers the identifier"),
    row("option httplog", Sections::ANY_PROXY, httplog, "log requests"),
    row("option tcplog", Sections::ANY_PROXY, tcplog, "log connections"),
];

const ANY: Sections = Sections::ANY_PROXY.union(Sections::GLOBAL);

fn log(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let global = scope.sections() == Sections::GLOBAL;
    let mut args: Vec<&str> = words[1..].iter().map(|word| word.text.as_str()).collect();
    let address = args.first().map(|text| scope.draft.env.expand(text)).unwrap_or_default();
    if let Some(first) = args.first_mut() {
        *first = &address;
    }
    let line = crate::log::line::parse(&args, scope.prefix == Prefix::No, global)?;
    let lines = if global { &mut scope.draft.global_extra.logs } else { &mut scope.settings().logs };
    match line {
        LogLine::Forget => lines.clear(),
        // The defaults may have it already: nothing is to be logged twice.
        LogLine::Global if lines.iter().any(|line| matches!(line, LogLine::Global)) => {}
        line => lines.push(line),
    }
    Ok(())
}

fn log_tag(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let tag = arg(words, 1);
    if tag.is_empty() {
        return Err("'log-tag' expects a tag for use in syslog.".into());
    }
    // Proxies pass over what follows, as in HAProxy.
    if scope.sections() == Sections::GLOBAL {
        no_more_than(words, 1, 1, "log-tag")?;
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

/// Backends may say it, too: it stays without effect there, as in HAProxy.
fn unique_id_format(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    scope.settings().unique_id_format = Some(only_format(scope, words, "unique-id-format")?);
    Ok(())
}

fn unique_id_header(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    match arg(words, 1) {
        "" => Err("unique-id-header expects an argument.".into()),
        name => {
            scope.settings().unique_id_header = Some(name.to_ascii_lowercase().into_bytes().into());
            Ok(())
        }
    }
}

fn one_format(scope: &mut Scope<'_>, words: &[Word], keyword: &str) -> Result<(Word, At), String> {
    let ours = only_format(scope, words, keyword)?;
    useless(scope, keyword);
    Ok(ours)
}

/// The format that is all of the line.
fn only_format(scope: &Scope<'_>, words: &[Word], keyword: &str) -> Result<(Word, At), String> {
    let Some(format) = words.get(1).filter(|word| !word.text.is_empty()) else {
        return Err(format!("{keyword} expects an argument."));
    };
    if words.len() > 2 {
        return Err(format!("{keyword} expects only one argument, don't forget to escape spaces!"));
    }
    Ok((format.clone(), scope.at.clone()))
}

fn log_format(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let (format, at) = one_format(scope, words, "log-format")?;
    overridden(scope, "log-format");
    scope.settings().format = Format::Custom(format, at);
    Ok(())
}

fn log_format_sd(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    scope.settings().format_sd = Some(one_format(scope, words, "log-format-sd")?);
    Ok(())
}

fn error_log_format(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    scope.settings().error_format = Some(one_format(scope, words, "error-log-format")?);
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
    useless(scope, name);
    overridden(scope, name);
    scope.settings().format = format;
    Ok(())
}

/// Backends log in the format of the frontend.
fn useless(scope: &mut Scope<'_>, name: &str) {
    let name = name.trim_end_matches(" clf");
    if scope.sections() == Sections::BACKEND {
        let proxy = scope.proxy().name.clone();
        scope.warn(format!("backend '{proxy}' : '{name}' directive is ignored in backends."));
    }
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
        let place = std::mem::replace(&mut scope.place, super::finding::Place::Reader);
        scope.warn(format!("'{name}' overrides previous '{old}' in 'defaults' section."));
        scope.place = place;
    }
}
