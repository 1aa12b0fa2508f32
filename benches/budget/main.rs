//! `make bench`: what one request costs the proxy, beside its peers, in one run.
//!
//! wrk and the origin node share CPU 0, the proxy under test has CPU 1 to itself; in the rows of workers all
//! share both, and CPU per request is what compares. Rounds are
//! interleaved (each round measures every peer once), so that a machine that slows down slows all
//! of them; the table shows medians. The CPU counted is the proxy's alone, from /proc.
//!
//! The same program is also the origin node and the floor relay, run as its own children with the
//! arguments `origin PORT` and `floor PORT ORIGIN_PORT`.

mod checks;
mod client;
mod floor;
mod measure;
mod options;
mod origin;
mod peers;
mod reload;
mod report;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use measure::Sample;
use options::{Options, Row};
use peers::{Bench, Team};
use report::{Outcome, Table};

/// How long the load lasts while strace slows the proxy down.
const STRACE_SECONDS: u64 = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.first().map(String::as_str) {
        Some("origin") => child(&arguments, |ports| origin::serve(ports[0])),
        Some("floor") => child(&arguments, |ports| floor::relay(ports[0], ports[1])),
        _ => bench(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one of the child roles until the bench goes away, however it goes.
fn child(arguments: &[String], role: impl FnOnce(Vec<u16>) -> std::io::Result<()>) -> Result<(), String> {
    let ports: Result<Vec<u16>, _> = arguments[1..].iter().map(|port| port.parse()).collect();
    let mut ports = ports.map_err(|error| format!("bad port: {error}"))?;
    ports.resize(2, 0);
    std::thread::spawn(|| {
        // The bench holds the other end of standard input: its end is ours.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    role(ports).map_err(|error| error.to_string())
}

fn bench(arguments: &[String]) -> Result<(), String> {
    let options = Options::parse(arguments)?;
    let bench = Bench::new(&options.peers)?;
    let mut team: Option<Team> = None;
    let mut tables = Vec::new();
    for &row in &options.rows {
        let table = match row {
            Row::Reload => reload::first_answer(&bench, row, options.rounds)?,
            Row::Longest => reload::longest_request(&bench, row)?,
            Row::Checks => checks::requests_beside_checks(&bench, row, options.rounds)?,
            _ => {
                // The same processes for all rows of a shape.
                let same = team.take().filter(|team| team.shape == row.shape());
                let same = same.map_or_else(|| bench.team(row.shape()), Ok)?;
                let table = measure_row(&same, row, &options).markdown();
                team = Some(same);
                table
            }
        };
        print!("{table}");
        tables.push(table);
    }
    if options.save {
        let path =
            report::save(&bench.description(), &tables).map_err(|error| format!("cannot save the results: {error}"))?;
        println!("saved as {path}");
    }
    Ok(())
}

/// Measures every peer that can serve `row`, round by round.
fn measure_row(team: &Team, row: Row, options: &Options) -> Table {
    let load = row.load(Duration::from_secs(options.seconds));
    let peers: Vec<_> = team.peers.iter().filter(|peer| peer.port(row).is_some()).collect();
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); peers.len()];
    let mut troubles = Vec::new();
    for round in 0..options.rounds {
        for (peer, taken) in peers.iter().zip(&mut samples) {
            eprint!("\r{row}: round {}/{} {:<8}", round + 1, options.rounds, peer.name);
            let Some(port) = peer.port(row) else { continue };
            match measure::cpu_under_load(peer.pid(), port, &load) {
                Ok(sample) => taken.push(sample),
                Err(error) => troubles.push(format!("{}: {error}", peer.name)),
            }
        }
    }
    let mut outcomes = Vec::new();
    for (peer, taken) in peers.iter().zip(samples) {
        progress(&format!("{row}: system calls {}", peer.name));
        let calls = peer.port(row).and_then(|port| {
            let load = row.load(Duration::from_secs(STRACE_SECONDS));
            measure::calls_under_load(peer.pid(), port, &load)
                .map_err(|error| troubles.push(format!("{}: {error}", peer.name)))
                .ok()
        });
        outcomes.push(Outcome::new(peer.name, &taken, calls));
    }
    progress("");
    Table { row, outcomes, troubles }
}

/// Says on a terminal what goes on, in one line that is overwritten.
pub fn progress(what: &str) {
    if std::io::stderr().is_terminal() {
        eprint!("\r{what:<50}\r");
    }
}
