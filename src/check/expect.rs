//! What an answer is compared with (manual 4.2, `tcp-check expect`, `http-check expect`).

use super::http::Answer;
use super::protocol;
use super::result::Status;
use crate::http::Head;
use crate::proxy::check::{Data, Expect, FieldPattern, Match, Pattern};

/// What is known of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Nothing yet: more has to come.
    Open,
    /// It is what was expected.
    Passed,
    /// It is not.
    Failed(Status, Why),
}

/// Why an answer is not what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// There is none, or nobody can read it; in these words.
    Unreadable(&'static str),
    /// The formats of the step itself cannot be made to bytes; in these words.
    Unasked(&'static str),
    /// In these words, unless the step has its own.
    Described(Vec<u8>),
    /// The server told it, with a code.
    Told(u16, Vec<u8>),
}

/// The bytes of a log format; `None` if they are not the hexadecimal digits that they should be.
pub trait Texts {
    /// The bytes that a part of the step stands for.
    fn text(&self, data: &Data) -> Option<Vec<u8>>;
}

const EMPTY: &str = "log-format string evaluated to an empty string";
const NO_DIGITS: &str = "Failed to parse hexastring resulting of eval of a log-format string";

/// Judges what came of an answer in a protocol of the operator's; `over` when nothing can follow.
pub fn judge_bytes(expect: &Expect, input: &[u8], over: bool, texts: &dyn Texts, number: u32) -> Judgement {
    if input.is_empty() {
        return match over {
            true => {
                let status = expect.failed.unwrap_or(Status::L7Invalid);
                failed(status, Why::Unreadable("TCPCHK got an empty response"))
            }
            false => Judgement::Open,
        };
    }
    if matches!(expect.pattern, Pattern::Line) {
        return match line(input) {
            Some(_) => Judgement::Passed,
            // What never comes is late, however soon that is known.
            None if over => failed(Status::L7Timeout, Why::Unreadable("")),
            None => Judgement::Open,
        };
    }
    if let Pattern::Message(message) = &expect.pattern {
        return protocol::judge(*message, input, over);
    }
    let fixed = match &expect.pattern {
        Pattern::Text(Data::Bytes(bytes)) | Pattern::Binary(Data::Bytes(bytes)) => bytes.len(),
        _ => 0,
    };
    if !over && (input.len() < fixed || expect.bytes_min.is_some_and(|min| input.len() < min)) {
        return Judgement::Open;
    }
    let found = match &expect.pattern {
        Pattern::BinaryRegex(regex) => regex.is_match(&hexadecimal(input)),
        other => match found_in(other, input, texts) {
            Ok(found) => found,
            Err(why) => return failed(Status::L7Invalid, Why::Unasked(why)),
        },
    };
    conclude(expect, found, over, || {
        let verb = if expect.negate { "matched unwanted" } else { "did not match" };
        let start = format!("TCPCHK {verb} content");
        let words = [start.as_bytes(), &object(&expect.pattern), format!(" at step {number}").as_bytes()].concat();
        failed(expect.failed.unwrap_or(Status::L7Invalid), Why::Described(words))
    })
}

/// The first line of what came, without its end. There is none behind a NUL.
pub fn line(input: &[u8]) -> Option<&[u8]> {
    let end = input.iter().position(|octet| matches!(octet, b'\r' | b'\n' | 0))?;
    (input[end] != 0).then(|| &input[..end])
}

/// Judges what came of an HTTP answer.
pub fn judge_http(expect: &Expect, answer: &Answer, over: bool, texts: &dyn Texts) -> Judgement {
    if answer.is_nonsense() {
        return failed(Status::L7Invalid, Why::Unreadable(""));
    }
    let over = over || answer.is_complete();
    let Some(head) = answer.head() else {
        return if over { failed(Status::L7Invalid, Why::Unreadable("")) } else { Judgement::Open };
    };
    let found = match &expect.pattern {
        Pattern::Status(ranges) => Ok(ranges.iter().any(|&(low, high)| (low..=high).contains(&head.status()))),
        Pattern::StatusRegex(regex) => Ok(regex.is_match(head.status().to_string().as_bytes())),
        Pattern::Field(pattern) => has_field(head, pattern, texts),
        body => return judge_body(expect, body, answer, over, texts),
    };
    match found {
        Err(why) => failed(Status::L7Invalid, Why::Unasked(why)),
        Ok(found) if found != expect.negate => Judgement::Passed,
        Ok(_) => failed(expect.failed.unwrap_or(Status::L7Status), Why::Described(head.reason().to_vec())),
    }
}

fn judge_body(expect: &Expect, pattern: &Pattern, answer: &Answer, over: bool, texts: &dyn Texts) -> Judgement {
    let status = expect.failed.unwrap_or(Status::L7Invalid);
    let body = answer.body();
    if body.is_empty() {
        let text = "HTTP content check could not find a response body";
        return if over { failed(status, Why::Described(text.into())) } else { Judgement::Open };
    }
    if !over && expect.bytes_min.is_some_and(|min| body.len() < min) {
        return Judgement::Open;
    }
    let found = match found_in(pattern, body, texts) {
        Ok(found) => found,
        Err(why) => return failed(Status::L7Invalid, Why::Unasked(why)),
    };
    conclude(expect, found, over, || {
        let text =
            if expect.negate { "HTTP check matched unwanted content" } else { "HTTP content check did not match" };
        failed(status, Why::Described(text.into()))
    })
}

/// What a search means: that nothing was found is final once nothing can follow, or where the step says how much
/// has to be there.
fn conclude(expect: &Expect, found: bool, over: bool, failed: impl FnOnce() -> Judgement) -> Judgement {
    match found != expect.negate {
        _ if !found && !over && expect.bytes_min.is_none() => Judgement::Open,
        true => Judgement::Passed,
        false => failed(),
    }
}

fn failed(status: Status, why: Why) -> Judgement {
    Judgement::Failed(status, why)
}

/// Whether a text is found, or what is wrong with the text that should be.
fn found_in(pattern: &Pattern, input: &[u8], texts: &dyn Texts) -> Result<bool, &'static str> {
    match pattern {
        Pattern::Text(data) | Pattern::Binary(data) => Ok(memchr::memmem::find(input, &wanted(data, texts)?).is_some()),
        Pattern::Regex(regex) => Ok(regex.is_match(input)),
        _ => Ok(false),
    }
}

fn wanted(data: &Data, texts: &dyn Texts) -> Result<Vec<u8>, &'static str> {
    let text = texts.text(data).ok_or(NO_DIGITS)?;
    if text.is_empty() && !matches!(data, Data::Bytes(_)) {
        return Err(EMPTY);
    }
    Ok(text)
}

fn has_field(head: &Head, pattern: &FieldPattern, texts: &dyn Texts) -> Result<bool, &'static str> {
    let name = compiled(&pattern.name, texts)?;
    let value = pattern.value.as_ref().map(|value| compiled(value, texts)).transpose()?;
    Ok(head.fields().filter(|field| is_match(&name, field.name, true)).any(|field| match &value {
        None => true,
        Some(value) if pattern.full => is_match(value, field.value, false),
        Some(value) => field.value.split(|octet| *octet == b',').any(|part| is_match(value, part.trim_ascii(), false)),
    }))
}

/// A comparison with the text that it is made with.
fn compiled<'a>(how: &'a Match, texts: &dyn Texts) -> Result<(&'a Match, Vec<u8>), &'static str> {
    Ok(match how {
        Match::Exact(data) | Match::Begin(data) | Match::End(data) | Match::Sub(data) => (how, wanted(data, texts)?),
        Match::Regex(_) => (how, Vec::new()),
    })
}

fn is_match((how, text): &(&Match, Vec<u8>), input: &[u8], any_case: bool) -> bool {
    let same = |a: &[u8]| if any_case { a.eq_ignore_ascii_case(text) } else { a == text };
    match how {
        Match::Exact(_) => same(input),
        Match::Begin(_) => input.get(..text.len()).is_some_and(same),
        Match::End(_) => input.len().checked_sub(text.len()).and_then(|at| input.get(at..)).is_some_and(same),
        Match::Sub(_) => text.is_empty() || input.windows(text.len()).any(same),
        // Regular expressions see names as HAProxy keeps them.
        Match::Regex(regex) if any_case => regex.is_match(&input.to_ascii_lowercase()),
        Match::Regex(regex) => regex.is_match(input),
    }
}

/// What was looked for, as messages about the content name it.
fn object(pattern: &Pattern) -> Vec<u8> {
    match pattern {
        Pattern::Text(Data::Bytes(text)) => [b" '", &text[..], b"'"].concat(),
        other => format!(" ({})", kind(other)).into_bytes(),
    }
}

/// What kind of thing is looked for.
fn kind(pattern: &Pattern) -> &'static str {
    match pattern {
        Pattern::Text(Data::Bytes(_)) => "string",
        Pattern::Binary(Data::Bytes(_)) => "binary",
        Pattern::Text(_) => "log-format string",
        Pattern::Binary(_) => "log-format binary",
        Pattern::BinaryRegex(_) => "binary regex",
        Pattern::Message(_) => "custom",
        Pattern::Regex(_) | Pattern::StatusRegex(_) | Pattern::Status(_) | Pattern::Field(_) => "regex",
        Pattern::Line => "line",
    }
}

/// What is looked for, as messages about connections name it: `expect string '+OK'`.
pub fn description(pattern: &Pattern) -> Vec<u8> {
    match pattern {
        Pattern::Text(Data::Bytes(text)) | Pattern::Binary(Data::Bytes(text)) => {
            // A text ends at its first NUL.
            let text = text.split(|octet| *octet == 0).next().unwrap_or_default();
            [b"expect ", kind(pattern).as_bytes(), b" '", text, b"'"].concat()
        }
        other => format!("expect {}", kind(other)).into_bytes(),
    }
}

fn hexadecimal(input: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    input.iter().flat_map(|octet| [octet >> 4, octet & 15].map(|digit| DIGITS[usize::from(digit)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use regex::bytes::Regex;

    struct Plain;

    impl Texts for Plain {
        fn text(&self, data: &Data) -> Option<Vec<u8>> {
            match data {
                Data::Bytes(bytes) => Some(bytes.to_vec()),
                _ => None,
            }
        }
    }

    fn text(text: &str) -> Data {
        Data::Bytes(text.as_bytes().into())
    }

    fn expect(negate: bool, pattern: Pattern) -> Expect {
        Expect { negate, ..Expect::new(pattern) }
    }

    fn http(expect: &Expect, answer: &str) -> Judgement {
        let mut incoming = Answer::to(b"OPTIONS", 16_384);
        for octet in answer.as_bytes().chunks(1) {
            incoming.receive(octet);
            match judge_http(expect, &incoming, false, &Plain) {
                Judgement::Open => {}
                done => return done,
            }
        }
        judge_http(expect, &incoming, true, &Plain)
    }

    fn described(status: Status, words: &str) -> Judgement {
        Judgement::Failed(status, Why::Described(words.into()))
    }

    const OK: &str = "HTTP/1.0 200 OK\r\nX-A: b, c\r\n\r\nhello";
    const MISSING: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabc";
    const EMPTY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

    #[test]
    fn statuses_can_be_listed() {
        let listed = expect(false, Pattern::Status(vec![(200, 200), (404, 410)]));
        assert_eq!(http(&listed, MISSING), Judgement::Passed);
        let unwanted = expect(true, Pattern::Status(vec![(404, 404)]));
        assert_eq!(http(&unwanted, MISSING), described(Status::L7Status, "Not Found"));
        let regex = expect(true, Pattern::StatusRegex(Regex::new("^5").unwrap()));
        assert_eq!(http(&regex, OK), Judgement::Passed);
        assert_eq!(http(&regex, "garbage\r\n\r\n"), failed(Status::L7Invalid, Why::Unreadable("")));
        assert_eq!(http(&regex, ""), failed(Status::L7Invalid, Why::Unreadable("")));
    }

    #[test]
    fn bodies_can_be_searched() {
        let wanted = expect(false, Pattern::Text(text("hello")));
        assert_eq!(http(&wanted, OK), Judgement::Passed);
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
        assert_eq!(http(&wanted, chunked), Judgement::Passed);
        assert_eq!(http(&wanted, MISSING), described(Status::L7Invalid, "HTTP content check did not match"));
        let nothing = "HTTP content check could not find a response body";
        assert_eq!(http(&wanted, EMPTY), described(Status::L7Invalid, nothing));
        let unwanted = expect(true, Pattern::Regex(Regex::new("^[a-z]").unwrap()));
        assert_eq!(http(&unwanted, OK), described(Status::L7Invalid, "HTTP check matched unwanted content"));
        assert_eq!(http(&expect(true, Pattern::Text(text("nothere"))), OK), Judgement::Passed);
    }

    #[test]
    fn fields_are_found_by_name_and_value() {
        let field = |name: Match, value: Option<Match>, full| {
            http(&expect(false, Pattern::Field(Box::new(FieldPattern { name, value, full }))), OK) == Judgement::Passed
        };
        let name = || Match::Exact(text("x-a"));
        assert!(field(name(), None, false) && field(name(), Some(Match::Exact(text("c"))), false));
        assert!(!field(name(), Some(Match::Exact(text("c"))), true));
        assert!(field(Match::End(text("-A")), Some(Match::Begin(text("b,"))), true));
        assert!(field(Match::Sub(text("-")), Some(Match::Regex(Regex::new("^[cd]$").unwrap())), false));
        assert!(!field(Match::Begin(text("x-aa")), None, false));
    }

    #[test]
    fn bytes_are_waited_for_until_they_tell() {
        let judge = |expect: &Expect, input: &str, over| judge_bytes(expect, input.as_bytes(), over, &Plain, 2);
        let plain = expect(false, Pattern::Text(text("+OK")));
        assert_eq!(judge(&plain, "-ERR", false), Judgement::Open);
        assert_eq!(
            judge(&plain, "-ERR", true),
            described(Status::L7Invalid, "TCPCHK did not match content '+OK' at step 2")
        );
        let empty = Why::Unreadable("TCPCHK got an empty response");
        assert_eq!(judge(&plain, "", true), failed(Status::L7Invalid, empty));
        let regex = |bytes_min| Expect { bytes_min, ..Expect::new(Pattern::Regex(Regex::new("^ab").unwrap())) };
        assert_eq!(judge(&regex(None), "xab", false), Judgement::Open);
        assert_eq!(judge(&regex(Some(4)), "abx", false), Judgement::Open);
        let words = "TCPCHK did not match content (regex) at step 2";
        assert_eq!(judge(&regex(Some(0)), "xab", false), described(Status::L7Invalid, words));
        let unwanted = expect(true, Pattern::BinaryRegex(Regex::new("^2B4F").unwrap()));
        let words = "TCPCHK matched unwanted content (binary regex) at step 2";
        assert_eq!(judge(&unwanted, "+OK", false), described(Status::L7Invalid, words));
        assert_eq!((judge(&unwanted, "-", false), judge(&unwanted, "-", true)), (Judgement::Open, Judgement::Passed));
    }

    #[test]
    fn lines_end_before_any_nul() {
        let line_of = |input: &[u8], over| judge_bytes(&Expect::new(Pattern::Line), input, over, &Plain, 2);
        assert_eq!(line_of(b"up\r", false), Judgement::Passed);
        assert_eq!(line_of(b"up\n\0", false), Judgement::Passed);
        for unfinished in [&b"up"[..], b"up\0\n", b"\0\0"] {
            assert_eq!(line_of(unfinished, false), Judgement::Open);
            assert_eq!(line_of(unfinished, true), failed(Status::L7Timeout, Why::Unreadable("")));
        }
    }

    #[test]
    fn messages_quote_octets_to_the_first_nul_or_not_at_all() {
        let binary = Pattern::Binary(Data::Bytes(b"a\0b".as_slice().into()));
        assert_eq!((object(&binary), description(&binary)), (" (binary)".into(), "expect binary 'a'".into()));
    }
}
