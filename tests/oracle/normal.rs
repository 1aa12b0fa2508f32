//! What may differ between two runs of the same proxy, taken out: ports, pids, dates, times, versions.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::script::Allow;

/// What one side showed, part by part: `client a`, `node1 connection 2`, `log`, `stderr`, ...
pub type Transcript = Vec<(String, Vec<String>)>;

struct Rule {
    pattern: Regex,
    with: &'static str,
}

/// Applied to every line of every section, in this order.
static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let rules = [
        // Ports that the system chose.
        (r"(\d+\.\d+\.\d+\.\d+|\{ip\}):\d{5}\b", "$1:#"),
        // 21/Nov/2026:01:33:02.123 or 21/Nov/2026:01:33:02 +0000
        (r"\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d(\.\d{3}| [+-]\d{4})?", "DATE$1"),
        (r"DATE\.\d{3}", "DATE.#"),
        // Fri, 20 Nov 2026 01:33:02 GMT
        (r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", "HTTP-DATE"),
        // The date of RFC 3164, then that of RFC 5424.
        (r"\b[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d\b", "STAMP"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "STAMP$2"),
        // A check that is under way just now.
        (r"check_status=\* ", "check_status="),
        (r"check duration: \d+ms", "check duration: #ms"),
        (r"[Ee]poxy", "haproxy"),
    ];
    let rules =
        rules.into_iter().map(|(pattern, with)| Rule { pattern: Regex::new(pattern).expect("a valid pattern"), with });
    rules.collect()
});

/// Timers of log lines: the first group of numbers with slashes, those of the CLF format, and those a
/// script marks with a name such as `Tr=`.
static TIMERS: LazyLock<[Regex; 3]> = LazyLock::new(|| {
    [r" [+-]?\d+(?:/\+?-?\d+){2,4} ", r#"" (?:-?\d+ ){5}[a-zA-Z-]{4} |" \d{5} \d{3} ""#, r"\bT\w*=\S+"]
        .map(|pattern| Regex::new(pattern).expect("a valid pattern"))
});

static NUMBER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"-?\d+").expect("a valid pattern"));

/// Lines that say which program runs, printed before a proxy's first message.
const INTRODUCTION: [&str; 2] = ["haproxy version is ", "path to executable is "];

/// Normalises a transcript. `replace` holds texts of this run (its address, its directory) with the
/// placeholder that stands for each.
pub fn normalise(transcript: &mut Transcript, replace: &[(String, &str)], allow: &[Allow]) {
    transcript.retain(|(section, _)| {
        !allow.iter().any(|allow| matches!(allow, Allow::Skip(name) if section.starts_with(name)))
    });
    for (section, lines) in transcript {
        for line in lines.iter_mut() {
            for (text, placeholder) in replace {
                *line = line.replace(text, placeholder);
            }
            for rule in RULES.iter() {
                *line = rule.pattern.replace_all(line, rule.with).into_owned();
            }
            if section.starts_with("log") || section == "stdout" {
                hide_timers(line);
            }
            for allow in allow {
                if let Allow::Replace(pattern, with) = allow {
                    *line = pattern.replace_all(line, with).into_owned();
                }
            }
        }
        lines.retain(|line| {
            let introduces = INTRODUCTION.iter().any(|text| line.contains(text));
            let ignored = allow.iter().any(|allow| matches!(allow, Allow::Ignore(pattern) if pattern.is_match(line)));
            !introduces && !ignored
        });
        if allow.iter().any(|allow| matches!(allow, Allow::Sort(name) if name == section)) {
            lines.sort();
        }
    }
}

fn hide_timers(line: &mut String) {
    let [slashes, clf, named] = &*TIMERS;
    *line = slashes.replace(line, hide).into_owned();
    *line = clf.replace_all(line, hide).into_owned();
    *line = named.replace_all(line, hide).into_owned();
}

/// Every number becomes `#`; -1, which says that something did not happen, stays.
fn hide(found: &Captures<'_>) -> String {
    let hide_number = |number: &Captures<'_>| match &number[0] {
        "-1" => "-1".to_owned(),
        _ => "#".to_owned(),
    };
    NUMBER.replace_all(&found[0], hide_number).into_owned()
}
