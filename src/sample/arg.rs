//! Arguments of fetches and converters: `name(arg1,"arg 2")` (manual 7.3), typed by the row that takes them.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use regex::bytes::Regex;

use super::vars::{Setting, Variable};
use crate::proxy::{BackendId, FrontendId, ServerId};

/// The type of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Str,
    /// A signed integer.
    Int,
    /// An IPv4 address.
    Ipv4,
    /// An IPv4 mask, dotted or as a number of bits.
    Mask4,
    /// An IPv6 address.
    Ipv6,
    /// An IPv6 mask, as an address or as a number of bits.
    Mask6,
    /// A regular expression; a later `i` flag of its converter makes it ignore case.
    Regex,
    /// The name of a frontend; the current proxy's when missing.
    Frontend,
    /// The name of a backend; the current proxy's when missing.
    Backend,
    /// `backend/server`, or the name of one of the current proxy's servers.
    Server,
    /// The name of a userlist.
    Userlist,
}

impl Kind {
    /// HAProxy's name of the type.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Str => "string",
            Kind::Int => "integer",
            Kind::Ipv4 => "IPv4 address",
            Kind::Mask4 => "IPv4 mask",
            Kind::Ipv6 => "IPv6 address",
            Kind::Mask6 => "IPv6 mask",
            Kind::Regex => "regex",
            Kind::Frontend => "frontend",
            Kind::Backend => "backend",
            Kind::Server => "server",
            Kind::Userlist => "user list",
        }
    }

    fn is_name(self) -> bool {
        matches!(self, Kind::Frontend | Kind::Backend | Kind::Server | Kind::Userlist)
    }
}

/// An id that is known once all sections were read.
pub type Slot = Arc<OnceLock<u32>>;

/// A parsed argument.
#[derive(Clone, Debug)]
pub enum Arg {
    /// An optional one that was left empty.
    Missing,
    /// Text.
    Str(Box<[u8]>),
    /// An integer.
    Int(i64),
    /// An IPv4 address or mask.
    Ipv4(Ipv4Addr),
    /// An IPv6 address or mask.
    Ipv6(Ipv6Addr),
    /// A regular expression.
    Regex(Regex),
    /// A proxy or a server, by the id that resolving wrote.
    Named(Slot),
    /// A variable.
    Var(Variable),
    /// A variable with the conditions on which it is set.
    Setting(Box<Setting>),
}

/// Looks at the arguments of a row when the configuration is read, and gives them as the row wants them.
pub type Check = fn(Vec<Arg>) -> Result<Vec<Arg>, String>;

/// Readers of argument lists; a missing or different argument is `None`.
pub trait Args {
    /// The text at `index`.
    fn text(&self, index: usize) -> Option<&[u8]>;
    /// The integer at `index`.
    fn int(&self, index: usize) -> Option<i64>;
    /// The frontend at `index`.
    fn frontend(&self, index: usize) -> Option<FrontendId>;
    /// The backend at `index`.
    fn backend(&self, index: usize) -> Option<BackendId>;
    /// The server at `index`.
    fn server(&self, index: usize) -> Option<ServerId>;
    /// The number of the userlist at `index`.
    fn userlist(&self, index: usize) -> Option<u32>;
    /// The variable at `index`.
    fn variable(&self, index: usize) -> Option<&Variable>;
}

impl Args for [Arg] {
    fn text(&self, index: usize) -> Option<&[u8]> {
        match self.get(index) {
            Some(Arg::Str(text)) => Some(text),
            _ => None,
        }
    }

    fn int(&self, index: usize) -> Option<i64> {
        match self.get(index) {
            Some(Arg::Int(i)) => Some(*i),
            _ => None,
        }
    }

    fn frontend(&self, index: usize) -> Option<FrontendId> {
        named(self, index).map(FrontendId)
    }

    fn backend(&self, index: usize) -> Option<BackendId> {
        named(self, index).map(BackendId)
    }

    fn server(&self, index: usize) -> Option<ServerId> {
        named(self, index).map(ServerId)
    }

    fn userlist(&self, index: usize) -> Option<u32> {
        named(self, index)
    }

    fn variable(&self, index: usize) -> Option<&Variable> {
        match self.get(index) {
            Some(Arg::Var(variable)) => Some(variable),
            _ => None,
        }
    }
}

fn named(args: &[Arg], index: usize) -> Option<u32> {
    match args.get(index) {
        Some(Arg::Named(slot)) => slot.get().copied(),
        _ => None,
    }
}

/// A name that was used before all sections were read.
#[derive(Clone, Debug)]
pub struct Reference {
    /// What it names.
    pub kind: Kind,
    /// The name as written; empty for the current proxy.
    pub name: String,
    /// Where its id goes.
    pub slot: Slot,
    /// `arg 1 of ACL keyword 'nbsrv'`
    pub user: String,
    /// File of the line that used it.
    pub file: Rc<str>,
    /// Number of that line.
    pub line: u32,
}

/// The ids of all names, by kind.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Frontends, `listen` sections included.
    pub frontends: HashMap<String, FrontendId>,
    /// Backends, `listen` sections included.
    pub backends: HashMap<String, BackendId>,
    /// Servers by backend and name.
    pub servers: HashMap<(BackendId, String), ServerId>,
    /// Userlists.
    pub userlists: HashMap<String, u32>,
}

impl Reference {
    /// Writes the id.
    ///
    /// # Errors
    /// HAProxy's words about a name that nothing has; `own` is the proxy that the line stands in.
    pub fn resolve(&self, names: &Names, own: &str) -> Result<(), String> {
        let name = if self.name.is_empty() { own } else { &self.name };
        let id = match self.kind {
            Kind::Frontend => names.frontends.get(name).map(|id| id.0),
            Kind::Backend => names.backends.get(name).map(|id| id.0),
            Kind::Server => Some(self.find_server(names, own)?),
            Kind::Userlist if self.name.is_empty() => {
                return Err(format!("missing userlist name in {} in proxy '{own}'.", self.user));
            }
            Kind::Userlist => names.userlists.get(name).copied(),
            _ => None,
        };
        let Some(id) = id else {
            let user = &self.user;
            // HAProxy lists keywords with a `user list`, and misses a `userlist`.
            let kind = if self.kind == Kind::Userlist { "userlist" } else { self.kind.name() };
            if self.name.is_empty() {
                return Err(format!(
                    "proxy '{own}', referenced in {user} in proxy '{own}', has not {kind} capability."
                ));
            }
            return Err(format!("unable to find {kind} '{name}' referenced in {user} in proxy '{own}'."));
        };
        self.slot.get_or_init(|| id);
        Ok(())
    }

    /// The server that it names, once that is known.
    pub fn server(&self) -> Option<ServerId> {
        self.slot.get().filter(|_| self.kind == Kind::Server).map(|id| ServerId(*id))
    }

    fn find_server(&self, names: &Names, own: &str) -> Result<u32, String> {
        let user = &self.user;
        if self.name.is_empty() {
            return Err(format!("missing server name in {user} in proxy '{own}'."));
        }
        let (proxy, server) = self.name.split_once('/').unwrap_or((own, &self.name));
        let found = match names.backends.get(proxy) {
            Some(backend) => names.servers.get(&(*backend, server.to_owned())),
            None if proxy != own => {
                return Err(format!("unable to find proxy '{proxy}' referenced in {user} in proxy '{own}'."));
            }
            None => None,
        };
        found.map(|id| id.0).ok_or_else(|| {
            format!("unable to find server '{server}' in proxy '{proxy}', referenced in {user} in proxy '{own}'.")
        })
    }
}

/// An argument list cut into words.
struct Split {
    words: Vec<Vec<u8>>,
    /// Bytes used, or what is wrong behind the words.
    used: Result<usize, String>,
}

/// Whether nothing may follow the argument at `index` where it is left empty: it is neither a text nor needed.
fn ends_when_empty(kinds: &[Kind], required: usize, index: usize) -> bool {
    index >= required && kinds.get(index).is_some_and(|kind| *kind != Kind::Str && !kind.is_name())
}

/// Cuts `text`, which begins after the opening parenthesis, into words for `kinds`. The closing parenthesis is
/// used up.
fn split(text: &str, kinds: &[Kind], required: usize) -> Split {
    let max = kinds.len();
    let bytes = text.as_bytes();
    let (mut words, mut word) = (Vec::new(), Vec::new());
    let (mut at, mut quote) = (0, None);
    let overflow = |at: usize| Err(format!("expected ')' before '{}'", &text[at..]));
    let used = loop {
        let Some(&byte) = bytes.get(at) else { break Err("expected ')'".to_owned()) };
        match (quote, byte) {
            (None, b')') if at == 0 && max == 0 => break Ok(1),
            (None, b')' | b',') if max == 0 => break overflow(0),
            (None, b')') => {
                words.push(word);
                break Ok(at + 1);
            }
            (None, b',') if word.is_empty() && ends_when_empty(kinds, required, words.len()) => break overflow(at),
            (None, b',') => {
                words.push(std::mem::take(&mut word));
                if words.len() == max {
                    break overflow(at);
                }
            }
            (None, b'\'' | b'"') => quote = Some(byte),
            (Some(q), c) if q == c => quote = None,
            (Some(b'"'), b'\\') => {
                at += 1;
                match bytes.get(at) {
                    Some(b'n') => word.push(b'\n'),
                    Some(b'r') => word.push(b'\r'),
                    Some(b't') => word.push(b'\t'),
                    Some(c) => word.push(*c),
                    None => {}
                }
            }
            (_, c) => word.push(c),
        }
        at += 1;
    };
    Split { words, used }
}

/// What an argument list turned into.
pub(super) struct Parsed {
    pub args: Vec<Arg>,
    /// Names to resolve: index of the argument, kind, name, slot.
    pub names: Vec<(usize, Kind, String, Slot)>,
    /// Bytes of the text used.
    pub used: usize,
}

/// Parses the optional `(...)` at the start of `text` for a keyword that takes `kinds`, the first `required`
/// of them always. The error comes with the number of the argument at fault, from 1.
pub(super) fn parse(text: &str, kinds: &[Kind], required: usize) -> Result<Parsed, (usize, String)> {
    let Split { words, used } = match text.strip_prefix('(') {
        Some(inside) => split(inside, kinds, required),
        None => Split { words: Vec::new(), used: Ok(0) },
    };
    // A text that must be given may be empty, and then its parentheses may be missing too.
    let words = match kinds.first() {
        Some(Kind::Str) if words.is_empty() && required > 0 => vec![Vec::new()],
        _ => words,
    };
    let mut parsed = Parsed { args: Vec::new(), names: Vec::new(), used: 0 };
    for (index, (word, kind)) in words.iter().zip(kinds).enumerate() {
        let arg = if kind.is_name() {
            let slot = Slot::default();
            let name = String::from_utf8_lossy(word).into_owned();
            parsed.names.push((index, *kind, name, slot.clone()));
            Arg::Named(slot)
        } else if word.is_empty() && *kind != Kind::Str && index >= required {
            Arg::Missing
        } else {
            one(word, *kind, index + 1).map_err(|e| (index + 1, e))?
        };
        parsed.args.push(arg);
    }
    let within = used.map_err(|e| ((parsed.args.len() + 1).min(kinds.len().max(1)), e))?;
    parsed.used = if text.starts_with('(') { within + 1 } else { 0 };
    let missing = kinds.iter().enumerate().skip(parsed.args.len());
    for (index, kind) in missing {
        if kind.is_name() {
            let slot = Slot::default();
            parsed.names.push((index, *kind, String::new(), slot.clone()));
            parsed.args.push(Arg::Named(slot));
        } else if index < required {
            let (position, name) = (index + 1, kind.name());
            let text = if words.is_empty() {
                format!("expected type '{name}' at position {position}, but got nothing")
            } else {
                format!("missing arguments (got {}/{required}), type '{name}' expected", words.len())
            };
            return Err((position, text));
        } else {
            break;
        }
    }
    Ok(parsed)
}

fn one(word: &[u8], kind: Kind, position: usize) -> Result<Arg, String> {
    if kind == Kind::Str {
        return Ok(Arg::Str(word.into()));
    }
    let text = String::from_utf8_lossy(word);
    if word.is_empty() {
        return Err(format!("expected type '{}' at position {position}, but got nothing", kind.name()));
    }
    let parsed = match kind {
        Kind::Int => integer(&text).map(Arg::Int),
        Kind::Ipv4 => text.parse().ok().map(Arg::Ipv4),
        Kind::Ipv6 => text.parse().ok().map(Arg::Ipv6),
        Kind::Mask4 => mask4(&text).map(Arg::Ipv4),
        Kind::Mask6 => mask6(&text).map(Arg::Ipv6),
        Kind::Regex => Some(Arg::Regex(crate::text::regex::compile(&text, false)?)),
        Kind::Str | Kind::Frontend | Kind::Backend | Kind::Server | Kind::Userlist => None,
    };
    parsed.ok_or_else(|| format!("failed to parse '{text}' as type '{}' at position {position}", kind.name()))
}

fn integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let valid = !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit());
    valid.then(|| super::value::leading_int(text.as_bytes()))
}

/// An IPv4 mask, `24` or `255.255.255.0`.
pub fn mask4(text: &str) -> Option<Ipv4Addr> {
    match text.parse::<u32>() {
        Ok(bits @ 0..=32) => Some(Ipv4Addr::from(u32::MAX.checked_shl(32 - bits).unwrap_or(0))),
        Ok(_) => None,
        Err(_) => text.parse().ok(),
    }
}

/// An IPv6 mask, `64` or `ffff:ffff:ffff:ffff::`.
pub fn mask6(text: &str) -> Option<Ipv6Addr> {
    match text.parse::<u32>() {
        Ok(bits @ 0..=128) => Some(Ipv6Addr::from(u128::MAX.checked_shl(128 - bits).unwrap_or(0))),
        Ok(_) => None,
        Err(_) => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str, max: usize) -> Result<(Vec<String>, usize), String> {
        let Split { words, used } = split(text, &vec![Kind::Str; max], 0);
        used.map(|used| (words.iter().map(|b| String::from_utf8_lossy(b).into_owned()).collect(), used))
    }

    #[test]
    fn quotes_protect_commas_and_parentheses() {
        let one = |t: &str| texts(t, 1).unwrap().0.remove(0);
        assert_eq!(one("'a,b')"), "a,b");
        assert_eq!(one("\"a\\\"b\")"), "a\"b");
        assert_eq!(one(" a )"), " a ");
        assert_eq!(one("'a'b\"c\")"), "abc");
        assert_eq!(one("'')"), "");
        assert_eq!(texts(")x", 0), Ok((vec![], 1)));
    }

    #[test]
    fn mistakes_are_worded_as_haproxys() {
        assert_eq!(texts("host", 2), Err("expected ')'".into()));
        assert_eq!(texts("host,1,2)", 2), Err("expected ')' before ',2)'".into()));
        assert_eq!(texts("2)", 0), Err("expected ')' before '2)'".into()));
        let wrong = |t: &str, kinds: &[Kind], required| parse(t, kinds, required).err().unwrap();
        assert_eq!(
            wrong("(host,z)", &[Kind::Str, Kind::Int], 0),
            (2, "failed to parse 'z' as type 'integer' at position 2".into())
        );
        assert_eq!(
            wrong("", &[Kind::Int, Kind::Str], 2),
            (1, "expected type 'integer' at position 1, but got nothing".into())
        );
        assert_eq!(
            wrong("(1)", &[Kind::Int, Kind::Str], 2),
            (2, "missing arguments (got 1/2), type 'string' expected".into())
        );
        assert_eq!(
            wrong("(99)", &[Kind::Mask4], 1),
            (1, "failed to parse '99' as type 'IPv4 mask' at position 1".into())
        );
    }

    #[test]
    fn integers_saturate_and_are_decimal() {
        assert_eq!(integer("010"), Some(10));
        assert_eq!(integer("+5"), Some(5));
        assert_eq!(integer("99999999999999999999"), Some(i64::MAX));
        assert_eq!(integer("0x10"), None);
        assert_eq!(integer("5 "), None);
    }
}
