//! Patterns from files (manual 7.1, `-f`): one a line.

use super::{Patterns, Reading};

/// Adds the patterns of a file. Empty lines and lines that begin with `#` do not count; blanks before a pattern
/// neither, those after it do.
///
/// # Errors
/// HAProxy's words, with the line of a pattern that cannot be taken.
pub fn load(path: &str, reading: Reading, patterns: &mut Patterns) -> Result<(), String> {
    let text = std::fs::read(path).map_err(|_| format!("failed to open pattern file <{path}>"))?;
    for (index, line) in text.split(|c| *c == b'\n').enumerate() {
        if line.first() == Some(&b'#') {
            continue;
        }
        let end = line.iter().position(|c| *c == b'\r').unwrap_or(line.len());
        let start = line[..end].iter().position(|c| !b" \t".contains(c)).unwrap_or(end);
        if start == end {
            continue;
        }
        let added = patterns.add(&line[start..end], reading);
        added.map_err(|e| format!("{e} at line {} of file '{path}'", index + 1))?;
    }
    Ok(())
}
