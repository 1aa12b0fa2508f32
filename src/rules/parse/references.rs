//! Names in expressions of rules that are looked up once all sections are read.

use crate::sample::arg::{Names, Reference};
use crate::text::finding::{Finding, Findings, Place as Form, Severity};

/// Reports the references of one proxy that name nothing, as HAProxy does: one in its place, several together.
/// Whether there are none of these.
pub fn resolve(references: &[Reference], names: &Names, own: &str, findings: &mut Findings) -> bool {
    let wrong: Vec<(&Reference, String)> = references
        .iter()
        .filter_map(|reference| reference.resolve(names, own).err().map(|text| (reference, text)))
        .collect();
    match wrong.as_slice() {
        [] => {}
        [(reference, text)] => {
            let mut finding = Finding::general(Severity::Alert, text.clone());
            finding.place = Form::Reader;
            finding.file = reference.file.clone();
            finding.line = reference.line;
            findings.push(finding);
        }
        several => {
            let lines = several.iter().map(|(at, text)| format!("\n        parsing [{}:{}]: {text}", at.file, at.line));
            findings.alert(format!("multiple argument resolution errors:{}", lines.collect::<String>()));
        }
    }
    wrong.is_empty()
}
