//! The quoted strings of scripts: `"GET / HTTP/1.1\r\n" "a"*5000 "\x00"`.

/// Turns a sequence of quoted strings, each with an optional `*COUNT`, into bytes.
pub fn parse(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let inner = rest.strip_prefix('"').ok_or_else(|| format!("a quoted string was expected at: {rest}"))?;
        let end = closing_quote(inner).ok_or_else(|| format!("no closing quote: {rest}"))?;
        let piece = unescape(&inner[..end])?;
        rest = &inner[end + 1..];
        let mut count = 1;
        if let Some(after) = rest.strip_prefix('*') {
            let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
            count = after[..digits].parse().map_err(|_| format!("a count was expected at: {after}"))?;
            rest = &after[digits..];
        }
        for _ in 0..count {
            bytes.extend_from_slice(&piece);
        }
        rest = rest.trim_start();
    }
    Ok(bytes)
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

/// Resolves `\r \n \t \0 \\ \" \xHH`.
pub fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut chars = text.bytes();
    while let Some(byte) = chars.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match chars.next() {
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'0') => 0,
            Some(quoted @ (b'\\' | b'"')) => quoted,
            Some(b'x') => {
                let digits = [chars.next().unwrap_or(0), chars.next().unwrap_or(0)];
                let digits = std::str::from_utf8(&digits).unwrap_or_default();
                u8::from_str_radix(digits, 16).map_err(|_| format!("a bad \\x in: {text}"))?
            }
            _ => return Err(format!("an unknown escape in: {text}")),
        });
    }
    Ok(bytes)
}
