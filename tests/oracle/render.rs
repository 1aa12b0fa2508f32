//! Bytes made readable: one line of text for each line on the wire, header names in lower case, chunked
//! bodies taken apart (how data is cut into chunks depends on timing, on both sides).

use super::support::message::{self, Kind, Progress};

/// Longer lines are shown by their beginning, length and checksum.
const LINE_BYTES_MAX: usize = 300;

/// All messages of a stream; what is not a message is shown as it is.
pub fn stream(bytes: &[u8], kind: Kind) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        match message::progress(rest, kind) {
            Progress::Complete(len) => {
                lines.extend(message(&rest[..len], kind));
                rest = &rest[len..];
            }
            Progress::Partial | Progress::UntilClose => {
                lines.extend(message(rest, kind));
                break;
            }
            Progress::Nonsense => {
                lines.extend(text(rest));
                break;
            }
        }
    }
    lines
}

/// One message, complete or not.
pub fn message(bytes: &[u8], kind: Kind) -> Vec<String> {
    let Some(head_len) = message::head_len(bytes) else {
        return text(bytes);
    };
    let (head, body) = bytes.split_at(head_len);
    let mut lines = head_text(head);
    if message::is_chunked(head) && !message::bodyless(head, kind) {
        let chunks = message::chunks(body);
        if chunks.nonsense {
            lines.extend(text(body));
            return lines;
        }
        lines.push("[chunked]".to_owned());
        lines.extend(text(&chunks.data));
        lines.extend(head_text(&chunks.trailers));
        lines.push(match chunks.len {
            Some(_) => "[last chunk]".to_owned(),
            None => "[no last chunk]".to_owned(),
        });
    } else {
        lines.extend(text(body));
    }
    lines
}

/// Lines of a head, names in lower case.
fn head_text(head: &[u8]) -> Vec<String> {
    let mut lines = text(head);
    for line in &mut lines {
        let name = line
            .find(':')
            .filter(|end| line[..*end].bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        if let Some(end) = name {
            line[..end].make_ascii_lowercase();
        }
    }
    lines
}

/// Plain bytes, a line each.
pub fn text(bytes: &[u8]) -> Vec<String> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    lines.map(line).collect()
}

/// Unprintable bytes as escapes; quotes as they are.
pub fn readable(bytes: &[u8]) -> String {
    let escaped = bytes.escape_ascii().to_string();
    escaped.replace("\\\"", "\"").replace("\\'", "'")
}

fn line(bytes: &[u8]) -> String {
    if bytes.len() <= LINE_BYTES_MAX {
        return readable(bytes);
    }
    let sum = name_lowered(bytes)
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    let start = bytes[..60].escape_ascii();
    format!("{start}... [{} bytes, checksum {sum:016x}]", bytes.len())
}

/// A header line with its name in lower case; any other line as it is.
fn name_lowered(bytes: &[u8]) -> Vec<u8> {
    let mut line = bytes.to_vec();
    if let Some(colon) = line.iter().position(|byte| *byte == b':') {
        line[..colon].make_ascii_lowercase();
    }
    line
}
