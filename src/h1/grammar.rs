//! Classes of bytes.

/// Whether this is a character of a token (RFC 9110 5.6.2): methods and field names.
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

/// A character of a version, as HAProxy reads one before it looks closer.
pub(super) fn is_version(byte: u8) -> bool {
    byte.is_ascii_digit() || byte.is_ascii_uppercase() || matches!(byte, b'.' | b'/')
}

/// Space or tab.
pub(super) fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// A character that ends a line or begins its end.
pub(super) fn is_line_end(byte: u8) -> bool {
    byte == b'\r' || byte == b'\n'
}

/// Whether a byte may stand in a request target. Printable ASCII without `#` is always fine;
/// `lenient` adds `#` and everything from 0x80 (`option accept-invalid-http-request`).
pub(super) fn is_target(byte: u8, lenient: bool) -> bool {
    match byte {
        b'#' | 0x80.. => lenient,
        0x21..=0x7e => true,
        _ => false,
    }
}
