//! Two transcripts side by side.

use std::fmt::Write;

use super::normal::Transcript;

const COLUMN_CHARS: usize = 78;

/// `None` when the transcripts are equal, else a table of the sections that differ.
pub fn differences(oracle: &Transcript, epoxy: &Transcript) -> Option<String> {
    if oracle == epoxy {
        return None;
    }
    let mut names: Vec<&String> = oracle.iter().map(|(name, _)| name).collect();
    for (name, _) in epoxy {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut table = String::new();
    for name in names {
        let (left, right) = (section(oracle, name), section(epoxy, name));
        if left == right {
            let _ = writeln!(table, "== {name}: equal");
            continue;
        }
        let _ = writeln!(table, "== {name}: haproxy left, epoxy right");
        side_by_side(&mut table, left, right);
    }
    Some(table)
}

/// A transcript as text.
pub fn show(transcript: &Transcript) -> String {
    let mut text = String::new();
    for (name, lines) in transcript {
        let _ = writeln!(text, "== {name}");
        for line in lines {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}

fn section<'a>(transcript: &'a Transcript, name: &str) -> &'a [String] {
    let found = transcript.iter().find(|(other, _)| other == name);
    found.map_or(&[], |(_, lines)| lines)
}

fn side_by_side(table: &mut String, left: &[String], right: &[String]) {
    for (left, right) in aligned(left, right) {
        let mark = if left == right { ' ' } else { '|' };
        let (left, right) = (wrapped(left), wrapped(right));
        for row in 0..left.len().max(right.len()) {
            let cell = |column: &[String]| column.get(row).cloned().unwrap_or_default();
            let (left, right) = (cell(&left), cell(&right));
            let _ = writeln!(table, "{left:COLUMN_CHARS$} {mark} {right}");
        }
    }
}

/// Pairs equal lines (the longest common subsequence); what lies between is paired in order.
fn aligned<'a>(left: &'a [String], right: &'a [String]) -> Vec<(&'a str, &'a str)> {
    let mut common = vec![vec![0_usize; right.len() + 1]; left.len() + 1];
    for l in (0..left.len()).rev() {
        for r in (0..right.len()).rev() {
            common[l][r] =
                if left[l] == right[r] { common[l + 1][r + 1] + 1 } else { common[l + 1][r].max(common[l][r + 1]) };
        }
    }
    let mut pairs = Vec::new();
    let (mut l, mut r) = (0, 0);
    while l < left.len() || r < right.len() {
        if l < left.len() && r < right.len() {
            let skip_both = common[l + 1][r + 1] == common[l][r];
            if left[l] == right[r] || skip_both {
                pairs.push((left[l].as_str(), right[r].as_str()));
                (l, r) = (l + 1, r + 1);
                continue;
            }
        }
        if r == right.len() || (l < left.len() && common[l + 1][r] == common[l][r]) {
            pairs.push((left[l].as_str(), ""));
            l += 1;
        } else {
            pairs.push(("", right[r].as_str()));
            r += 1;
        }
    }
    pairs
}

fn wrapped(line: &str) -> Vec<String> {
    let chars: Vec<char> = line.chars().collect();
    chars.chunks(COLUMN_CHARS).map(|chunk| chunk.iter().collect()).collect()
}
