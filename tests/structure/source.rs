//! Rust files of the project as text: enough of their form to measure them, for rustfmt has laid them out.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// One Rust file.
pub struct Source {
    /// From the project's root, with slashes.
    pub path: String,
    pub text: String,
    /// Whether it is compiled for tests only.
    pub is_test: bool,
}

impl Source {
    /// All Rust files of the program, its tests and its benchmarks, in the order of their paths.
    pub fn all() -> Vec<Source> {
        let mut sources: Vec<Source> = ["src", "tests", "benches"]
            .iter()
            .flat_map(|folder| files_below(&root().join(folder)))
            .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
            .map(|path| {
                let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                let path = path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
                Source { path, text, is_test: false }
            })
            .collect();
        let test_only: HashSet<String> = sources.iter().flat_map(Source::test_modules).collect();
        for source in &mut sources {
            let stem = source.path.trim_end_matches(".rs");
            source.is_test = !source.path.starts_with("src/")
                || test_only.iter().any(|module| stem == module || stem.starts_with(&format!("{module}/")));
        }
        sources
    }

    /// Only what the program itself is made of.
    pub fn program() -> impl Iterator<Item = Source> {
        Source::all().into_iter().filter(|source| !source.is_test)
    }

    /// Number (from 0) and text of the lines that are no comment, with comments at their end cut off.
    pub fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(at, line)| (at, line.split("//").next().unwrap_or_default()));
        lines.filter(|(_, line)| !line.trim().is_empty())
    }

    /// As `code_lines`, without modules, functions and imports that are compiled for tests only.
    pub fn program_lines(&self) -> Vec<(usize, &str)> {
        let mut kept = Vec::new();
        let mut lines = self.code_lines();
        while let Some((at, line)) = lines.next() {
            if line.trim() != "#[cfg(test)]" {
                kept.push((at, line));
                continue;
            }
            let end = format!("{}}}", &line[..line.len() - line.trim_start().len()]);
            let mut item = lines.by_ref().skip_while(|(_, line)| line.trim().starts_with("#["));
            let Some((_, first)) = item.next() else { break };
            if first.trim_end().ends_with('{') {
                item.find(|(_, line)| *line == end);
            }
        }
        kept
    }

    /// `mod name;` under `#[cfg(test)]`: paths without `.rs` of the files that these are.
    fn test_modules(&self) -> Vec<String> {
        let folder = match self.path.rsplit_once('/') {
            Some((folder, "mod.rs" | "lib.rs" | "main.rs")) => folder.to_owned(),
            _ => self.path.trim_end_matches(".rs").to_owned(),
        };
        let lines: Vec<&str> = self.text.lines().collect();
        let pairs = lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]");
        let named = pairs.filter_map(|pair| pair[1].strip_suffix(';')?.rsplit_once("mod ").map(|(_, name)| name));
        named.map(|name| format!("{folder}/{name}")).collect()
    }
}

/// The project's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder, sorted.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for path in entries.map(|entry| entry.expect("a folder's entry").path()) {
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The words of a line: letters, digits and underscores; what stands in quotes is left out.
pub fn words(line: &str) -> impl Iterator<Item = &str> {
    let unquoted = line.split('"').step_by(2);
    unquoted.flat_map(|part| part.split(|c: char| !c.is_alphanumeric() && c != '_')).filter(|word| !word.is_empty())
}
