//! Framing of HTTP/1 messages as a lenient peer sees it: where a message ends, and what its body is.
//! Written for tests only, apart from the proxy's own parser on purpose.

/// What kind of message is expected; it decides which messages have no body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A request: no body without Content-Length or Transfer-Encoding.
    Request,
    /// A response to anything but HEAD.
    Response,
    /// A response to HEAD: never a body.
    HeadResponse,
}

/// How far a message has arrived.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Progress {
    /// More bytes are needed, how many is not known.
    Partial,
    /// The message takes this many bytes of the buffer.
    Complete(usize),
    /// A response whose body lasts until the connection is closed.
    UntilClose,
    /// Not a message.
    Nonsense,
}

/// The chunks of a body as far as they have arrived.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct Chunks {
    /// Their data, put together.
    pub data: Vec<u8>,
    /// Trailer lines after the last chunk, line ends included, without the empty line.
    pub trailers: Vec<u8>,
    /// Octets after the head that the body takes, once its end has been seen.
    pub len: Option<usize>,
    /// True when the bytes are not chunks.
    pub nonsense: bool,
}

/// Octets of the head, its empty line included; `None` while that has not arrived.
pub fn head_len(bytes: &[u8]) -> Option<usize> {
    let mut line_start = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if *byte == b'\n' {
            let line = &bytes[line_start..at];
            if line_start > 0 && (line.is_empty() || line == b"\r") {
                return Some(at + 1);
            }
            line_start = at + 1;
        }
    }
    None
}

/// The status code in the first line of a response.
pub fn status(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\n').next()?;
    let text = std::str::from_utf8(line).ok()?;
    let mut words = text.split_whitespace();
    words.next()?.starts_with("HTTP/").then_some(())?;
    words.next()?.parse().ok()
}

/// Whether the first line is that of a request.
pub fn is_request(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let (_method, _target, version) = (words.next(), words.next(), words.next());
    version.is_some_and(|version| version.starts_with(b"HTTP/"))
}

/// The values of a header, trimmed, in their order.
pub fn header<'a>(head: &'a [u8], name: &'a str) -> impl Iterator<Item = &'a str> {
    head.split(|byte| *byte == b'\n')
        .skip(1)
        .filter_map(|line| std::str::from_utf8(line).ok()?.split_once(':'))
        .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// True when the head says that the body comes in chunks.
pub fn is_chunked(head: &[u8]) -> bool {
    header(head, "transfer-encoding").any(|value| value.to_ascii_lowercase().contains("chunked"))
}

/// Whether a message with this head never has a body.
pub fn bodyless(head: &[u8], kind: Kind) -> bool {
    match kind {
        Kind::Request => false,
        Kind::HeadResponse => true,
        Kind::Response => matches!(status(head), Some(100..=199 | 204 | 304)),
    }
}

/// How far the first message in `bytes` has arrived.
pub fn progress(bytes: &[u8], kind: Kind) -> Progress {
    let Some(head_len) = head_len(bytes) else {
        return Progress::Partial;
    };
    let head = &bytes[..head_len];
    let looks_right = match kind {
        Kind::Request => is_request(head),
        Kind::Response | Kind::HeadResponse => status(head).is_some(),
    };
    if !looks_right {
        return Progress::Nonsense;
    }
    if bodyless(head, kind) {
        return Progress::Complete(head_len);
    }
    if is_chunked(head) {
        let chunks = chunks(&bytes[head_len..]);
        return match chunks.len {
            Some(len) => Progress::Complete(head_len + len),
            None if chunks.nonsense => Progress::Nonsense,
            None => Progress::Partial,
        };
    }
    let length = header(head, "content-length").next().map(str::parse);
    match length {
        Some(Ok(length)) if bytes.len() - head_len >= length => Progress::Complete(head_len + length),
        Some(Ok(_)) => Progress::Partial,
        Some(Err(_)) => Progress::Nonsense,
        None if kind == Kind::Request => Progress::Complete(head_len),
        None => Progress::UntilClose,
    }
}

/// Takes a chunked body apart.
pub fn chunks(bytes: &[u8]) -> Chunks {
    let mut chunks = Chunks::default();
    let mut at = 0;
    while let Some(line_len) = line_len(&bytes[at..]) {
        let line = String::from_utf8_lossy(&bytes[at..at + line_len]);
        let size = line.split(';').next().unwrap_or_default().trim();
        let Ok(size) = usize::from_str_radix(size, 16) else {
            chunks.nonsense = true;
            return chunks;
        };
        at += line_len;
        if size == 0 {
            let trailers = at;
            while let Some(len) = self::line_len(&bytes[at..]) {
                at += len;
                if len <= 2 && matches!(&bytes[at - len..at], b"\n" | b"\r\n") {
                    chunks.trailers = bytes[trailers..at - len].to_vec();
                    chunks.len = Some(at);
                    break;
                }
            }
            return chunks;
        }
        let rest = &bytes[at..];
        chunks.data.extend_from_slice(&rest[..size.min(rest.len())]);
        at = bytes.len().min(at + size);
        match bytes[at..] {
            [b'\r', b'\n', ..] => at += 2,
            [b'\n', ..] => at += 1,
            [] | [b'\r'] => return chunks,
            _ => {
                chunks.nonsense = true;
                return chunks;
            }
        }
    }
    chunks
}

fn line_len(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1)
}
