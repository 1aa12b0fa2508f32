//! How header names are written for a side that insists (section 3.1, `h1-case-adjust` and `h1-case-adjust-file`).

use super::finding::Findings;
use super::scope::{Scope, arg};
use super::word::Word;
use crate::proxy::Spellings;
use crate::registry::{Keyword, Sections};

/// The rows of this module.
pub static ROWS: &[Keyword] = &[
    Keyword {
        name: "h1-case-adjust",
        sections: Sections::GLOBAL,
        args_max: Some(2),
        parse: spelling,
        help: "how a header name is written",
    },
    Keyword {
        name: "h1-case-adjust-file",
        sections: Sections::GLOBAL,
        args_max: Some(1),
        parse: file,
        help: "file that says how header names are written",
    },
];

fn spelling(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let (from, to) = (words.get(1).map_or(&[][..], Word::bytes), words.get(2).map_or(&[][..], Word::bytes));
    if from.is_empty() || to.is_empty() {
        return Err("'h1-case-adjust' expects <from> and <to> as argument.".into());
    }
    add(&mut scope.global().spellings, from, to)
}

fn file(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let path = arg(words, 1);
    if path.is_empty() {
        return Err("'h1-case-adjust-file' expects <file> as argument.".into());
    }
    scope.draft.global_extra.spelling_file = Some(path.to_owned());
    Ok(())
}

fn add(spellings: &mut Spellings, from: &[u8], to: &[u8]) -> Result<(), String> {
    if !from.eq_ignore_ascii_case(to) {
        return Err("<from> and <to> must not differ execpt the case".into());
    }
    if spellings.contains_key(from) {
        return Err(format!("duplicate entry '{}'", String::from_utf8_lossy(from)));
    }
    spellings.insert(from.into(), to.into());
    Ok(())
}

/// Reads the file: a name in small letters and what is sent for it on each line; empty lines and comments.
pub(super) fn read(path: &str, spellings: &mut Spellings, findings: &mut Findings) {
    let Ok(text) = std::fs::read(path) else {
        return findings.alert(format!("h1-headers-case-adjust-file '{path}': failed to open file."));
    };
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
        let (from, to) = (&line[..end], line[end..].trim_ascii());
        let outcome = if to.is_empty() { Err("expect <to>".to_owned()) } else { add(spellings, from, to) };
        if let Err(why) = outcome {
            return findings.alert(format!("h1-headers-case-adjust-file '{path}' : {why} at line {}.", index + 1));
        }
    }
}
