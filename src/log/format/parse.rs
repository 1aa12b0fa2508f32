//! Text to format: `%name`, `%{flags}name`, `%[sample]`, `%%` (manual 8.2.6).

use super::{Expr, Flags, Format, Moment, Node, Purpose, Scope, Var, vars};
use crate::proxy::Mode;

pub(super) fn parse(text: &str, purpose: Purpose, mode: Mode, scope: &mut Scope) -> Result<Format, String> {
    let mut parser = Parser {
        text,
        at: 0,
        purpose,
        mode,
        flags: purpose.flags(),
        plain: Vec::new(),
        nodes: Vec::new(),
        moment: Moment::Answer,
    };
    while let Some(byte) = parser.peek() {
        parser.at += 1;
        match byte {
            b'%' => parser.percent(scope)?,
            b' ' if purpose.merges_spaces() => parser.push(Node::Space),
            _ => parser.plain.push(byte),
        }
    }
    parser.flush();
    let local = |node: &Node| matches!(node, Node::Var(Var::UpstreamSourceIp | Var::UpstreamSourcePort, _));
    let upstream_source = parser.nodes.iter().any(local);
    Ok(Format { nodes: parser.nodes.into(), moment: parser.moment, upstream_source })
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    purpose: Purpose,
    mode: Mode,
    /// Flags that variables without their own start from; `%o` changes them.
    flags: Flags,
    /// Text not yet in a node.
    plain: Vec<u8>,
    nodes: Vec<Node>,
    moment: Moment,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn flush(&mut self) {
        if !self.plain.is_empty() {
            self.nodes.push(Node::Text(std::mem::take(&mut self.plain).into()));
        }
    }

    fn push(&mut self, node: Node) {
        self.flush();
        self.nodes.push(node);
    }

    /// What follows a `%`. A byte that can begin neither a name nor flags nor a sample stands for itself,
    /// which is how `%%` prints a percent sign.
    fn percent(&mut self, scope: &mut Scope) -> Result<(), String> {
        match self.peek() {
            None => Err("truncated line after '%'.".to_owned()),
            Some(b'{') => self.with_flags(scope),
            Some(b'[') => self.sample(self.flags, scope),
            Some(byte) if byte.is_ascii_alphabetic() => self.variable(self.flags, None),
            Some(byte) if byte.is_ascii_digit() || matches!(byte, b' ' | b'\t') => Err(format!(
                "unexpected variable name near '{}' at position {} line : '{}'. Maybe you want to write a \
                 single '%', use the syntax '%%'.",
                char::from(byte),
                self.at,
                self.text
            )),
            Some(byte) => {
                self.plain.push(byte);
                self.at += 1;
                Ok(())
            }
        }
    }

    fn with_flags(&mut self, scope: &mut Scope) -> Result<(), String> {
        let inside = &self.text[self.at + 1..];
        let Some(end) = inside.find('}') else {
            return Err(format!("truncated line after '{inside}'."));
        };
        let written = &inside[..end];
        self.at += end + 2;
        let flags = changed(self.flags, written);
        match self.peek() {
            Some(b'[') => self.sample(flags, scope),
            Some(byte) if byte.is_ascii_alphanumeric() => self.variable(flags, Some(written)),
            _ => Err(format!("parse argument modifier without variable name near '%{{{written}}}'.")),
        }
    }

    fn variable(&mut self, flags: Flags, written: Option<&str>) -> Result<(), String> {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let name = &rest[..end];
        let row = vars::find(name).ok_or_else(|| {
            format!(
                "no such format variable '{name}'. If you wanted to emit the '%' character verbatim, you \
                 need to use '%%'."
            )
        })?;
        if row.http && self.mode != Mode::Http {
            return Err(format!("format variable '{name}' is reserved for HTTP mode."));
        }
        self.at += end;
        self.moment = self.moment.max(row.moment);
        if row.var != Var::Global {
            self.push(Node::Var(row.var, flags));
        } else if written.is_some() {
            self.flags = flags;
        }
        Ok(())
    }

    fn sample(&mut self, flags: Flags, scope: &mut Scope) -> Result<(), String> {
        let inside = &self.text[self.at + 1..];
        let (expr, used) = Expr::parse_prefix(inside, scope)
            .map_err(|error| format!("failed to parse sample expression <{inside}> : {error}."))?;
        match inside.as_bytes().get(used) {
            Some(b']') => {}
            None => return Err(format!("missing ']' after '{inside}'.")),
            Some(_) => {
                let found = inside[used..].chars().next().unwrap_or(' ');
                return Err(format!("expected ']' after '{}', but found '{found}'.", &inside[..used]));
            }
        }
        self.available(&expr, inside, scope)?;
        if self.mode == Mode::Http && self.purpose == Purpose::Http && expr.needs().is_raw() {
            scope.warnings.push(format!("L6 sample fetch <{inside}> ignored in HTTP log-format string."));
        }
        self.at += used + 2;
        // An address in a log is shown as it is; in a message only text and bytes could do harm, and the
        // encoding of what is harmless changes nothing.
        self.push(Node::Sample(Box::new(expr), flags | (self.purpose.flags() & Flags::HTTP)));
        Ok(())
    }

    fn available(&self, expr: &Expr, inside: &str, scope: &Scope) -> Result<(), String> {
        let needs = expr.needs();
        if !needs.places().intersection(scope.places).is_empty() {
            return Ok(());
        }
        Err(format!(
            "sample fetch <{inside}> may not be reliably used here because it needs '{}' which is not \
             available here.",
            needs.name()
        ))
    }
}

/// Applies what stands between the braces. A flag counts when a sign precedes it and a comma or the end
/// follows; all else is passed over, as HAProxy does.
fn changed(mut flags: Flags, written: &str) -> Flags {
    for item in written.split(',') {
        let Some(at) = item.rfind(['+', '-']) else { continue };
        let flag = match &item[at + 1..] {
            "Q" => Flags::QUOTE,
            "X" => Flags::HEX,
            "E" => Flags::ESCAPE,
            "M" => Flags::MANDATORY,
            _ => continue,
        };
        flags.set(flag, item.as_bytes()[at] == b'+');
    }
    flags
}
