//! `-dK`: the rows in the form in which HAProxy prints its own (management manual, 3).

use std::fmt::Write;

use super::{BIND_KEYWORDS, OPTIONS, SERVER_KEYWORDS, Sections};
use crate::sample::arg::Kind;
use crate::sample::convert::{self, Converter};
use crate::sample::fetch::{self, Fetch};
use crate::sample::place::Place;

/// A class of keywords: its name, what it lists, and how.
struct Class {
    name: &'static str,
    what: &'static str,
    list: fn(&mut String),
}

/// All classes, in the order in which `all` prints them.
const CLASSES: &[Class] = &[
    Class { name: "acl", what: "ACL keywords", list: acl_keywords },
    Class { name: "cfg", what: "configuration keywords", list: configuration },
    Class { name: "cnv", what: "sample converter keywords", list: converters },
    Class { name: "smp", what: "sample fetch functions", list: fetches },
];

/// Prints the classes named in `classes`, a comma-separated list; `all` stands for every class, `help` lists them,
/// and other names are ignored, as HAProxy ignores them.
#[must_use]
pub fn dump(classes: &str) -> String {
    let mut out = String::new();
    let asked = |name: &str| classes.split(',').any(|class| class == name || class == "all");
    if classes.split(',').any(|class| class == "help") {
        out.push_str("# List of supported keyword classes:\nall: list all keywords\n");
        for class in CLASSES {
            let _ = writeln!(out, "{}: {}", class.name, class.what);
        }
    }
    for class in CLASSES.iter().filter(|class| asked(class.name)) {
        (class.list)(&mut out);
    }
    out
}

fn configuration(out: &mut String) {
    out.push_str("# List of registered configuration keywords:\nglobal\n");
    first_words(out, Sections::GLOBAL);
    out.push_str("listen\n");
    first_words(out, Sections::ANY_PROXY);
    for row in BIND_KEYWORDS.iter().copied().flatten() {
        parameter(out, "bind <addr>", row.name, row.args);
    }
    for row in SERVER_KEYWORDS.iter().copied().flatten() {
        parameter(out, "server <name> <addr>", row.name, row.args);
    }
    let mut options: Vec<_> = OPTIONS.iter().copied().flatten().collect();
    options.sort_by_key(|row| row.name);
    for row in options {
        let front = if row.sections.intersects(Sections::FRONTEND) { "FE " } else { "" };
        let back = if row.sections.intersects(Sections::BACKEND) { "BE " } else { "" };
        let http = if row.http { "HTTP " } else { "" };
        let _ = writeln!(out, "\toption {} [ {front}{back}{http}]", row.name);
    }
    for keyword in [
        "http-request",
        "http-response",
        "http-after-response",
        "tcp-request connection",
        "tcp-request content",
        "tcp-request session",
        "tcp-response content",
    ] {
        for action in crate::rules::parse::actions(keyword) {
            let _ = writeln!(out, "\t{keyword} {action}");
        }
    }
}

fn acl_keywords(out: &mut String) {
    out.push_str("# List of registered ACL keywords:\n");
    for (name, fetch, method) in crate::rules::acl::keywords() {
        let _ = writeln!(out, "{name} = {fetch} -m {method}");
    }
}

fn first_words(out: &mut String, sections: Sections) {
    let mut names: Vec<&str> = super::first_words(sections)
        .filter(|name| !matches!(*name, "bind" | "server" | "option") || sections == Sections::GLOBAL)
        .collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let _ = writeln!(out, "\t{name}");
    }
}

fn parameter(out: &mut String, context: &str, name: &str, args: usize) {
    let _ = match args {
        0 => writeln!(out, "\t{context} {name}"),
        _ => writeln!(out, "\t{context} {name} +{args}"),
    };
}

/// `(a[,b])`: the types of arguments, optional ones in brackets.
fn arguments(out: &mut String, kinds: &[Kind], required: usize) {
    if kinds.is_empty() {
        return;
    }
    out.push('(');
    for (index, kind) in kinds.iter().enumerate() {
        if index == required {
            out.push('[');
        }
        if index > 0 {
            out.push(',');
        }
        out.push_str(kind.name());
    }
    if required < kinds.len() {
        out.push(']');
    }
    out.push(')');
}

fn converters(out: &mut String) {
    out.push_str("# List of registered sample converter functions:\n");
    let mut rows: Vec<&Converter> = convert::all().collect();
    rows.sort_by_key(|row| row.name);
    for row in rows {
        out.push_str(row.name);
        arguments(out, row.args, row.required);
        // HAProxy prints what comes out before what goes in.
        let _ = writeln!(out, ": {} => {}", row.output.name(), row.input.name());
    }
}

fn fetches(out: &mut String) {
    out.push_str("# List of registered sample fetch functions:\n");
    legend(out);
    let mut rows: Vec<&Fetch> = fetch::all().collect();
    rows.sort_by_key(|row| row.name);
    for row in rows {
        out.push('[');
        for place in Place::ALL {
            out.push_str(if row.needs.places().contains(place) { " Y" } else { " ." });
        }
        let _ = write!(out, " ] {}", row.name);
        arguments(out, row.args, row.required);
        let _ = writeln!(out, ": {}", row.output.name());
    }
}

/// The heading of the table: a slanted line from each column up to its name.
fn legend(out: &mut String) {
    let places = Place::ALL;
    for (index, place) in places.iter().enumerate() {
        let blanks = " ".repeat(places.len() + 1 - index);
        let slants = "/ ".repeat(index);
        let dashes = "-".repeat(places.len() - index);
        let _ = writeln!(out, "#{blanks}{slants}_.{dashes} {}", place.name());
    }
    let _ = writeln!(out, "# {} ", "/ ".repeat(places.len()));
    let _ = writeln!(out, "# {}", "| ".repeat(places.len()));
}
