//! What a client sends: commands, each ended by a line feed or a semicolon.

/// Words of a command that are looked at.
const WORDS_MAX: usize = 64;

/// The end of the first command in `bytes`: the position of its delimiter. A backslash takes a semicolon's
/// meaning away.
pub fn command_end(bytes: &[u8]) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'\n' => return Some(at),
            b';' if !escaped => return Some(at),
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    None
}

/// The words of a command: split at spaces and tabs, unless a backslash stands before them.
pub fn words(command: &[u8]) -> Vec<String> {
    let command = command.split(|&byte| byte == 0).next().unwrap_or_default();
    let command = command.strip_suffix(b"\r").unwrap_or(command);
    let mut words: Vec<Vec<u8>> = Vec::new();
    let mut open = false;
    let mut bytes = command.iter();
    while let Some(&byte) = bytes.next() {
        let byte = match byte {
            b' ' | b'\t' => {
                open = false;
                continue;
            }
            b'\\' => *bytes.next().unwrap_or(&b'\\'),
            other => other,
        };
        if !open && words.len() == WORDS_MAX {
            break;
        }
        if !std::mem::replace(&mut open, true) {
            words.push(Vec::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(byte);
        }
    }
    words.into_iter().map(|word| String::from_utf8_lossy(&word).into_owned()).collect()
}

/// The command that [`words`] makes these words of.
pub fn join(words: &[String]) -> String {
    let mut command = String::new();
    for (at, word) in words.iter().enumerate() {
        if at > 0 {
            command.push(' ');
        }
        for character in word.chars() {
            if matches!(character, ' ' | '\t' | ';' | '\\') {
                command.push('\\');
            }
            command.push(character);
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_end_at_line_feeds_and_semicolons() {
        assert_eq!(command_end(b"show info;show stat\n"), Some(9));
        assert_eq!(command_end(b"show info\n"), Some(9));
        assert_eq!(command_end(b"set x a\\;b;"), Some(10));
        assert_eq!(command_end(b"a\\\\;"), Some(3));
        assert_eq!(command_end(b"show"), None);
    }

    #[test]
    fn words_are_split_at_blanks() {
        assert_eq!(words(b"  show \t stat  "), ["show", "stat"]);
        assert_eq!(words(b"show\\ stat a\\;b\r"), ["show stat", "a;b"]);
        assert_eq!(words(b"a\0b"), ["a"]);
        assert!(words(b"  ").is_empty());
        assert_eq!(words(&b"x ".repeat(100)).len(), WORDS_MAX);
    }
}
