//! "Did you mean": the known word that looks most like an unknown one.
//!
//! A word's looks are its pairs of neighbouring characters, its ends included. That forgives
//! swapped, missing and doubled letters alike.

/// Distance of two words: how many pairs one has and the other has not, squared per pair.
fn distance(a: &str, b: &str) -> usize {
    let mut pairs: Vec<([u8; 2], i32)> = Vec::new();
    for (word, sign) in [(a, 1), (b, -1)] {
        let mut previous = 0;
        for byte in word.bytes().map(class).chain([0]) {
            let pair = [previous, byte];
            match pairs.iter_mut().find(|(known, _)| *known == pair) {
                Some((_, count)) => *count += sign,
                None => pairs.push((pair, sign)),
            }
            previous = byte;
        }
    }
    pairs.iter().map(|(_, count)| count.unsigned_abs().pow(2) as usize).sum()
}

/// Letters stand for themselves in either case; all digits are alike, and so is all the rest.
fn class(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' => byte.to_ascii_lowercase(),
        b'0'..=b'9' => b'0',
        _ => b'-',
    }
}

/// The candidate nearest to `word`, unless all are too far away to be a slip of the pen.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= 2 * word.len())
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_forgiven_and_strangers_are_not() {
        let words = ["bind", "option", "timeout", "balance", "server", "log", "log-tag"];
        for (slip, meant) in [
            ("optoin", Some("option")),
            ("timeuot", Some("timeout")),
            ("blance", Some("balance")),
            ("serverr", Some("server")),
            ("foo", None),
            ("", None),
        ] {
            assert_eq!(nearest(slip, words), meant, "{slip}");
        }
    }
}
