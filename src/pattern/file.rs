//! Patterns from files (manual 7.1, `-f`): one a line.

use std::io::ErrorKind;

use super::{Patterns, Reading};

/// Adds the patterns of a file. Empty lines and lines that begin with `#` do not count; blanks before a pattern
/// neither, those after it do.
///
/// # Errors
/// HAProxy's words, with the line of a pattern that cannot be taken.
pub fn load(path: &str, reading: Reading, patterns: &mut Patterns) -> Result<(), String> {
    let unreadable = |e: std::io::Error| match e.kind() {
        ErrorKind::IsADirectory => format!("error encountered while reading  <{path}> : Is a directory"),
        _ => format!("failed to open pattern file <{path}>"),
    };
    let text = std::fs::read(path).map_err(unreadable)?;
    for (index, line) in text.split(|c| *c == b'\n').enumerate() {
        if line.first() == Some(&b'#') {
            continue;
        }
        let end = line.iter().position(|c| *c == b'\r').unwrap_or(line.len());
        let start = line[..end].iter().position(|c| !b" \t".contains(c)).unwrap_or(end);
        if start == end {
            continue;
        }
        let mut pattern = &line[start..end];
        if reading.keys_only {
            pattern = pattern.split(|c| b" \t".contains(c)).next().unwrap_or_default();
        }
        let added = patterns.add(pattern, reading);
        added.map_err(|e| format!("{e} at line {} of file '{path}'", index + 1))?;
    }
    Ok(())
}
