//! What checks cost: CPU of each, and the time that requests beside them take.

use std::fmt::Write;
use std::fs;
use std::thread::sleep;
use std::time::Duration;

use crate::client::{Clients, Seen};
use crate::measure;
use crate::options::Row;
use crate::peers::{Bench, Running, free_port};
use crate::progress;
use crate::reload::PROGRAMS;

/// Servers that are checked, each once a second.
const CHECKED: u32 = 2_000;
/// Clients beside them.
const CLIENTS: usize = 16;
/// Until the first checks have had their turn.
const WARM_UP: Duration = Duration::from_secs(3);
/// How long each figure is measured.
const SPAN: Duration = Duration::from_secs(4);
/// The origin's CPU and the proxy's.
const CPUS: [&str; 2] = ["0", "1"];

/// What was measured of one program.
#[derive(Default)]
struct Figures {
    /// Without checks, and with them.
    seen: [Seen; 2],
    /// CPU of a check, in microseconds, by rounds.
    check_us: Vec<f64>,
}

/// Programs take turns, with checks and without.
pub fn requests_beside_checks(bench: &Bench, row: Row, rounds: usize) -> Result<String, String> {
    let (_origin, origin) = bench.origin(CPUS[0])?;
    let programs: Vec<_> = PROGRAMS.into_iter().filter(|program| bench.wants(program)).collect();
    let mut figures: Vec<Figures> = programs.iter().map(|_| Figures::default()).collect();
    for round in 0..rounds {
        for (program, figures) in programs.iter().zip(&mut figures) {
            for (checked, seen) in [0, CHECKED].into_iter().zip(&mut figures.seen) {
                progress(&format!("{row}: {program}, {checked} checked, round {}/{rounds}", round + 1));
                let (proxy, port) = start(bench, program, origin, checked)?;
                sleep(WARM_UP);
                if checked > 0 {
                    figures.check_us.push(cost_us(proxy.id(), checked)?);
                }
                let clients = Clients::start(port, CLIENTS);
                sleep(SPAN);
                seen.add(clients.finish());
            }
        }
    }
    progress("");
    let mut text = format!("\n### {} (`{row}`)\n\n", row.title());
    text += "| | checks/s | CPU of a check µs | requests | failed | median ms | 99 % ms | 99.9 % ms |\n";
    text += "|---|---|---|---|---|---|---|---|\n";
    for (program, mut figures) in programs.iter().zip(figures) {
        figures.check_us.sort_by(f64::total_cmp);
        let cost = figures.check_us.get(figures.check_us.len() / 2).map_or("-".into(), |cost| format!("{cost:.1}"));
        for (checked, cost, mut seen) in
            [0, CHECKED].into_iter().zip(["-".into(), cost]).zip(figures.seen).map(|((a, b), c)| (a, b, c))
        {
            seen.times.sort();
            let (requests, failed) = (seen.times.len(), seen.failed);
            let [median, most, nearly_all] = [0.5, 0.99, 0.999].map(|share| seen.within_ms(share));
            let _ = writeln!(
                text,
                "| {program} | {checked} | {cost} | {requests} | {failed} | {median:.2} | {most:.2} | {nearly_all:.2} |"
            );
        }
    }
    Ok(text)
}

/// CPU of a check in microseconds, while there is nothing else to do.
fn cost_us(pid: u32, checked: u32) -> Result<f64, String> {
    let before = measure::cpu_ns(pid)?;
    sleep(SPAN);
    let spent = measure::cpu_ns(pid)? - before;
    Ok(spent as f64 / 1000.0 / SPAN.as_secs_f64() / f64::from(checked))
}

/// One worker, or thread, and its port; `checked` servers are in a backend of their own.
fn start(bench: &Bench, program: &str, origin: u16, checked: u32) -> Result<(Running, u16), String> {
    let port = free_port()?;
    let mut text = format!(
        "global
    maxconn 1000
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 10s
    timeout server 10s
    timeout check 5s
frontend web
    bind 127.0.0.1:{port}
    default_backend web
backend web
    server s 127.0.0.1:{origin}
backend checked
    option httpchk GET /
    default-server check inter 1s
"
    );
    for number in 0..checked {
        let _ = writeln!(text, "    server s{number} 127.0.0.1:{origin}");
    }
    let path = bench.directory().join("checks.cfg");
    fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    let arguments = ["-db".into(), "-f".into(), path.display().to_string()];
    let proxy = Running::start(CPUS[1], &bench.binary(program), &arguments, port)
        .map_err(|error| format!("{program} with {checked} checks: {error}"))?;
    Ok((proxy, port))
}
