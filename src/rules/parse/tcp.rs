//! `tcp-request` and `tcp-response` lines (manual 4.2), but for `inspect-delay`, which is no rule.

use super::action::{Row, log_order};
use super::{Condition, Cursor, Input, Parser, Wrong, ends_arguments, rule, variable};
use crate::proxy::Mode;
use crate::rules::tcp::{Action, Part, TcpRules};
use crate::sample::{Expr, Place, Places, Scope};
use crate::text::finding::Severity;
use crate::text::{Word, suggest};

/// A kind of rules.
pub(super) struct Kind {
    /// The words that lines begin with.
    pub name: &'static str,
    /// Where its expressions are evaluated, in a frontend and in a backend.
    front: Option<Place>,
    back: Option<Place>,
    actions: &'static [Row<Action>],
    list: fn(&mut TcpRules) -> &mut Vec<crate::rules::Rule<Action>>,
}

/// All kinds.
pub(super) static KINDS: [Kind; 4] = [
    Kind {
        name: "tcp-request connection",
        front: Some(Place::FrontConnection),
        back: None,
        actions: &EARLY,
        list: |rules| &mut rules.connection,
    },
    Kind {
        name: "tcp-request session",
        front: Some(Place::FrontSession),
        back: None,
        actions: &EARLY,
        list: |rules| &mut rules.session,
    },
    Kind {
        name: "tcp-request content",
        front: Some(Place::FrontContent),
        back: Some(Place::BackContent),
        actions: &CONTENT,
        list: |rules| &mut rules.content,
    },
    Kind {
        name: "tcp-response content",
        front: None,
        back: Some(Place::BackAnswerContent),
        actions: &RESPONSE,
        list: |rules| &mut rules.response,
    },
];

const fn row(name: &'static str, parse: fn(&mut Input<'_, '_>) -> Result<Action, String>) -> Row<Action> {
    Row { name, parse: Some(parse) }
}

const fn later(name: &'static str) -> Row<Action> {
    Row { name, parse: None }
}

/// Of connections and of sessions, in the order in which HAProxy names them.
static EARLY: [Row<Action>; 21] = [
    row("accept", |_| Ok(Action::Accept)),
    row("reject", |_| Ok(Action::Reject)),
    later("capture"),
    later("expect-proxy"),
    later("expect-netscaler-cip"),
    later("track-sc(*)"),
    later("sc-inc-gpc(*)"),
    later("sc-inc-gpc0(*)"),
    later("sc-inc-gpc1(*)"),
    later("sc-set-gpt(*)"),
    later("sc-set-gpt0(*)"),
    row("set-var-fmt(*)", |i| variable::assignment(i).map(Action::Assign)),
    row("set-var(*)", |i| variable::assignment(i).map(Action::Assign)),
    row("unset-var(*)", |i| variable::assignment(i).map(Action::Assign)),
    row("set-dst", |i| address(i, Part::Destination)),
    row("set-dst-port", |i| address(i, Part::DestinationPort)),
    later("set-mark"),
    row("set-src", |i| address(i, Part::Source)),
    row("set-src-port", |i| address(i, Part::SourcePort)),
    later("set-tos"),
    later("silent-drop"),
];

static CONTENT: [Row<Action>; 30] = [
    row("accept", |_| Ok(Action::Accept)),
    row("reject", |_| Ok(Action::Reject)),
    later("capture"),
    later("expect-proxy"),
    later("expect-netscaler-cip"),
    later("track-sc(*)"),
    later("ot-group"),
    row("set-log-level", |i| log_order(i).map(Action::SetLog)),
    later("set-nice"),
    later("switch-mode"),
    later("use-service"),
    later("sc-inc-gpc(*)"),
    later("sc-inc-gpc0(*)"),
    later("sc-inc-gpc1(*)"),
    later("sc-set-gpt(*)"),
    later("sc-set-gpt0(*)"),
    later("send-spoe-group"),
    later("do-resolve(*)"),
    row("set-var-fmt(*)", |i| variable::assignment(i).map(Action::Assign)),
    row("set-var(*)", |i| variable::assignment(i).map(Action::Assign)),
    row("unset-var(*)", |i| variable::assignment(i).map(Action::Assign)),
    row("set-src", |i| address(i, Part::Source)),
    row("set-src-port", |i| address(i, Part::SourcePort)),
    row("set-dst", |i| address(i, Part::Destination)),
    row("set-dst-port", |i| address(i, Part::DestinationPort)),
    later("set-mark"),
    later("set-tos"),
    later("silent-drop"),
    later("set-priority-class"),
    later("set-priority-offset"),
];

static RESPONSE: [Row<Action>; 18] = [
    row("accept", |_| Ok(Action::Accept)),
    row("close", |_| Ok(Action::Close)),
    row("reject", |_| Ok(Action::Reject)),
    later("ot-group"),
    row("set-log-level", |i| log_order(i).map(Action::SetLog)),
    later("set-nice"),
    later("sc-inc-gpc(*)"),
    later("sc-inc-gpc0(*)"),
    later("sc-inc-gpc1(*)"),
    later("sc-set-gpt(*)"),
    later("sc-set-gpt0(*)"),
    later("send-spoe-group"),
    row("set-var-fmt(*)", |i| variable::assignment(i).map(Action::Assign)),
    row("set-var(*)", |i| variable::assignment(i).map(Action::Assign)),
    row("unset-var(*)", |i| variable::assignment(i).map(Action::Assign)),
    later("set-mark"),
    later("set-tos"),
    later("silent-drop"),
];

/// The kind of the lines that begin so.
pub(super) fn kind(keyword: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == keyword)
}

/// The names of the actions that are built, of all kinds.
pub fn actions(keyword: &str) -> Vec<&'static str> {
    let rows = kind(keyword).map_or(&[][..], |kind| kind.actions);
    rows.iter().filter(|row| row.parse.is_some()).map(|row| row.name).collect()
}

impl Kind {
    /// Where its expressions are evaluated.
    pub fn places(&self, is_frontend: bool, is_backend: bool) -> Places {
        let place = |place: Option<Place>, here: bool| place.filter(|_| here).map_or(Places::NONE, Place::only);
        match place(self.front, is_frontend) {
            Places::NONE => place(self.back, is_backend),
            front => front,
        }
    }
}

fn address(input: &mut Input<'_, '_>, part: Part) -> Result<Action, String> {
    let expr = Expr::parse(input.cursor.peek(), input.scope)?;
    // HAProxy does not look here whether connections have what the fetch needs: it finds nothing then.
    let early = Place::FrontConnection.only().union(Place::FrontSession.only());
    let looks = input.scope.places.intersection(early).is_empty();
    if looks && expr.needs().places().intersection(input.scope.places).is_empty() {
        let (name, needs) = (input.cursor.peek(), expr.needs().name());
        return Err(format!(
            "fetch method '{name}' extracts information from '{needs}', none of which is available here"
        ));
    }
    input.cursor.next();
    Ok(Action::SetAddress(part, Box::new(expr)))
}

impl Parser<'_> {
    /// Reads a line of rules of one kind. Conditions have warnings of their own form.
    pub(super) fn tcp(&mut self, kind: &'static Kind, words: &[Word], scope: &mut Scope) -> Result<(), Wrong> {
        let (noun, name) = (self.proxy.noun, self.proxy.name);
        let own = kind.name;
        let mut cursor = Cursor { words, at: 2 };
        let verb = cursor.next();
        let row = kind.actions.iter().find(|row| row.is_named(verb));
        let row = row.ok_or_else(|| Wrong::Line(unknown(kind, verb, &format!("{noun} '{name}'"))))?;
        let parse = row
            .parse
            .ok_or_else(|| Wrong::Line(format!("'{own} {verb}' is not supported by this build of epoxy yet.")))?;
        let mut input = self.input(cursor, scope);
        let action = parse(&mut input).map_err(Wrong::Line)?;
        let cursor = input.cursor;
        if !ends_arguments(cursor.peek()) {
            let got = cursor.peek();
            let text = format!("'{own} {verb}' only accepts 'if' or 'unless', in {noun} '{name}' (got '{got}')");
            return Err(Wrong::Line(text));
        }
        let condition = self.condition(cursor.rest(), scope).map_err(|e| {
            let how = cursor.peek();
            Wrong::Line(format!(
                "'{own} {verb}' : error detected in {noun} '{name}' while parsing '{how}' condition : {e}"
            ))
        })?;
        if let Some(condition) = &condition {
            self.warn(kind, condition, scope);
            self.warn_raw(condition, scope);
        }
        (kind.list)(&mut self.tcp).push(rule(action, &condition, scope));
        Ok(())
    }

    fn warn(&self, kind: &Kind, condition: &Condition, scope: &mut Scope) {
        let before = scope.warnings.len();
        condition.warn(&self.acls, scope);
        for text in &mut scope.warnings[before..] {
            let never = text.replacen("will never match", &format!("will never match in '{}'", kind.name), 1);
            *text = never.replacen(" involves keywords '", " involves keyword '", 1);
        }
    }

    /// HTTP proxies have no raw octets that a condition could look at.
    pub(super) fn warn_raw(&self, condition: &Condition, scope: &mut Scope) {
        if self.proxy.mode == Mode::Http && condition.is_raw(&self.acls) {
            let text =
                format!("L6 sample fetches ignored on HTTP proxies (declared at {}:{}).", scope.file, scope.line);
            scope.late.push((Severity::Warning, text));
        }
    }
}

fn unknown(kind: &Kind, verb: &str, proxy: &str) -> String {
    let quoted = |name: &str| match name {
        "track-sc(*)" => "'track-sc0' ... 'track-sc2'".to_owned(),
        name => format!("'{name}'"),
    };
    let names: Vec<String> = kind.actions.iter().map(|row| quoted(row.name)).collect();
    let plain = kind.actions.iter().map(|row| row.name.strip_suffix("(*)").unwrap_or(row.name));
    let hint = match suggest::nearest(verb, plain).filter(|_| !verb.is_empty()) {
        Some(near) => format!(" Did you mean '{near}' maybe ?"),
        None => String::new(),
    };
    // HAProxy ends the lines about requests twice.
    let end = if kind.front.is_some() { "\n" } else { "" };
    format!("'{}' expects {} in {proxy} (got '{verb}').{hint}{end}", kind.name, names.join(", "))
}
