//! `tcp-request` and `tcp-response` lines (manual 4.2), but for `inspect-delay`, which is no rule.

use super::action::{Row, later, log_order, row};
use super::{Condition, Cursor, Input, Parser, Proxy, Wrong, ends_arguments, order, rule, variable};
use crate::proxy::Mode;
use crate::rules::address::Part;
use crate::rules::errand::{Order, Side};
use crate::rules::tcp::{Action, TcpRules};
use crate::sample::{Expr, Place, Places, Scope};
use crate::text::finding::{Findings, Severity};
use crate::text::unit::atoi;
use crate::text::{Word, suggest};

/// A kind of rules.
pub(super) struct Kind {
    /// The words that lines begin with.
    pub name: &'static str,
    /// What errors about names call the expressions of `set-var`.
    purpose: &'static str,
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
        purpose: "tcp-request connection expression",
        front: Some(Place::FrontConnection),
        back: None,
        actions: &EARLY,
        list: |rules| &mut rules.connection,
    },
    Kind {
        name: "tcp-request session",
        purpose: "tcp-request session expression",
        front: Some(Place::FrontSession),
        back: None,
        actions: &EARLY,
        list: |rules| &mut rules.session,
    },
    Kind {
        name: "tcp-request content",
        purpose: "tcp-request content expression",
        front: Some(Place::FrontContent),
        back: Some(Place::BackContent),
        actions: &CONTENT,
        list: |rules| &mut rules.content,
    },
    Kind {
        name: "tcp-response content",
        purpose: "tcp-response content expression",
        front: None,
        back: Some(Place::BackAnswerContent),
        actions: &RESPONSE,
        list: |rules| &mut rules.response,
    },
];

/// Of connections and of sessions, in the order in which HAProxy names them.
static EARLY: [Row<Action>; 21] = [
    row("accept", |_| Ok(Action::Accept)),
    row("reject", |_| Ok(Action::Reject)),
    row("capture", capture),
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
    row("set-dst", |i| order::address(i, Part::Destination).map(Action::SetAddress)),
    row("set-dst-port", |i| order::address(i, Part::DestinationPort).map(Action::SetAddress)),
    row("set-mark", |i| order::mark(i).map(order)),
    row("set-src", |i| order::address(i, Part::Source).map(Action::SetAddress)),
    row("set-src-port", |i| order::address(i, Part::SourcePort).map(Action::SetAddress)),
    row("set-tos", |i| order::tos(i).map(order)),
    row("silent-drop", |_| Ok(Action::SilentDrop)),
];

static CONTENT: [Row<Action>; 30] = [
    row("accept", |_| Ok(Action::Accept)),
    row("reject", |_| Ok(Action::Reject)),
    row("capture", capture),
    later("expect-proxy"),
    later("expect-netscaler-cip"),
    later("track-sc(*)"),
    later("ot-group"),
    row("set-log-level", |i| log_order(i).map(Action::SetLog)),
    row("set-nice", |i| order::nice(i).map(order)),
    later("switch-mode"),
    later("use-service"),
    later("sc-inc-gpc(*)"),
    later("sc-inc-gpc0(*)"),
    later("sc-inc-gpc1(*)"),
    later("sc-set-gpt(*)"),
    later("sc-set-gpt0(*)"),
    later("send-spoe-group"),
    row("do-resolve(*)", |i| order::lookup(i).map(order)),
    row("set-var-fmt(*)", |i| variable::assignment(i).map(Action::Assign)),
    row("set-var(*)", |i| variable::assignment(i).map(Action::Assign)),
    row("unset-var(*)", |i| variable::assignment(i).map(Action::Assign)),
    row("set-src", |i| order::address(i, Part::Source).map(Action::SetAddress)),
    row("set-src-port", |i| order::address(i, Part::SourcePort).map(Action::SetAddress)),
    row("set-dst", |i| order::address(i, Part::Destination).map(Action::SetAddress)),
    row("set-dst-port", |i| order::address(i, Part::DestinationPort).map(Action::SetAddress)),
    row("set-mark", |i| order::mark(i).map(order)),
    row("set-tos", |i| order::tos(i).map(order)),
    row("silent-drop", |_| Ok(Action::SilentDrop)),
    later("set-priority-class"),
    later("set-priority-offset"),
];

static RESPONSE: [Row<Action>; 18] = [
    row("accept", |_| Ok(Action::Accept)),
    row("close", |_| Ok(Action::Close)),
    row("reject", |_| Ok(Action::Reject)),
    later("ot-group"),
    row("set-log-level", |i| log_order(i).map(Action::SetLog)),
    row("set-nice", |i| order::nice(i).map(order)),
    later("sc-inc-gpc(*)"),
    later("sc-inc-gpc0(*)"),
    later("sc-inc-gpc1(*)"),
    later("sc-set-gpt(*)"),
    later("sc-set-gpt0(*)"),
    later("send-spoe-group"),
    row("set-var-fmt(*)", |i| variable::assignment(i).map(Action::Assign)),
    row("set-var(*)", |i| variable::assignment(i).map(Action::Assign)),
    row("unset-var(*)", |i| variable::assignment(i).map(Action::Assign)),
    row("set-mark", |i| order::mark(i).map(order)),
    row("set-tos", |i| order::tos(i).map(order)),
    row("silent-drop", |_| Ok(Action::SilentDrop)),
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

fn order(order: Order) -> Action {
    Action::Order(Box::new(order))
}

/// Into a slot of its own, which was made when the line was read.
fn capture(input: &mut Input<'_, '_>) -> Result<Action, String> {
    input.scope.purpose = "capture rule";
    let text = input.cursor.next();
    let expr = Expr::parse(text, input.scope)?;
    if expr.needs().places().intersection(input.scope.places).is_empty() {
        return Err(order::unavailable(text, &expr));
    }
    if !input.is_frontend {
        return Err(format!("proxy '{}' has no frontend capability", input.proxy_name));
    }
    if input.cursor.peek() != "len" {
        return Err("a positive 'len' argument is mandatory".to_owned());
    }
    input.cursor.next();
    if atoi(input.cursor.next()) <= 0 {
        return Err("length must be > 0".to_owned());
    }
    Ok(order(Order::Capture(Side::Request, input.capture_slot, expr)))
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
        if verb.starts_with("set-var") {
            scope.purpose = kind.purpose;
        }
        let mut input = self.input(cursor, scope);
        let is_capture = verb == "capture";
        let spoken = |e: String| Wrong::Line(if is_capture { format!("'{own} capture' : {e}") } else { e });
        let action = parse(&mut input).map_err(spoken)?;
        let cursor = input.cursor;
        if is_capture && own != "tcp-request content" {
            let what = words.get(3).map_or("", |word| word.text.as_str());
            let text = format!("'{verb} {what}' is not allowed in '{own}' rules in {noun} '{name}'");
            return Err(Wrong::Line(text));
        }
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

    /// What HAProxy says of captures that nobody waits for.
    pub fn report_undelayed(&self, findings: &mut Findings) {
        let Proxy { noun, name, .. } = self.proxy;
        for _ in 0..self.tcp.captures_of_contents() {
            findings.warning(format!(
                "{noun} '{name}' : a 'tcp-request capture' rule explicitly depending on request contents without any \
                 'tcp-request inspect-delay' setting. This means that this rule will randomly find its contents. \
                 This can be fixed by setting the tcp-request inspect-delay."
            ));
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
