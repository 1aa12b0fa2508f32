//! Weights and limits as operators and agents write them (management manual 9.3, `set weight`, `set maxconn
//! server`; manual 5.2, `agent-check`).

/// Highest weight of a server (manual 5.2, `weight`).
const WEIGHT_MAX: u32 = 256;

/// A weight, or a share of the `initial` one in percent; other weights than all and nothing only where the
/// algorithm is `dynamic`.
///
/// # Errors
/// What is wrong with the word.
pub fn weight(word: &str, initial: u32, dynamic: bool) -> Result<u32, &'static str> {
    if word.is_empty() {
        return Err("Require <weight> or <weight%>.\n");
    }
    let (number, rest) = leading_number(word).ok_or("Empty weight string empty or preceded by garbage")?;
    let number = match rest {
        "" => number,
        "%" if number < 0 => return Err("Relative weight must be positive.\n"),
        "%" => (i64::from(initial).saturating_mul(number) / 100).min(i64::from(WEIGHT_MAX)),
        _ => return Err("Trailing garbage in weight string"),
    };
    let weight = u32::try_from(number).ok().filter(|&weight| weight <= WEIGHT_MAX);
    let weight = weight.ok_or("Absolute weight can only be between 0 and 256 inclusive.\n")?;
    if !dynamic && weight != 0 && weight != initial {
        return Err("Backend is using a static LB algorithm and only accepts weights '0%' and '100%'.\n");
    }
    Ok(weight)
}

/// A limit of connections; `None` for none.
///
/// # Errors
/// What is wrong with the word.
pub fn maxconn(word: &str) -> Result<Option<u32>, &'static str> {
    if word.is_empty() {
        return Err("Require <maxconn>.\n");
    }
    let (number, rest) = leading_number(word).ok_or("maxconn string empty or preceded by garbage")?;
    if !rest.is_empty() {
        return Err("Trailing garbage in maxconn string");
    }
    Ok(u32::try_from(number).ok().filter(|&max| max > 0))
}

/// The number that a word begins with, and what follows it.
fn leading_number(word: &str) -> Option<(i64, &str)> {
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    let end = word.len() - digits.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if end == word.len() - digits.len() {
        return None;
    }
    // More digits than a number has room for are more than any limit allows.
    Some((word[..end].trim_start_matches('+').parse().unwrap_or(i64::from(i32::MAX)), &word[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_absolute_or_a_share() {
        assert_eq!(weight("20", 50, true), Ok(20));
        assert_eq!(weight("50%", 50, true), Ok(25));
        assert_eq!(weight("10%", 1, true), Ok(0));
        assert_eq!(weight("1000%", 50, true), Ok(256));
        assert_eq!(weight("9223372036854775807%", 100, true), Ok(256));
        assert_eq!((weight("0%", 50, false), weight("100%", 50, false)), (Ok(0), Ok(50)));
        for (word, expected) in [
            ("", "Require <weight> or <weight%>.\n"),
            ("foo", "Empty weight string empty or preceded by garbage"),
            ("12x", "Trailing garbage in weight string"),
            ("300", "Absolute weight can only be between 0 and 256 inclusive.\n"),
            ("-1", "Absolute weight can only be between 0 and 256 inclusive.\n"),
            ("99999999999999999999", "Absolute weight can only be between 0 and 256 inclusive.\n"),
        ] {
            assert_eq!(weight(word, 1, true).unwrap_err(), expected, "{word}");
        }
        let other = "Backend is using a static LB algorithm and only accepts weights '0%' and '100%'.\n";
        assert_eq!(weight("50%", 50, false), Err(other));
    }
}
