//! The tables: medians of the rounds, as Markdown.

use std::fmt::Write;
use std::path::Path;
use std::{fs, io};

use crate::measure::{Calls, Sample};
use crate::options::Row;
use crate::origin::LARGE_BYTES;

/// One row of work, all peers.
pub struct Table {
    pub row: Row,
    pub outcomes: Vec<Outcome>,
    /// What went wrong, in words; the samples concerned are missing.
    pub troubles: Vec<String>,
}

/// Medians of one peer; None when it gave no sample.
pub struct Outcome {
    name: &'static str,
    medians: Option<Sample>,
    calls: Option<Calls>,
}

impl Outcome {
    pub fn new(name: &'static str, samples: &[Sample], calls: Option<Calls>) -> Outcome {
        let medians = (!samples.is_empty()).then(|| Sample {
            user_us: median(samples, |sample| sample.user_us),
            total_us: median(samples, |sample| sample.total_us),
            requests_per_second: median(samples, |sample| sample.requests_per_second),
        });
        Outcome { name, medians, calls }
    }
}

fn median(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    let mut values: Vec<f64> = samples.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

impl Table {
    /// The table with its heading and remarks.
    pub fn markdown(&self) -> String {
        let mut text = format!("\n### {} (`{}`)\n\n", self.row.title(), self.row);
        text += if self.row.is_bulk() {
            "| | user ms/GB | total ms/GB | to the floor | to haproxy | GB/s | data calls/MiB | all calls/MiB |\n"
        } else {
            "| | user µs | total µs | to the floor | to haproxy | requests/s | data calls/request | all calls/request |\n"
        };
        text += "|---|---|---|---|---|---|---|---|\n";
        for outcome in &self.outcomes {
            self.line(outcome, &mut text);
        }
        text.push('\n');
        for outcome in &self.outcomes {
            let Some(calls) = &outcome.calls else {
                continue;
            };
            let names: Vec<String> = calls.by_name.iter().map(|(name, count)| format!("{name} {count:.2}")).collect();
            let _ = writeln!(text, "- {} calls: {}", outcome.name, names.join(", "));
        }
        for trouble in &self.troubles {
            let _ = writeln!(text, "- trouble: {trouble}");
        }
        text
    }

    fn line(&self, outcome: &Outcome, text: &mut String) {
        let Some(medians) = &outcome.medians else {
            let _ = writeln!(text, "| {} | - | - | - | - | - | - | - |", outcome.name);
            return;
        };
        // Requests of 1 MiB to gigabytes of 10^9 bytes; microseconds to milliseconds.
        let per_gb = 1e9 / LARGE_BYTES as f64 / 1000.0;
        let (user, total, rate) = if self.row.is_bulk() {
            let rate = medians.requests_per_second * LARGE_BYTES as f64 / 1e9;
            (medians.user_us * per_gb, medians.total_us * per_gb, format!("{rate:.2}"))
        } else {
            (medians.user_us, medians.total_us, format!("{:.0}", medians.requests_per_second))
        };
        let ratio = |name| match self.total_us(name) {
            Some(base) => format!("{:.2}", medians.total_us / base),
            None => "-".into(),
        };
        let (data, all) = match &outcome.calls {
            Some(calls) => (format!("{:.2}", calls.data), format!("{:.2}", calls.all)),
            None => ("-".into(), "-".into()),
        };
        let _ = writeln!(
            text,
            "| {} | {user:.2} | {total:.2} | {} | {} | {rate} | {data} | {all} |",
            outcome.name,
            ratio("floor"),
            ratio("haproxy"),
        );
    }

    fn total_us(&self, name: &str) -> Option<f64> {
        let outcome = self.outcomes.iter().find(|outcome| outcome.name == name)?;
        outcome.medians.as_ref().map(|medians| medians.total_us)
    }
}

/// Keeps the tables in benches/results, named after the minute; gives the path.
pub fn save(description: &str, tables: &[String]) -> io::Result<String> {
    let now = jiff::Zoned::now().strftime("%Y-%m-%d-%H%M").to_string();
    let directory = Path::new("benches/results");
    fs::create_dir_all(directory)?;
    let path = directory.join(format!("{now}.md"));
    let mut text = format!("# CPU of one request, {now}\n\n{description}");
    for table in tables {
        text += table;
    }
    fs::write(&path, text)?;
    Ok(path.display().to_string())
}
