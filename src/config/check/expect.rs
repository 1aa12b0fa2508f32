//! `tcp-check expect`, `http-check expect`.

use regex::bytes::Regex;

use super::StepDraft;
use super::line::{Line, ready};
use crate::proxy::check::{Action, Data, Expect, FieldPattern, Match, Pattern, Speech};
use crate::proxy::status::Status;
use crate::text::regex::{compile, hex_bytes};
use crate::text::unit::atoi;

const HTTP: &str = "'only supports min-recv, [!]string', '[!]rstring', '[!]string-lf', '[!]status', '[!]rstatus', \
                    [!]hdr, [!]fhdr or comment";
const TCP: &str = "'only supports min-recv, '[!]binary', '[!]string', '[!]rstring', '[!]string-lf''[!]rbinary', \
                   '[!]binary-lf' or comment";

pub(super) fn parse(line: &mut Line<'_>) -> Result<StepDraft, String> {
    if line.text(line.at).is_none() {
        return Err(line.error("expects at least a matching pattern as arguments."));
    }
    let mut expect = Expect::new(Pattern::Status(Vec::new()));
    let (mut pattern, mut comment) = (None, None);
    while let Some(word) = line.next() {
        let bare = word.text.trim_start_matches('!');
        if bare.len() < word.text.len() {
            expect.negate = true;
        }
        if bare.is_empty() {
            continue;
        }
        if is_pattern(bare, line.speech) {
            if pattern.is_some() {
                return Err(line.error("only on pattern expected."));
            }
            pattern = Some(parse_pattern(bare, line)?);
        } else if !setting(word.text.as_str(), line, &mut expect, &mut comment)? {
            let known = if line.speech == Speech::Http { HTTP } else { TCP };
            return Err(line.error(&format!("{known} but got '{bare}' as argument..")));
        }
    }
    expect.pattern = pattern.ok_or_else(|| line.error("pattern not found."))?;
    Ok(ready(Action::Expect(Box::new(expect)), comment))
}

/// A parameter beside the pattern; whether `name` is one.
fn setting(
    name: &str,
    line: &mut Line<'_>,
    expect: &mut Expect,
    comment: &mut Option<Box<[u8]>>,
) -> Result<bool, String> {
    const STRING: &str = "a string";
    match name {
        "comment" => *comment = Some(line.argument(name, STRING)?.bytes().into()),
        "min-recv" => expect.bytes_min = bytes_min(line)?,
        "ok-status" => expect.passed = Some(status(line, name)?),
        "error-status" => expect.failed = Some(status(line, name)?),
        "tout-status" => expect.late = Some(status(line, name)?),
        "on-success" | "on-error" => {
            let text = &line.argument(name, STRING)?.text;
            let format = Some(line.format(text)?);
            if name == "on-error" {
                expect.on_error = format;
            } else {
                expect.on_success = format;
            }
        }
        "status-code" => {
            let text = &line.argument(name, "an expression")?.text;
            expect.code = Some(line.expression(name, text)?);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn bytes_min(line: &mut Line<'_>) -> Result<Option<usize>, String> {
    let text = &line.argument("min-recv", "a integer")?.text;
    let digits = text.trim_start_matches('-');
    match atoi(text) {
        _ if digits.len() > 10 => Err(line.error("'min-recv' expects -1 or an integer from 0 to INT_MAX.")),
        -1 => Ok(None),
        bytes => usize::try_from(bytes)
            .map(Some)
            .map_err(|_| line.error("'min-recv' expects -1 or an integer from 0 to INT_MAX.")),
    }
}

fn status(line: &mut Line<'_>, name: &str) -> Result<Status, String> {
    use Status::*;
    let (known, listed): (&[Status], _) = match name {
        "ok-status" => (&[L7Passed, L7Conditional, L6Passed, L4Passed], "'L4OK', 'L6OK', 'L7OK' or 'L7OKC'"),
        "error-status" => {
            (&[L7Conditional, L7Invalid, L7Status, L6Invalid, L4Failed], "'L4CON', 'L6RSP', 'L7RSP' or 'L7STS'")
        }
        _ => (&[L7Timeout, L6Timeout, L4Timeout], "'L4TOUT', 'L6TOUT' or 'L7TOUT'"),
    };
    let text = &line.argument(name, "a string")?.text;
    let found = known.iter().find(|status| status.word() == text);
    found.copied().ok_or_else(|| line.error(&format!("'{name}' only supports {listed} status (got '{text}')..")))
}

fn is_pattern(name: &str, speech: Speech) -> bool {
    match name {
        "string" | "rstring" | "string-lf" => true,
        "binary" | "rbinary" | "binary-lf" => speech == Speech::Tcp,
        "status" | "rstatus" | "hdr" | "fhdr" => speech == Speech::Http,
        _ => false,
    }
}

fn parse_pattern(name: &str, line: &mut Line<'_>) -> Result<Pattern, String> {
    if matches!(name, "hdr" | "fhdr") {
        return field(name, line).map(|field| Pattern::Field(Box::new(field)));
    }
    let Some(word) = line.next() else {
        return Err(line.error(&format!("'{name}' expects a <pattern> as argument.")));
    };
    let text = word.text.as_str();
    Ok(match name {
        "string" => Pattern::Text(Data::Bytes(word.bytes().into())),
        "string-lf" => Pattern::Text(Data::Format(line.format(text)?)),
        "rstring" => Pattern::Regex(compiled(line, text)?),
        "binary" => match hex_bytes(text.as_bytes()) {
            Ok(octets) => Pattern::Binary(Data::Bytes(octets.into())),
            Err(e) => return Err(line.error(&format!("invalid binary string ({e})."))),
        },
        "binary-lf" => Pattern::Binary(Data::Hex(line.format(text)?)),
        "rbinary" => Pattern::BinaryRegex(compiled(line, text)?),
        "rstatus" => Pattern::StatusRegex(compiled(line, text)?),
        _ => Pattern::Status(statuses(line, text)?),
    })
}

fn compiled(line: &Line<'_>, text: &str) -> Result<Regex, String> {
    compile(text, false).map_err(|error| line.error(&format!("{error}.")))
}

/// `200-299,404`
fn statuses(line: &Line<'_>, text: &str) -> Result<Vec<(u16, u16)>, String> {
    let mut ranges = Vec::new();
    for part in text.split(',') {
        let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        let (low, rest) = part.split_at(end);
        let low = number(low);
        let high = match rest.strip_prefix('-') {
            None if rest.is_empty() => low,
            None => {
                let c = rest.chars().next().unwrap_or_default();
                return Err(line.error(&format!("invalid character '{c}' in the list of status codes.")));
            }
            Some(high)
                if high.is_empty() || number(high) < low || !high.bytes().all(|octet| octet.is_ascii_digit()) =>
            {
                return Err(line.error(&format!("invalid range of status codes '{part}'.")));
            }
            Some(high) => number(high),
        };
        ranges.push((low, high));
    }
    Ok(ranges)
}

/// Digits as a number; more than a status can be is as good as the most.
fn number(digits: &str) -> u16 {
    digits.parse().unwrap_or(if digits.is_empty() { 0 } else { u16::MAX })
}

fn field(name: &str, line: &mut Line<'_>) -> Result<FieldPattern, String> {
    let first = line.next().map(|word| word.text.as_str());
    if !matches!(first, Some("name" | "name-lf")) || line.text(line.at).is_none() {
        return Err(
            line.error(&format!("'{name}' expects at the name keyword as first argument followed by a pattern."))
        );
    }
    let field = comparison(name, first == Some("name-lf"), line)?;
    let value = match line.text(line.at) {
        Some(word @ ("value" | "value-lf")) => {
            line.at += 1;
            if line.text(line.at).is_none() {
                return Err(line.error(&format!("'{name}' expect a pattern with the value keyword.")));
            }
            Some(comparison(name, word == "value-lf", line)?)
        }
        _ => None,
    };
    Ok(FieldPattern { name: field, value, full: name == "fhdr" })
}

fn comparison(name: &str, is_format: bool, line: &mut Line<'_>) -> Result<Match, String> {
    let mut method = "str";
    if line.text(line.at) == Some("-m") {
        line.at += 1;
        let known = "'str', 'beg', 'end', 'sub' or 'reg'";
        method = match line.next().map(|word| word.text.as_str()) {
            None => return Err(line.error(&format!("'{name}' : '-m' expects at a matching pattern ({known})."))),
            Some(method @ ("str" | "beg" | "end" | "sub" | "reg")) => method,
            Some(other) => {
                return Err(line.error(&format!("'{name}' : '-m' only supports {known} (got '{other}').")));
            }
        };
    }
    if is_format && method == "reg" {
        let text = format!("'{name}': log-format string is not supported with a regex matching method.");
        return Err(line.error(&text));
    }
    let Some(word) = line.next() else {
        return Err(
            line.error(&format!("'{name}' expects at the name keyword as first argument followed by a pattern."))
        );
    };
    if method == "reg" {
        return compiled(line, &word.text).map(Match::Regex);
    }
    let data = if is_format { Data::Format(line.format(&word.text)?) } else { Data::Bytes(word.bytes().into()) };
    Ok(match method {
        "beg" => Match::Begin(data),
        "end" => Match::End(data),
        "sub" => Match::Sub(data),
        _ => Match::Exact(data),
    })
}
