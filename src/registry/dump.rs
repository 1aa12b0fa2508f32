//! `-dK`: the rows in the form in which HAProxy prints its own (management manual, 3).

use super::{BIND_KEYWORDS, KEYWORDS, OPTIONS, SERVER_KEYWORDS, Sections};

/// The classes of `-dK`, with what they list; `all` stands for every one.
pub const CLASSES: &[(&str, &str)] = &[
    ("all", "list all keywords"),
    ("acl", "ACL keywords"),
    ("cfg", "configuration keywords"),
    ("cli", "CLI keywords"),
    ("cnv", "sample converter keywords"),
    ("flt", "filter names"),
    ("smp", "sample fetch functions"),
    ("svc", "service names"),
];

/// The configuration keywords.
#[must_use]
pub fn configuration() -> String {
    let mut out = String::from("# List of registered configuration keywords:\nglobal\n");
    let rows = || KEYWORDS.iter().copied().flatten();
    let list = |out: &mut String, sections: Sections| {
        let mut names: Vec<&str> = rows()
            .filter(|row| row.sections.intersects(sections))
            .filter_map(|row| row.name.split(' ').next())
            .filter(|name| !matches!(*name, "bind" | "server" | "option"))
            .collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            out.push('\t');
            out.push_str(name);
            out.push('\n');
        }
    };
    list(&mut out, Sections::GLOBAL);
    out.push_str("listen\n");
    list(&mut out, Sections::ANY_PROXY);
    for row in BIND_KEYWORDS.iter().copied().flatten() {
        line(&mut out, "bind <addr> ", row.name, row.args);
    }
    for row in SERVER_KEYWORDS.iter().copied().flatten() {
        line(&mut out, "server <name> <addr> ", row.name, row.args);
    }
    for row in OPTIONS.iter().copied().flatten() {
        out.push_str("\toption ");
        out.push_str(row.name);
        out.push_str(" [ ");
        if row.sections.intersects(Sections::FRONTEND) {
            out.push_str("FE ");
        }
        if row.sections.intersects(Sections::BACKEND) {
            out.push_str("BE ");
        }
        if row.http {
            out.push_str("HTTP ");
        }
        out.push_str("]\n");
    }
    out
}

fn line(out: &mut String, context: &str, name: &str, args: usize) {
    out.push('\t');
    out.push_str(context);
    out.push_str(name);
    if args > 0 {
        out.push_str(&format!(" +{args}"));
    }
    out.push('\n');
}
