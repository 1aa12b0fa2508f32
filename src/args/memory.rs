//! `-dM`: memory that is filled before use, so that what forgets to initialise shows (management manual, 3).

/// What `-dM` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryDebug {
    /// Byte that buffers are filled with before they are used; `None` leaves them as they are.
    pub poison_byte: Option<u8>,
}

/// The byte of a plain `-dM`: 'P'.
const POISON_BYTE_DEFAULT: u8 = 0x50;

/// A pair of HAProxy's option names. Pools here are neither merged nor cached by threads, so only the state
/// that is in force anyway can be asked for, save for poisoning.
pub(super) struct MemoryOption {
    pub set: &'static str,
    pub clear: &'static str,
    pub is_set: bool,
    pub what: &'static str,
}

const fn option(set: &'static str, clear: &'static str, is_set: bool, what: &'static str) -> MemoryOption {
    MemoryOption { set, clear, is_set, what }
}

pub(super) const OPTIONS: &[MemoryOption] = &[
    option("fail", "no-fail", false, "let allocations fail at random"),
    option("no-merge", "merge", true, "one pool for each kind of object"),
    option("cold-first", "hot-first", false, "take the longest unused object"),
    option("integrity", "no-integrity", false, "check objects that were put back"),
    option("no-global", "global", true, "no pool shared by threads"),
    option("no-cache", "cache", true, "no pool per thread"),
    option("caller", "no-caller", false, "note who put an object back"),
    option("tag", "no-tag", false, "mark the end of objects"),
    option("poison", "no-poison", false, "fill objects before use"),
];

/// What a `-dM` argument, less its first two letters, means.
pub(super) enum MemoryRequest {
    Set(MemoryDebug),
    Help,
}

/// Parses what follows `-dM`; the error is HAProxy's message.
pub(super) fn parse(text: &str) -> Result<MemoryRequest, String> {
    let mut debug = MemoryDebug::default();
    if text.is_empty() {
        return Ok(MemoryRequest::Set(MemoryDebug { poison_byte: Some(POISON_BYTE_DEFAULT) }));
    }
    for (index, word) in text.split(',').enumerate() {
        match word {
            "" => {}
            "help" => return Ok(MemoryRequest::Help),
            "poison" => debug.poison_byte = debug.poison_byte.or(Some(POISON_BYTE_DEFAULT)),
            "no-poison" => debug.poison_byte = None,
            _ if index == 0 && number(word).is_some() => debug.poison_byte = number(word),
            _ => in_force(word)?,
        }
    }
    Ok(MemoryRequest::Set(debug))
}

/// An option that can only be asked to be what it is.
fn in_force(word: &str) -> Result<(), String> {
    let known = OPTIONS.iter().find(|option| option.set == word || option.clear == word);
    match known {
        Some(option) if option.is_set == (option.set == word) => Ok(()),
        Some(_) => Err(format!("-dM: pool debugging feature <{word}> is not available in epoxy")),
        None => Err(format!("-dM: unknown pool debugging feature <{word}>")),
    }
}

/// A byte in C's notation: decimal, 0x and hexadecimal, or 0 and octal. Larger numbers keep their low byte.
fn number(word: &str) -> Option<u8> {
    let (digits, radix) = match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None if word.len() > 1 && word.starts_with('0') => (&word[1..], 8),
        None => (word, 10),
    };
    u64::from_str_radix(digits, radix).ok().map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poison(text: &str) -> Option<u8> {
        match parse(text) {
            Ok(MemoryRequest::Set(debug)) => debug.poison_byte,
            _ => panic!("{text} is not accepted"),
        }
    }

    #[test]
    fn the_byte_is_read_as_c_reads_it() {
        let cases = [("", Some(0x50)), ("0", Some(0)), ("0x41", Some(0x41)), ("010", Some(8)), ("300", Some(44))];
        for (text, byte) in cases {
            assert_eq!(poison(text), byte, "{text}");
        }
        assert_eq!(poison("no-merge"), None);
        assert_eq!(poison("65,no-tag"), Some(65));
        assert_eq!(poison(",poison"), Some(0x50));
    }

    #[test]
    fn what_is_unknown_or_missing_is_refused() {
        for text in ["zz", "5zz", "no-merge,zz", "tag", "cold-first"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(matches!(parse("0,help"), Ok(MemoryRequest::Help)));
    }
}
