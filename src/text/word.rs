//! Cuts one line of configuration into words: blanks, quotes, escapes, comments and environment
//! variables (configuration manual, sections 2.2 and 2.3).

use super::env::Env;

/// Most words that a line may have; what follows is an error.
pub const WORDS_MAX: usize = 64;

/// Variables that the reader makes; no others begin with a dot.
const PSEUDO_VARIABLES: [&[u8]; 3] = [b".FILE", b".LINE", b".SECTION"];

/// One word of a line, its quotes and escapes resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// The word as text. Bytes that are not UTF-8 are replaced; [`Word::bytes`] has them exactly.
    pub text: String,
    /// Offset in bytes of the word's first character in its line, from 0.
    pub column: u32,
    raw: Option<Vec<u8>>,
}

impl Word {
    /// A word from its exact bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>, column: usize) -> Word {
        let column = u32::try_from(column).unwrap_or(u32::MAX);
        match String::from_utf8(bytes) {
            Ok(text) => Word { text, column, raw: None },
            Err(e) => {
                Word { text: String::from_utf8_lossy(e.as_bytes()).into_owned(), column, raw: Some(e.into_bytes()) }
            }
        }
    }

    /// The bytes as they were written, after quotes and escapes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.raw.as_deref().unwrap_or(self.text.as_bytes())
    }
}

impl From<&str> for Word {
    fn from(text: &str) -> Word {
        Word::new(text.as_bytes().to_vec(), 0)
    }
}

/// Why a line could not be cut, with the offset in bytes where the trouble begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordError {
    /// A quote that is not closed.
    Quote(usize),
    /// A `${` that is not closed.
    Brace(usize),
    /// `\x` without two hexadecimal digits.
    Hex(usize),
    /// A variable whose name begins with something else than a letter, `_` or `.`.
    VariableName(usize),
    /// A `[` in a variable that is not followed by `*]`.
    Expansion(usize),
    /// More than [`WORDS_MAX`] words.
    TooMany(usize),
}

impl WordError {
    /// Offset in bytes of the trouble, from 0.
    #[must_use]
    pub fn offset(self) -> usize {
        match self {
            WordError::Quote(at)
            | WordError::Brace(at)
            | WordError::Hex(at)
            | WordError::VariableName(at)
            | WordError::Expansion(at)
            | WordError::TooMany(at) => at,
        }
    }

    /// What is wrong, in HAProxy's words.
    #[must_use]
    pub fn what(self) -> &'static str {
        match self {
            WordError::Quote(_) => "unmatched quote",
            WordError::Brace(_) => "unmatched brace in environment variable name",
            WordError::Hex(_) => "truncated or invalid hexadecimal sequence",
            WordError::VariableName(_) => "forbidden first char in environment variable name",
            WordError::Expansion(_) => "truncated or invalid word expansion sequence",
            WordError::TooMany(_) => "too many words",
        }
    }
}

/// Cuts `line` (without its end of line) into words.
///
/// # Errors
/// The first mistake found, see [`WordError`]. On [`WordError::TooMany`] HAProxy ignores the line.
pub fn split(line: &[u8], env: &Env) -> Result<Vec<Word>, WordError> {
    cut(line, env).map(|(words, _)| words)
}

/// As [`split`]; also says whether blanks follow the last word, which shows in conditions.
///
/// # Errors
/// As [`split`].
pub fn cut(line: &[u8], env: &Env) -> Result<(Vec<Word>, bool), WordError> {
    let mut cutter = Cutter { line, at: 0, env, words: Vec::new(), word: None, trailing: false };
    cutter.run()?;
    Ok((cutter.words, cutter.trailing))
}

struct Cutter<'a> {
    line: &'a [u8],
    at: usize,
    env: &'a Env,
    words: Vec<Word>,
    /// The word being built and the offset where it began.
    word: Option<(Vec<u8>, usize)>,
    /// Blanks follow the last word.
    trailing: bool,
}

impl Cutter<'_> {
    fn run(&mut self) -> Result<(), WordError> {
        // The opening quote and its offset, while inside quotes.
        let mut quote: Option<(u8, usize)> = None;
        while let Some(&byte) = self.line.get(self.at) {
            match (byte, quote) {
                (b'"' | b'\'', None) => {
                    quote = Some((byte, self.at));
                    self.touch();
                    self.at += 1;
                }
                (_, Some((open, _))) if byte == open => {
                    quote = None;
                    self.at += 1;
                }
                (b'#' | b'\r' | b'\n', None) => break,
                (b' ' | b'\t' | 0x0b | 0x0c, None) => {
                    self.end_word()?;
                    self.at += 1;
                }
                (_, Some((b'\'', _))) => self.push(byte, 1),
                (b'\\', _) => self.escape(quote.is_some())?,
                (b'$', Some(_)) => self.variable()?,
                _ => self.push(byte, 1),
            }
        }
        if let Some((_, at)) = quote {
            return Err(WordError::Quote(at));
        }
        self.trailing = self.word.is_none();
        self.end_word()
    }

    /// Begins a word here unless one is open: `""` is a word.
    fn touch(&mut self) -> &mut Vec<u8> {
        let at = self.at;
        &mut self.word.get_or_insert_with(|| (Vec::new(), at)).0
    }

    fn push(&mut self, byte: u8, consumed: usize) {
        self.touch().push(byte);
        self.at += consumed;
    }

    fn end_word(&mut self) -> Result<(), WordError> {
        let Some((mut bytes, column)) = self.word.take() else {
            return Ok(());
        };
        if self.words.len() == WORDS_MAX {
            return Err(WordError::TooMany(column));
        }
        // HAProxy's words are C strings: a `\x00` ends one.
        if let Some(nul) = memchr::memchr(0, &bytes) {
            bytes.truncate(nul);
        }
        self.words.push(Word::new(bytes, column));
        Ok(())
    }

    fn escape(&mut self, quoted: bool) -> Result<(), WordError> {
        let at = self.at;
        match self.line.get(at + 1).copied() {
            Some(byte @ (b'\\' | b' ' | b'"' | b'#')) => self.push(byte, 2),
            Some(b'\'') => self.push(b'\'', 2),
            Some(b'$') if quoted => self.push(b'$', 2),
            Some(b'n') => self.push(b'\n', 2),
            Some(b'r') => self.push(b'\r', 2),
            Some(b't') => self.push(b'\t', 2),
            Some(b'x') => {
                let digit = |i: usize| {
                    let byte = *self.line.get(at + i)?;
                    char::from(byte).to_digit(16)
                };
                let (Some(high), Some(low)) = (digit(2), digit(3)) else {
                    return Err(WordError::Hex(at));
                };
                // Two hexadecimal digits always fit.
                self.push((high * 16 + low) as u8, 4);
            }
            // Anything else keeps its backslash, which regular expressions count on.
            _ => self.push(b'\\', 1),
        }
        Ok(())
    }

    /// `$NAME`, `${NAME}`, `${NAME-default}` and `${NAME[*]}`, inside double quotes.
    fn variable(&mut self) -> Result<(), WordError> {
        let begin = self.at;
        self.touch();
        let mut at = begin + 1;
        let brace = self.line.get(at) == Some(&b'{');
        if brace {
            at += 1;
        }
        let name_at = at;
        if PSEUDO_VARIABLES.iter().any(|name| self.line[at..].starts_with(name)) {
            at += 1;
        }
        if !matches!(self.line.get(at), Some(b) if b.is_ascii_alphabetic() || *b == b'_') {
            return Err(WordError::VariableName(name_at));
        }
        while matches!(self.line.get(at), Some(b) if b.is_ascii_alphanumeric() || *b == b'_') {
            at += 1;
        }
        let mut value = self.env.get(&self.line[name_at..at]);
        let mut expand = false;
        if brace {
            if self.line.get(at) == Some(&b'[') {
                if self.line.get(at + 1..at + 3) != Some(b"*]") {
                    return Err(WordError::Expansion(at));
                }
                expand = true;
                at += 3;
            }
            if self.line.get(at) == Some(&b'-') {
                let end = memchr::memchr(b'}', &self.line[at..]).map(|n| at + n).ok_or(WordError::Brace(begin + 1))?;
                value = value.or_else(|| Some(self.line[at + 1..end].to_vec()));
                at = end;
            }
            if self.line.get(at) != Some(&b'}') {
                return Err(WordError::Brace(begin + 1));
            }
            at += 1;
        }
        for byte in value.unwrap_or_default() {
            if expand && byte.is_ascii_whitespace() {
                self.end_word()?;
            } else {
                self.touch().push(byte);
            }
        }
        self.at = at;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(line: &str) -> Result<Vec<String>, WordError> {
        let mut env = Env::empty();
        env.set("A", b"x y  z");
        env.set("E", b"");
        split(line.as_bytes(), &env).map(|w| w.into_iter().map(|w| w.text).collect())
    }

    #[test]
    fn blanks_and_comments_separate_words() {
        assert_eq!(cut("\t bind  :80 # comment\r").unwrap(), ["bind", ":80"], "a carriage return ends the line");
        assert!(cut("   ").unwrap().is_empty());
        assert!(cut("# x").unwrap().is_empty());
        assert_eq!(cut("a#b c").unwrap(), ["a"]);
    }

    #[test]
    fn the_manuals_quoting_examples_are_equivalent() {
        for line in [
            r"log-format %{+Q}o\ %t\ %s\ %{-Q}r",
            r#"log-format "%{+Q}o %t %s %{-Q}r""#,
            r"log-format '%{+Q}o %t %s %{-Q}r'",
            r#"log-format "%{+Q}o %t"' %s %{-Q}r'"#,
            r#"log-format "%{+Q}o %t"' %s'\ %{-Q}r"#,
        ] {
            assert_eq!(cut(line).unwrap(), ["log-format", "%{+Q}o %t %s %{-Q}r"], "{line}");
        }
    }

    #[test]
    fn escapes_of_every_context() {
        assert_eq!(cut(r#"\\ \' \" \# \n\r\t \x41 \q \"#).unwrap(), ["\\", "'", "\"", "#", "\n\r\t", "A", "\\q", "\\"]);
        assert_eq!(cut(r#""\\ \' \" # \$ \x41""#).unwrap(), ["\\ ' \" # $ A"]);
        assert_eq!(cut(r"'\n$A\x41'").unwrap(), [r"\n$A\x41"]);
        assert_eq!(cut(r"a\x4g"), Err(WordError::Hex(1)));
        assert_eq!(cut(r"a\x00b").unwrap(), ["a"]);
    }

    #[test]
    fn variables_live_in_double_quotes_only() {
        assert_eq!(cut("$A").unwrap(), ["$A"]);
        assert_eq!(cut(r#""$A|${A}""#).unwrap(), ["x y  z|x y  z"]);
        assert_eq!(cut(r#""1${A[*]}2" b"#).unwrap(), ["1x", "y", "z2", "b"]);
        assert_eq!(cut(r#""${N-d e}${E-x}""#).unwrap(), ["d e"]);
        assert_eq!(cut(r#""$N""#).unwrap(), [""]);
        assert_eq!(cut(r#""${A"#), Err(WordError::Brace(2)));
        assert_eq!(cut(r#""$1""#), Err(WordError::VariableName(2)));
        assert_eq!(cut(r#""${}""#), Err(WordError::VariableName(3)));
        assert_eq!(cut(r#""${A[x]}""#), Err(WordError::Expansion(4)));
    }

    #[test]
    fn quotes_must_close_and_lines_are_short() {
        assert_eq!(cut("ab 'c"), Err(WordError::Quote(3)));
        assert_eq!(cut(&"x ".repeat(64)).unwrap().len(), 64);
        assert_eq!(cut(&"x ".repeat(65)), Err(WordError::TooMany(128)));
    }

    #[test]
    fn bytes_survive() {
        let words = split(b"a \xff\xfe", &Env::empty()).unwrap();
        assert_eq!(words[1].bytes(), b"\xff\xfe");
        assert_eq!(words[1].column, 2);
    }
}
