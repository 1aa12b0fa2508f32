//! What was found in a configuration as JSON, for editors and continuous integration (`-cj`).
//!
//! One object, one line. Fields are added over time, never renamed; README lists them.

use serde_json::{Value, json};

use super::detail::{Kind, missing};
use super::finding::{Finding, Place, Severity};
use super::{Findings, Loaded};

/// Version of the form: grows when a field changes its meaning.
const FORM: u32 = 1;

/// What messages contain, and the kind of finding that this tells; the first that fits counts.
const CODES: &[(&str, &str)] = &[
    ("is not supported by this build", "not-supported"),
    ("Could not open configuration", "unreadable-file"),
    ("Cannot open configuration", "unreadable-file"),
    ("unknown keyword", "unknown-keyword"),
    ("unknown option", "unknown-keyword"),
    ("unknown stats parameter", "unknown-keyword"),
    ("but got '' (missing argument)", "missing-argument"),
    ("cannot handle unexpected argument", "unexpected-argument"),
    ("Expecting nothing", "unexpected-argument"),
    ("deprecated", "deprecated"),
    ("not supported anymore", "deprecated"),
    ("ignored", "ignored"),
    ("NOOP", "unreachable"),
    ("already", "duplicate"),
    ("missing", "missing-argument"),
    ("expects", "missing-argument"),
    ("requires", "missing-argument"),
    ("unmatched quote", "syntax"),
    ("too many words", "syntax"),
    ("Missing LF", "syntax"),
];

/// Findings that only sum up what was said before.
const SUMMARIES: &[&str] = &["Error(s) found in configuration file : ", "Fatal errors found in configuration."];

/// The report on a configuration that was read.
#[must_use]
pub fn report(loaded: &Loaded) -> String {
    write(&loaded.findings, &loaded.dated)
}

/// The report on a configuration that could not even be looked for, `text` telling why.
#[must_use]
pub fn failure(text: &str) -> String {
    let mut findings = Findings::default();
    findings.alert(text.strip_prefix("config : ").unwrap_or(text));
    write(&findings, &Findings::default())
}

fn write(findings: &Findings, dated: &Findings) -> String {
    let is_own = |finding: &&Finding| !SUMMARIES.iter().any(|summary| finding.text.starts_with(summary));
    let mut list: Vec<&Finding> = findings.iter().filter(is_own).chain(dated.iter()).collect();
    // By place; what has none keeps its order, behind.
    list.sort_by_key(|finding| (finding.line == 0, finding.file.clone(), finding.line));
    let count = |severity: &str| list.iter().filter(|finding| severity_of(finding) == severity).count();
    let report = json!({
        "form": FORM,
        "valid": !findings.fatal(),
        "errors": count("error"),
        "warnings": count("warning"),
        "findings": list.iter().map(|finding| one(finding)).collect::<Vec<Value>>(),
    });
    format!("{report}\n")
}

fn severity_of(finding: &Finding) -> &'static str {
    match finding.severity {
        // It is printed as an alert, but starts.
        Severity::Complaint | Severity::Warning => "warning",
        Severity::Alert => "error",
        Severity::Notice => "notice",
        Severity::Diag => "diagnostic",
    }
}

fn one(finding: &Finding) -> Value {
    let placed = finding.line > 0;
    let column = placed && (finding.end > finding.column || finding.column > 0);
    json!({
        "file": placed.then(|| finding.file.to_string()),
        "line": placed.then_some(finding.line),
        "column": column.then_some(finding.column + 1),
        "end_column": column.then_some(finding.end.max(finding.column + 1) + 1),
        "severity": severity_of(finding),
        "code": code(finding),
        "message": finding.text,
        "suggestion": finding.suggestion,
        "defined_in": finding.defined.as_ref().map(|(file, _)| file.to_string()),
        "defined_at": finding.defined.as_ref().map(|(_, line)| line),
        "refused_since": finding.refused_since,
        "source": finding.source.as_ref().map(|source| String::from_utf8_lossy(source).into_owned()),
    })
}

/// A word for the kind of a finding, for tools to filter by.
fn code(finding: &Finding) -> &'static str {
    if finding.refused_since.is_some() {
        return "legacy";
    }
    match missing(&finding.text).map(|(kind, _)| kind) {
        Some(Kind::Acl) => return "unknown-acl",
        Some(Kind::Backend) => return "unknown-backend",
        Some(Kind::Frontend) => return "unknown-frontend",
        Some(Kind::Server) => return "unknown-server",
        Some(Kind::Userlist) => return "unknown-userlist",
        Some(Kind::User) => return "unknown-user",
        Some(Kind::Group) => return "unknown-group",
        Some(Kind::Pages) => return "unknown-http-errors",
        Some(Kind::Defaults) => return "unknown-defaults",
        Some(Kind::Fetch) => return "unknown-fetch",
        Some(Kind::Converter) => return "unknown-converter",
        None => {}
    }
    let known = CODES.iter().find(|(part, _)| finding.text.contains(part)).map(|(_, code)| *code);
    known.unwrap_or(match (finding.severity, finding.place) {
        (Severity::Alert, Place::None) => "inconsistent",
        (Severity::Alert, _) => "invalid-argument",
        _ => "suspicious",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_detailed;

    fn findings(text: &str) -> Vec<Value> {
        let report: Value = serde_json::from_str(&report(&load_detailed("a.cfg", text))).expect("JSON");
        assert_eq!(report["form"], 1);
        report["findings"].as_array().expect("a list").clone()
    }

    #[test]
    fn names_that_are_missing_come_with_the_nearest_one() {
        for (text, code, line, word, suggestion, defined) in [
            (
                "listen l\n mode http\n bind :1\n acl local src ::1\n http-request deny if locla\n",
                "unknown-acl",
                5,
                "locla",
                "local",
                Some(4),
            ),
            ("frontend f\n bind :1\n use_backend wbe\nbackend web\n", "unknown-backend", 3, "wbe", "web", Some(4)),
            ("frontend f\n bind :1\n default_backend wbe\nbackend web\n", "unknown-backend", 3, "wbe", "web", Some(4)),
            (
                "listen l\n bind :1\n server node1 127.0.0.1:1\n use-server noed1 if TRUE\n",
                "unknown-server",
                4,
                "noed1",
                "node1",
                Some(3),
            ),
            (
                "userlist staff\n user a password x\nlisten l\n mode http\n bind :1\n acl a http_auth(stafff)\n",
                "unknown-userlist",
                6,
                "http_auth(stafff)",
                "staff",
                Some(1),
            ),
            (
                "listen l\n bind :1\n acl a nbsrv(lst) gt 1\nbackend list\n",
                "unknown-backend",
                3,
                "nbsrv(lst)",
                "list",
                Some(4),
            ),
            ("defaults base\nlisten l from bsae\n", "unknown-defaults", 2, "bsae", "base", Some(1)),
            ("listen l\n mode http\n acl a hdrr(x) y\n", "unknown-fetch", 3, "hdrr(x)", "hdr", None),
            ("userlist u\n group g users ana\n user anna password x\n", "unknown-user", 2, "ana", "anna", Some(3)),
            ("listen l\n balance rundrobin\n", "invalid-argument", 2, "rundrobin", "roundrobin", None),
            ("listen l\n blance source\n", "unknown-keyword", 2, "blance", "balance", None),
        ] {
            let found = findings(text);
            let error = found.iter().find(|f| f["severity"] == "error").unwrap_or_else(|| panic!("{text}"));
            let number = |field: &str| error[field].as_u64().unwrap_or_default() as usize;
            let source = error["source"].as_str().unwrap_or_default();
            let shown = source.get(number("column") - 1..number("end_column") - 1);
            assert_eq!((&error["code"], number("line"), shown), (&json!(code), line, Some(word)), "{text}{error}");
            let meant = (&error["suggestion"], error["defined_at"].as_i64());
            assert_eq!(meant, (&json!(suggestion), defined), "{text}{error}");
        }
    }

    #[test]
    fn lines_of_the_past_tell_their_date_and_modern_form() {
        let found = findings("defaults\n contimeout 5s\n timeout client 5s\n timeout server 5s\n");
        let note = found.iter().find(|f| f["code"] == "legacy").expect("a note");
        assert_eq!((&note["line"], &note["severity"]), (&json!(2), &json!("notice")));
        assert_eq!((&note["suggestion"], &note["refused_since"]), (&json!("timeout connect 5s"), &json!("2.1")));
    }

    #[test]
    fn whatever_the_bytes_it_is_json() {
        for text in ["listen \u{1}\"\\\u{7f}\n x\u{2028}\n", "a\0b\nc", "listen l\n acl \\\"é if \"\n"] {
            findings(text);
        }
        let failure: Value = serde_json::from_str(&failure("config : no")).expect("JSON");
        assert_eq!((&failure["valid"], &failure["findings"][0]["message"]), (&json!(false), &json!("no")));
    }
}
