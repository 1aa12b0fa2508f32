//! Comma-separated values of a field, as HAProxy's `hdr` family counts them, and the choice of an
//! occurrence from either end.

/// The comma-separated values of one field value, blanks around each removed. Commas inside double
/// quotes do not separate (RFC 9110 5.6.1). A field without a value is one empty value.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Values<'a> {
    /// The values in `value`, a whole field value.
    pub fn new(value: &'a [u8]) -> Values<'a> {
        Values { rest: Some(value) }
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let end = value_end(rest);
        self.rest = rest.get(end + 1..);
        Some(rest[..end].trim_ascii())
    }
}

/// Where the first value of `text` ends: at a comma outside quotes, or at the end.
fn value_end(text: &[u8]) -> usize {
    match memchr::memchr2(b',', b'"', text) {
        None => text.len(),
        Some(at) if text[at] == b',' => at,
        Some(_) => quoted_end(text),
    }
}

fn quoted_end(text: &[u8]) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return at,
            _ => {}
        }
    }
    text.len()
}

/// The `occurrence`th item, 1 the first, -1 the last; 0 is none.
pub fn pick<T>(mut items: impl DoubleEndedIterator<Item = T>, occurrence: i32) -> Option<T> {
    match occurrence {
        0 => None,
        1.. => items.nth(occurrence as usize - 1),
        _ => items.nth_back(occurrence.unsigned_abs() as usize - 1),
    }
}
