//! Patterns: what samples are matched against (manual 7.1). A [`Patterns`] holds those of one test and one
//! matching method, in a form that is quick to search.

mod file;
mod int;
mod ip;
mod text;

use std::collections::HashSet;

use regex::bytes::Regex;

pub use file::load;
pub use int::{Operator, Range};
pub use ip::Networks;
pub use text::Texts;

use crate::sample::{Type, Value};
use crate::text::regex::{compile, hex_bytes};

/// A matching method (`-m`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The sample exists.
    Found,
    /// The sample is true.
    Bool,
    /// An integer in a range.
    Int,
    /// An address in a network.
    Ip,
    /// Bytes, written in hexadecimal.
    Bin,
    /// The length of the text is in a range.
    Len,
    /// The whole text.
    Str,
    /// The text begins so.
    Beg,
    /// The text contains it.
    Sub,
    /// The text contains it between slashes.
    Dir,
    /// The text contains it between the delimiters of host names and URLs.
    Dom,
    /// The text ends so.
    End,
    /// A regular expression.
    Reg,
    /// An HTTP method; not written with `-m`.
    Verb,
    /// A version of TLS, written with a dot, in a range; not written with `-m`.
    Version,
}

impl Method {
    const NAMED: [(&'static str, Method); 13] = [
        ("found", Method::Found),
        ("bool", Method::Bool),
        ("int", Method::Int),
        ("ip", Method::Ip),
        ("bin", Method::Bin),
        ("len", Method::Len),
        ("str", Method::Str),
        ("beg", Method::Beg),
        ("sub", Method::Sub),
        ("dir", Method::Dir),
        ("dom", Method::Dom),
        ("end", Method::End),
        ("reg", Method::Reg),
    ];

    /// The method that `-m name` asks for.
    pub fn named(name: &str) -> Option<Method> {
        Self::NAMED.iter().find(|(n, _)| *n == name).map(|(_, method)| *method)
    }

    /// The method that samples of this type have without `-m`.
    pub fn usual(sample: Type) -> Option<Method> {
        match sample {
            Type::Bool => Some(Method::Bool),
            Type::Int => Some(Method::Int),
            Type::Addr | Type::Ipv4 | Type::Ipv6 => Some(Method::Ip),
            Type::Str => Some(Method::Str),
            Type::Any | Type::Bin | Type::Method => None,
        }
    }

    /// The type that samples are cast to before they are matched.
    pub fn input(self) -> Type {
        match self {
            Method::Found => Type::Any,
            Method::Bool => Type::Bool,
            Method::Int | Method::Version => Type::Int,
            Method::Ip => Type::Addr,
            Method::Bin => Type::Bin,
            Method::Verb => Type::Method,
            _ => Type::Str,
        }
    }

    /// Whether operators such as `lt` may stand before its patterns.
    pub fn takes_operators(self) -> bool {
        matches!(self, Method::Int | Method::Len | Method::Version)
    }
}

/// How the next patterns of a test are read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// `-i`
    pub ignore_case: bool,
    /// `-M`: files are maps, of which only the keys count.
    pub keys_only: bool,
    /// Not `-n`: host names may be resolved.
    pub resolve: bool,
    /// `eq` and the like.
    pub operator: Operator,
}

/// The patterns of one test.
#[derive(Clone, Debug)]
pub struct Patterns {
    method: Method,
    set: Set,
}

#[derive(Clone, Debug)]
enum Set {
    Nothing,
    Ranges(Vec<Range>),
    Networks(Networks),
    Bytes(HashSet<Box<[u8]>>),
    Texts(Box<Texts>),
    Regexes(Vec<Regex>),
    Verbs(Vec<(Box<[u8]>, bool)>),
}

impl Patterns {
    /// No patterns yet.
    pub fn new(method: Method) -> Patterns {
        let set = match method {
            Method::Found | Method::Bool => Set::Nothing,
            Method::Int | Method::Len | Method::Version => Set::Ranges(Vec::new()),
            Method::Ip => Set::Networks(Networks::default()),
            Method::Bin => Set::Bytes(HashSet::new()),
            Method::Reg => Set::Regexes(Vec::new()),
            Method::Verb => Set::Verbs(Vec::new()),
            Method::Str | Method::Beg | Method::Sub | Method::Dir | Method::Dom | Method::End => {
                Set::Texts(Box::new(Texts::new(method)))
            }
        };
        Patterns { method, set }
    }

    /// The matching method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Adds one pattern.
    ///
    /// # Errors
    /// HAProxy's words about a pattern that the method cannot take.
    pub fn add(&mut self, pattern: &[u8], reading: Reading) -> Result<(), String> {
        match &mut self.set {
            Set::Nothing => {}
            Set::Ranges(ranges) if self.method == Method::Version => {
                ranges.extend(int::parse_dotted(pattern, reading.operator)?);
            }
            Set::Ranges(ranges) => ranges.push(int::compared(pattern, reading.operator)?),
            Set::Networks(networks) => networks.add(pattern, reading.resolve)?,
            Set::Bytes(bytes) => drop(bytes.insert(hex_bytes(pattern)?.into())),
            Set::Texts(texts) => texts.add(pattern, reading.ignore_case),
            Set::Regexes(regexes) => {
                regexes.push(compile(&String::from_utf8_lossy(pattern), reading.ignore_case)?);
            }
            Set::Verbs(verbs) => verbs.push((pattern.into(), reading.ignore_case)),
        }
        Ok(())
    }

    /// Makes the patterns ready to be searched; call it after the last `add`.
    pub fn finish(&mut self) {
        match &mut self.set {
            Set::Networks(networks) => networks.finish(),
            Set::Texts(texts) => texts.finish(),
            _ => {}
        }
    }

    /// Whether a pattern matches the value, which is cast to the method's type first.
    pub fn matches(&self, value: Value<'_>) -> bool {
        let Some(value) = value.cast(self.method.input()) else { return false };
        match (&self.set, value) {
            (Set::Nothing, value) => self.method == Method::Found || value == Value::Bool(true),
            (Set::Ranges(ranges), Value::Int(i)) => ranges.iter().any(|range| range.contains(i)),
            (Set::Ranges(ranges), Value::Str(text)) => {
                let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
                ranges.iter().any(|range| range.contains(length))
            }
            (Set::Networks(networks), Value::Ipv4(a)) => networks.contain_v4(a),
            (Set::Networks(networks), Value::Ipv6(a)) => networks.contain_v6(a),
            (Set::Bytes(set), Value::Bin(bytes)) => set.contains(&bytes[..]),
            (Set::Texts(texts), Value::Str(text)) => texts.matches(&text),
            (Set::Regexes(regexes), Value::Str(text)) => regexes.iter().any(|regex| regex.is_match(&text)),
            (Set::Verbs(verbs), Value::Method(verb)) => verbs.iter().any(|(v, fold)| same_verb(v, &verb, *fold)),
            _ => false,
        }
    }
}

/// Only methods that HAProxy does not know are ever compared without regard to case.
fn same_verb(pattern: &[u8], verb: &[u8], ignore_case: bool) -> bool {
    const KNOWN: [&[u8]; 8] = [b"OPTIONS", b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"TRACE", b"CONNECT"];
    pattern == verb
        || (ignore_case && !KNOWN.contains(&pattern) && !KNOWN.contains(&verb) && pattern.eq_ignore_ascii_case(verb))
}

#[cfg(test)]
mod tests;
