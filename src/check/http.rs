//! The answer to an HTTP check and what is expected of it (manual 4.2, `option httpchk`,
//! `http-check expect`).

use super::result::Status;
use crate::h1::framing::{self, Asked, Framing};
use crate::h1::{self, BodyDecoder, Limits, Parsed};
use crate::http::{Head, Method};
use crate::proxy::HttpCheck;
use crate::proxy::check::{ExpectWhat, HttpExpect};

/// An answer that is arriving.
#[derive(Debug, Default)]
pub struct Answer {
    /// What came and is not dealt with.
    raw: Vec<u8>,
    head: Option<Box<Head>>,
    decoder: BodyDecoder,
    body: Vec<u8>,
}

/// What is known of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Nothing yet: more has to come.
    Open,
    /// This: status, code, details.
    Final(Status, u16, String),
}

impl Answer {
    /// Takes what came from the server; `over` when nothing follows. `is_up` says what the server has been
    /// so far, which matters to `disable-on-404`.
    pub fn receive(&mut self, check: &HttpCheck, bytes: &[u8], over: bool, is_up: bool) -> Judgement {
        self.raw.extend_from_slice(bytes);
        if self.head.is_none() && !self.take_head(check) {
            // The server closed before there was an answer, or this is none and never will be.
            return if over || self.raw.len() >= check.answer_bytes_max() { invalid("") } else { Judgement::Open };
        }
        let Some(head) = &self.head else { return invalid("") };
        if check.disable_on_404 && is_up && head.status() == 404 {
            return Judgement::Final(Status::L7Conditional, 404, String::new());
        }
        let well = match &check.expect {
            None => (200..400).contains(&head.status()),
            Some(HttpExpect { negate, what: ExpectWhat::Status(ranges) }) => {
                ranges.iter().any(|&(low, high)| (low..=high).contains(&head.status())) != *negate
            }
            Some(HttpExpect { negate, what: ExpectWhat::StatusRegex(regex) }) => {
                regex.is_match(head.status().to_string().as_bytes()) != *negate
            }
            Some(expect) => return self.judge_body(expect, check.answer_bytes_max(), over),
        };
        match well {
            true => Judgement::Final(Status::L7Passed, head.status(), String::new()),
            false => {
                let reason = String::from_utf8_lossy(head.reason()).into_owned();
                Judgement::Final(Status::L7Status, head.status(), reason)
            }
        }
    }

    /// Reads the head once it is complete. False if it is not, or never will be: then nothing is left to
    /// wait for, and the answer counts as full.
    fn take_head(&mut self, check: &HttpCheck) -> bool {
        let mut head = Box::new(Head::new());
        let method = check.request.split(|octet| *octet == b' ').next().unwrap_or_default();
        let asked = Asked { method: Method::classify(method), upgrade: false };
        let framed = match h1::parse_response(&self.raw, &mut head, &Limits::default()) {
            Ok(Parsed::Partial) => return false,
            Ok(Parsed::Complete { head_bytes }) => {
                self.raw.drain(..head_bytes);
                // A 101 that nobody asked for is no error here but a status to be judged.
                if head.status() == 101 { Ok(Framing::default()) } else { framing::response(&mut head, &asked) }
            }
            Err(error) => Err(error),
        };
        match framed {
            Ok(framing) => {
                self.decoder = BodyDecoder::new(framing.body);
                self.head = Some(head);
                true
            }
            Err(_) => {
                self.raw.resize(check.answer_bytes_max(), 0);
                false
            }
        }
    }

    fn judge_body(&mut self, expect: &HttpExpect, max: usize, over: bool) -> Judgement {
        let Ok(complete) = self.take_body() else { return invalid("") };
        let complete = complete || over || self.body.len() >= max;
        if self.body.is_empty() {
            return if complete {
                invalid("HTTP content check could not find a response body")
            } else {
                Judgement::Open
            };
        }
        let found = match &expect.what {
            ExpectWhat::Body(text) => memchr::memmem::find(&self.body, text).is_some(),
            ExpectWhat::BodyRegex(regex) => regex.is_match(&self.body),
            ExpectWhat::Status(_) | ExpectWhat::StatusRegex(_) => false,
        };
        let code = self.head.as_ref().map_or(0, |head| head.status());
        match (found, expect.negate) {
            (true, true) => invalid("HTTP check matched unwanted content"),
            (false, _) if !complete => Judgement::Open,
            (false, false) => invalid("HTTP content check did not match"),
            (true, false) | (false, true) => Judgement::Final(Status::L7Passed, code, String::new()),
        }
    }

    /// Moves payload from the raw octets to the body; whether the message is complete.
    fn take_body(&mut self) -> Result<bool, h1::ParseError> {
        let mut at = 0;
        while !self.decoder.is_done() {
            let rest = self.raw.get(at..).unwrap_or_default();
            let piece = self.decoder.next(rest)?;
            self.body.extend_from_slice(&rest[piece.framing..piece.framing + piece.payload]);
            at += piece.consumed();
            if piece.consumed() == 0 {
                break;
            }
        }
        self.raw.drain(..at);
        Ok(self.decoder.is_done())
    }
}

fn invalid(info: &str) -> Judgement {
    Judgement::Final(Status::L7Invalid, 0, info.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use regex::bytes::Regex;

    fn check(what: Option<(bool, ExpectWhat)>) -> HttpCheck {
        let expect = what.map(|(negate, what)| HttpExpect { negate, what });
        HttpCheck { request: b"OPTIONS / HTTP/1.0\r\n\r\n".to_vec(), expect, disable_on_404: false, answer_bytes: None }
    }

    /// The judgement after all octets, one at a time, then the close.
    fn judge(check: &HttpCheck, answer: &str) -> (Status, u16, String) {
        let mut incoming = Answer::default();
        let octets = answer.as_bytes().chunks(1).map(|octet| (octet, false)).chain([(&b""[..], true)]);
        for (octet, over) in octets {
            if let Judgement::Final(status, code, info) = incoming.receive(check, octet, over, true) {
                return (status, code, info);
            }
        }
        panic!("no judgement after the close");
    }

    const OK: &str = "HTTP/1.0 200 OK\r\n\r\nhello";
    const ERROR: &str = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";
    const MISSING: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabc";

    #[test]
    fn two_and_three_hundreds_pass_by_default() {
        let check = check(None);
        assert_eq!(judge(&check, OK), (Status::L7Passed, 200, String::new()));
        assert_eq!(judge(&check, "HTTP/1.1 302 Found\r\n\r\n").0, Status::L7Passed);
        assert_eq!(judge(&check, ERROR), (Status::L7Status, 500, "Internal Server Error".into()));
        assert_eq!(judge(&check, "HTTP/1.1 500 \r\n\r\n"), (Status::L7Status, 500, String::new()));
        assert_eq!(judge(&check, "HTTP/1.1 101 Switching\r\n\r\n"), (Status::L7Status, 101, "Switching".into()));
    }

    #[test]
    fn what_is_not_http_is_invalid() {
        for answer in ["", "garbage\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nab", "HTTP/1.0 200"] {
            assert_eq!(judge(&check(None), answer), (Status::L7Invalid, 0, String::new()), "{answer:?}");
        }
    }

    #[test]
    fn statuses_can_be_listed() {
        let listed = check(Some((false, ExpectWhat::Status(vec![(200, 200), (404, 410)]))));
        assert_eq!(judge(&listed, MISSING), (Status::L7Passed, 404, String::new()));
        assert_eq!(judge(&listed, ERROR).0, Status::L7Status);
        let unwanted = check(Some((true, ExpectWhat::Status(vec![(404, 404)]))));
        assert_eq!(judge(&unwanted, MISSING), (Status::L7Status, 404, "Not Found".into()));
        let regex = check(Some((true, ExpectWhat::StatusRegex(Regex::new("^5").unwrap()))));
        assert_eq!(judge(&regex, OK).0, Status::L7Passed);
        assert_eq!(judge(&regex, ERROR).0, Status::L7Status);
    }

    #[test]
    fn a_404_can_take_a_running_server_out_softly() {
        let check = HttpCheck { disable_on_404: true, ..check(Some((false, ExpectWhat::Body(b"hello".to_vec())))) };
        assert_eq!(judge(&check, MISSING), (Status::L7Conditional, 404, String::new()));
        let down = Answer::default().receive(&check, MISSING.as_bytes(), true, false);
        assert_eq!(down, invalid("HTTP content check did not match"));
    }

    #[test]
    fn bodies_can_be_searched() {
        let wanted = check(Some((false, ExpectWhat::Body(b"hello".to_vec()))));
        assert_eq!(judge(&wanted, OK), (Status::L7Passed, 200, String::new()));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
        assert_eq!(judge(&wanted, chunked).0, Status::L7Passed);
        assert_eq!(judge(&wanted, MISSING), (Status::L7Invalid, 0, "HTTP content check did not match".into()));
        let nothing = (Status::L7Invalid, 0, "HTTP content check could not find a response body".into());
        assert_eq!(judge(&wanted, ERROR), nothing);
        let unwanted = check(Some((true, ExpectWhat::BodyRegex(Regex::new("^[a-z]").unwrap()))));
        assert_eq!(judge(&unwanted, OK), (Status::L7Invalid, 0, "HTTP check matched unwanted content".into()));
        let absent = check(Some((true, ExpectWhat::Body(b"nothere".to_vec()))));
        assert_eq!(judge(&absent, OK), (Status::L7Passed, 200, String::new()));
    }
}
