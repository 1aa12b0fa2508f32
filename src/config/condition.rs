//! Conditions of `.if`, `.elif` and `-cc` (section 2.4).
//!
//! ```text
//! expr = and [ "||" expr ]      and = term [ "&&" and ]
//! term = "!" term | "(" expr ")" | integer | predicate [ "(" arguments ")" ]
//! ```

use super::env::Env;
use crate::args::{COMPARED_VERSION, has_feature};

/// Why a condition is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionError {
    /// The message, without its place.
    pub text: String,
    /// Offset in bytes of the trouble in the condition.
    pub at: usize,
}

/// Evaluates `text`; an empty condition is false.
///
/// # Errors
/// The first mistake. The whole condition is read, also where its value is already known.
pub fn evaluate(text: &str, env: &Env) -> Result<bool, ConditionError> {
    if text.trim().is_empty() {
        return Ok(false);
    }
    let mut reader = Reader { text, at: 0, env };
    let value = reader.any()?;
    reader.blanks();
    match reader.rest().chars().next() {
        None => Ok(value),
        Some(c) => Err(ConditionError {
            text: format!("unexpected character '{c}' at the end of conditional expression '{text}'"),
            at: reader.at,
        }),
    }
}

/// How deep parentheses and `!` may nest, so that a line cannot exhaust the stack.
const DEPTH_MAX: usize = 64;

struct Reader<'a> {
    text: &'a str,
    at: usize,
    env: &'a Env,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start_matches([' ', '\t']).len();
    }

    fn eat(&mut self, token: &str) -> bool {
        self.blanks();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn error<T>(&self, at: usize, text: String) -> Result<T, ConditionError> {
        Err(ConditionError { text, at })
    }

    fn any(&mut self) -> Result<bool, ConditionError> {
        self.or(0)
    }

    fn or(&mut self, depth: usize) -> Result<bool, ConditionError> {
        let mut value = self.and(depth)?;
        loop {
            let at = self.at;
            if !self.eat("||") {
                return Ok(value);
            }
            value |= self.operand(at, |r| r.and(depth))?;
        }
    }

    fn and(&mut self, depth: usize) -> Result<bool, ConditionError> {
        let mut value = self.term(depth)?;
        loop {
            let at = self.at;
            if !self.eat("&&") {
                return Ok(value);
            }
            value &= self.operand(at, |r| r.term(depth))?;
        }
    }

    /// What follows an operator; a missing operand is reported at the operator, `from`.
    fn operand(
        &mut self,
        from: usize,
        read: impl FnOnce(&mut Self) -> Result<bool, ConditionError>,
    ) -> Result<bool, ConditionError> {
        self.blanks();
        if self.rest().is_empty() {
            let begin = self.text.len() - self.text[from..].trim_start().len();
            return self.unparsable(begin);
        }
        read(self)
    }

    fn unparsable<T>(&self, at: usize) -> Result<T, ConditionError> {
        self.error(at, format!("unparsable conditional expression '{}'", &self.text[at..]))
    }

    fn term(&mut self, depth: usize) -> Result<bool, ConditionError> {
        self.blanks();
        let begin = self.at;
        if depth > DEPTH_MAX {
            return self.unparsable(begin);
        }
        let rest = self.rest();
        if let Some(after) = rest.strip_prefix('!') {
            if after.trim().is_empty() {
                return self.unparsable(begin);
            }
            self.at += 1;
            return match self.term(depth + 1) {
                Ok(value) => Ok(!value),
                // What cannot be negated is shown from the exclamation mark on.
                Err(error) if error.at == begin + 1 => self.unparsable(begin),
                Err(error) => Err(error),
            };
        }
        if let Some(after) = rest.strip_prefix('(') {
            if after.trim().is_empty() {
                return self.unparsable(begin);
            }
            self.at += 1;
            let value = self.or(depth + 1)?;
            if !self.eat(")") {
                return self.error(begin, format!("expected ')' after conditional expression '{rest}'"));
            }
            return Ok(value);
        }
        let unsigned = rest.strip_prefix(['-', '+']).unwrap_or(rest);
        let digits = unsigned.bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 {
            self.at += rest.len() - unsigned.len() + digits;
            return Ok(unsigned[..digits].bytes().any(|b| b != b'0'));
        }
        self.predicate()
    }

    fn predicate(&mut self) -> Result<bool, ConditionError> {
        let begin = self.at;
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let name = &rest[..end];
        let wanted = match name {
            "defined" | "feature" | "version_atleast" | "version_before" => 1,
            "streq" | "strneq" => 2,
            _ => return self.unparsable(begin),
        };
        self.at += end;
        let args = self.arguments(name, wanted)?;
        let arg = |i: usize| args.get(i).map_or("", String::as_str);
        Ok(match name {
            "defined" => self.env.get(arg(0).as_bytes()).is_some(),
            "feature" => arg(0).is_empty() || has_feature(arg(0)),
            "streq" => arg(0) == arg(1),
            "strneq" => arg(0) != arg(1),
            "version_atleast" => version(COMPARED_VERSION) >= version(arg(0)),
            _ => version(COMPARED_VERSION) < version(arg(0)),
        })
    }

    fn arguments(&mut self, name: &str, wanted: usize) -> Result<Vec<String>, ConditionError> {
        let place = |n: usize| format!("in argument {n} of predicate '{name}' used in conditional expression");
        let mut args = Vec::new();
        if self.rest().starts_with('(') {
            self.at += 1;
            while args.len() < wanted {
                args.push(self.argument());
                if args.len() == wanted || !self.rest().starts_with(',') {
                    break;
                }
                self.at += 1;
            }
            let rest = self.rest();
            if args.len() < wanted {
                return self.error(
                    self.at,
                    format!(
                        "missing arguments (got {}/{wanted}), type 'string' expected {}",
                        args.len(),
                        place(args.len())
                    ),
                );
            }
            if rest.is_empty() {
                return self.error(self.at, format!("expected ')' {}", place(1)));
            }
            if !rest.starts_with(')') {
                return self.error(self.at, format!("expected ')' before '{rest}' {}", place(1)));
            }
            self.at += 1;
        }
        Ok(args)
    }

    /// One argument up to a comma or a parenthesis; quotes and backslashes protect these.
    fn argument(&mut self) -> String {
        let mut out = String::new();
        let mut quote = None;
        let mut chars = self.rest().char_indices();
        let mut end = self.text.len();
        while let Some((i, c)) = chars.next() {
            match (c, quote) {
                ('"' | '\'', None) => quote = Some(c),
                (c, Some(open)) if c == open => quote = None,
                ('\\', None | Some('"')) => out.extend(chars.next().map(|(_, c)| c)),
                (',' | ')', None) => {
                    end = self.at + i;
                    break;
                }
                _ => out.push(c),
            }
        }
        self.at = end;
        out
    }
}

/// `major.minor[-devN|-rcN][.patch][-commits]` as an ordered key; what is missing counts as zero,
/// and development versions come before their release.
fn version(text: &str) -> (u32, u32, u32, u32, u32) {
    let major = leading(text);
    let Some(rest) = text[digits_len(text)..].strip_prefix('.') else {
        return (major, 0, 2, 0, 0);
    };
    let minor = leading(rest);
    let rest = &rest[digits_len(rest)..];
    let (stage, rest) = if let Some(rest) = rest.strip_prefix("-dev") {
        (0, rest)
    } else if let Some(rest) = rest.strip_prefix("-rc") {
        (1, rest)
    } else {
        (2, rest.strip_prefix('.').unwrap_or(rest))
    };
    let patch = leading(rest);
    let rest = &rest[digits_len(rest)..];
    let commits = leading(rest.strip_prefix('-').unwrap_or(""));
    (major, minor, stage, patch, commits)
}

fn digits_len(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

fn leading(text: &str) -> u32 {
    text[..digits_len(text)].parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eval(text: &str) -> Result<bool, ConditionError> {
        let mut env = Env::empty();
        env.set("HOME", b"/root");
        evaluate(text, &env)
    }

    #[test]
    fn values_and_operators() {
        for (text, value) in [
            ("", false),
            ("0", false),
            ("1", true),
            ("-5", true),
            ("!!1", true),
            ("(1&&0)||!0", true),
            ("1 || 0 && 0", true),
            ("defined(HOME)", true),
            ("defined()", false),
            ("defined(HOMER)", false),
            ("streq(a,a)", true),
            ("streq( a,a)", false),
            ("strneq(\"a,b\",a)", true),
            ("feature(EPOLL) && !feature(KQUEUE)", true),
            ("version_atleast(2.6-dev3)", true),
            ("version_atleast(2.6.12-1)", false),
            ("version_before(2.7)", true),
            ("version_before(2.6)", false),
        ] {
            assert_eq!(eval(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn mistakes_are_located() {
        for (text, message, at) in [
            ("foo", "unparsable conditional expression 'foo'", 0),
            ("1 &&", "unparsable conditional expression '&&'", 2),
            ("0 || foo", "unparsable conditional expression 'foo'", 5),
            ("1x", "unexpected character 'x' at the end of conditional expression '1x'", 1),
            ("(1", "expected ')' after conditional expression '(1'", 0),
            ("defined(HOME", "expected ')' in argument 1 of predicate 'defined' used in conditional expression", 12),
            (
                "streq(a,a,b)",
                "expected ')' before ',b)' in argument 1 of predicate 'streq' used in conditional expression",
                9,
            ),
            (
                "streq(a)",
                "missing arguments (got 1/2), type 'string' expected in argument 1 of predicate 'streq' used in conditional expression",
                7,
            ),
        ] {
            let error = eval(text).unwrap_err();
            assert_eq!((error.text.as_str(), error.at), (message, at), "{text}");
        }
        assert!(eval(&"(".repeat(5000)).is_err());
        assert!(eval(&"!".repeat(5000)).is_err());
    }
}
