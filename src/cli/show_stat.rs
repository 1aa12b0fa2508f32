//! `show stat`: every object's counters as CSV, typed lines or JSON (management manual 9.1, 9.2).

use super::{Call, Command, Outcome, Scope, resolvers};
use crate::proxy::CliLevel;
use crate::stats::record::{self, Record};
use crate::stats::snapshot::{self, Filter, Snapshot};

/// The commands of this file.
pub static ROWS: &[Command] = &[Command {
    words: &["show", "stat"],
    usage: "show stat [json|no-maint|typed|up]*",
    help: "report counters for each proxy and server",
    level: CliLevel::User,
    scope: Scope::Here,
    run: show_stat,
}];

fn show_stat(call: &mut Call<'_>) -> Outcome {
    let mut filter = Filter::default();
    let mut words = &call.words[2..];
    if let [domain, which @ ..] = words
        && domain == "domain"
    {
        match which.first().map(String::as_str) {
            Some("proxy") => words = &which[1..],
            Some("resolvers") => {
                resolvers::show_stat(call);
                return Ok(());
            }
            _ => return Err("Invalid statistics domain.\n".into()),
        }
    }
    if let [proxy, kinds, object, rest @ ..] = words {
        let number = |word: &str| word.parse::<i64>().unwrap_or(0);
        filter.proxy = proxy_id(call, proxy)?;
        filter.kinds = number(kinds) as u32;
        filter.object = Some(number(object)).filter(|&id| id != -1).map(|id| id as u32);
        words = rest;
    }
    let asked = |word: &str| words.iter().any(|known| known == word);
    filter.only_up = asked("up");
    filter.no_maintenance = asked("no-maint");
    let (services, counters) = (&call.core.services, call.counters());
    let snapshot = Snapshot {
        config: services.config,
        counters: &counters,
        now: services.now,
        states: services,
        maxconn: services.maxconn_at_start(),
        legends: call.client.level >= CliLevel::Operator,
    };
    let records = snapshot.records(&filter);
    write(&records, asked("typed"), asked("json"), call.out);
    Ok(())
}

/// The proxy asked for by its id or name; `None` for all.
fn proxy_id(call: &Call<'_>, word: &str) -> Result<Option<u32>, std::borrow::Cow<'static, str>> {
    if let Ok(id) = word.parse::<i64>() {
        return Ok((id != -1).then_some(id as u32));
    }
    let config = call.config();
    let all = snapshot::proxies(config);
    let found = all.iter().find(|parts| snapshot::proxy_name(config, parts) == word);
    found.map(|parts| Some(parts.uuid)).ok_or("No such proxy.\n".into())
}

fn write(records: &[Record], typed: bool, json: bool, out: &mut Vec<u8>) {
    if json {
        return record::write_json_records(records.iter(), out);
    }
    if typed {
        return records.iter().for_each(|record| record.write_typed(out));
    }
    record::write_csv_header(out);
    records.iter().for_each(|record| record.write_csv(out));
}
