//! What the statistics page tells of a number when it is pointed at, a line each.

use std::fmt::Write;

use super::column::{COLUMNS, Column as C, FIRST_OF_MODULES};
use super::record::{Kind, Record, Value};

/// `2d3h`, `5m12s`, `7s`: the two largest units.
pub fn span(seconds: u64) -> String {
    let units = [(seconds / 86400, 'd'), (seconds / 3600 % 24, 'h'), (seconds / 60 % 60, 'm'), (seconds % 60, 's')];
    let first = units.iter().position(|(count, _)| *count > 0).unwrap_or(units.len() - 1);
    units[first..].iter().take(2).map(|(count, unit)| format!("{count}{unit}")).collect()
}

/// Lines of the columns that hold something.
fn lines(record: &Record, columns: &[(&str, C, &str)]) -> String {
    let mut out = String::new();
    for &(text, column, unit) in columns {
        if let Value::Number(number) = record.get(column) {
            // Writes into strings do not fail.
            let _ = writeln!(out, "{text}: {number}{unit}");
        }
    }
    out
}

/// Address, id and the like, where legends are shown.
pub fn name(record: &Record) -> String {
    let mut parts = Vec::new();
    for (title, column) in [("address", C::Addr), ("cookie", C::Cookie), ("balancing", C::Algo)] {
        let text = record.get_text(column);
        if !text.is_empty() {
            parts.push(format!("{title}: {text}"));
        }
    }
    if !parts.is_empty() && record.kind != Kind::Frontend {
        parts.push(format!("id: {}", record.get_number(C::Sid)));
    }
    parts.join("\n")
}

/// Rates of the last second.
pub fn rates(record: &Record) -> String {
    if record.kind != Kind::Frontend {
        return String::new();
    }
    let columns = [
        ("Current connection rate", C::ConnRate, "/s"),
        ("Current session rate", C::Rate, "/s"),
        ("Current request rate", C::ReqRate, "/s"),
    ];
    lines(record, &columns)
}

/// The highest rates.
pub fn rate_maxima(record: &Record) -> String {
    if record.kind != Kind::Frontend {
        return String::new();
    }
    let columns = [
        ("Highest connection rate", C::ConnRateMax, "/s"),
        ("Highest session rate", C::RateMax, "/s"),
        ("Highest request rate", C::ReqRateMax, "/s"),
    ];
    lines(record, &columns)
}

/// A server's connections.
pub fn connections(record: &Record) -> String {
    if record.kind != Kind::Server {
        return String::new();
    }
    let columns = [
        ("Sessions", C::Scur, ""),
        ("Connections in use", C::UsedConnCur, ""),
        ("Idle connections", C::SrvIcur, ""),
        ("- unsafe", C::IdleConnCur, ""),
        ("- safe", C::SafeConnCur, ""),
        ("Estimated need of connections", C::NeedConnEst, ""),
        ("Limit of sessions", C::Slim, ""),
        ("Limit of idle connections", C::SrcIlim, ""),
    ];
    lines(record, &columns)
}

/// Sums since the start.
pub fn totals(record: &Record) -> String {
    let mut out = lines(
        record,
        &[
            ("Cum. connections", C::ConnTot, ""),
            ("Cum. sessions", C::Stot, ""),
            ("New connections", C::Connect, ""),
            ("Reused connections", C::Reuse, ""),
            ("Cum. HTTP requests", C::ReqTot, ""),
            ("- HTTP 1xx responses", C::Hrsp1xx, ""),
            ("- HTTP 2xx responses", C::Hrsp2xx, ""),
            ("- HTTP 3xx responses", C::Hrsp3xx, ""),
            ("- HTTP 4xx responses", C::Hrsp4xx, ""),
            ("- HTTP 5xx responses", C::Hrsp5xx, ""),
            ("- other responses", C::HrspOther, ""),
            ("Intercepted requests", C::Intercepted, ""),
            ("Failed header rewrites", C::Wrew, ""),
            ("Internal errors", C::Eint, ""),
        ],
    );
    if record.get(C::Ttime) == &Value::Empty {
        return if record.kind == Kind::Listener { String::new() } else { out };
    }
    out.push_str("Max / avg over the last 1024 connections:\n");
    for (text, max, average) in [
        ("- Queue time", C::QtimeMax, C::Qtime),
        ("- Connect time", C::CtimeMax, C::Ctime),
        ("- Response time", C::RtimeMax, C::Rtime),
        ("- Total time", C::TtimeMax, C::Ttime),
    ] {
        let _ = writeln!(out, "{text}: {} / {} ms", record.get_number(max), record.get_number(average));
    }
    out
}

/// Transfers that broke.
pub fn resets(record: &Record) -> String {
    let columns = [("Transfers broken by clients", C::CliAbrt, ""), ("Transfers broken by servers", C::SrvAbrt, "")];
    lines(record, &columns)
}

/// `L7OK/200 in 1ms`
pub fn last_check(record: &Record) -> String {
    let tracked = record.get_text(C::Tracked);
    if !tracked.is_empty() {
        return format!("via {tracked}");
    }
    let [status, code, duration, ..] = last(record);
    let mut text = record.get_text(status).to_owned();
    if let Value::Number(code) = record.get(code) {
        let _ = write!(text, "/{code}");
    }
    if let Value::Number(duration) = record.get(duration) {
        let _ = write!(text, " in {duration}ms");
    }
    text
}

/// Status, code, duration, description and details of what the state is due to: of a check, unless it is an agent
/// that took the server down.
fn last(record: &Record) -> [C; 5] {
    match record.get_text(C::Status) {
        "DOWN (agent)" => [C::AgentStatus, C::AgentCode, C::AgentDuration, C::AgentDesc, C::LastAgt],
        _ => [C::CheckStatus, C::CheckCode, C::CheckDuration, C::CheckDesc, C::LastChk],
    }
}

/// The last check in words.
pub fn check(record: &Record) -> Vec<u8> {
    let [.., description, info] = last(record).map(|column| record.get_octets(column));
    if info.is_empty() { description.to_vec() } else { [description, b": ", info].concat() }
}

/// The numbers of each protocol, under its name, where a record has any.
pub fn modules(record: &Record) -> Vec<(&'static str, String)> {
    let mut modules: Vec<(&'static str, String)> = Vec::new();
    for (index, &(name, ..)) in COLUMNS.iter().enumerate().skip(FIRST_OF_MODULES) {
        let (Some((module, what)), Value::Number(number)) = (name.split_once('_'), record.at(index)) else { continue };
        if modules.last().is_none_or(|(last, _)| *last != module) {
            modules.push((module, String::new()));
        }
        if let Some((_, text)) = modules.last_mut() {
            let _ = writeln!(text, "{}: {number}", what.replace('_', " "));
        }
    }
    modules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_agent_did_is_told_by_the_agents_columns() {
        let mut record = Record::new(Kind::Server);
        let columns = [(C::CheckStatus, "L4OK"), (C::AgentStatus, "L7STS"), (C::LastAgt, "via agent : down")];
        for (column, text) in columns {
            record.text(column, text);
        }
        record.number(C::AgentCode, 0);
        assert_eq!(last_check(&record), "L4OK");
        record.text(C::Status, "DOWN (agent)");
        assert_eq!((last_check(&record), check(&record)), ("L7STS/0".into(), b": via agent : down".into()));
    }

    #[test]
    fn spans_have_two_units() {
        for (seconds, expected) in
            [(0, "0s"), (59, "59s"), (60, "1m0s"), (143, "2m23s"), (3600, "1h0m"), (90_061, "1d1h")]
        {
            assert_eq!(span(seconds), expected);
        }
    }
}
