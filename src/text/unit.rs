//! Numbers with units: times (section 2.5), sizes, integers and names.

/// Longest time that HAProxy takes, in milliseconds (about 24.8 days).
pub const TIME_MS_MAX: u64 = i32::MAX as u64;

/// Unit of a time written without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// Microseconds.
    Us,
    /// Milliseconds.
    Ms,
    /// Seconds.
    S,
}

/// Why a time or a size is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitError {
    /// A character that belongs to no number and no unit.
    Unexpected(char),
    /// Larger than what can be held.
    Overflow,
    /// Not zero, but less than the smallest step.
    Underflow,
}

impl UnitError {
    /// The message of `timeout` and its like; `what` names the setting, `value` is what was given.
    #[must_use]
    pub fn timer(self, value: &str, what: &str) -> String {
        match self {
            UnitError::Unexpected(c) => format!("unexpected character '{c}' in {what}"),
            UnitError::Overflow => format!(
                "timer overflow in argument '{value}' to {what} (maximum value is {TIME_MS_MAX} ms or ~24.8 days)"
            ),
            UnitError::Underflow => {
                format!("timer underflow in argument '{value}' to {what} (minimum non-null value is 1 ms)")
            }
        }
    }
}

impl UnitError {
    /// The message of keywords that speak of `argument to <what>`; `name` is used for limits.
    #[must_use]
    pub fn argument(self, value: &str, what: &str, name: &str) -> String {
        match self {
            UnitError::Unexpected(c) => format!("unexpected character '{c}' in argument to {what}."),
            UnitError::Overflow => format!(
                "timer overflow in argument '{value}' to {name} (maximum value is {TIME_MS_MAX} ms or ~24.8 days)."
            ),
            UnitError::Underflow => {
                format!("timer underflow in argument '{value}' to {name} (minimum non-null value is 1 ms).")
            }
        }
    }
}

/// A time in milliseconds, rounded up; `default` is the unit of a bare number.
///
/// As HAProxy does, what follows a complete unit is not looked at (`1h30m` is one hour).
///
/// # Errors
/// [`UnitError`]: no digits, an unknown unit, or more than [`TIME_MS_MAX`].
pub fn time_ms(text: &str, default: TimeUnit) -> Result<u32, UnitError> {
    let us = time_us(text, default)?;
    let ms = us.div_ceil(1000);
    if ms > u128::from(TIME_MS_MAX) {
        return Err(UnitError::Overflow);
    }
    // Just checked to be less than 2^31.
    Ok(ms as u32)
}

/// A time in seconds, rounded up.
///
/// # Errors
/// As [`time_ms`], with room for 2^31 seconds.
pub fn time_s(text: &str, default: TimeUnit) -> Result<u32, UnitError> {
    let s = time_us(text, default)?.div_ceil(1_000_000);
    u32::try_from(s).ok().filter(|s| *s <= i32::MAX as u32).ok_or(UnitError::Overflow)
}

/// The character that follows a time's unit, where one does.
#[must_use]
pub fn after_time(text: &str) -> Option<char> {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let rest = ["us", "ms"].iter().find_map(|unit| rest.strip_prefix(unit)).or_else(|| rest.get(1..))?;
    rest.chars().next()
}

fn time_us(text: &str, default: TimeUnit) -> Result<u128, UnitError> {
    let (value, rest) = leading_digits(text)?;
    let scale: u128 = match rest.as_bytes() {
        [] => match default {
            TimeUnit::Us => 1,
            TimeUnit::Ms => 1_000,
            TimeUnit::S => 1_000_000,
        },
        [b'u', b's', ..] => 1,
        [b'm', b's', ..] => 1_000,
        [b's', ..] => 1_000_000,
        [b'm', ..] => 60_000_000,
        [b'h', ..] => 3_600_000_000,
        [b'd', ..] => 86_400_000_000,
        _ => return Err(UnitError::Unexpected(first_char(rest))),
    };
    value.checked_mul(scale).ok_or(UnitError::Overflow)
}

/// A size in bytes: a number and perhaps `k`, `m` or `g` (powers of 1024).
///
/// # Errors
/// [`UnitError`]: no digits, an unknown unit, more than 2^64.
pub fn size(text: &str) -> Result<u64, UnitError> {
    let (value, rest) = leading_digits(text)?;
    let shift = match rest.as_bytes() {
        [] => 0,
        [b'k' | b'K'] => 10,
        [b'm' | b'M'] => 20,
        [b'g' | b'G'] => 30,
        [b'k' | b'K' | b'm' | b'M' | b'g' | b'G', ..] => {
            return Err(UnitError::Unexpected(second_char(rest)));
        }
        _ => return Err(UnitError::Unexpected(first_char(rest))),
    };
    value.checked_mul(1 << shift).and_then(|v| u64::try_from(v).ok()).ok_or(UnitError::Overflow)
}

fn first_char(text: &str) -> char {
    text.chars().next().unwrap_or('\0')
}

fn second_char(text: &str) -> char {
    text.chars().nth(1).unwrap_or('\0')
}

fn leading_digits(text: &str) -> Result<(u128, &str), UnitError> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if digits == 0 {
        return Err(UnitError::Unexpected(first_char(text)));
    }
    let value = text[..digits].parse().map_err(|_| UnitError::Overflow)?;
    Ok((value, &text[digits..]))
}

/// A number as C's `atol` reads it: blanks, a sign, digits; the rest is ignored and no digits are
/// 0. HAProxy takes most of its counts this way, and so `10k` means 10.
#[must_use]
pub fn atol(text: &str) -> i64 {
    let text = text.trim_start_matches(|c: char| c.is_ascii_whitespace());
    let (negative, digits) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    let mut value: i64 = 0;
    for byte in digits.bytes().take_while(u8::is_ascii_digit) {
        value = value.saturating_mul(10).saturating_add(i64::from(byte - b'0'));
    }
    if negative { -value } else { value }
}

/// As [`atol`], kept in 32 bits the way C's `atoi` does.
#[must_use]
pub fn atoi(text: &str) -> i32 {
    // Truncation is what the C conversion does.
    atol(text) as i32
}

/// An error of the system in the C library's words, without the number that Rust appends.
pub fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    let number = error.raw_os_error().map(|number| format!(" (os error {number})"));
    number.and_then(|suffix| text.strip_suffix(&suffix).map(str::to_owned)).unwrap_or(text)
}

/// The C library's words for an error number.
#[must_use]
pub fn os_error(errno: i32) -> String {
    reason(&std::io::Error::from_raw_os_error(errno))
}

/// An integer with nothing behind it.
#[must_use]
pub fn integer(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// The first character that a proxy's, server's or ACL's name may not have (section 4):
/// letters, digits, `-`, `_`, `.` and `:` are allowed.
#[must_use]
pub fn invalid_char(name: &str) -> Option<char> {
    name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let ms = |t| time_ms(t, TimeUnit::Ms);
        assert_eq!(ms("10"), Ok(10));
        assert_eq!(ms("10s"), Ok(10_000));
        assert_eq!(ms("2m"), Ok(120_000));
        assert_eq!(ms("1h30m"), Ok(3_600_000));
        assert_eq!(ms("10mx"), Ok(600_000));
        assert_eq!(ms("5u"), Err(UnitError::Unexpected('u')));
        assert_eq!(ms("1d"), Ok(86_400_000));
        assert_eq!(ms("7ms"), Ok(7));
        assert_eq!(ms("100us"), Ok(1));
        assert_eq!(ms("0"), Ok(0));
        assert_eq!(time_ms("30", TimeUnit::S), Ok(30_000));
        assert_eq!(time_s("90000ms", TimeUnit::S), Ok(90));
        assert_eq!(ms("2147483647"), Ok(i32::MAX as u32));
    }

    #[test]
    fn wrong_times_are_told_as_haproxy_tells_them() {
        let told = |t: &str| time_ms(t, TimeUnit::Ms).unwrap_err().timer(t, "'timeout client'");
        assert_eq!(told("10x"), "unexpected character 'x' in 'timeout client'");
        assert_eq!(told("s"), "unexpected character 's' in 'timeout client'");
        assert_eq!(told("1.5s"), "unexpected character '.' in 'timeout client'");
        assert_eq!(told("-1"), "unexpected character '-' in 'timeout client'");
        assert_eq!(
            told("25d"),
            "timer overflow in argument '25d' to 'timeout client' (maximum value is 2147483647 ms or ~24.8 days)"
        );
        assert_eq!(time_ms(&"9".repeat(60), TimeUnit::Ms), Err(UnitError::Overflow));
        assert_eq!(time_ms("", TimeUnit::Ms), Err(UnitError::Unexpected('\0')));
    }

    #[test]
    fn sizes_and_plain_numbers() {
        assert_eq!(size("10k"), Ok(10_240));
        assert_eq!(size("1g"), Ok(1 << 30));
        assert_eq!(size("5x"), Err(UnitError::Unexpected('x')));
        assert_eq!(size("5kb"), Err(UnitError::Unexpected('b')));
        assert_eq!(atol(" -12x"), -12);
        assert_eq!(atol("x"), 0);
        assert_eq!(atoi("99999999999"), 1_215_752_191);
    }

    #[test]
    fn names_have_few_characters() {
        assert_eq!(invalid_char("a-B_1.x:y"), None);
        assert_eq!(invalid_char("a/b"), Some('/'));
        assert_eq!(invalid_char("é"), Some('é'));
    }
}
