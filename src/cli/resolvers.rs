//! What is counted of name servers: `show resolvers`, and `show stat domain resolvers` (management manual 9.3).

use std::fmt::Write;

use super::{Call, Command, Outcome, Scope};
use crate::dns::Tallied;
use crate::proxy::resolvers::NameServer;
use crate::proxy::{CliLevel, Resolvers, ResolversId};
use crate::stats::counters::NameServerCounts;

/// The commands of this file.
pub static ROWS: &[Command] = &[Command {
    words: &["show", "resolvers"],
    usage: "show resolvers [id]",
    help: "dumps counters from all resolvers section and associated name servers",
    level: CliLevel::User,
    scope: Scope::Here,
    run: show_resolvers,
}];

/// How `show resolvers` and the statistics call what is counted, and what that is.
const NAMES: [(Tallied, &str, &str, &str); 15] = [
    (Tallied::Sent, "sent", "sent", "Sent"),
    (Tallied::SendErrors, "snd_error", "send_error", "Send error"),
    (Tallied::Valid, "valid", "valid", "Valid"),
    (Tallied::Updates, "update", "update", "Update"),
    (Tallied::Cname, "cname", "cname", "CNAME"),
    (Tallied::CnameErrors, "cname_error", "cname_error", "CNAME error"),
    (Tallied::Empty, "any_err", "any_err", "Any errors"),
    (Tallied::NxDomain, "nx", "nx", "NX"),
    (Tallied::Timeouts, "timeout", "timeout", "Timeout"),
    (Tallied::Refused, "refused", "refused", "Refused"),
    (Tallied::Other, "other", "other", "Other"),
    (Tallied::Invalid, "invalid", "invalid", "Invalid"),
    (Tallied::TooBig, "too_big", "too_big", "Too big"),
    (Tallied::Truncated, "truncated", "truncated", "Truncated"),
    (Tallied::Outdated, "outdated", "outdated", "Outdated"),
];

fn show_resolvers(call: &mut Call<'_>) -> Outcome {
    let (wanted, config, counters) = (call.word(2), call.config(), call.counters());
    let meant = |section: &Resolvers| wanted.is_empty() || section.name == wanted;
    let mut text = String::new();
    for (id, section) in (0..).map(ResolversId).zip(&config.resolvers).filter(|(_, section)| meant(section)) {
        // Writes into strings do not fail.
        let _ = writeln!(text, "Resolvers section {}", section.name);
        for (place, nameserver) in section.nameservers.iter().enumerate() {
            let _ = writeln!(text, " nameserver {}:", nameserver.name);
            let counts = counters.name_server(id, place);
            for (what, name, ..) in NAMES {
                let _ = writeln!(text, "  {:<13}{}", format!("{name}:"), counts.get(what));
            }
        }
    }
    match (text.is_empty(), wanted.is_empty()) {
        (true, true) => Err("No resolvers found\n".into()),
        (true, false) => Err("Can't find that resolvers section\n".into()),
        _ => {
            call.say(text);
            Ok(())
        }
    }
}

/// `show stat domain resolvers`: a line, or a group of fields, a name server. Filters for proxies are not looked at.
pub fn show_stat(call: &mut Call<'_>) {
    let asked = |word: &str| call.words[4..].iter().any(|known| known == word);
    let (json, typed, described) = (asked("json"), asked("typed"), asked("desc"));
    let mut text = String::new();
    if !json && !typed {
        let names: String = NAMES.iter().map(|(_, _, name, _)| format!("{name},")).collect();
        let _ = writeln!(text, "# id,pid,{names}");
    }
    let (config, counters) = (call.config(), call.counters());
    let sections = (0..).map(ResolversId).zip(&config.resolvers);
    let servers = sections.flat_map(|(id, section)| {
        section.nameservers.iter().enumerate().map(move |(place, server)| (id, section, place, server))
    });
    for (at, (id, section, place, server)) in servers.enumerate() {
        let fields = fields(section, server, counters.name_server(id, place));
        if json {
            text.push_str(if at == 0 { "[" } else { "," });
            write_json(&fields, &mut text);
        } else if typed {
            write_typed(&fields, described, &mut text);
        } else {
            fields.iter().for_each(|field| text.extend([field.value.as_str(), ","]));
            text.push('\n');
        }
    }
    if json {
        text.push_str(if text.is_empty() { "[]\n" } else { "]\n" });
    }
    call.say(text);
}

/// One field of the statistics.
struct Field {
    name: &'static str,
    description: &'static str,
    value: String,
    is_number: bool,
}

fn fields(section: &Resolvers, server: &NameServer, counts: NameServerCounts) -> Vec<Field> {
    let text = |name, description, value: &str| Field { name, description, value: value.to_owned(), is_number: false };
    let numbers = NAMES.map(|(what, _, name, description)| {
        let value = counts.get(what).to_string();
        Field { name, description, value, is_number: true }
    });
    let texts = [text("id", "ID", &server.name), text("pid", "Parent ID", &section.name)];
    texts.into_iter().chain(numbers).collect()
}

fn write_typed(fields: &[Field], described: bool, out: &mut String) {
    for (at, Field { name, description, value, is_number }) in fields.iter().enumerate() {
        let kind = if *is_number { "MGP:u64" } else { "CGP:str" };
        let _ = write!(out, "N.{at}.{name}:{kind}:{value}");
        if described {
            let _ = write!(out, ":\"{description}\"");
        }
        out.push('\n');
    }
}

fn write_json(fields: &[Field], out: &mut String) {
    out.push('[');
    for (at, Field { name, value, is_number, .. }) in fields.iter().enumerate() {
        let (origin, kind) = if *is_number { ("Metric", "u64") } else { ("Config", "str") };
        let value = if *is_number { value.clone() } else { serde_json::Value::from(value.as_str()).to_string() };
        let comma = if at > 0 { "," } else { "" };
        let _ = write!(
            out,
            "{comma}{{\"field\":{{\"pos\":{at},\"name\":\"{name}\"}},\"tags\":{{\"origin\":\"{origin}\",\
             \"nature\":\"Gauge\",\"scope\":\"Process\"}},\"value\":{{\"type\":\"{kind}\",\"value\":{value}}}}}"
        );
    }
    out.push(']');
}
