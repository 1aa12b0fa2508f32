//! Reads the rules of older versions: `block`, `reqrep` and its kin, the `rsp…` family (manual of version 1.5,
//! 4.2); and `monitor fail`.

use super::{Parser, Wrong, reply, rule};
use crate::rules::Condition;
use crate::rules::filter::{Action, Addition, Filter, fields};
use crate::rules::request;
use crate::sample::Scope;
use crate::text::{self, Word};

/// Whether `keyword` names a filter of requests.
pub(super) fn is_request_filter(keyword: &str) -> bool {
    verb(keyword).is_some_and(|(of_requests, _, verb)| of_requests && verb != "add")
}

/// Whom a keyword filters, whether it ignores case, and what it does.
fn verb(keyword: &str) -> Option<(bool, bool, &str)> {
    let of_requests = keyword.starts_with("req");
    let verb = keyword.strip_prefix("req").or_else(|| keyword.strip_prefix("rsp"))?;
    match verb.strip_prefix('i') {
        Some(rest) => Some((of_requests, true, rest)),
        None => Some((of_requests, false, verb)),
    }
}

impl Filter<String> {
    /// The filter with its backend found; `None` where there is none of the name.
    pub(super) fn resolve(self, find: impl FnOnce(&str) -> Option<crate::proxy::BackendId>) -> Option<Filter> {
        let action = match self.action {
            Action::Allow => Action::Allow,
            Action::Deny => Action::Deny,
            Action::Tarpit => Action::Tarpit,
            Action::Pass => Action::Pass,
            Action::Delete => Action::Delete,
            Action::Replace(text) => Action::Replace(text),
            Action::Switch(name) => Action::Switch(find(&name)?),
        };
        Some(Filter { regex: self.regex, action })
    }
}

impl Parser<'_> {
    /// `block { if | unless } <condition>`
    pub(super) fn block(&mut self, words: &[Word], scope: &mut Scope) -> Result<Option<Condition>, Wrong> {
        let rest = words.get(1..).unwrap_or_default();
        let condition = self
            .condition_of(rest, scope)
            .map_err(|e| Wrong::Line(format!("error detected while parsing blocking condition : {e}.")))?;
        self.blocks.push(rule(request::Action::Deny(Box::new(reply::page(403))), &condition, scope));
        Ok(condition)
    }

    /// `monitor fail { if | unless } <condition>`
    pub(super) fn monitor(&mut self, words: &[Word], scope: &mut Scope) -> Result<Option<Condition>, Wrong> {
        let word = |index: usize| words.get(index).map_or("", |word| word.text.as_str());
        if word(1) != "fail" {
            return Err(Wrong::Line(format!("'{}' only supports 'fail'.", word(0))));
        }
        let rest = words.get(2..).unwrap_or_default();
        if !matches!(word(2), "if" | "unless") {
            return Err(Wrong::Line(format!(
                "'{} {}' requires either 'if' or 'unless' followed by a condition.",
                word(0),
                word(1)
            )));
        }
        let condition = self.condition_of(rest, scope).map_err(|e| {
            Wrong::Line(format!("error detected while parsing a '{} {}' condition : {e}.", word(0), word(1)))
        })?;
        self.monitor_fail.push(rule((), &condition, scope));
        Ok(condition)
    }

    /// Whatever stands after the keyword must be a condition.
    fn condition_of(&mut self, words: &[Word], scope: &mut Scope) -> Result<Option<Condition>, String> {
        match words.first().map_or("", |word| word.text.as_str()) {
            "if" | "unless" => self.condition(words, scope),
            "" => Err("missing condition, expecting 'if' or 'unless'".to_owned()),
            other => Err(format!("expecting 'if' or 'unless', got '{other}'")),
        }
    }

    /// `reqdel <search> [condition]`, `reqrep <search> <string> [condition]`, `reqadd <string> [condition]` …
    pub(super) fn filter(
        &mut self,
        keyword: &str,
        words: &[Word],
        scope: &mut Scope,
    ) -> Result<Option<Condition>, Wrong> {
        let word = |index: usize| words.get(index).map_or("", |word| word.text.as_str());
        let wrong = |e: String| Wrong::Line(format!("'{keyword}' {e}"));
        let (of_requests, ignore_case, verb) = verb(keyword).ok_or_else(|| wrong("is no filter.".to_owned()))?;
        if verb == "add" {
            return self.addition(keyword, of_requests, words, scope);
        }
        let second = match verb {
            "rep" => Some("<replace>"),
            "setbe" => Some("<target>"),
            _ => None,
        };
        match second {
            Some(second) if word(1).is_empty() || word(2).is_empty() => {
                return Err(wrong(format!("expects <search> and {second} as arguments.")));
            }
            None if word(1).is_empty() => return Err(wrong("expects <regex> as an argument.".to_owned())),
            _ => {}
        }
        let condition = self.filter_condition(keyword, words, if second.is_some() { 3 } else { 2 }, scope)?;
        let regex = text::regex::compile(word(1), ignore_case)
            .map_err(|e| wrong(format!(": regular expression '{}' : {e}", word(1))))?;
        let action = match verb {
            "allow" => Action::Allow,
            "deny" => Action::Deny,
            "tarpit" => Action::Tarpit,
            "pass" => Action::Pass,
            "del" => Action::Delete,
            "setbe" => Action::Switch(word(2).to_owned()),
            _ => {
                let text = words.get(2).map_or(&[][..], Word::bytes);
                check_replacement(text, scope).map_err(|c| {
                    wrong(format!(": invalid character or unterminated sequence in replacement string near '{c}'."))
                })?;
                Action::Replace(text.into())
            }
        };
        let filters = if of_requests { &mut self.request_filters } else { &mut self.response_filters };
        filters.push(rule(Filter { regex, action }, &condition, scope));
        Ok(condition)
    }

    fn addition(
        &mut self,
        keyword: &str,
        of_requests: bool,
        words: &[Word],
        scope: &mut Scope,
    ) -> Result<Option<Condition>, Wrong> {
        let text = words.get(1).map_or(&[][..], Word::bytes);
        if text.is_empty() {
            return Err(Wrong::Line(format!("'{keyword}' expects <header> as an argument.")));
        }
        let condition = self.filter_condition(keyword, words, 2, scope)?;
        // Older versions sent whatever was written here; a line that is no field would cut the head off.
        let fields = fields(text).ok_or_else(|| {
            let text = String::from_utf8_lossy(text);
            Wrong::Line(format!("'{keyword}' : '{text}' is no header field: expected 'Name: value'."))
        })?;
        let fields = fields.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let additions = if of_requests { &mut self.request_additions } else { &mut self.response_additions };
        additions.push(rule(Addition(fields), &condition, scope));
        Ok(condition)
    }

    fn filter_condition(
        &mut self,
        keyword: &str,
        words: &[Word],
        at: usize,
        scope: &mut Scope,
    ) -> Result<Option<Condition>, Wrong> {
        match words.get(at).map_or("", |word| word.text.as_str()) {
            "" => Ok(None),
            "if" | "unless" => self
                .condition(words.get(at..).unwrap_or_default(), scope)
                .map_err(|e| Wrong::Line(format!("error detected while parsing a '{keyword}' condition : {e}."))),
            other => Err(Wrong::Line(format!("'{keyword}' : Expecting nothing, 'if', or 'unless', got '{other}'."))),
        }
    }
}

/// Looks at the backslashes of a replacement; the error is the character in the wrong place.
fn check_replacement(text: &[u8], scope: &mut Scope) -> Result<(), char> {
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            continue;
        }
        match bytes.next() {
            None => return Err('\\'),
            Some(b'x') => {
                let hex = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_hexdigit());
                if !hex(bytes.next()) || !hex(bytes.next()) {
                    return Err('\\');
                }
            }
            Some(b'0'..=b'9' | b'\\') => {}
            Some(other) => scope.general_warnings.push(format!(
                "'\\{}' : deprecated use of a backslash before something not '\\','x' or a digit.",
                char::from(other)
            )),
        }
    }
    Ok(())
}
