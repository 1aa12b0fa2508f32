//! "Did you mean": the known word that looks most like an unknown one.
//!
//! A word's looks are its pairs of neighbouring characters, its ends included, and the set of its
//! letters. That forgives swapped, missing and doubled letters alike. The scale is HAProxy's.

/// Stands for the ends of a word and for all that is neither letter nor digit.
const EDGE: u8 = 0;

/// Letters stand for themselves in either case, and all digits are alike.
fn class(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' => byte.to_ascii_lowercase(),
        b'0'..=b'9' => b'0',
        _ => EDGE,
    }
}

/// Distance of two words: how often one has a pair more than the other, squared for each pair, and how
/// many letters only one has.
pub fn distance(a: &str, b: &str) -> usize {
    let mut pairs: Vec<([u8; 2], i32)> = Vec::new();
    for (word, sign) in [(a, 1), (b, -1)] {
        let mut previous = EDGE;
        for byte in word.bytes().map(class).chain([EDGE]) {
            let pair = [previous, byte];
            match pairs.iter_mut().find(|(known, _)| *known == pair) {
                Some((_, count)) => *count += sign,
                None => pairs.push((pair, sign)),
            }
            previous = byte;
        }
    }
    let pairs: usize = pairs.iter().map(|(_, count)| count.unsigned_abs().pow(2) as usize).sum();
    pairs + (letters(a) ^ letters(b)).count_ones() as usize
}

/// The letters and digits of a word as a set of bits.
fn letters(word: &str) -> u128 {
    word.bytes().map(class).filter(|class| *class != EDGE).fold(0, |set, class| set | 1 << class)
}

/// The candidate nearest to `word`, unless all are too far away to be a slip of the pen.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, candidate)| *distance <= 2 * word.len().min(candidate.len()))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_forgiven_and_strangers_are_not() {
        let words = ["frontend", "retries", "bind", "option", "timeout", "balance", "server", "log", "log-tag"];
        for (slip, meant) in [
            ("optoin", Some("option")),
            ("timeuot", Some("timeout")),
            ("blance", Some("balance")),
            ("serverr", Some("server")),
            ("foo", None),
            ("frobnicate", None),
            ("fronted", Some("frontend")),
            ("reqsetbe", Some("retries")),
            ("", None),
        ] {
            assert_eq!(nearest(slip, words), meant, "{slip}");
        }
    }
}
