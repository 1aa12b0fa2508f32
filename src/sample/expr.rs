//! Sample expressions: a fetch, its arguments and the converters after it, parsed once (manual 7.3).

use std::rc::Rc;
use std::sync::OnceLock;

use super::arg::{self, Arg, Kind, Reference};
use super::convert::{self, Converter};
use super::fetch::{self, Fetch};
use super::later;
use super::place::{Needs, Places};
use super::{Ctx, Type, Value};
use crate::text::finding::Severity;

/// What the line that is being parsed may use, and what parsing it leaves for later.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Where the expressions of the line are evaluated.
    pub places: Places,
    /// File of the line.
    pub file: Rc<str>,
    /// Its number.
    pub line: u32,
    /// Names to resolve once all sections are read.
    pub references: Vec<Reference>,
    /// Warnings about the line.
    pub warnings: Vec<String>,
    /// Warnings that HAProxy prints without the line.
    pub general_warnings: Vec<String>,
    /// What is said of the proxy as a whole, once all sections are read.
    pub late: Vec<(Severity, String)>,
    /// What the line's expressions are for, as errors about names say it: `http-request expression`.
    pub purpose: &'static str,
}

impl Scope {
    /// The scope of one line.
    pub fn new(places: Places, file: Rc<str>, line: u32) -> Scope {
        Scope {
            places,
            file,
            line,
            references: Vec::new(),
            warnings: Vec::new(),
            general_warnings: Vec::new(),
            late: Vec::new(),
            purpose: "log-format string",
        }
    }
}

/// A parsed expression.
#[derive(Clone, Debug)]
pub struct Expr {
    fetch: &'static Fetch,
    args: Box<[Arg]>,
    converters: Box<[Step]>,
}

#[derive(Clone, Debug)]
struct Step {
    converter: &'static Converter,
    args: Box<[Arg]>,
}

impl Expr {
    /// Parses an expression that is all of `text`.
    ///
    /// # Errors
    /// HAProxy's words, without the place of the line.
    pub fn parse(text: &str, scope: &mut Scope) -> Result<Expr, String> {
        let (expr, used) = Expr::parse_prefix(text, scope)?;
        match text.get(used..) {
            Some("") => Ok(expr),
            _ => Err("missing comma after fetch keyword".to_owned()),
        }
    }

    /// Parses the expression that `text` begins with, and gives the number of bytes it takes.
    ///
    /// # Errors
    /// HAProxy's words, without the place of the line.
    pub fn parse_prefix(text: &str, scope: &mut Scope) -> Result<(Expr, usize), String> {
        let name = keyword(text);
        if name.is_empty() {
            return Err("missing fetch method".to_owned());
        }
        let fetch = fetch::find(name).ok_or_else(|| unknown("fetch method", name, later::fetch(name)))?;
        let rest = &text[name.len()..];
        let (args, used) = fetch_args(fetch, name, rest, false, scope).map_err(|e| e.words("fetch method", name))?;
        let (converters, more) = converters(&rest[used..], fetch.output, scope)?;
        Ok((Expr { fetch, args, converters }, name.len() + used + more))
    }

    /// Parses an ACL's criterion whose keyword stands for `fetch`, such as `hdr_beg` for `req.hdr`.
    pub(crate) fn parse_for(fetch: &'static Fetch, name: &str, rest: &str, scope: &mut Scope) -> Result<Expr, String> {
        // HAProxy words these errors with a full stop of its own where they come from what follows the arguments.
        let (args, used) = fetch_args(fetch, name, rest, true, scope).map_err(|e| e.words("ACL keyword", name))?;
        let tail = &rest[used..];
        let dotted = |e: String| format!("ACL keyword '{name}' : {e}.");
        let (converters, more) = converters(tail, fetch.output, scope).map_err(dotted)?;
        if more < tail.len() {
            return Err(dotted("missing comma after fetch keyword".to_owned()));
        }
        Ok(Expr { fetch, args, converters })
    }

    /// The type of its result.
    pub fn output(&self) -> Type {
        self.converters.last().map_or(self.fetch.output, |step| step.converter.output)
    }

    /// Whether anything follows the fetch.
    pub fn is_converted(&self) -> bool {
        !self.converters.is_empty()
    }

    /// What its fetch looks at.
    pub fn needs(&self) -> Needs {
        self.fetch.needs
    }

    /// Where the number of the userlist stands that the fetch looks into, if it does.
    pub fn userlist(&self) -> Option<&OnceLock<u32>> {
        match (self.fetch.args, self.args.first()) {
            ([Kind::Userlist, ..], Some(Arg::Named(slot))) => Some(slot),
            _ => None,
        }
    }

    /// The name of its fetch.
    pub fn keyword(&self) -> &'static str {
        self.fetch.name
    }

    /// Its single value: the last occurrence where there are several and none was chosen.
    pub fn eval<'a>(&'a self, ctx: &Ctx<'a>) -> Option<Value<'a>> {
        let value = (self.fetch.get)(ctx, &self.args);
        self.note_open(ctx);
        self.convert(value?, ctx)
    }

    /// Notes that a head which is missing may yet come.
    fn note_open(&self, ctx: &Ctx<'_>) {
        if let Some(inspection) = ctx.inspection
            && inspection.awaits_head
            && self.fetch.needs.is_head()
        {
            ctx.may_change();
        }
    }

    /// Whether `test` holds for one of its values; ACLs look at all occurrences in turn.
    pub fn any<'a>(&'a self, ctx: &Ctx<'a>, mut test: impl FnMut(Value<'a>) -> bool) -> bool {
        self.note_open(ctx);
        let mut one = |value: Value<'a>| self.convert(value, ctx).is_some_and(&mut test);
        match self.fetch.each {
            Some(each) => each(ctx, &self.args, &mut one),
            None => (self.fetch.get)(ctx, &self.args).is_some_and(one),
        }
    }

    fn convert<'a>(&'a self, mut value: Value<'a>, ctx: &Ctx<'a>) -> Option<Value<'a>> {
        for step in &self.converters {
            let input = value.cast(step.converter.input)?;
            value = (step.converter.apply)(input, &step.args, ctx)?;
        }
        Some(value)
    }
}

fn unknown(what: &str, name: &str, later: bool) -> String {
    if later {
        format!("{what} '{name}' is not supported by this build of epoxy yet")
    } else {
        format!("unknown {what} '{name}'")
    }
}

/// The name that `text` begins with.
fn keyword(text: &str) -> &str {
    let inside = |c: char| c.is_ascii_alphanumeric() || "._-+:".contains(c);
    &text[..text.find(|c| !inside(c)).unwrap_or(text.len())]
}

/// A mistake in a fetch's arguments.
enum ArgError {
    Syntax(String),
    Meaning(String),
}

impl ArgError {
    fn words(self, what: &str, name: &str) -> String {
        match self {
            ArgError::Syntax(e) => format!("{what} '{name}' : {e}"),
            ArgError::Meaning(e) => format!("invalid args in {what} '{name}' : {e}"),
        }
    }
}

fn fetch_args(
    fetch: &Fetch,
    name: &str,
    rest: &str,
    in_acl: bool,
    scope: &mut Scope,
) -> Result<(Box<[Arg]>, usize), ArgError> {
    let mut parsed = arg::parse(rest, fetch.args, fetch.required).map_err(|(_, e)| ArgError::Syntax(e))?;
    if let Some(check) = fetch.check {
        parsed.args = check(parsed.args).map_err(ArgError::Meaning)?;
    }
    let user = if in_acl || scope.purpose.is_empty() {
        format!("ACL keyword '{name}'")
    } else {
        format!("sample fetch keyword '{name}' in {}", scope.purpose)
    };
    refer(std::mem::take(&mut parsed.names), &user, scope);
    Ok((parsed.args.into(), parsed.used))
}

fn refer(names: Vec<(usize, Kind, String, arg::Slot)>, keyword: &str, scope: &mut Scope) {
    for (index, kind, name, slot) in names {
        let user = format!("arg {} of {keyword}", index + 1);
        let (file, line) = (scope.file.clone(), scope.line);
        scope.references.push(Reference { kind, name, slot, user, file, line });
    }
}

/// Parses `,name(args),name` and gives the steps with the number of bytes used.
fn converters(text: &str, mut from: Type, scope: &mut Scope) -> Result<(Box<[Step]>, usize), String> {
    let mut steps = Vec::new();
    let mut at = 0;
    while text[at..].starts_with(',') {
        // HAProxy reads several commas as one.
        at += text[at..].len() - text[at..].trim_start_matches(',').len();
        let name = keyword(&text[at..]);
        if name.is_empty() && at == text.len() && steps.is_empty() && text.len() == 1 {
            // A lone trailing comma is taken for none.
            break;
        }
        let converter = convert::find(name).ok_or_else(|| unknown("converter", name, later::converter(name)))?;
        at += name.len();
        let mut parsed = arg::parse(&text[at..], converter.args, converter.required)
            .map_err(|(n, e)| format!("invalid arg {n} in converter '{name}' : {e}"))?;
        if !from.casts_to(converter.input) {
            return Err(format!("converter '{name}' cannot be applied"));
        }
        if let Some(check) = converter.check {
            parsed.args = check(parsed.args).map_err(|e| format!("invalid args in converter '{name}' : {e}"))?;
        }
        refer(std::mem::take(&mut parsed.names), &format!("sample converter '{name}'"), scope);
        from = converter.output;
        at += parsed.used;
        steps.push(Step { converter, args: parsed.args.into() });
    }
    Ok((steps.into(), at))
}
