//! From the words of rule lines to [`Rules`], with the messages that HAProxy has for what is wrong.

mod action;
mod filter;
mod order;
mod page;
mod redirection;
mod references;
mod reply;
mod tcp;
pub mod variable;

use std::rc::Rc;
use std::sync::Arc;

pub use action::actions;
pub use page::{ErrorPage, ParsedPage, error_page};
pub use references::resolve;

use super::filter::{Addition, Filter};
use super::switching::ServerTarget;
use super::switching::{Persistence, Target};
use super::tcp::TcpRules;
use super::{Acls, Condition, NamedPages, Rule, Rules, redirect, request, response};
use crate::log::format::{Format, Purpose};
use crate::proxy::{BackendId, Mode, Resolvers, ServerId, StatsPage};
use crate::sample::arg::{Names, Reference};
use crate::sample::{Place, Places, Scope};
use crate::text::Word;
use crate::text::finding::{Finding, Findings, Place as Form, Severity};

/// The proxy that rules stand in.
#[derive(Clone, Copy, Debug)]
pub struct Proxy<'p> {
    /// Its name.
    pub name: &'p str,
    /// What HAProxy calls its kind: `frontend`, `backend`, or `proxy` for a `listen`.
    pub noun: &'static str,
    /// It takes connections.
    pub is_frontend: bool,
    /// It has servers.
    pub is_backend: bool,
    /// `mode`
    pub mode: Mode,
    /// All `http-errors` sections.
    pub sections: &'p [NamedPages],
    /// All `resolvers` sections.
    pub resolvers: &'p [Resolvers],
    /// Octets of an error file that are read.
    pub page_bytes_max: usize,
    /// Slots for captures of requests and of responses.
    pub captures: [usize; 2],
}

/// Reads the rule lines of one proxy in the order written.
#[derive(Debug)]
pub struct Parser<'p> {
    proxy: Proxy<'p>,
    acls: Acls,
    tcp: TcpRules,
    monitor_fail: Vec<Rule<()>>,
    blocks: Vec<Rule<request::Action>>,
    request: Vec<Rule<request::Action>>,
    stats: Vec<Rule<request::Action>>,
    admin: Vec<Rule<()>>,
    request_filters: Vec<Rule<Filter<String>>>,
    request_additions: Vec<Rule<Addition>>,
    redirects: Vec<Rule<redirect::Redirect>>,
    use_server: Vec<Rule<SwitchDraft>>,
    switching: Vec<Rule<SwitchDraft>>,
    response: Vec<Rule<response::Action>>,
    after_response: Vec<Rule<response::Action>>,
    response_filters: Vec<Rule<Filter<String>>>,
    response_additions: Vec<Rule<Addition>>,
    persistence: Vec<Rule<Persistence>>,
    references: Vec<Reference>,
    late: Vec<(Severity, String)>,
    /// See [`Input::capture_slot`].
    capture_slot: Option<usize>,
}

#[derive(Clone, Debug)]
enum SwitchDraft {
    Name(String),
    Format(Format),
}

/// Why a line is wrong, by the form that HAProxy's message has.
enum Wrong {
    /// Said of the line: `parsing [file:line] : …`
    Line(String),
    /// Said of the words: `parsing [file:line]: …`
    Words(String),
    /// Said without the usual place.
    Bare(String),
}

/// Words that are read one after the other; past the end they are empty, as in HAProxy.
struct Cursor<'w> {
    words: &'w [Word],
    at: usize,
}

impl<'w> Cursor<'w> {
    fn peek_at(&self, ahead: usize) -> &'w str {
        self.words.get(self.at + ahead).map_or("", |word| word.text.as_str())
    }

    fn peek(&self) -> &'w str {
        self.peek_at(0)
    }

    fn next(&mut self) -> &'w str {
        let word = self.peek();
        self.at += 1;
        word
    }

    /// Whether the arguments are over: at the end, or at a condition.
    fn done(&self) -> bool {
        ends_arguments(self.peek())
    }

    fn rest(&self) -> &'w [Word] {
        self.words.get(self.at..).unwrap_or_default()
    }
}

fn ends_arguments(word: &str) -> bool {
    matches!(word, "" | "if" | "unless")
}

/// What the parser of an action sees.
struct Input<'i, 'w> {
    cursor: Cursor<'w>,
    scope: &'i mut Scope,
    mode: Mode,
    sections: &'i [NamedPages],
    resolvers: &'i [Resolvers],
    page_bytes_max: usize,
    /// The name of the proxy.
    proxy_name: &'i str,
    is_frontend: bool,
    captures: [usize; 2],
    /// The slot that the line's own capture has.
    capture_slot: Option<usize>,
}

impl Input<'_, '_> {
    fn format(&mut self, text: &str) -> Result<Format, String> {
        parse_format(text, Purpose::Http, self.mode, self.scope)
    }
}

fn parse_format(text: &str, purpose: Purpose, mode: Mode, scope: &mut Scope) -> Result<Format, String> {
    // The full stop belongs to the sentence around the message.
    let undotted = |e: String| e.strip_suffix('.').map(str::to_owned).unwrap_or(e);
    Format::parse(text, purpose, mode, scope).map_err(undotted)
}

impl<'p> Parser<'p> {
    /// No lines read yet.
    pub fn new(proxy: Proxy<'p>) -> Parser<'p> {
        Parser {
            proxy,
            acls: Acls::default(),
            tcp: TcpRules::default(),
            monitor_fail: Vec::new(),
            blocks: Vec::new(),
            request: Vec::new(),
            stats: Vec::new(),
            admin: Vec::new(),
            request_filters: Vec::new(),
            request_additions: Vec::new(),
            redirects: Vec::new(),
            use_server: Vec::new(),
            switching: Vec::new(),
            response: Vec::new(),
            after_response: Vec::new(),
            response_filters: Vec::new(),
            response_additions: Vec::new(),
            persistence: Vec::new(),
            references: Vec::new(),
            late: Vec::new(),
            capture_slot: None,
        }
    }

    /// Says which slot for captures was made for the next line.
    pub fn give_slot(&mut self, slot: Option<usize>) {
        self.capture_slot = slot;
    }

    /// Reads one line, its first word `keyword`: `acl`, `http-request`, `http-response`, `redirect`,
    /// `use_backend`, `force-persist`, `monitor`, `block`, `reqrep` or one of their kin. What is wrong or odd goes
    /// to `findings`.
    pub fn line(&mut self, keyword: &str, words: &[Word], file: &Rc<str>, line: u32, findings: &mut Findings) {
        let (places, purpose) = self.scene(keyword);
        let mut scope = Scope { purpose, ..Scope::new(places, file.clone(), line) };
        let column = words.first().map_or(0, |word| word.column);
        let mut push = |severity, place, text: String| {
            let file = file.clone();
            findings.push(Finding { place, file, line, column, ..Finding::general(severity, text) });
        };
        if self.is_unreachable(keyword) {
            let which = match keyword {
                "stats http-request" => "'stats' action",
                _ => &format!("'{keyword}' action is final and"),
            };
            let text = format!("previous {which} has no condition attached, further entries are NOOP.");
            push(Severity::Warning, Form::Reader, text);
        }
        let (misplaced, outcome) = (self.misplaced(keyword), self.keep(keyword, words, &mut scope));
        for text in std::mem::take(&mut scope.general_warnings) {
            push(Severity::Warning, Form::None, text);
        }
        let mut warnings = std::mem::take(&mut scope.warnings);
        if let Ok(Some(condition)) = &outcome {
            warnings.extend(misplaced);
            condition.warn(&self.acls, &mut scope);
            self.warn_raw(condition, &mut scope);
            warnings.append(&mut scope.warnings);
        } else if outcome.is_ok() {
            warnings.extend(misplaced);
        }
        for text in warnings {
            push(Severity::Warning, Form::Keyword, text);
        }
        match outcome {
            Ok(_) => {}
            Err(Wrong::Line(text)) => push(Severity::Alert, Form::Keyword, text),
            Err(Wrong::Words(text)) => push(Severity::Alert, Form::Reader, text),
            Err(Wrong::Bare(text)) => push(Severity::Alert, Form::None, text),
        }
        self.references.append(&mut scope.references);
        self.late.append(&mut scope.late);
    }

    /// Reports what concerns the proxy as a whole.
    pub fn report_late(&mut self, names: &Names, findings: &mut Findings) {
        for rule in &self.use_server {
            let SwitchDraft::Name(server) = &rule.action else { continue };
            if self.own_server(names, server).is_none() {
                let Proxy { noun, name, .. } = self.proxy;
                findings.alert(format!(
                    "{noun} '{name}' : unable to find server '{server}' referenced in a 'use-server' rule."
                ));
            }
        }
        for (severity, text) in self.late.drain(..) {
            findings.push(Finding::general(severity, format!("Proxy '{}': {text}", self.proxy.name)));
        }
    }

    /// All rules, and the names that are to be resolved. `backend` looks up the targets of `use_backend` and
    /// `reqsetbe`, which it is told, and reports those that do not exist; `names` serve those that are known at
    /// run time only.
    pub fn finish(
        self,
        names: &Arc<Names>,
        mut backend: impl FnMut(&str, &str) -> Option<BackendId>,
    ) -> (Rules, Vec<Reference>) {
        let use_server = self.use_server.iter().filter_map(|rule| {
            let action = match &rule.action {
                SwitchDraft::Name(name) => ServerTarget::Server(self.own_server(names, name)?),
                SwitchDraft::Format(format) => ServerTarget::Named(format.clone(), names.clone()),
            };
            Some(Rule { action, condition: rule.condition.clone(), file: rule.file.clone(), line: rule.line })
        });
        let use_server: Vec<Rule<ServerTarget>> = use_server.collect();
        let mut filters = |rules: Vec<Rule<Filter<String>>>| -> Vec<Rule<Filter>> {
            let resolved = |rule: Rule<Filter<String>>| {
                let action = rule.action.resolve(|name| backend("setbe", name))?;
                Some(Rule { action, condition: rule.condition, file: rule.file, line: rule.line })
            };
            rules.into_iter().filter_map(resolved).collect()
        };
        let (request_filters, response_filters) = (filters(self.request_filters), filters(self.response_filters));
        let switching = self.switching.into_iter().filter_map(|rule| {
            let action = match rule.action {
                SwitchDraft::Name(name) => Target::Backend(backend("use_backend", &name)?),
                SwitchDraft::Format(format) => Target::Named(format, names.clone()),
            };
            Some(Rule { action, condition: rule.condition, file: rule.file, line: rule.line })
        });
        let rules = Rules {
            use_server,
            switching: switching.collect(),
            acls: self.acls,
            tcp: self.tcp,
            monitor_fail: self.monitor_fail,
            // Those of `block` come first, wherever they are written.
            request: self.blocks.into_iter().chain(self.request).collect(),
            request_filters,
            request_additions: self.request_additions,
            stats: self.stats,
            admin: self.admin,
            redirects: self.redirects,
            persistence: self.persistence,
            response: self.response,
            after_response: self.after_response,
            response_filters,
            response_additions: self.response_additions,
        };
        (rules, self.references)
    }

    /// Where the expressions of a line are evaluated, and what errors about names call them.
    fn scene(&self, keyword: &str) -> (Places, &'static str) {
        let both = |front: Place, back: Place| {
            let front = if self.proxy.is_frontend { front.only() } else { Places::NONE };
            let back = if self.proxy.is_backend { back.only() } else { Places::NONE };
            front.union(back)
        };
        if let Some(kind) = tcp::kind(keyword) {
            return (kind.places(self.proxy.is_frontend, self.proxy.is_backend), "");
        }
        match keyword {
            "http-response" | "http-after-response" => {
                (both(Place::FrontAnswer, Place::BackAnswer), "http-response response")
            }
            _ if keyword.starts_with("rsp") => (both(Place::FrontAnswer, Place::BackAnswer), "condition"),
            "monitor" => (Place::FrontRequest.only(), "monitor condition"),
            "use-server" => (Place::BackContent.only(), "use-server expression"),
            "use_backend" => (Place::FrontSwitch.only(), "use_backend expression"),
            "force-persist" | "ignore-persist" => (Place::BackContent.only(), "persistence rule"),
            "redirect" => (both(Place::FrontRequest, Place::BackRequest), "redirect format string"),
            _ => (both(Place::FrontRequest, Place::BackRequest), "http-request expression"),
        }
    }

    /// Whether an unconditional final rule stands before, so that this one is never looked at.
    fn is_unreachable(&self, keyword: &str) -> bool {
        let last = match keyword {
            "http-request" => self.request.last().map(|rule| (rule.action.is_final(), &rule.condition)),
            "stats http-request" => self.stats.last().map(|rule| (rule.action.is_final(), &rule.condition)),
            "http-response" => self.response.last().map(|rule| (rule.action.is_final(), &rule.condition)),
            "http-after-response" => self.after_response.last().map(|rule| (rule.action.is_final(), &rule.condition)),
            _ => None,
        };
        last.is_some_and(|(is_final, condition)| is_final && condition.is_none())
    }

    /// The warning that rules of another kind, written before, come after this one all the same.
    fn misplaced(&self, keyword: &str) -> Option<String> {
        // The order in which the kinds are looked at.
        let written = [
            ("tcp-request connection", !self.tcp.connection.is_empty()),
            ("tcp-request session", !self.tcp.session.is_empty()),
            ("tcp-request content", !self.tcp.content.is_empty()),
            ("monitor", !self.monitor_fail.is_empty()),
            ("block", !self.blocks.is_empty()),
            ("http-request", !self.request.is_empty()),
            ("reqxxx", !self.request_filters.is_empty()),
            ("reqadd", !self.request_additions.is_empty()),
            ("redirect", !self.redirects.is_empty()),
            ("use_backend", !self.switching.is_empty()),
        ];
        let kind = match filter::is_request_filter(keyword) {
            true => "reqxxx",
            false => keyword,
        };
        let own = written.iter().position(|(name, _)| *name == kind)?;
        let (later, _) = written[own + 1..].iter().find(|(_, written)| *written)?;
        let spoken = |name| match name {
            "monitor" => "monitor fail",
            name => name,
        };
        let keyword = if keyword.starts_with("tcp-request") { "tcp-request" } else { spoken(keyword) };
        let later = &spoken(later);
        let article = if *later == "http-request" { "an" } else { "a" };
        Some(format!("a '{keyword}' rule placed after {article} '{later}' rule will still be processed before."))
    }

    /// Parses and keeps the line; gives a copy of its condition, for the warnings about it.
    fn keep(&mut self, keyword: &str, words: &[Word], scope: &mut Scope) -> Result<Option<Condition>, Wrong> {
        let arguments = words.get(1..).unwrap_or_default();
        match keyword {
            "acl" => self.acls.define(arguments, scope).map_err(Wrong::Line).map(|()| None),
            "http-request" => {
                let (action, condition) = self.action(keyword, &action::REQUEST, words, scope)?;
                self.request.push(rule(action, &condition, scope));
                Ok(condition)
            }
            "stats http-request" => {
                let (mut action, condition) = self.action("http-request", &action::REQUEST, arguments, scope)?;
                if let request::Action::Auth(realm) = &mut action
                    && arguments.get(2).is_none_or(|word| word.text != "realm")
                {
                    *realm = StatsPage::REALM.into();
                }
                if action.waits() {
                    return Err(Wrong::Line("the statistics wait for no body.".to_owned()));
                }
                self.stats.push(rule(action, &condition, scope));
                Ok(condition)
            }
            "stats admin" => self.admin(arguments, scope),
            "http-response" => {
                let (action, condition) = self.action(keyword, &action::RESPONSE, words, scope)?;
                self.response.push(rule(action, &condition, scope));
                Ok(condition)
            }
            "http-after-response" => {
                let (action, condition) = self.action(keyword, &action::AFTER_RESPONSE, words, scope)?;
                self.after_response.push(rule(action, &condition, scope));
                Ok(condition)
            }
            "redirect" => self.redirect(words, scope),
            "use_backend" => self.switch(words, scope),
            "use-server" => self.use_server(words, scope),
            "block" => self.block(words, scope),
            "monitor" => self.monitor(words, scope),
            name if let Some(kind) = tcp::kind(name) => self.tcp(kind, words, scope).map(|()| None),
            name if name.starts_with("req") || name.starts_with("rsp") => self.filter(name, words, scope),
            "force-persist" => self.persist(Persistence::Force, keyword, words, scope),
            "ignore-persist" => self.persist(Persistence::Ignore, keyword, words, scope),
            other => Err(Wrong::Line(format!("unknown keyword '{other}'."))),
        }
    }

    fn input<'i, 'w>(&self, cursor: Cursor<'w>, scope: &'i mut Scope) -> Input<'i, 'w>
    where
        'p: 'i,
    {
        let Proxy { mode, sections, resolvers, page_bytes_max, name: proxy_name, is_frontend, captures, .. } =
            self.proxy;
        let capture_slot = self.capture_slot;
        Input {
            cursor,
            scope,
            mode,
            sections,
            resolvers,
            page_bytes_max,
            proxy_name,
            is_frontend,
            captures,
            capture_slot,
        }
    }

    fn action<A>(
        &mut self,
        keyword: &str,
        rows: &[action::Row<A>],
        words: &[Word],
        scope: &mut Scope,
    ) -> Result<(A, Option<Condition>), Wrong> {
        let name = words.get(1).map_or("", |word| word.text.as_str());
        let row =
            rows.iter().find(|row| row.is_named(name)).ok_or_else(|| action::unknown_action(keyword, rows, name))?;
        let parse = row
            .parse
            .ok_or_else(|| Wrong::Line(format!("'{keyword} {name}' is not supported by this build of epoxy yet.")))?;
        let Proxy { noun, name: proxy, .. } = self.proxy;
        let in_rule = |e: String| {
            Wrong::Line(format!("error detected in {noun} '{proxy}' while parsing '{keyword} {name}' rule : {e}."))
        };
        let cursor = Cursor { words, at: 2 };
        if name == "redirect" {
            scope.purpose = "redirect format string";
        }
        let mut input = self.input(cursor, scope);
        let action = parse(&mut input).map_err(in_rule)?;
        let cursor = input.cursor;
        if !cursor.done() {
            return Err(Wrong::Words(format!(
                "'{keyword} {name}' expects either 'if' or 'unless' followed by a condition but found '{}'.",
                cursor.peek()
            )));
        }
        let condition = self.condition(cursor.rest(), scope).map_err(|e| {
            if name == "redirect" {
                return in_rule(format!("error in condition: {e}"));
            }
            Wrong::Line(format!("error detected while parsing an '{keyword} {name}' condition : {e}."))
        })?;
        Ok((action, condition))
    }

    fn redirect(&mut self, words: &[Word], scope: &mut Scope) -> Result<Option<Condition>, Wrong> {
        let Proxy { noun, name, .. } = self.proxy;
        let wrong =
            |e: String| Wrong::Line(format!("error detected in {noun} '{name}' while parsing redirect rule : {e}."));
        let mut input = self.input(Cursor { words, at: 1 }, scope);
        let action = redirection::fixed(&mut input).map_err(wrong)?;
        let rest = input.cursor.rest();
        let condition = self.condition(rest, scope).map_err(|e| wrong(format!("error in condition: {e}")))?;
        self.redirects.push(rule(action, &condition, scope));
        Ok(condition)
    }

    fn admin(&mut self, words: &[Word], scope: &mut Scope) -> Result<Option<Condition>, Wrong> {
        let condition = words.get(1..).unwrap_or_default();
        let condition = self
            .condition(condition, scope)
            .map_err(|e| Wrong::Line(format!("error detected while parsing a 'stats admin' rule : {e}.")))?;
        self.admin.push(rule((), &condition, scope));
        Ok(condition)
    }

    fn use_server(&mut self, words: &[Word], scope: &mut Scope) -> Result<Option<Condition>, Wrong> {
        let mut cursor = Cursor { words, at: 1 };
        let name = cursor.next();
        if name.is_empty() {
            return Err(Wrong::Line("'use-server' expects a server name.".to_owned()));
        }
        if !matches!(cursor.peek(), "if" | "unless") {
            let text = "'use-server' requires either 'if' or 'unless' followed by a condition.";
            return Err(Wrong::Line(text.to_owned()));
        }
        let wrong = "; use-server rule failed to parse log-format";
        let (rule, condition) = self.switching_rule(cursor, name, wrong, scope)?;
        self.use_server.push(rule);
        Ok(condition)
    }

    /// The server of the proxy that bears this name.
    fn own_server(&self, names: &Names, name: &str) -> Option<ServerId> {
        let backend = names.backends.get(self.proxy.name).filter(|_| self.proxy.is_backend)?;
        names.servers.get(&(*backend, name.to_owned())).copied()
    }

    fn switch(&mut self, words: &[Word], scope: &mut Scope) -> Result<Option<Condition>, Wrong> {
        let mut cursor = Cursor { words, at: 1 };
        let name = cursor.next();
        if name.is_empty() {
            return Err(Wrong::Line("'use_backend' expects a backend name.".to_owned()));
        }
        if !cursor.done() {
            return Err(Wrong::Line(format!(
                "unexpected keyword '{}' after switching rule, only 'if' and 'unless' are allowed.",
                cursor.peek()
            )));
        }
        let wrong = ": failed to parse use_backend rule";
        let (rule, condition) = self.switching_rule(cursor, name, wrong, scope)?;
        self.switching.push(rule);
        Ok(condition)
    }

    /// A rule that leads to `name`, which may be a format; `wrong` is what is said of a line with a bad one.
    fn switching_rule(
        &mut self,
        cursor: Cursor<'_>,
        name: &str,
        wrong: &str,
        scope: &mut Scope,
    ) -> Result<(Rule<SwitchDraft>, Option<Condition>), Wrong> {
        let condition = self
            .condition(cursor.rest(), scope)
            .map_err(|e| Wrong::Line(format!("error detected while parsing switching rule : {e}.")))?;
        let action = if name.contains('%') {
            let format = parse_format(name, Purpose::Plain, self.proxy.mode, scope)
                .map_err(|e| Wrong::Bare(format!("Parsing [{}:{}]{wrong} '{name}' : {e}.", scope.file, scope.line)))?;
            SwitchDraft::Format(format)
        } else {
            SwitchDraft::Name(name.to_owned())
        };
        Ok((rule(action, &condition, scope), condition))
    }

    fn persist(
        &mut self,
        action: Persistence,
        keyword: &str,
        words: &[Word],
        scope: &mut Scope,
    ) -> Result<Option<Condition>, Wrong> {
        let conditional = words.get(1).is_some_and(|word| matches!(word.text.as_str(), "if" | "unless"));
        if !conditional {
            let text = format!("'{keyword}' requires either 'if' or 'unless' followed by a condition.");
            return Err(Wrong::Line(text));
        }
        let condition = self
            .condition(&words[1..], scope)
            .map_err(|e| Wrong::Line(format!("error detected while parsing a '{keyword}' rule : {e}.")))?;
        self.persistence.push(rule(action, &condition, scope));
        Ok(condition)
    }

    fn condition(&mut self, words: &[Word], scope: &mut Scope) -> Result<Option<Condition>, String> {
        match words {
            [] => Ok(None),
            [first, ..] if first.text.is_empty() => Ok(None),
            words => Condition::parse(words, &mut self.acls, scope).map(Some),
        }
    }
}

fn rule<A>(action: A, condition: &Option<Condition>, scope: &Scope) -> Rule<A> {
    Rule { action, condition: condition.clone(), file: Arc::from(&*scope.file), line: scope.line }
}
