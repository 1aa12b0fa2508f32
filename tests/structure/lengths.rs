//! Files hold one idea and functions fit on a screen.

use super::source::Source;

/// Lines of a file.
const FILE_LINES_MAX: usize = 600;
/// Lines of a function, from its name to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;

/// Files that may be longer, with the reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// Functions that may be longer, with the reason.
const LONG_FUNCTIONS: &[(&str, &str, &str)] =
    &[("src/rules/tests.rs", "mistakes_are_worded_as_haproxys", "one table: a mistake and its message each row")];

#[test]
fn files_hold_one_idea() {
    let long: Vec<_> = Source::all()
        .into_iter()
        .filter(|source| !LONG_FILES.iter().any(|(path, _)| *path == source.path))
        .map(|source| (source.text.lines().count(), source.path))
        .filter(|(lines, _)| *lines > FILE_LINES_MAX)
        .collect();
    assert!(long.is_empty(), "longer than {FILE_LINES_MAX} lines: {long:#?}");
}

#[test]
fn functions_fit_on_a_screen() {
    let mut long = Vec::new();
    for source in Source::all() {
        let excused = |name: &str| LONG_FUNCTIONS.iter().any(|(path, n, _)| *path == source.path && *n == name);
        let functions = functions(&source.text).into_iter();
        let too_long = functions.filter(|(name, lines)| *lines > FUNCTION_LINES_MAX && !excused(name));
        long.extend(too_long.map(|(name, lines)| format!("{} {name}: {lines} lines", source.path)));
    }
    assert!(long.is_empty(), "longer than {FUNCTION_LINES_MAX} lines: {long:#?}");
}

#[test]
fn excuses_are_still_needed() {
    let sources = Source::all();
    let of = |path: &str| sources.iter().find(|source| source.path == path).map(|source| source.text.as_str());
    for (path, _) in LONG_FILES {
        assert!(of(path).is_some_and(|text| text.lines().count() > FILE_LINES_MAX), "{path} is short now");
    }
    for (path, name, _) in LONG_FUNCTIONS {
        let found = functions(of(path).unwrap_or_default());
        let long = found.iter().any(|(n, lines)| n == name && *lines > FUNCTION_LINES_MAX);
        assert!(long, "{path} {name} is short now");
    }
}

/// Names and lengths of a file's functions, as rustfmt lays them out: the closing brace stands below the `fn`.
fn functions(text: &str) -> Vec<(&str, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        if line.ends_with('}') || line.ends_with(';') {
            continue;
        }
        let indent = &line[..line.len() - line.trim_start().len()];
        let closes = |line: &&str| line.strip_prefix(indent).is_some_and(|rest| rest == "}" || declares_only(rest));
        let length = lines[at..].iter().position(closes).map_or(lines.len() - at, |end| end + 1);
        found.push((name, length));
    }
    found
}

/// The end of a signature over several lines that has no body.
fn declares_only(rest: &str) -> bool {
    rest.starts_with(')') && rest.ends_with(';')
}

fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.trim_start().split_once("fn ")?;
    let qualifies =
        |word: &str| word.starts_with("pub") || matches!(word, "const" | "unsafe" | "async" | "extern" | "\"C\"");
    if !before.split_whitespace().all(qualifies) {
        return None;
    }
    after.split(|c: char| !c.is_alphanumeric() && c != '_').next().filter(|name| !name.is_empty())
}

#[test]
fn functions_are_measured() {
    let text = "fn a() {\n    1\n}\n\nimpl X {\n    pub(super) const fn b(\n        x: u8,\n    ) -> u8 {\n        x\n    }\n    fn c() {}\n}\n";
    assert_eq!(functions(text), [("a", 3), ("b", 5)]);
}
