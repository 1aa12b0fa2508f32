//! The actions of `http-request`, `http-response` and `http-after-response`: one row each, in the order in which HAProxy names them.

use regex::bytes::Regex;

use super::{Input, Wrong, order, redirection, reply, variable};
use crate::facts::LogOrder;
use crate::log::syslog::Level;
use crate::rules::address::Part;
use crate::rules::edit::{Edit, Names};
use crate::rules::errand::Order;
use crate::rules::request::{self, UriPart};
use crate::rules::response;
use crate::text::{self, suggest};

/// An action.
pub(super) struct Row<A> {
    /// Its name; `(*)` at the end stands for arguments in parentheses.
    pub name: &'static str,
    /// Reads the words after the name, up to the condition. `None` where HAProxy knows more than is built.
    pub parse: Option<Parse<A>>,
}

type Parse<A> = fn(&mut Input<'_, '_>) -> Result<A, String>;

impl<A> Row<A> {
    pub(super) fn is_named(&self, name: &str) -> bool {
        match self.name.strip_suffix("(*)") {
            None => self.name == name,
            Some(stem @ ("do-resolve" | "track-sc" | "set-var" | "set-var-fmt" | "unset-var")) => {
                name.starts_with(stem)
            }
            Some(stem) => name.strip_prefix(stem).is_some_and(|rest| rest.starts_with('(')),
        }
    }
}

pub(super) const fn row<A>(name: &'static str, parse: Parse<A>) -> Row<A> {
    Row { name, parse: Some(parse) }
}

pub(super) const fn later<A>(name: &'static str) -> Row<A> {
    Row { name, parse: None }
}

pub(super) static REQUEST: [Row<request::Action>; 57] = [
    later("wait-for-handshake"),
    later("ot-group"),
    row("set-log-level", |i| log_order(i).map(request::Action::SetLog)),
    row("set-nice", |i| order::nice(i).map(|o| request::Action::Order(Box::new(o)))),
    later("use-service"),
    later("sc-inc-gpc(*)"),
    later("sc-inc-gpc0(*)"),
    later("sc-inc-gpc1(*)"),
    later("sc-set-gpt(*)"),
    later("sc-set-gpt0(*)"),
    later("send-spoe-group"),
    row("do-resolve(*)", |i| order::lookup(i).map(|o| request::Action::Order(Box::new(o)))),
    later("cache-use"),
    later("add-acl(*)"),
    row("add-header", |i| add_header(i).map(|e| request::Action::Edit(Box::new(e)))),
    row("allow", |_| Ok(request::Action::Allow)),
    row("auth", auth),
    row("capture", |i| order::capture(i).map(|o| request::Action::Order(Box::new(o)))),
    later("del-acl(*)"),
    row("del-header", |i| del_header(i).map(|e| request::Action::Edit(Box::new(e)))),
    later("del-map(*)"),
    row("deny", |i| reply::deny(i, 403).map(|spec| request::Action::Deny(Box::new(spec)))),
    row("disable-l7-retry", |_| Ok(request::Action::NeverAgain)),
    row("early-hint", |i| order::hint(i).map(|(name, format)| request::Action::Hint(name, format))),
    later("normalize-uri"),
    row("redirect", |i| redirection::formatted(i, false).map(|r| request::Action::Redirect(Box::new(r)))),
    row("reject", |_| Ok(request::Action::Reject)),
    row("replace-header", |i| replace(i, Edit::ReplaceLines).map(|e| request::Action::Edit(Box::new(e)))),
    row("replace-path", |i| replace_uri(i, UriPart::Path)),
    row("replace-pathq", |i| replace_uri(i, UriPart::PathAndQuery)),
    row("replace-uri", |i| replace_uri(i, UriPart::Whole)),
    row("replace-value", |i| replace(i, Edit::ReplaceValues).map(|e| request::Action::Edit(Box::new(e)))),
    row("return", |i| reply::returned(i).map(|spec| request::Action::Return(Box::new(spec)))),
    row("set-header", |i| set_header(i).map(|e| request::Action::Edit(Box::new(e)))),
    later("set-map(*)"),
    row("set-method", |i| only_format(i).map(request::Action::SetMethod)),
    row("set-path", |i| only_format(i).map(|f| request::Action::SetUri(UriPart::Path, f))),
    row("set-pathq", |i| only_format(i).map(|f| request::Action::SetUri(UriPart::PathAndQuery, f))),
    row("set-query", |i| only_format(i).map(|f| request::Action::SetUri(UriPart::Query, f))),
    row("set-uri", |i| only_format(i).map(|f| request::Action::SetUri(UriPart::Whole, f))),
    row("strict-mode", |i| order::strict_mode(i).map(request::Action::StrictMode)),
    row("tarpit", |i| reply::deny(i, 500).map(|spec| request::Action::Tarpit(Box::new(spec)))),
    later("track-sc(*)"),
    later("set-timeout"),
    row("wait-for-body", |i| order::wait_for_body(i).map(|o| request::Action::Order(Box::new(o)))),
    row("set-var-fmt(*)", |i| variable::assignment(i).map(request::Action::Assign)),
    row("set-var(*)", |i| variable::assignment(i).map(request::Action::Assign)),
    row("unset-var(*)", |i| variable::assignment(i).map(request::Action::Assign)),
    row("set-dst", |i| readdress(i, Part::Destination)),
    row("set-dst-port", |i| readdress(i, Part::DestinationPort)),
    row("set-mark", |i| order::mark(i).map(|o| request::Action::Order(Box::new(o)))),
    row("set-src", |i| readdress(i, Part::Source)),
    row("set-src-port", |i| readdress(i, Part::SourcePort)),
    row("set-tos", |i| order::tos(i).map(|o| request::Action::Order(Box::new(o)))),
    row("silent-drop", |_| Ok(request::Action::SilentDrop)),
    later("set-priority-class"),
    later("set-priority-offset"),
];

pub(super) static RESPONSE: [Row<response::Action>; 34] = [
    later("ot-group"),
    row("set-log-level", |i| log_order(i).map(response::Action::SetLog)),
    row("set-nice", |i| order::nice(i).map(|o| response::Action::Order(Box::new(o)))),
    later("sc-inc-gpc(*)"),
    later("sc-inc-gpc0(*)"),
    later("sc-inc-gpc1(*)"),
    later("sc-set-gpt(*)"),
    later("sc-set-gpt0(*)"),
    later("send-spoe-group"),
    later("cache-store"),
    later("add-acl(*)"),
    row("add-header", |i| add_header(i).map(|e| response::Action::Edit(Box::new(e)))),
    row("allow", |_| Ok(response::Action::Allow)),
    row("capture", |i| order::capture_response(i).map(|o| response::Action::Order(Box::new(o)))),
    later("del-acl(*)"),
    row("del-header", |i| del_header(i).map(|e| response::Action::Edit(Box::new(e)))),
    later("del-map(*)"),
    row("deny", |i| reply::deny(i, 502).map(|spec| response::Action::Deny(Box::new(spec)))),
    row("redirect", |i| redirection::formatted(i, true).map(|r| response::Action::Redirect(Box::new(r)))),
    row("replace-header", |i| replace(i, Edit::ReplaceLines).map(|e| response::Action::Edit(Box::new(e)))),
    row("replace-value", |i| replace(i, Edit::ReplaceValues).map(|e| response::Action::Edit(Box::new(e)))),
    row("return", |i| reply::returned(i).map(|spec| response::Action::Return(Box::new(spec)))),
    row("set-header", |i| set_header(i).map(|e| response::Action::Edit(Box::new(e)))),
    later("set-map(*)"),
    row("set-status", set_status),
    row("strict-mode", |i| order::strict_mode(i).map(response::Action::StrictMode)),
    later("track-sc(*)"),
    row("wait-for-body", |i| order::wait_for_body(i).map(|o| response::Action::Order(Box::new(o)))),
    row("set-var-fmt(*)", |i| variable::assignment(i).map(response::Action::Assign)),
    row("set-var(*)", |i| variable::assignment(i).map(response::Action::Assign)),
    row("unset-var(*)", |i| variable::assignment(i).map(response::Action::Assign)),
    row("set-mark", |i| order::mark(i).map(|o| response::Action::Order(Box::new(o)))),
    row("set-tos", |i| order::tos(i).map(|o| response::Action::Order(Box::new(o)))),
    row("silent-drop", |_| Ok(response::Action::SilentDrop)),
];

pub(super) static AFTER_RESPONSE: [Row<response::Action>; 13] = [
    later("ot-group"),
    row("add-header", |i| add_header(i).map(|e| response::Action::Edit(Box::new(e)))),
    row("allow", |_| Ok(response::Action::Allow)),
    row("capture", |i| order::capture_response(i).map(|o| response::Action::Order(Box::new(o)))),
    row("del-header", |i| del_header(i).map(|e| response::Action::Edit(Box::new(e)))),
    row("replace-header", |i| replace(i, Edit::ReplaceLines).map(|e| response::Action::Edit(Box::new(e)))),
    row("replace-value", |i| replace(i, Edit::ReplaceValues).map(|e| response::Action::Edit(Box::new(e)))),
    row("set-header", |i| set_header(i).map(|e| response::Action::Edit(Box::new(e)))),
    row("set-status", set_status),
    row("strict-mode", |i| order::strict_mode(i).map(response::Action::StrictMode)),
    row("set-var-fmt(*)", |i| variable::assignment(i).map(response::Action::Assign)),
    row("set-var(*)", |i| variable::assignment(i).map(response::Action::Assign)),
    row("unset-var(*)", |i| variable::assignment(i).map(response::Action::Assign)),
];

fn auth(input: &mut Input<'_, '_>) -> Result<request::Action, String> {
    if input.cursor.peek() != "realm" {
        return Ok(request::Action::Auth(input.proxy_name.into()));
    }
    input.cursor.next();
    match input.cursor.next() {
        "" => Err("missing realm value.\n".to_owned()),
        realm => Ok(request::Action::Auth(realm.into())),
    }
}

pub(super) fn log_order(input: &mut Input<'_, '_>) -> Result<LogOrder, String> {
    let order = match input.cursor.next() {
        "silent" => Some(LogOrder::Silent),
        name => Level::parse(name).map(|level| LogOrder::Level(level as u8)),
    };
    order.ok_or_else(|| "expects exactly 1 argument (log level name or 'silent')".to_owned())
}

fn readdress(input: &mut Input<'_, '_>, part: Part) -> Result<request::Action, String> {
    order::address(input, part).map(|rule| request::Action::Order(Box::new(Order::Readdress(rule))))
}

/// A header name as it is sent: HAProxy 2.x sends lower case.
fn header_name(text: &str) -> Box<[u8]> {
    text.to_ascii_lowercase().into_bytes().into()
}

pub(super) fn name_and_format(input: &mut Input<'_, '_>) -> Result<(Box<[u8]>, crate::log::format::Format), String> {
    if input.cursor.peek().is_empty() || input.cursor.peek_at(1).is_empty() {
        return Err("expects exactly 2 arguments".to_owned());
    }
    let name = header_name(input.cursor.next());
    let text = input.cursor.next();
    Ok((name, input.format(text)?))
}

fn set_header(input: &mut Input<'_, '_>) -> Result<Edit, String> {
    name_and_format(input).map(|(name, format)| Edit::Set(name, format))
}

fn add_header(input: &mut Input<'_, '_>) -> Result<Edit, String> {
    name_and_format(input).map(|(name, format)| Edit::Add(name, format))
}

fn del_header(input: &mut Input<'_, '_>) -> Result<Edit, String> {
    let name = input.cursor.next();
    if name.is_empty() {
        return Err("expects at least 1 argument".to_owned());
    }
    let wanted = header_name(name);
    if input.cursor.peek() != "-m" {
        return Ok(Edit::Delete(Names::Whole(wanted)));
    }
    input.cursor.next();
    if input.cursor.peek().is_empty() {
        return Err("-m flag expects exactly 1 argument".to_owned());
    }
    Ok(Edit::Delete(match input.cursor.next() {
        "str" => Names::Whole(wanted),
        "beg" => Names::Prefix(wanted),
        "end" => Names::Suffix(wanted),
        "sub" => Names::Part(wanted),
        "reg" => Names::Regex(text::regex::compile(name, false)?),
        other => return Err(format!("-m with unsupported matching method '{other}'")),
    }))
}

fn replace(
    input: &mut Input<'_, '_>,
    edit: fn(Box<[u8]>, Regex, crate::log::format::Format) -> Edit,
) -> Result<Edit, String> {
    if (0..3).any(|ahead| input.cursor.peek_at(ahead).is_empty()) {
        return Err("expects exactly 3 arguments".to_owned());
    }
    let name = header_name(input.cursor.next());
    let regex = text::regex::compile(input.cursor.next(), false)?;
    let text = input.cursor.next();
    Ok(edit(name, regex, input.format(text)?))
}

fn replace_uri(input: &mut Input<'_, '_>, part: UriPart) -> Result<request::Action, String> {
    let missing = input.cursor.peek().is_empty() || input.cursor.peek_at(1).is_empty();
    if missing || !super::ends_arguments(input.cursor.peek_at(2)) {
        return Err("expects exactly 2 arguments <match-regex> and <replace-format>".to_owned());
    }
    let regex = text::regex::compile(input.cursor.next(), false);
    let regex = regex.map_err(|e| format!("failed to parse the regex : {e}"))?;
    let text = input.cursor.next();
    Ok(request::Action::ReplaceUri(part, Box::new(regex), input.format(text)?))
}

fn only_format(input: &mut Input<'_, '_>) -> Result<crate::log::format::Format, String> {
    if input.cursor.peek().is_empty() || !super::ends_arguments(input.cursor.peek_at(1)) {
        return Err("expects exactly 1 argument <format>".to_owned());
    }
    let text = input.cursor.next();
    input.format(text)
}

fn set_status(input: &mut Input<'_, '_>) -> Result<response::Action, String> {
    let text = input.cursor.next();
    if text.is_empty() {
        return Err("expects 1 argument: <status>; or 3 arguments: <status> reason <fmt>".to_owned());
    }
    let status = text.parse().ok().filter(|code| (100..=999).contains(code));
    let status = status.ok_or("expects an integer status code between 100 and 999")?;
    let has_reason = input.cursor.peek() == "reason" && !input.cursor.peek_at(1).is_empty();
    let reason = has_reason.then(|| {
        input.cursor.next();
        input.cursor.next().as_bytes().into()
    });
    Ok(response::Action::SetStatus(status, reason))
}

/// The actions of `http-request`, `tcp-request content` and their kin that are built, in alphabetical order.
pub fn actions(keyword: &str) -> Vec<&'static str> {
    let mut names: Vec<&str> = match keyword {
        "http-request" => built(&REQUEST).collect(),
        "http-response" => built(&RESPONSE).collect(),
        "http-after-response" => built(&AFTER_RESPONSE).collect(),
        keyword => super::tcp::actions(keyword),
    };
    names.sort_unstable();
    names
}

fn built<A>(rows: &'static [Row<A>]) -> impl Iterator<Item = &'static str> {
    rows.iter().filter(|row| row.parse.is_some()).map(|row| row.name)
}

pub(super) fn unknown_action<A>(keyword: &str, rows: &[Row<A>], name: &str) -> Wrong {
    let names: Vec<String> = rows.iter().map(|row| format!("'{}'", row.name)).collect();
    let got = match name {
        "" => "'' (missing argument)".to_owned(),
        name => format!("'{name}'"),
    };
    let plain = rows.iter().map(|row| row.name.strip_suffix("(*)").unwrap_or(row.name));
    let hint = match suggest::nearest(name, plain).filter(|_| !name.is_empty()) {
        Some(near) => format!(" Did you mean '{near}' maybe ?"),
        None => String::new(),
    };
    Wrong::Words(format!("'{keyword}' expects {}, but got {got}.{hint}", names.join(", ")))
}
