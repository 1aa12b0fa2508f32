//! A reader of answers that shares no code with the proxy's own.

/// What stands at the beginning of a text.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// A whole answer, interim or final, of so many bytes.
    Whole {
        /// How many.
        bytes: usize,
    },
    /// An answer that ends with the connection.
    UntilClose,
    /// The beginning of an answer.
    Cut,
    /// None.
    Nonsense,
}

/// Reads one answer.
pub fn read_answer(text: &str, head_only: bool) -> Answer {
    let start = "HTTP/1.";
    if text.len() < start.len() && start.starts_with(text) {
        return Answer::Cut;
    }
    if !text.starts_with(start) {
        return Answer::Nonsense;
    }
    let Some(head) = text.find("\r\n\r\n") else { return Answer::Cut };
    let body = &text[head + 4..];
    let fields = text[..head].to_ascii_lowercase();
    let value = |name: &str| fields.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim));
    let status = &text[9..12];
    if status == "101" {
        return Answer::UntilClose;
    }
    let body_bytes = if head_only || status.starts_with('1') || matches!(status, "204" | "304") {
        Some(0)
    } else if value("transfer-encoding") == Some("chunked") {
        chunks(body)
    } else if let Some(length) = value("content-length") {
        length.parse().ok().filter(|&length: &usize| length <= body.len())
    } else {
        return Answer::UntilClose;
    };
    body_bytes.map_or(Answer::Cut, |bytes| Answer::Whole { bytes: head + 4 + bytes })
}

/// Bytes of a chunked body with its trailers, when it is whole.
fn chunks(body: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = body[at..].find("\r\n")?;
        let digits = body[at..at + line].split(';').next()?.trim();
        let size = usize::from_str_radix(digits, 16).ok()?;
        at += line + 2;
        if size == 0 {
            return trailers(body, at);
        }
        at += size + 2;
        if at > body.len() {
            return None;
        }
    }
}

fn trailers(body: &str, mut at: usize) -> Option<usize> {
    loop {
        let line = body[at..].find("\r\n")?;
        at += line + 2;
        if line == 0 {
            return Some(at);
        }
    }
}
